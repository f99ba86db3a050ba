"""The registry of reasons is complete and fit for conditions."""

from __future__ import annotations

import re

import pytest

from videollm_operator.api import reasons
from videollm_operator.api.reasons import REGISTRY, Reason, Stall


def test_every_reason_is_registered() -> None:
    assert set(REGISTRY) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_reasons_are_words_that_a_condition_takes(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", reason)


@pytest.mark.parametrize("reason", Reason)
def test_reasons_say_what_they_mean_and_what_to_do(reason: Reason) -> None:
    info = REGISTRY[reason]
    for sentence in (info.meaning, info.remedy):
        assert sentence.endswith(".")
        assert "\n" not in sentence


def test_every_kind_of_stall_is_used() -> None:
    assert {info.stall for info in REGISTRY.values()} == set(Stall)


def test_anchors_are_distinct() -> None:
    anchors = {reasons.documentation_anchor(reason) for reason in Reason}
    assert len(anchors) == len(Reason)
    assert reasons.documentation_anchor(Reason.DOES_NOT_FIT) == "doesnotfit"
