"""Reading: camelCase only, nothing guessed, YAML as kubectl takes it."""

from __future__ import annotations

import datetime

import pytest
from pydantic import ValidationError

from videollm_operator.api.architecture import ParameterCounts
from videollm_operator.api.base import as_json
from videollm_operator.api.v1alpha1.compute import GPUSpec, QuantizationSpec, WorkloadSpec
from videollm_operator.api.v1alpha1.model import ModelSource
from videollm_operator.api.v1alpha1.operations import RolloutSpec
from videollm_operator.api.v1alpha1.pod import ExtraVolume, PodTemplateSpec, ResourcesSpec


def test_python_names_are_for_python() -> None:
    assert GPUSpec(sku="L4", per_replica=2).per_replica == 2
    assert GPUSpec.read({"sku": "L4", "perReplica": 2}).per_replica == 2
    with pytest.raises(ValidationError):
        GPUSpec.read({"sku": "L4", "per_replica": 2})


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GPUSpec(sku="L4").sku = "T4"  # type: ignore[misc] # what the test shows


def test_rules_hold_on_every_construction() -> None:
    with pytest.raises(ValidationError, match="needs a `format`"):
        QuantizationSpec.read({"method": "GPTQ"})


def test_null_is_absent() -> None:
    assert WorkloadSpec.read({"framesPerVideo": None}) == WorkloadSpec()
    with pytest.raises(ValidationError, match="missing"):
        GPUSpec.read({"sku": None})


def test_null_stays_where_kubernetes_has_the_say() -> None:
    volume = ExtraVolume.read({"name": "a", "emptyDir": None})
    assert volume.model_dump() == {"name": "a", "emptyDir": None}


def test_null_labels_are_dropped() -> None:
    assert PodTemplateSpec.read({"labels": {"a": None, "b": "c"}}).labels == {"b": "c"}


@pytest.mark.parametrize("value", ["64", True, 1.5, [64]])
def test_a_number_is_a_number(value: object) -> None:
    with pytest.raises(ValidationError):
        WorkloadSpec.read({"framesPerVideo": value})


def test_cpus_may_be_a_plain_number() -> None:
    assert ResourcesSpec.read({"cpu": 8}).cpu == "8"
    assert ResourcesSpec.read({"cpu": "500m"}).cpu == "500m"


@pytest.mark.parametrize("value", [True, 0.5, "0", "0m", "0.000", "8 cores", -1, "1.5m"])
def test_other_cpus_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        ResourcesSpec.read({"cpu": value})


@pytest.mark.parametrize("value", ["Auto", 60, 86400])
def test_progress_deadline_takes_a_word_or_a_number(value: object) -> None:
    deadline = RolloutSpec.read({"progressDeadlineSeconds": value}).progress_deadline_seconds
    assert deadline == value


@pytest.mark.parametrize("value", ["auto", "60", 59, 86401, True, []])
def test_other_progress_deadlines_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        RolloutSpec.read({"progressDeadlineSeconds": value})


@pytest.mark.parametrize(
    ("yaml", "json"),
    [
        ({"a": 4.0, "b": 1.5, "c": float("inf")}, {"a": 4, "b": 1.5, "c": float("inf")}),
        ({2: "a", True: "b", None: "c"}, {"2": "a", "true": "b", "null": "c"}),
        ([datetime.date(2026, 11, 24)], ["2026-11-24"]),
        (
            (datetime.datetime(2026, 11, 24, 1, 2, tzinfo=datetime.UTC),),
            ["2026-11-24T01:02:00+00:00"],
        ),
        (None, None),
    ],
)
def test_yaml_is_read_as_kubectl_reads_it(yaml: object, json: object) -> None:
    assert as_json(yaml) == json


def test_where_the_weights_lie() -> None:
    assert ModelSource().on_hub
    assert ModelSource.read({"huggingFace": {}}).on_hub
    assert not ModelSource.read({"image": {"reference": "a"}}).on_hub
    assert not ModelSource.read({"persistentVolumeClaim": {"claimName": "a"}}).on_hub


def test_parameters_add_up() -> None:
    counts = ParameterCounts(layers=1, embedding=2, head=0, vision=4, projector=8)
    assert counts.total == 15
