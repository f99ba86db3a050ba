"""A paused deployment gets no writes, and status says what is."""

from __future__ import annotations

from tests.scenario.kstatus import verdict
from tests.scenario.objects import (
    CHILDREN,
    NAME,
    STATEFUL_SET,
    UNKNOWN_MODEL,
    fresh,
    serving,
)


def test_pausing_changes_nothing_about_what_serves() -> None:
    cluster = serving()
    cluster.edit(NAME, paused=True)
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized", "Paused"}
    assert cluster.reconcile(NAME).quiet


def test_changes_wait_for_the_end_of_the_pause_and_status_shows_what_runs() -> None:
    cluster = serving()
    status = cluster.status(NAME)
    cluster.edit(NAME, paused=True, replicas=3, gpu={"sku": "H100-80GB", "perReplica": 2})
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False Paused"
    assert cluster.conditions(NAME) == {"Sized", "Paused", "Serving"}
    assert cluster.status(NAME)["sizing"] == status["sizing"]
    assert cluster.status(NAME)["url"] == status["url"]
    assert verdict(cluster.deployments[NAME]) == "InProgress"
    cluster.passes(hours=72)
    assert cluster.reconcile(NAME).quiet
    cluster.edit(NAME, paused=False)
    cluster.reconcile(NAME)
    assert "Stalled" not in cluster.conditions(NAME)  # the pause is no waiting
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.status(NAME)["sizing"]["totalGPUs"] == 6


def test_replicas_that_a_pause_keeps_are_counted_as_a_person_would() -> None:
    cluster = serving(replicas=2)
    cluster.edit(NAME, paused=True, replicas=0)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Paused"
    message = cluster.condition(NAME, "Serving")["message"]
    assert message == "2 replicas answer, 0 are wanted"


def test_a_new_paused_object_is_sized_and_gets_no_children() -> None:
    cluster = fresh(paused=True)
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False Paused"
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 1
    assert cluster.status(NAME)["url"] == ""
    cluster.edit(NAME, paused=False)
    assert len(cluster.reconcile(NAME).deeds) == len(CHILDREN)


def test_hand_edits_and_deletions_stay_while_paused() -> None:
    cluster = serving()
    cluster.edit(NAME, paused=True)
    cluster.hand_edit(STATEFUL_SET, ("spec", "replicas"), 2)
    cluster.hand_delete(CHILDREN[0])
    cluster.settle()
    assert len(cluster.pods) == 2
    assert cluster.told(NAME) == "False Paused"
    cluster.edit(NAME, paused=False)
    cluster.settle()
    assert len(cluster.pods) == 1
    assert cluster.told(NAME) == "True Serving"


def test_a_child_that_is_being_deleted_waits_for_the_end_of_the_pause() -> None:
    cluster = serving()
    cluster.edit(NAME, paused=True)
    cluster.hand_delete(STATEFUL_SET, lingers=True)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Paused"


def test_pods_that_get_on_by_themselves_are_told_while_paused() -> None:
    cluster = fresh()
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.edit(NAME, paused=True)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Scheduling"
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert "Paused" in cluster.conditions(NAME)


def test_a_refused_object_that_is_paused_is_stalled_and_not_even_scaled() -> None:
    for sections in ({"model": UNKNOWN_MODEL}, {"gpu": {"sku": 4}}):
        cluster = serving()
        cluster.edit(NAME, paused=True, replicas=0, **sections)
        assert cluster.reconcile(NAME).deeds == []
        assert {"Stalled", "Paused", "Serving"} <= cluster.conditions(NAME)
        cluster.hand_edit(STATEFUL_SET, ("metadata", "annotations"), None)
        assert cluster.reconcile(NAME).deeds == []
        cluster.edit(NAME, paused=False)
        cluster.settle()
        assert cluster.pods == {}


def test_a_paused_object_without_replicas_is_ready_if_none_run() -> None:
    cluster = serving(replicas=0)
    cluster.edit(NAME, paused=True)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "True ScaledToZero"
