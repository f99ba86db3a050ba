"""The models and the CRD's schema judge alike: nothing is lost on the way from one to the other."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError

from tests.cluster.crd_cases import BAD, GOOD, Case
from tests.unit.api import strategies, structural
from videollm_operator.api import crd
from videollm_operator.api.rules import RULE_BROKEN
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import parse

SCHEMA = crd.openapi()


def schema_refuses(obj: dict[str, Any]) -> list[str]:
    return structural.faults(SCHEMA, structural.filled(SCHEMA, obj))


def model_refuses(obj: dict[str, Any]) -> list[str]:
    """Types of the faults that the model finds, broken rules among them."""
    try:
        VideoLLMDeployment.read(obj)
    except ValidationError as error:
        return [each["type"] for each in error.errors()]
    return []


def agree(obj: dict[str, Any]) -> bool:
    """Whether both find the object right or both wrong, rules aside: the schema knows none."""
    found = model_refuses(obj)
    if schema_refuses(obj):
        return found != []  # a broken rule may hide two equal items of the list around it
    return set(found) <= {RULE_BROKEN}


@given(strategies.objects())
@settings(max_examples=400)
def test_models_and_schema_find_the_same_objects_right(obj: dict[str, Any]) -> None:
    assert agree(obj)


@given(strategies.objects())
@settings(max_examples=200)
def test_defaults_of_models_and_schema_are_the_same(obj: dict[str, Any]) -> None:
    if schema_refuses(obj):
        return
    try:
        bare = VideoLLMDeployment.read(obj)
    except ValidationError:
        return
    assert VideoLLMDeployment.read(structural.filled(SCHEMA, obj)) == bare


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_cases_are_good_for_both(case: Case) -> None:
    assert schema_refuses(case.obj) == []
    assert parse(structural.filled(SCHEMA, case.obj)) == parse(case.obj)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_schema_and_model_agree_on_bad_cases(case: Case) -> None:
    assert agree(case.obj)
