"""Every registered reason comes up in some course of things, stalls as registered, and clears."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import pods
from tests.scenario.apiserver import ServerError
from tests.scenario.kstatus import verdict
from tests.scenario.objects import LARGE, NAME, UNKNOWN_MODEL, fresh, serving, spec
from videollm_operator.api.reasons import REGISTRY, Reason, Stall
from videollm_operator.reconcile.world import ChildKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenario.apiserver import Object
    from tests.scenario.simulator import Cluster

HOURS = 30
"""Longer than any deadline."""

REFUSED: dict[Reason, dict[str, Any]] = {
    Reason.INVALID_SPEC: {"workload": {"framesPerVideo": 0}},
    Reason.MODEL_UNKNOWN: {"model": UNKNOWN_MODEL},
    Reason.GPU_UNKNOWN: {"gpu": {"sku": "A100"}},
    Reason.CONTEXT_TOO_LONG: {"workload": {"framesPerVideo": 2000}},
    Reason.LAYOUT_ILLEGAL: {"parallelism": {"strategy": "Manual", "tensor": 3}},
    Reason.DOES_NOT_FIT: {**LARGE, "gpu": {"sku": "L4", "perReplica": 1}},
    Reason.NEEDS_SEVERAL_NODES: {"gpu": {"sku": "A100-80GB", "perReplica": 64}},
    Reason.QUANTIZATION_UNSUPPORTED: {"quantization": {"format": "INT4", "method": "BitsAndBytes"}},
    Reason.DTYPE_UNSUPPORTED: {"gpu": {"sku": "T4"}, "dtype": "BFloat16"},
    Reason.ENGINE_UNSUPPORTED: {"engine": {"type": "TGI"}},
    Reason.ARGUMENT_REFUSED: {"engine": {"extraArgs": ["--tensor-parallel-size=2"]}},
    Reason.ENV_REFUSED: {"engine": {"env": [{"name": "CUDA_VISIBLE_DEVICES", "value": "0"}]}},
    Reason.FIELD_UNSUPPORTED: {
        "model": {"name": "llava-hf/llava-v1.6-mistral-7b-hf"},
        "workload": {"videosPerRequest": 2},
    },
}
"""What is wrong with the object."""


def stages(steps: int) -> Cluster:
    cluster = fresh()
    cluster.reconcile(NAME)
    if steps:
        cluster.controllers()
    for _ in range(steps - 1):
        cluster.pods_step()
    return cluster


def rolling() -> Cluster:
    cluster = serving()
    cluster.edit(NAME, rollout={"restartToken": "now"})
    cluster.reconcile(NAME)
    cluster.controllers()
    return cluster


def paused() -> Cluster:
    cluster = serving()
    cluster.edit(NAME, paused=True, replicas=2)
    return cluster


def failing(failure: str) -> Cluster:
    cluster = stages(1)
    cluster.pod_fails("a-0", failure)
    return cluster


def half_broken() -> Cluster:
    cluster = serving(replicas=2)
    cluster.pod_fails("a-1", "CrashLoopBackOff")
    return cluster


def smaller_card() -> Cluster:
    cluster = serving()
    gpu = cluster.catalog.gpus["A100-80GB"].model_copy(update={"visible_mib": 9000})
    cluster.catalog = replace(cluster.catalog, gpus={**cluster.catalog.gpus, gpu.sku: gpu})
    return cluster


def without_pods() -> Cluster:
    cluster = fresh()
    cluster.creates_pods = False
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.reconcile(NAME)
    cluster.passes(minutes=2)
    return cluster


def late() -> Cluster:
    cluster = stages(3)
    cluster.reconcile(NAME)
    cluster.passes(hours=HOURS)
    return cluster


def stranger() -> Cluster:
    cluster = fresh()
    cluster.stranger("Service", NAME)
    return cluster


def immutable() -> Cluster:
    cluster = serving(cache={"type": "PersistentVolumeClaim", "size": "100Gi"})
    cluster.edit(NAME, cache={"type": "PersistentVolumeClaim", "size": "200Gi"})
    return cluster


def dropped() -> Cluster:
    def gate_is_off(obj: Object) -> None:
        if obj["kind"] == "StatefulSet":
            obj["spec"]["template"]["spec"].pop("enableServiceLinks")

    cluster = fresh()
    cluster.respells = gate_is_off
    return cluster


def contested() -> Cluster:
    cluster = serving()
    cluster.children[ChildKey("Service", NAME)]["spec"]["type"] = "NodePort"
    cluster.contested["Service"] = 'conflict with "mesh" using v1: .spec.type'
    return cluster


def denied() -> Cluster:
    cluster = fresh()
    cluster.refusing["Service"] = ServerError(403, "Forbidden", "exceeded quota: services")
    return cluster


COURSES: dict[Reason, Callable[[], Cluster]] = {
    Reason.SERVING: serving,
    Reason.SCALED_TO_ZERO: lambda: serving(replicas=0),
    Reason.SIZED: fresh,
    Reason.PAUSED: paused,
    Reason.CREATING: lambda: stages(0),
    Reason.SCHEDULING: lambda: stages(1),
    Reason.LOADING: lambda: stages(3),
    Reason.ROLLING_OUT: rolling,
    Reason.REPLICAS_UNAVAILABLE: half_broken,
    Reason.UPDATE_AVAILABLE: smaller_card,
    Reason.RUNNING_PLAN_UNSAFE: smaller_card,
    Reason.ENGINE_VERSION_UNKNOWN: lambda: fresh(engine={"type": "VLLM", "version": "0.99.0"}),
    Reason.ENGINE_IMAGE_UNKNOWN: lambda: fresh(engine={"type": "VLLM", "image": "own/vllm:1"}),
    Reason.NAME_CONFLICT: stranger,
    Reason.IMMUTABLE_FIELD: immutable,
    Reason.FIELD_NOT_SUPPORTED: dropped,
    Reason.CONTESTED: contested,
    Reason.CHILD_REFUSED: denied,
    Reason.POD_CREATION_FAILED: without_pods,
    Reason.PROGRESS_DEADLINE_EXCEEDED: late,
    **{Reason(reason): lambda f=failure: failing(f) for failure, reason in pods.FAILURES.items()},
    **{reason: lambda s=sections: fresh(**s) for reason, sections in REFUSED.items()},
}


def test_every_reason_has_a_course_of_things() -> None:
    assert COURSES.keys() == set(Reason)


@pytest.mark.parametrize("reason", COURSES)
def test_a_reason_comes_up_and_stalls_as_it_is_registered(reason: Reason) -> None:
    cluster = COURSES[reason]()
    cluster.reconcile(NAME)
    found = [c for c in cluster.status(NAME)["conditions"] if c["reason"] == reason]
    assert found
    assert all(condition["message"] for condition in found)
    ready = cluster.condition(NAME, "Ready")
    if ready["reason"] != reason:
        assert REGISTRY[reason].stall is Stall.NEVER
        return
    stall = REGISTRY[reason].stall
    assert ("Stalled" in cluster.conditions(NAME)) == (stall is Stall.AT_ONCE)
    assert (verdict(cluster.deployments[NAME]) == "Failed") == (stall is Stall.AT_ONCE)
    if stall is Stall.AFTER_DEADLINE:
        cluster.passes(hours=HOURS)
        cluster.reconcile(NAME)
        assert cluster.condition(NAME, "Stalled")["reason"] == reason


@pytest.mark.parametrize("reason", COURSES)
def test_whatever_came_up_clears_when_its_cause_goes(reason: Reason) -> None:
    cluster = COURSES[reason]()
    cluster.reconcile(NAME)
    cluster.passes(hours=HOURS)
    cluster.reconcile(NAME)
    for key, obj in list(cluster.children.items()):
        if "managedFields" not in obj["metadata"]:
            del cluster.children[key]
    cluster.refusing.clear()
    cluster.contested.clear()
    cluster.respells, cluster.creates_pods = None, True
    cache = cluster.deployments[NAME]["spec"]["cache"]
    old = {"type": "PersistentVolumeClaim", "size": "100Gi"} if "size" in cache else cache
    cluster.deployments[NAME]["spec"] = spec(cache=old, rollout={"restartToken": "new"})
    cluster.deployments[NAME]["metadata"]["generation"] += 1
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized"}
