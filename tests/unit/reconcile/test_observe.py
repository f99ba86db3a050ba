from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from videollm_operator.api import names
from videollm_operator.api.reasons import Reason
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.world import ChildKey, NodeFacts, PodFacts


def stateful_set(**changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {
            "name": "a",
            "uid": "u1",
            "resourceVersion": "7",
            "generation": 3,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            "annotations": {names.ANNOTATION_RECORD: "{}"},
            "ownerReferences": [
                {"kind": "Team", "name": "t", "uid": "x"},
                {"kind": "VideoLLMDeployment", "name": "a", "uid": "d1", "controller": True},
            ],
        },
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, "replicas": 1, "updateRevision": "a-1"},
        **changes,
    }


def pod(*, conditions: dict[str, str] | None = None, **status: Any) -> PodFacts:
    at = "2026-11-24T10:00:00Z"
    listed = [
        {"type": kind, "status": value, "lastTransitionTime": at}
        for kind, value in (conditions or {}).items()
    ]
    return observe.pod(
        {
            "metadata": {
                "name": "a-0",
                "uid": "p1",
                "creationTimestamp": "2026-11-24T09:00:00Z",
                "labels": {"controller-revision-hash": "a-1"},
            },
            "status": {"conditions": listed, **status},
        }
    )


def container(name: str = "engine", **state: Any) -> dict[str, Any]:
    return {"name": name, "state": state.pop("state", {}), **state}


def test_a_stateful_set_becomes_thin_facts() -> None:
    facts = observe.child(stateful_set())
    assert facts.key == ChildKey("StatefulSet", "a")
    assert facts.uid == "u1"
    assert (facts.controller_uid, facts.controller) == ("d1", "VideoLLMDeployment 'a'")
    assert facts.managed
    assert not facts.deleting
    assert facts.workload is not None
    assert (facts.workload.generation, facts.workload.observed_generation) == (3, 2)
    assert (facts.workload.replicas, facts.workload.created_replicas) == (2, 1)
    assert facts.workload.update_revision == "a-1"
    assert zlib.decompress(facts.workload.record) == b"{}"


def test_a_bare_service_has_no_controller_and_no_workload() -> None:
    facts = observe.child(
        {"kind": "Service", "metadata": {"name": "s", "deletionTimestamp": "2026-11-24T10:00:00Z"}}
    )
    assert (facts.controller_uid, facts.controller, facts.managed) == ("", "", False)
    assert facts.deleting
    assert facts.workload is None


def test_a_stateful_set_without_record_or_status_is_read() -> None:
    facts = observe.child({"kind": "StatefulSet", "metadata": {"name": "a"}, "spec": {}})
    assert facts.workload is not None
    assert facts.workload.record == b""
    assert facts.workload.replicas == 1


def test_a_ready_pod() -> None:
    facts = pod(
        conditions={"PodScheduled": "True", "Initialized": "True", "Ready": "True"},
        containerStatuses=[container(state={"running": {"startedAt": "2026-11-24T11:00:00Z"}})],
    )
    assert (facts.ready, facts.scheduled, facts.started) == (True, True, True)
    assert facts.progressed_at == datetime(2026, 11, 24, 11, tzinfo=UTC)
    assert facts.problem is None


def test_a_restarted_container_is_no_progress() -> None:
    facts = pod(
        conditions={"PodScheduled": "True"},
        containerStatuses=[
            container(state={"running": {"startedAt": "2026-11-24T11:00:00Z"}}, restartCount=1)
        ],
    )
    assert facts.progressed_at == datetime(2026, 11, 24, 10, tzinfo=UTC)


def test_becoming_ready_and_beginning_to_end_are_steps() -> None:
    facts = pod(conditions={"PodScheduled": "True", "Ready": "False"})
    assert facts.progressed_at == datetime(2026, 11, 24, 10, tzinfo=UTC)
    ending = observe.pod(
        {
            "metadata": {
                "name": "a-0",
                "creationTimestamp": "2026-11-24T09:00:00Z",
                "deletionTimestamp": "2026-11-24T12:00:00Z",
            }
        }
    )
    assert ending.progressed_at == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert ending.deleting
    ready = pod(conditions={"Ready": "True"})
    assert ready.progressed_at == datetime(2026, 11, 24, 10, tzinfo=UTC)


