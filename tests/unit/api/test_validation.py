"""`validate`: the server's verdict from a file, in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster import crd_cases
from tests.cluster.crd_cases import BAD, GOOD, MINIMAL, Case, patched
from tests.unit.api.strategies import ALL
from videollm_operator.api import sentences
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.rules import VALIDATIONS
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.v1alpha1.status import VideoLLMDeploymentStatus
from videollm_operator.api.validation import parse, validate

JARGON = ("Input should", "validation error", "pydantic", "ctx", "dict", "StrEnum", "NoneType")


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_objects_pass(case: Case) -> None:
    assert validate(case.obj) == []
    assert parse(case.obj) == VideoLLMDeployment.from_object(case.obj)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_objects_are_refused_by_field_in_plain_words(case: Case) -> None:
    found = validate(case.obj)
    assert set(case.fields) <= {problem.field for problem in found}
    for problem in found:
        assert problem.reason is Reason.INVALID_SPEC
        assert "\n" not in problem.message
        assert problem.message[0] in "`at", "begins with the field, `an entry of` or `the object`"
        assert not any(word in problem.message for word in JARGON)


def test_what_validate_says_is_as_reviewed() -> None:
    said = {case.name: [each.message for each in validate(case.obj)] for case in BAD}
    crd_cases.check_snapshot("offline", said)


def test_every_rule_of_the_crd_is_broken_by_a_case() -> None:
    """So every rule has its Python twin, and the cluster tests see both at work."""
    said = [each.message for case in BAD for each in validate(case.obj)]
    rules = {
        (path, rule["message"]): any(rule["message"] in message for message in said)
        for path, node in ALL
        for rule in node.get(VALIDATIONS, [])
    }
    assert [where for where, broken in rules.items() if not broken] == []


def test_every_enum_is_broken_by_a_case() -> None:
    broken = {field.replace("[0]", ".0") for case in BAD for field in case.fields}
    enums = {".".join(map(str, path)) for path, node in ALL if "enum" in node}
    assert enums - broken == set()


@pytest.mark.parametrize("obj", [None, [], "text", 4, True])
def test_what_is_no_object_is_refused(obj: object) -> None:
    (problem,) = validate(obj)
    assert problem.message.startswith("the object is ")
    assert "must be an object" in problem.message


def test_an_empty_object_says_all_that_is_missing() -> None:
    assert [each.field for each in validate({})] == ["apiVersion", "kind", "metadata", "spec"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"apiVersion": None}, "`apiVersion` is required, but missing: add `apiVersion: videollm"),
        ({"apiVersion": "v1"}, "`apiVersion` is 'v1', but must be 'videollm.io/v1alpha1'"),
        ({"kind": "Deployment"}, "`kind` is 'Deployment', but must be 'VideoLLMDeployment'"),
        ({"metadata": {"name": None}}, "`metadata.name` is required, but missing: add it"),
        ({"metadata": {"name": "A b"}}, "`metadata.name` is 'A b', but must be the name of an"),
    ],
)
def test_what_stands_around_the_spec_is_checked(change: dict[str, Any], message: str) -> None:
    (problem,) = validate(patched(MINIMAL, change))
    assert problem.message.startswith(message)


def test_what_others_write_is_no_fault() -> None:
    change = {
        "metadata": {"managedFields": [{}], "labels": {"a": "b"}, "ownerReferences": []},
        "status": {"fromTheFuture": 1, "observedGeneration": 3, "conditions": []},
    }
    assert parse(patched(MINIMAL, change)).status.observed_generation == 3


@pytest.mark.parametrize("status", [4, {"conditions": "none"}, {"observedGeneration": "x"}])
def test_a_status_that_cannot_be_read_counts_as_none(status: object) -> None:
    assert parse({**MINIMAL, "status": status}).status == VideoLLMDeploymentStatus()


def test_a_refusal_carries_its_problems() -> None:
    with pytest.raises(Refused) as refused:
        parse(patched(MINIMAL, {"spec": {"replicas": -1, "paused": "no"}}))
    assert [each.field for each in refused.value.problems] == ["spec.replicas", "spec.paused"]
    assert "; `spec.paused`" in str(refused.value)


def test_a_text_that_is_no_unicode_gets_a_sentence_too() -> None:
    obj = patched(MINIMAL, {"spec": {"model": {"servedName": "\ud800"}}})
    (problem,) = validate(obj)
    assert problem.field == "spec.model.servedName"
    assert problem.message.startswith(r"`spec.model.servedName` is '\ud800', which cannot be read")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("two", "'two'"),
        ("a\nb", r"'a\nb'"),
        ("a" * 100, f"'{'a' * 59}…'"),
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        (3, "3"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_found_values_fit_into_a_line(value: object, text: str) -> None:
    assert sentences.shown(value) == text


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (("spec", "engine", "env", 0, "name"), "spec.engine.env[0].name"),
        (("spec", "podTemplate", "labels", "a.b/c"), "spec.podTemplate.labels[a.b/c]"),
        (("spec", "per_replica"), "spec.per_replica"),
        ((), ""),
    ],
)
def test_paths_are_yaml_paths(location: sentences.Location, text: str) -> None:
    assert sentences.path(location) == text


@pytest.mark.parametrize(
    ("word", "meant"),
    [("vllm", "VLLM"), ("frames_per_video", "framesPerVideo"), ("llvm", "VLLM"), ("turbo", "")],
)
def test_the_nearest_name_is_suggested(word: str, meant: str) -> None:
    assert sentences.nearest(word, ["VLLM", "framesPerVideo", "SGLang"]) == meant


def test_a_place_that_the_schema_does_not_know_has_no_schema() -> None:
    assert sentences.node_at({"type": "string"}, ("a", 0, "b")) == {}


def test_problems_are_values() -> None:
    assert Problem(Reason.INVALID_SPEC, "text") == Problem(Reason.INVALID_SPEC, "text", "")
