"""Events are for transitions that people should notice, and are posted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.scenario.objects import NAME, UNKNOWN_MODEL, fresh, serving

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster


def told(cluster: Cluster) -> list[tuple[str, str]]:
    """The Events since the last look."""
    found = [(event.type, str(event.reason)) for event in cluster.events]
    cluster.events.clear()
    return found


def test_a_good_start_is_two_events() -> None:
    cluster = fresh()
    cluster.settle()
    assert told(cluster) == [("Normal", "Sized"), ("Normal", "Serving")]
    cluster.passes(hours=10)
    cluster.settle()
    assert told(cluster) == []


def test_a_change_that_goes_well_is_told_at_its_end() -> None:
    cluster = serving()
    cluster.edit(NAME, workload={"framesPerVideo": 16})
    cluster.settle()
    assert told(cluster) == [("Normal", "Serving")]
    cluster.edit(NAME, replicas=0)
    cluster.settle()
    assert told(cluster) == [("Normal", "ScaledToZero")]


def test_a_refusal_is_one_event_with_the_sentence_of_the_condition() -> None:
    cluster = fresh(model=UNKNOWN_MODEL)
    cluster.settle()
    (event,) = cluster.events
    assert (event.type, event.reason, event.action) == ("Warning", "ModelUnknown", "Reconcile")
    assert event.message == cluster.condition(NAME, "Ready")["message"]


def test_a_failing_pod_is_told_when_it_fails_when_it_stalls_and_when_it_recovers() -> None:
    cluster = serving(rollout={"progressDeadlineSeconds": 60})
    cluster.pod_fails("a-0", "ImagePullBackOff")
    cluster.reconcile(NAME)
    assert told(cluster) == [("Warning", "ImagePullFailed")]
    cluster.passes(seconds=30)
    cluster.reconcile(NAME)
    assert told(cluster) == []
    cluster.passes(seconds=30)
    cluster.reconcile(NAME)
    (event,) = cluster.events
    assert event.message.startswith("no progress for 60 seconds: ")
    assert told(cluster) == [("Warning", "ImagePullFailed")]
    cluster.settle()
    assert told(cluster) == [("Normal", "Serving")]


def test_an_operator_that_starts_again_repeats_nothing() -> None:
    cluster = fresh(model=UNKNOWN_MODEL)
    cluster.reconcile(NAME)
    cluster.events.clear()
    cluster.restart_operator()
    cluster.reconcile(NAME)
    assert cluster.events == []


def test_waiting_in_the_ordinary_way_is_no_event() -> None:
    cluster = fresh(replicas=2)
    cluster.reconcile(NAME)
    told(cluster)
    for _ in range(2):
        cluster.controllers()
        cluster.pods_step()
        cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Loading"
    cluster.edit(NAME, paused=True, replicas=3)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Paused"
    assert cluster.events == []
