"""Every combination of what a deployment can be in: its conditions never contradict each other."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from tests.scenario.kstatus import verdict
from tests.scenario.objects import NAME, UNKNOWN_MODEL, fresh

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster

LONGER_THAN_ANY_DEADLINE = 30
"""Hours; `progressDeadlineSeconds` is a day at most."""


def with_pods(pods: str, replicas: int) -> Cluster:
    """A cluster whose deployment was accepted, and whose pods are as the word says."""
    cluster = fresh(replicas=replicas)
    cluster.creates_pods = pods != "none"
    if pods in {"ready", "old"}:
        cluster.settle()
    if pods == "old":
        cluster.edit(NAME, engine={"extraArgs": ["--seed=7"]})
    cluster.failure = "CrashLoopBackOff" if pods == "broken" else ""
    cluster.reconcile(NAME)
    cluster.controllers()
    if pods in {"loading", "broken"}:
        cluster.pods_step()
    return cluster


def check(cluster: Cluster) -> None:
    """What holds in every state."""
    conditions = {c["type"]: c for c in cluster.status(NAME)["conditions"]}
    true = cluster.conditions(NAME)
    assert len(conditions) == len(cluster.status(NAME)["conditions"])
    assert {"Ready", "Sized"} <= conditions.keys()
    assert not {"Ready", "Stalled"} <= true
    assert not {"Ready", "Reconciling"} <= true
    assert not {"Stalled", "Reconciling"} <= true
    assert all(c["status"] == "True" for t, c in conditions.items() if t not in {"Ready", "Sized"})
    assert all(c["message"] and c["reason"] for c in conditions.values())
    for kind in {"Stalled", "Reconciling"} & true:
        assert conditions[kind]["reason"] == conditions["Ready"]["reason"]
    generation = cluster.deployments[NAME]["metadata"]["generation"]
    assert {c["observedGeneration"] for c in conditions.values()} == {generation}


@pytest.mark.parametrize("pods", ["none", "loading", "ready", "broken", "old"])
@pytest.mark.parametrize("replicas", [0, 1, 2])
def test_conditions_never_contradict_each_other_or_the_pods(pods: str, replicas: int) -> None:
    for paused, refused, overdue in product((False, True), repeat=3):
        cluster = with_pods(pods, replicas)
        if paused:
            cluster.edit(NAME, paused=True)
        if refused:
            cluster.edit(NAME, model=UNKNOWN_MODEL)
        cluster.reconcile(NAME)
        check(cluster)
        if overdue:
            cluster.passes(hours=LONGER_THAN_ANY_DEADLINE)
            cluster.reconcile(NAME)
            check(cluster)
        done = replicas == 0 or pods == "ready"
        expected = (
            "Failed" if refused or (overdue and not done) else "Current" if done else "InProgress"
        )
        assert verdict(cluster.deployments[NAME]) == expected, (paused, refused, overdue)
        assert ("Serving" in cluster.conditions(NAME)) == (
            expected != "Current" and cluster.status(NAME)["readyReplicas"] > 0
        )
        cluster.edit(NAME, rollout={"restartToken": "another"})
        assert verdict(cluster.deployments[NAME]) == "InProgress"  # until somebody has looked


def test_paused_changes_are_neither_ready_nor_stalled_however_long_they_wait() -> None:
    cluster = with_pods("ready", 1)
    cluster.edit(NAME, paused=True, engine={"extraArgs": ["--seed=7"]})
    cluster.reconcile(NAME)
    cluster.passes(hours=LONGER_THAN_ANY_DEADLINE)
    cluster.reconcile(NAME)
    check(cluster)
    assert cluster.told(NAME) == "False Paused"
    assert verdict(cluster.deployments[NAME]) == "InProgress"
