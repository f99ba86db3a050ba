"""Pods that look like a deployment's own, and are not; and those that are, without looking it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.objects import NAME, STATEFUL_SET, serving

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster


def copied(cluster: Cluster, name: str, **metadata: Any) -> dict[str, Any]:
    """A pod made from the YAML of `a-0`, labels included."""
    pod = copy.deepcopy(cluster.pods["a-0"])
    pod["metadata"].update(name=name, uid=f"copy-{name}", **metadata)
    pod["status"] = {"conditions": [], "containerStatuses": []}
    return pod


FOREIGN = [{"kind": "ReplicaSet", "name": "x", "uid": "rs", "controller": True}]
COPIES: dict[str, tuple[str, dict[str, Any]]] = {
    "without an owner": ("a-debug", {"ownerReferences": []}),
    "with the owner of the original": ("a-debug", {}),
    "of another controller": ("a-debug", {"ownerReferences": FOREIGN}),
    "with an ordinal of another controller": ("a-7", {"ownerReferences": FOREIGN}),
}


@pytest.mark.parametrize(("name", "metadata"), COPIES.values(), ids=list(COPIES))
def test_a_copied_pod_does_not_count(name: str, metadata: dict[str, Any]) -> None:
    cluster = serving()
    cluster.pods[name] = copied(cluster, name, **metadata)
    assert cluster.reconcile(NAME).quiet
    assert cluster.told(NAME) == "True Serving"


def test_a_copied_pod_that_fails_degrades_nothing() -> None:
    cluster = serving(replicas=2)
    cluster.pods["a-debug"] = copied(cluster, "a-debug")
    cluster.pod_fails("a-debug", "CrashLoopBackOff")
    assert cluster.reconcile(NAME).quiet


def test_orphaned_pods_count_until_the_new_stateful_set_has_adopted_them() -> None:
    cluster = serving()
    pod = cluster.pods["a-0"]
    pod["metadata"]["ownerReferences"] = []
    cluster.hand_delete(STATEFUL_SET)
    assert cluster.reconcile(NAME).deeds == [f"Apply {STATEFUL_SET}"]
    assert cluster.told(NAME) == "False Creating"
    assert cluster.status(NAME)["readyReplicas"] == 1
    assert "Serving" in cluster.conditions(NAME)
    uid = cluster.child("StatefulSet", NAME)["metadata"]["uid"]
    pod["metadata"]["ownerReferences"] = [{"uid": uid, "controller": True}]
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.pods["a-0"] is pod


def test_pods_of_a_stateful_set_that_is_gone_are_waited_for_and_do_not_count() -> None:
    cluster = serving()
    cluster.hand_delete(STATEFUL_SET)
    cluster.reconcile(NAME)
    obj = cluster.child("StatefulSet", NAME)
    obj["status"] = {
        "observedGeneration": obj["metadata"]["generation"],
        "updateRevision": cluster.pods["a-0"]["metadata"]["labels"]["controller-revision-hash"],
    }
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False RollingOut"
    assert "pod 'a-0' is to be replaced" in cluster.condition(NAME, "Ready")["message"]
    assert cluster.status(NAME)["readyReplicas"] == 0
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
