"""What happens when somebody else touches, takes away or already has a child."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.apiserver import Object, Path, ServerError
from tests.scenario.kstatus import verdict
from tests.scenario.objects import CHILDREN, NAME, STATEFUL_SET, fresh, serving, spec
from videollm_operator.api import names
from videollm_operator.reconcile.world import ChildKey

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster

SERVICE = ChildKey("Service", NAME)
CLAIM = ChildKey("PersistentVolumeClaim", "a-cache")
SHARED = {"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany"}

EDITS: list[tuple[ChildKey, Path, Any]] = [
    (ChildKey("ServiceAccount", NAME), ("automountServiceAccountToken",), True),
    (SERVICE, ("spec", "selector", names.LABEL_INSTANCE), "other"),
    (SERVICE, ("spec", "ports", 0, "port"), 80),
    (ChildKey("Service", "a-pods"), ("spec", "publishNotReadyAddresses"), None),
    (ChildKey("PodDisruptionBudget", NAME), ("spec", "maxUnavailable"), 0),
    (STATEFUL_SET, ("spec", "replicas"), 5),
    (STATEFUL_SET, ("spec", "template", "spec", "enableServiceLinks"), None),
    (STATEFUL_SET, ("spec", "template", "spec", "containers", 0, "image"), "evil:latest"),
    (STATEFUL_SET, ("metadata", "labels", names.LABEL_COMPONENT), None),
    (STATEFUL_SET, ("metadata", "annotations", names.ANNOTATION_RECORD), "{}"),
    (STATEFUL_SET, ("metadata", "annotations", names.ANNOTATION_RECORD), None),
]


@pytest.mark.parametrize(("child", "path", "value"), EDITS)
def test_a_hand_edit_is_repaired_by_one_write(child: ChildKey, path: Path, value: Any) -> None:
    cluster = serving()
    before = copy.deepcopy(cluster.children[child])
    cluster.hand_edit(child, path, value)
    assert cluster.reconcile(NAME).deeds == [f"Apply {child}"]
    repaired = cluster.children[child]
    for part in ("spec", "metadata"):
        changed = {"generation", "managedFields"}
        assert without(repaired.get(part, {}), changed) == without(before.get(part, {}), changed)
    cluster.settle()
    assert [write for write in cluster.writes if not write.startswith("status")] == [
        f"Apply {child}"
    ]
    assert cluster.told(NAME) == "True Serving"


def without(part: Object, keys: set[str]) -> Object:
    return {key: value for key, value in part.items() if key not in keys}


@pytest.mark.parametrize("child", CHILDREN, ids=str)
def test_a_label_by_which_we_watch_is_put_back_though_the_child_seemed_gone(
    child: ChildKey,
) -> None:
    cluster = serving()
    cluster.hand_edit(child, ("metadata", "labels", names.LABEL_MANAGED_BY), None)
    assert cluster.reconcile(NAME).deeds == [f"Apply {child}"]
    assert cluster.reconcile(NAME).deeds == []


@pytest.mark.parametrize("child", CHILDREN, ids=str)
def test_a_child_deleted_by_hand_is_made_anew_once(child: ChildKey) -> None:
    cluster = serving()
    old = cluster.children[child]["metadata"]["uid"]
    cluster.hand_delete(child)
    assert cluster.reconcile(NAME).deeds == [f"Apply {child}"]
    assert cluster.children[child]["metadata"]["uid"] != old
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.reconcile(NAME).quiet


@pytest.mark.parametrize("child", CHILDREN, ids=str)
def test_a_child_that_is_slow_to_go_is_waited_for_and_then_made_anew(child: ChildKey) -> None:
    cluster = serving()
    cluster.hand_delete(child, lingers=True)
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False Creating"
    assert cluster.condition(NAME, "Ready")["message"] == (
        f"{child} is being deleted, and made anew once it is gone"
    )
    cluster.hand_delete(child)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_what_others_add_is_left_alone() -> None:
    cluster = serving()
    for child in CHILDREN:
        cluster.hand_edit(child, ("metadata", "annotations", "example.com/mesh"), "on")
        cluster.hand_edit(child, ("metadata", "labels", "team"), "video")
    cluster.hand_edit(SERVICE, ("spec", "sessionAffinity"), "ClientIP")
    assert cluster.reconcile(NAME).quiet
    cluster.edit(NAME, network={"port": 9000})
    cluster.settle()
    metadata = cluster.children[SERVICE]["metadata"]
    assert metadata["annotations"] == {"example.com/mesh": "on"}
    assert metadata["labels"]["team"] == "video"
    assert cluster.children[SERVICE]["spec"]["sessionAffinity"] == "ClientIP"


def test_a_server_that_spells_values_differently_costs_one_write_per_operator_start() -> None:
    def respell(obj: Object) -> None:
        if obj["kind"] == "PodDisruptionBudget":
            obj["spec"]["maxUnavailable"] = "1"

    cluster = fresh()
    cluster.respells = respell
    cluster.settle()
    assert cluster.reconcile(NAME).quiet
    cluster.restart_operator()
    assert cluster.reconcile(NAME).deeds == ["Apply PodDisruptionBudget 'a'"]
    assert cluster.reconcile(NAME).quiet


def test_a_field_that_the_server_drops_is_told_and_written_once() -> None:
    def gate_is_off(obj: Object) -> None:
        if obj["kind"] == "StatefulSet":
            obj["spec"]["template"]["spec"].pop("enableServiceLinks", None)

    cluster = fresh()
    cluster.respells = gate_is_off
    cluster.settle()
    assert cluster.told(NAME) == "False FieldNotSupported"
    assert {"Stalled", "Serving"} <= cluster.conditions(NAME)
    assert (
        "`spec.template.spec.enableServiceLinks` of StatefulSet 'a'"
        in (cluster.condition(NAME, "Stalled")["message"])
    )
    assert cluster.reconcile(NAME).quiet
    cluster.respells = None
    cluster.edit(NAME, rollout={"restartToken": "again"})
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "labelled"])
@pytest.mark.parametrize("child", CHILDREN, ids=str)
def test_a_strangers_object_of_the_same_name_is_never_touched(
    child: ChildKey, labelled: bool
) -> None:
    cluster = fresh()
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY} if labelled else {"app": "theirs"}
    owner = {"kind": "Team", "name": "video", "uid": "t", "controller": True}
    cluster.stranger(child.kind, child.name, labels=labels, ownerReferences=[owner])
    theirs = copy.deepcopy(cluster.children[child])
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False NameConflict"
    assert "Stalled" in cluster.conditions(NAME)
    assert (
        f"{child} already exists and it is controlled by Team 'video'"
        in (cluster.condition(NAME, "Stalled")["message"])
    )
    assert cluster.children[child] == theirs
    assert verdict(cluster.deployments[NAME]) == "Failed"
    cluster.hand_delete(child)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


USED = {"ServiceAccount": NAME, CLAIM.kind: CLAIM.name}


@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "labelled"])
@pytest.mark.parametrize("kind", USED)
def test_no_pod_is_made_with_what_is_somebody_elses(kind: str, labelled: bool) -> None:
    cluster = fresh(cache=SHARED)
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY} if labelled else {}
    owner = {"kind": "Team", "name": "video", "uid": "t", "controller": True}
    cluster.stranger(kind, USED[kind], labels=labels, ownerReferences=[owner])
    cluster.settle()
    assert cluster.told(NAME) == "False NameConflict"
    assert STATEFUL_SET not in cluster.children
    assert SERVICE in cluster.children
    cluster.hand_delete(ChildKey(kind, USED[kind]))
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


@pytest.mark.parametrize("labelled", [False, True], ids=["unlabelled", "labelled"])
def test_running_pods_do_not_change_to_what_is_somebody_elses(labelled: bool) -> None:
    cluster = serving()
    before = cluster.children[STATEFUL_SET]["spec"]["template"]
    labels = {names.LABEL_MANAGED_BY: names.MANAGED_BY} if labelled else {}
    owner = {"kind": "Team", "name": "video", "uid": "t", "controller": True}
    cluster.stranger(CLAIM.kind, CLAIM.name, labels=labels, ownerReferences=[owner])
    cluster.edit(NAME, cache=SHARED, replicas=2)
    cluster.settle()
    assert cluster.told(NAME) == "False NameConflict"
    assert cluster.children[STATEFUL_SET]["spec"]["template"] == before
    assert cluster.children[STATEFUL_SET]["spec"]["replicas"] == 2
    cluster.hand_delete(CLAIM)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.children[STATEFUL_SET]["spec"]["template"] != before


def test_a_stranger_that_took_a_childs_place_stays_and_the_others_are_kept() -> None:
    cluster = serving()
    cluster.hand_delete(SERVICE)
    cluster.stranger("Service", NAME, labels={})
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False NameConflict"
    assert "nobody controls it" in cluster.condition(NAME, "Ready")["message"]
    assert "adopt" not in cluster.condition(NAME, "Ready")["message"]
    assert "Serving" in cluster.conditions(NAME)
    cluster.hand_edit(STATEFUL_SET, ("spec", "replicas"), 5)
    assert f"Apply {STATEFUL_SET}" in cluster.reconcile(NAME).deeds


def orphaned(**sections: Any) -> Cluster:
    """`a` was deleted without its children, and created again."""
    cluster = serving()
    cluster.delete(NAME, how="orphan")
    cluster.create(NAME, spec(**sections))
    return cluster


def test_orphans_are_taken_over_only_by_annotation() -> None:
    cluster = orphaned()
    before = copy.deepcopy(cluster.children)
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False NameConflict"
    assert "videollm.io/adopt=true" in cluster.condition(NAME, "Ready")["message"]
    assert cluster.children == before
    cluster.annotate(NAME, names.ANNOTATION_ADOPT, "yes")
    assert cluster.reconcile(NAME).deeds == []
    pod = cluster.pods["a-0"]["metadata"]["uid"]
    cluster.annotate(NAME, names.ANNOTATION_ADOPT, "true")
    assert cluster.reconcile(NAME).deeds == [f"Apply {child}" for child in CHILDREN]
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.pods["a-0"]["metadata"]["uid"] == pod  # the same layout: no restart
    assert cluster.reconcile(NAME).quiet


def test_an_adopted_layout_that_is_another_one_is_replaced() -> None:
    cluster = orphaned(workload={"framesPerVideo": 16})
    cluster.annotate(NAME, names.ANNOTATION_ADOPT, "true")
    pod = cluster.pods["a-0"]["metadata"]["uid"]
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.pods["a-0"]["metadata"]["uid"] != pod


def test_the_annotation_takes_over_nothing_that_the_operator_did_not_make() -> None:
    cluster = fresh()
    cluster.annotate(NAME, names.ANNOTATION_ADOPT, "true")
    for child in (SERVICE, STATEFUL_SET):
        cluster.stranger(child.kind, child.name, labels={})
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False NameConflict"
    owner = {"kind": "Team", "name": "video", "uid": "t", "controller": True}
    labels = names.child_labels(NAME)
    for child in (SERVICE, STATEFUL_SET):
        cluster.stranger(child.kind, child.name, labels=labels, ownerReferences=[owner])
    assert {str(child) for child in (SERVICE, STATEFUL_SET)}.isdisjoint(
        str(action.key) for action in cluster.reconcile(NAME).decision.actions
    )


def test_an_object_made_anew_waits_for_the_children_of_the_one_before() -> None:
    cluster = serving()
    cluster.delete(NAME)
    cluster.create(NAME, spec())
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False Creating"  # not Stalled: Helm and Flux would give up
    assert verdict(cluster.deployments[NAME]) == "InProgress"
    cluster.controllers()  # the garbage collector
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_a_shared_cache_volume_belongs_to_the_deployment() -> None:
    cluster = serving(cache=SHARED)
    assert CLAIM in cluster.children
    cluster.delete(NAME)
    cluster.controllers()
    assert CLAIM not in cluster.children


def test_a_retained_cache_volume_outlives_the_deployment_and_serves_the_next() -> None:
    cluster = serving(cache={**SHARED, "retain": "Retain"})
    claim = cluster.children[CLAIM]["metadata"]["uid"]
    cluster.delete(NAME)
    cluster.settle()
    assert list(cluster.children) == [CLAIM]
    cluster.create(NAME, spec(cache={**SHARED, "retain": "Retain"}))
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.children[CLAIM]["metadata"]["uid"] == claim


def test_a_deployment_may_change_its_mind_about_retaining() -> None:
    cluster = serving(cache={**SHARED, "retain": "Retain"})
    cluster.edit(NAME, cache=SHARED)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert "ownerReferences" in cluster.children[CLAIM]["metadata"]
    cluster.edit(NAME, cache={**SHARED, "retain": "Retain"})
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert "ownerReferences" not in cluster.children[CLAIM]["metadata"]
    cluster.edit(NAME, cache={"type": "EmptyDir"})
    cluster.settle()
    assert CLAIM in cluster.children  # volumes are never deleted by the operator


def test_a_change_that_kubernetes_does_not_allow_in_place_is_told_and_not_shown_as_done() -> None:
    cluster = serving(cache={"type": "PersistentVolumeClaim", "size": "100Gi"})
    cluster.edit(
        NAME,
        cache={"type": "PersistentVolumeClaim", "size": "200Gi"},
        gpu={"sku": "H100-80GB", "perReplica": 2},
    )
    cluster.settle()
    assert cluster.told(NAME) == "False ImmutableField"
    message = cluster.condition(NAME, "Ready")["message"]
    assert "undo the change, or delete StatefulSet 'a'" in message
    assert {"Stalled", "Serving"} <= cluster.conditions(NAME)
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 1  # what runs
    cluster.hand_delete(STATEFUL_SET)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 2


def test_what_the_server_refuses_is_waited_for_until_the_deadline() -> None:
    cluster = fresh()
    cluster.refusing["StatefulSet"] = ServerError(403, "Forbidden", "exceeded quota: gpus.")
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False ChildRefused"
    assert cluster.condition(NAME, "Ready")["message"] == (
        "StatefulSet 'a' was refused by the API server: exceeded quota: gpus"
    )
    assert "Reconciling" in cluster.conditions(NAME)
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 1
    assert "url" not in cluster.status(NAME) or cluster.status(NAME)["url"] == ""
    cluster.passes(hours=3)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    cluster.passes(hours=3)
    cluster.reconcile(NAME)
    assert "Stalled" in cluster.conditions(NAME)
    cluster.refusing.clear()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Creating"  # not overdue at once
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
