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
from videollm_operator.api.validation import as_json, parse

SCHEMA = crd.openapi()


def schema_refuses(obj: dict[str, Any]) -> list[str]:
    return structural.faults(SCHEMA, structural.filled(SCHEMA, obj))


def model_refuses(obj: dict[str, Any]) -> list[str]:
    """Faults that the model finds, without broken rules, which the schema cannot know."""
    try:
        VideoLLMDeployment.read(as_json(obj))
    except ValidationError as error:
        return [str(each["loc"]) for each in error.errors() if each["type"] != RULE_BROKEN]
    return []


@given(strategies.objects())
@settings(max_examples=400, deadline=None)
def test_models_and_schema_find_the_same_objects_right(obj: dict[str, Any]) -> None:
    assert bool(schema_refuses(obj)) == bool(model_refuses(obj))


@given(strategies.objects())
@settings(max_examples=200, deadline=None)
def test_defaults_of_models_and_schema_are_the_same(obj: dict[str, Any]) -> None:
    if schema_refuses(obj):
        return
    try:
        bare = VideoLLMDeployment.read(as_json(obj))
    except ValidationError:
        return
    assert VideoLLMDeployment.read(as_json(structural.filled(SCHEMA, obj))) == bare


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_cases_are_good_for_both(case: Case) -> None:
    assert schema_refuses(case.obj) == []
    assert parse(structural.filled(SCHEMA, case.obj)) == parse(case.obj)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_schema_and_model_agree_on_bad_cases(case: Case) -> None:
    assert bool(schema_refuses(case.obj)) == bool(model_refuses(case.obj))
