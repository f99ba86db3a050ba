"""Waiting for the cluster: told at once, stalled after the deadline, and never for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario import pods
from tests.scenario.kstatus import verdict
from tests.scenario.objects import NAME, STATEFUL_SET, fresh, serving

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster

MINUTE = {"rollout": {"progressDeadlineSeconds": 60}}
FAILURES = pods.FAILURES.items()


def failing(failure: str, **sections: Any) -> Cluster:
    """A new deployment whose pod has just failed."""
    cluster = fresh(**sections)
    cluster.failure = failure
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.pods_step()
    cluster.reconcile(NAME)
    return cluster


def get_on(cluster: Cluster) -> None:
    """What stood in the way is gone; the pods take their next step."""
    cluster.failure = ""
    cluster.pods_step()
    cluster.reconcile(NAME)


@pytest.mark.parametrize(("failure", "reason"), FAILURES)
def test_a_failing_pod_is_named_at_once_stalls_late_and_clears_by_itself(
    failure: str, reason: str
) -> None:
    cluster = failing(failure, **MINUTE)
    assert cluster.told(NAME) == f"False {reason}"
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}
    assert cluster.condition(NAME, "Ready")["message"].startswith("pod 'a-0': ")
    assert verdict(cluster.deployments[NAME]) == "InProgress"

    cluster.passes(seconds=59)
    turn = cluster.reconcile(NAME)
    assert "Stalled" not in cluster.conditions(NAME)
    assert turn.report.requeue_after_seconds == 1

    cluster.passes(seconds=1)
    turn = cluster.reconcile(NAME)
    assert cluster.told(NAME) == f"False {reason}"
    assert cluster.conditions(NAME) == {"Sized", "Stalled"}
    assert cluster.condition(NAME, "Stalled")["message"].startswith(
        "no progress for 60 seconds: pod 'a-0': "
    )
    assert turn.report.requeue_after_seconds is None
    assert verdict(cluster.deployments[NAME]) == "Failed"

    cluster.passes(hours=5)
    assert cluster.reconcile(NAME).quiet
    get_on(cluster)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


@pytest.mark.parametrize("failure", ["Unschedulable", "ImagePullBackOff"])
def test_a_step_forward_ends_the_stall_and_begins_the_clock_anew(failure: str) -> None:
    cluster = failing(failure, **MINUTE)
    cluster.passes(hours=5)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    get_on(cluster)
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}
    cluster.passes(seconds=59)
    cluster.reconcile(NAME)
    assert "Stalled" not in cluster.conditions(NAME)
    cluster.passes(seconds=2)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    assert cluster.condition(NAME, "Stalled")["reason"] == "ProgressDeadlineExceeded"


def test_a_secret_that_comes_a_minute_late_never_stalls() -> None:
    cluster = failing("CreateContainerConfigError")
    for _ in range(6):
        cluster.passes(seconds=10)
        cluster.reconcile(NAME)
        assert verdict(cluster.deployments[NAME]) == "InProgress"
    cluster.failure = ""
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_a_crash_loop_is_told_as_one_also_while_the_container_runs() -> None:
    cluster = failing("CrashLoopBackOff", **MINUTE)
    pod = cluster.pods["a-0"]
    pods.run_again(pod, cluster.now)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Loading"  # it may have been an accident
    cluster.pod_fails("a-0", "CrashLoopBackOff")
    cluster.passes(seconds=60)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    cluster.events.clear()
    for _ in range(5):
        cluster.passes(minutes=1)
        pods.run_again(pod, cluster.now)
        cluster.reconcile(NAME)
        cluster.passes(minutes=4)
        cluster.pod_fails("a-0", "CrashLoopBackOff")
        cluster.reconcile(NAME)
        assert cluster.told(NAME) == "False CrashLoop"
        assert "Stalled" in cluster.conditions(NAME)
    assert cluster.events == []
    pods.run_again(pod, cluster.now)
    get_on(cluster)
    assert cluster.told(NAME) == "True Serving"


def test_pods_that_are_not_created_are_a_failure_after_a_minute() -> None:
    cluster = fresh()
    cluster.creates_pods = False
    cluster.reconcile(NAME)
    cluster.controllers()
    turn = cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Creating"
    assert cluster.condition(NAME, "Ready")["message"] == "0 of 1 pods are created"
    assert turn.report.requeue_after_seconds == 60
    cluster.passes(seconds=60)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False PodCreationFailed"
    assert "Events of the StatefulSet" in cluster.condition(NAME, "Ready")["message"]
    assert "Stalled" not in cluster.conditions(NAME)
    cluster.passes(hours=1)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    cluster.creates_pods = True
    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Scheduling"
    assert "Stalled" not in cluster.conditions(NAME)


def test_a_model_that_never_finishes_loading_exceeds_the_deadline() -> None:
    cluster = fresh(**MINUTE)
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.pods_step()
    cluster.pods_step()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Loading"
    cluster.passes(seconds=61)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False ProgressDeadlineExceeded"
    assert cluster.condition(NAME, "Stalled")["message"] == (
        "no progress for 60 seconds: 0 of 1 replicas ready; pod 'a-0' loads the model"
    )
    cluster.pods_step()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "True Serving"


def test_the_automatic_deadline_leaves_time_for_the_weights() -> None:
    cluster = failing("Unschedulable")
    cluster.passes(minutes=14)
    cluster.reconcile(NAME)
    assert "Stalled" not in cluster.conditions(NAME)
    cluster.passes(hours=2)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)


def test_each_step_of_a_pod_is_progress() -> None:
    cluster = fresh(**MINUTE)
    cluster.reconcile(NAME)
    cluster.controllers()
    for _ in range(3):
        cluster.passes(seconds=50)
        cluster.reconcile(NAME)
        assert "Stalled" not in cluster.conditions(NAME)
        cluster.pods_step()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "True Serving"


def test_a_long_rollout_is_no_stall_as_long_as_pods_become_ready() -> None:
    cluster = serving(replicas=4, **MINUTE)
    cluster.edit(NAME, workload={"framesPerVideo": 16})
    stages = set()
    for _ in range(30):
        cluster.reconcile(NAME)
        stages.add(cluster.told(NAME))
        assert "Stalled" not in cluster.conditions(NAME)
        cluster.controllers()
        cluster.reconcile(NAME)
        assert "Stalled" not in cluster.conditions(NAME)
        cluster.ended()
        cluster.reconcile(NAME)
        assert "Stalled" not in cluster.conditions(NAME)
        cluster.controllers()
        cluster.pods_step()
        cluster.passes(seconds=20)
    assert stages >= {"False RollingOut", "True Serving"}
    assert cluster.told(NAME) == "True Serving"


def test_a_pod_that_takes_its_time_to_end_is_no_stall() -> None:
    cluster = serving(**MINUTE)
    cluster.edit(NAME, workload={"framesPerVideo": 16})
    cluster.reconcile(NAME)
    cluster.passes(seconds=50)
    cluster.controllers()
    cluster.passes(seconds=pods.GRACE_SECONDS)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False RollingOut"
    cluster.passes(seconds=61)  # it should have ended long since
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False ProgressDeadlineExceeded"
    assert "pod 'a-0' is ending" in cluster.condition(NAME, "Stalled")["message"]


def test_a_deployment_that_served_for_days_gets_the_whole_time_when_its_pod_fails() -> None:
    cluster = serving(**MINUTE)
    cluster.passes(hours=100)
    cluster.pod_fails("a-0", "CrashLoopBackOff")
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False CrashLoop"
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}
    cluster.passes(seconds=60)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)


def test_a_change_of_the_object_begins_the_clock_anew() -> None:
    cluster = failing("Unschedulable", **MINUTE)
    cluster.passes(seconds=50)
    cluster.edit(NAME, rollout={"progressDeadlineSeconds": 61})
    cluster.reconcile(NAME)
    cluster.passes(seconds=60)
    cluster.reconcile(NAME)
    assert "Stalled" not in cluster.conditions(NAME)
    cluster.passes(seconds=1)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    cluster.edit(NAME, rollout={"progressDeadlineSeconds": 62})
    cluster.reconcile(NAME)
    assert "Stalled" not in cluster.conditions(NAME)


def test_one_broken_replica_of_two_degrades_what_serves() -> None:
    cluster = serving(replicas=2)
    cluster.pod_fails("a-1", "ImagePullBackOff")
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False ImagePullFailed"
    assert cluster.conditions(NAME) == {"Sized", "Reconciling", "Serving", "Degraded"}
    degraded = cluster.condition(NAME, "Degraded")
    assert degraded["reason"] == "ReplicasUnavailable"
    assert degraded["message"].startswith("1 of 2 replicas answer; pod 'a-1': ")


def test_a_new_layout_that_crashes_leaves_the_old_replicas_serving() -> None:
    cluster = serving(replicas=2, **MINUTE)
    cluster.edit(NAME, workload={"framesPerVideo": 16})
    cluster.failure = "CrashLoopBackOff"
    cluster.settle()
    assert cluster.told(NAME) == "False CrashLoop"
    assert {"Serving", "Degraded"} <= cluster.conditions(NAME)
    status = cluster.status(NAME)
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 1, 1)
    cluster.passes(minutes=2)
    cluster.reconcile(NAME)
    assert {"Stalled", "Serving", "Degraded"} <= cluster.conditions(NAME)


def test_a_stateful_set_controller_that_is_down_is_told() -> None:
    cluster = serving()
    cluster.edit(NAME, replicas=2)
    cluster.reconcile(NAME)
    cluster.passes(minutes=5)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False RollingOut"
    assert "its controller has not seen that yet" in cluster.condition(NAME, "Ready")["message"]
    cluster.passes(hours=5)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False ProgressDeadlineExceeded"


def test_a_surplus_pod_is_waited_for() -> None:
    cluster = serving(replicas=2)
    cluster.edit(NAME, replicas=1)
    cluster.reconcile(NAME)
    obj = cluster.child(STATEFUL_SET.kind, STATEFUL_SET.name)
    obj["status"]["observedGeneration"] = obj["metadata"]["generation"]
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False RollingOut"
    assert cluster.condition(NAME, "Ready")["message"] == "2 pods exist, 1 are wanted"


@pytest.mark.parametrize("time", ["yesterday", "2026-03-01T12:00:00", "2099-01-01T00:00:00Z"])
def test_a_status_that_somebody_has_spoilt_is_no_fault(time: str) -> None:
    cluster = failing("Unschedulable")
    for condition in cluster.status(NAME)["conditions"]:
        condition["lastTransitionTime"] = time
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Unschedulable"
    assert "Stalled" not in cluster.conditions(NAME)
    cluster.deployments[NAME]["status"] = {"conditions": "none", "surplus": 1}
    assert cluster.reconcile(NAME).report.status is not None
    assert cluster.told(NAME) == "False Unschedulable"
    assert "surplus" not in cluster.status(NAME)


def test_a_stall_whose_ready_condition_somebody_took_away_begins_anew() -> None:
    cluster = failing("Unschedulable", **MINUTE)
    cluster.passes(hours=1)
    cluster.reconcile(NAME)
    conditions = cluster.status(NAME)["conditions"]
    cluster.status(NAME)["conditions"] = [c for c in conditions if c["type"] != "Ready"]
    cluster.reconcile(NAME)
    assert "Reconciling" in cluster.conditions(NAME)


def test_a_stall_with_a_reason_of_another_version_begins_anew() -> None:
    cluster = failing("Unschedulable", **MINUTE)
    cluster.passes(hours=1)
    cluster.reconcile(NAME)
    cluster.condition(NAME, "Stalled")["reason"] = "OfTheFuture"
    cluster.reconcile(NAME)
    assert "Reconciling" in cluster.conditions(NAME)