def test_the_scheduler_may_be_silent() -> None:
    facts = observe.pod(
        {
            "metadata": {"name": "a-0"},
            "status": {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
                ]
            },
        }
    )
    assert facts.message == "no node takes it"


@pytest.mark.parametrize(("restarts", "problem"), [(1, None), (2, Reason.CRASH_LOOP)])
def test_a_container_that_ended_again_and_again_is_crashing_also_while_it_runs(
    restarts: int, problem: Reason | None
) -> None:
    running = container(
        state={"running": {"startedAt": "2026-11-24T11:00:00Z"}},
        restartCount=restarts,
        lastState={"terminated": {"exitCode": 1, "reason": "Error"}},
    )
    assert pod(containerStatuses=[running]).problem is problem


def test_a_pod_that_no_node_takes_says_what_the_scheduler_says() -> None:
    facts = observe.pod(
        {
            "metadata": {"name": "a-0"},
            "status": {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available",
                    }
                ]
            },
        }
    )
    assert (facts.problem, facts.message) == (Reason.UNSCHEDULABLE, "0/3 nodes are available")
    assert facts.progressed_at is None
    assert not facts.scheduled


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (
            container(
                state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
            ),
            Reason.IMAGE_PULL_FAILED,
            "no such image",
        ),
        (
            container(state={"waiting": {"reason": "ErrImagePull"}}),
            Reason.IMAGE_PULL_FAILED,
            "ErrImagePull",
        ),
        (
            container(
                state={
                    "waiting": {
                        "reason": "CreateContainerConfigError",
                        "message": 'secret "hf" not found',
                    }
                }
            ),
            Reason.CONFIG_MISSING,
            'secret "hf" not found',
        ),
        (
            container(
                state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
                lastState={"terminated": {"exitCode": 1, "message": "ValueError: no\n"}},
            ),
            Reason.CRASH_LOOP,
            "container 'engine' keeps ending with exit code 1: ValueError: no",
        ),
        (
            container(state={"waiting": {"reason": "CrashLoopBackOff"}}),
            Reason.CRASH_LOOP,
            "container 'engine' keeps ending",
        ),
        (
            container(
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            ),
            Reason.OUT_OF_MEMORY,
            "container 'engine' was killed for want of memory",
        ),
    ],
)
def test_a_container_that_waits_tells_why(
    status: dict[str, Any], reason: Reason, words: str
) -> None:
    facts = pod(containerStatuses=[container("side"), status])
    assert (facts.problem, facts.message) == (reason, words)


def test_a_pod_that_failed_whole_tells_why() -> None:
    facts = pod(phase="Failed", reason="UnexpectedAdmissionError", message="no devices")
    assert facts.problem is Reason.CRASH_LOOP
    assert facts.message == "failed (UnexpectedAdmissionError: no devices)"


def test_an_init_container_that_waits_is_seen() -> None:
    facts = pod(
        initContainerStatuses=[container("init", state={"waiting": {"reason": "ErrImagePull"}})]
    )
    assert facts.problem is Reason.IMAGE_PULL_FAILED


def test_a_node_is_known_by_its_gpu_labels_only() -> None:
    obj = {
        "metadata": {"name": "n1", "labels": {"nvidia.com/gpu.product": "NVIDIA-L4", "zone": "a"}}
    }
    keys = {"nvidia.com/gpu.product", "nvidia.com/gpu.memory"}
    assert observe.node(obj, keys) == NodeFacts((("nvidia.com/gpu.product", "NVIDIA-L4"),))
    assert observe.node({"metadata": {"name": "n2"}}, keys) is None


def test_pods_come_in_the_order_of_their_numbers() -> None:
    pods = [observe.pod({"metadata": {"name": name}}) for name in ("a-10", "a-2", "a-1")]
    assert [p.name for p in observe.in_order(pods)] == ["a-1", "a-2", "a-10"]


def test_the_instance_label_leads_to_the_deployment() -> None:
    obj = {"metadata": {"name": "x", "labels": names.selector_labels("llava")}}
    assert observe.instance_of(obj) == "llava"
    assert observe.instance_of({"metadata": {"name": "x"}}) == ""
