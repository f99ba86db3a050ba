"""Change, scale, pause, refuse, repair, delete: on a real control plane."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devcluster.waiting import eventually
from tests.cluster.world import (
    FAIL,
    LOAD_SECONDS,
    Namespace,
    audit_mark,
    condition_types,
    vld,
    writes,
)

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

KINDS = ("StatefulSet", "Service", "ServiceAccount", "PodDisruptionBudget")


def revision(space: Namespace) -> str:
    found: str = space.get("statefulset")["status"]["updateRevision"]
    return found


def args_of(space: Namespace) -> list[str]:
    found: list[str] = space.get("statefulset")["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def test_a_spec_change_rolls_out(space: Namespace) -> None:
    mark = audit_mark(space.cluster)
    space.apply(vld())
    space.until_ready()
    before = revision(space)
    space.apply(vld(workload={"framesPerVideo": 16}))
    space.until_ready()
    assert revision(space) != before
    assert '--media-io-kwargs={"video":{"num_frames":16}}' in args_of(space)
    (pod,) = space.items("pods")
    assert pod["metadata"]["labels"]["controller-revision-hash"] == revision(space)
    assert_only_status_is_ours(space, mark)


SERVERS = {"name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion"}
"""Metadata that the API server gives to an object whoever writes it."""


def assert_only_status_is_ours(space: Namespace, mark: int) -> None:
    """That of the object `a` the operator wrote nothing but status, by the log and the object."""
    mine = [w for w in writes(space.cluster, mark) if w.namespace == space.name]
    assert {w.subresource for w in mine if w.resource == "videollmdeployments"} == {"status"}
    obj = space.cluster.get("vld", "a", "-n", space.name, "--show-managed-fields")
    metadata = obj["metadata"]
    ours = [field for field in metadata.pop("managedFields") if "operator" in field["manager"]]
    assert {field["subresource"] for field in ours} == {"status"}
    assert set(metadata.pop("annotations")) == {"kubectl.kubernetes.io/last-applied-configuration"}
    assert set(metadata) == SERVERS


def test_scaling_goes_through_the_scale_subresource(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    before = revision(space)
    space.kubectl("scale", "vld", "a", "--replicas=2")
    status = space.until_ready()["status"]
    assert (status["replicas"], status["sizing"]["totalGPUs"]) == (2, 2)
    assert revision(space) == before
    scale = json.loads(
        space.kubectl(
            "get",
            "--raw",
            f"/apis/videollm.io/v1alpha1/namespaces/{space.name}/videollmdeployments/a/scale",
        )
    )
    assert scale["status"]["replicas"] == 2
    selected = space.items("pods", scale["status"]["selector"])
    assert len(selected) == 2
    space.kubectl("scale", "vld", "a", "--replicas=0")
    space.until_ready(reason="ScaledToZero")
    assert space.items("pods") == []


def test_deleting_the_object_removes_all_children_and_writes_nothing(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    assert {child["kind"] for child in space.children()} == set(KINDS)
    mark = audit_mark(space.cluster)
    space.kubectl("delete", "vld", "a", "--cascade=foreground", "--wait")
    eventually(space.children, lambda left: not left, timeout_s=120)
    eventually(lambda: space.items("pods"), lambda left: not left, timeout_s=120)
    mine = [w for w in writes(space.cluster, mark) if w.namespace == space.name]
    assert mine == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_deleted_by_hand_comes_back(space: Namespace, kind: str) -> None:
    space.apply(vld())
    space.until_ready()
    old = space.get(kind)["metadata"]["uid"]
    space.kubectl("delete", kind, "a", "--wait=false")
    space.until(lambda obj: obj["metadata"]["uid"] != old, kind=kind)
    space.until_ready()


EDITS: dict[str, dict[str, Any]] = {
    "StatefulSet": {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 900}}}},
    "Service": {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}},
    "ServiceAccount": {"automountServiceAccountToken": True},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 0}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_child_edited_by_hand_is_repaired_by_one_write(space: Namespace, kind: str) -> None:
    space.apply(vld())
    space.until_ready()
    wanted = owned_part(space.get(kind), EDITS[kind])
    mark = audit_mark(space.cluster)
    space.patch(kind, EDITS[kind])
    space.until(lambda obj: owned_part(obj, EDITS[kind]) == wanted, kind=kind)
    space.until_ready()
    repairs = [
        w
        for w in writes(space.cluster, mark)
        if w.namespace == space.name and w.resource != "videollmdeployments"
    ]
    assert [(w.verb, w.code) for w in repairs] == [("patch", 200)]


def owned_part(obj: dict[str, Any], edit: dict[str, Any]) -> Any:
    """The value in `obj` at the only leaf of `edit`."""
    while isinstance(edit, dict):
        key, edit = next(iter(edit.items()))
        obj = obj[key]
    return obj


def test_what_others_add_to_a_child_is_left_alone(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    mark = audit_mark(space.cluster)
    space.patch("service", {"metadata": {"annotations": {"example.com/mesh": "on"}}})
    # The next change of the object is a reconcile after that edit; it must not touch the Service.
    space.patch("vld", {"spec": {"rollout": {"progressDeadlineSeconds": 900}}})
    space.until_ready()
    assert space.get("service")["metadata"]["annotations"]["example.com/mesh"] == "on"
    touched = {w.resource for w in writes(space.cluster, mark) if w.namespace == space.name}
    assert touched <= {"videollmdeployments"}


@pytest.mark.parametrize("kind", ["Service", "StatefulSet"])
def test_a_strangers_object_of_the_same_name_is_never_touched(space: Namespace, kind: str) -> None:
    space.apply(vld("donor"))
    space.until_ready("donor")
    stranger = space.get(kind, "donor")
    for field in (
        "uid",
        "resourceVersion",
        "ownerReferences",
        "managedFields",
        "creationTimestamp",
        "labels",
        "annotations",
    ):
        stranger["metadata"].pop(field, None)
    stranger["metadata"]["name"] = "a"
    stranger.pop("status", None)
    if kind == "Service":
        stranger["spec"] = {"ports": [{"port": 80}], "selector": {"app": "theirs"}}
    else:
        stranger["spec"]["replicas"] = 0
    space.apply(stranger)
    version = space.get(kind)["metadata"]["resourceVersion"]
    space.apply(vld())
    space.until_reason("NameConflict")
    assert f"{kind} 'a' already exists" in space.condition("Stalled")["message"]
    assert space.get(kind)["metadata"]["resourceVersion"] == version
    space.kubectl("delete", kind, "a")
    space.until_ready()


def test_two_objects_do_not_fight(space: Namespace) -> None:
    long = "video-" + "x" * 80
    space.apply(vld(f"{long}-one"), vld(f"{long}-two"))
    space.until_ready(f"{long}-one")
    space.until_ready(f"{long}-two")
    mark = audit_mark(space.cluster)
    space.patch("vld", {"metadata": {"annotations": {"example.com/touch": "1"}}}, f"{long}-one")
    space.patch("vld", {"spec": {"replicas": 0}}, f"{long}-two")
    space.until_ready(f"{long}-two", reason="ScaledToZero")
    touched = {w.name for w in writes(space.cluster, mark) if w.namespace == space.name}
    assert not any("one" in name for name in touched)
    assert len({child["metadata"]["name"] for child in space.items("statefulset")}) == 2


def test_a_refused_change_keeps_the_last_good_children_and_their_replicas(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    before = revision(space)
    bad = vld(model={"name": "no/such-model"})
    space.apply(bad)
    obj = space.until_reason("ModelUnknown")
    assert {"Stalled", "Serving"} <= condition_types(obj)
    assert revision(space) == before
    space.kubectl("scale", "vld", "a", "--replicas=2")
    eventually(lambda: space.items("pods"), lambda pods: len(pods) == 2, timeout_s=120)
    space.kubectl("scale", "vld", "a", "--replicas=0")
    eventually(lambda: space.items("pods"), lambda pods: not pods, timeout_s=120)
    assert "Stalled" in condition_types(space.get("vld"))
    space.apply(vld(replicas=1))
    space.until_ready()
    assert revision(space) == before


def test_paused_writes_nothing_but_the_truth(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    mark = audit_mark(space.cluster)
    space.apply(vld(paused=True, replicas=2, workload={"framesPerVideo": 16}))
    obj = space.until_reason("Paused")
    assert {"Paused", "Serving"} <= condition_types(obj)
    assert {
        (w.resource, w.subresource)
        for w in writes(space.cluster, mark)
        if w.namespace == space.name
    } == {("videollmdeployments", "status")}
    space.apply(vld(replicas=2, workload={"framesPerVideo": 16}))
    assert space.until_ready()["status"]["replicas"] == 2


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("ImagePullBackOff", "ImagePullFailed"),
        ("CrashLoopBackOff", "CrashLoop"),
        ("OOMKilled", "OutOfMemory"),
    ],
)
def test_a_failing_pod_is_named_at_once_and_does_not_stall_yet(
    space: Namespace, failure: str, reason: str
) -> None:
    space.apply(
        vld(podTemplate={"annotations": {FAIL: failure}}, rollout={"progressDeadlineSeconds": 60})
    )
    obj = space.until_reason(reason)
    assert "Stalled" not in condition_types(obj)
    assert "pod 'a-0'" in space.condition("Ready")["message"]
    space.apply(vld())
    space.until_ready()


def test_the_deadline_stalls_and_clears_by_itself(space: Namespace) -> None:
    space.apply(
        vld(
            gpu={"sku": "T4"},
            model={"name": "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"},
            rollout={"progressDeadlineSeconds": 60},
        )
    )
    space.until_reason("Unschedulable")
    obj = space.until(lambda o: "Stalled" in condition_types(o), within_s=120)
    assert "Reconciling" not in condition_types(obj)
    assert "no progress for 60 seconds" in space.condition("Stalled")["message"]
    space.apply(vld())  # a GPU that is there
    space.until_ready()


def test_a_restart_token_restarts_the_pods(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    (old,) = space.items("pods")
    space.apply(vld(rollout={"restartToken": "monday"}))
    space.until(lambda pod: pod["metadata"]["uid"] != old["metadata"]["uid"], "a-0", "pod")
    space.until_ready()


def test_cache_volumes_are_made_per_replica_or_shared(space: Namespace) -> None:
    annotations = {"annotations": {LOAD_SECONDS: "1"}}
    space.apply(
        vld("own", cache={"type": "PersistentVolumeClaim"}, podTemplate=annotations),
        vld(
            "shared",
            cache={"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany"},
            podTemplate=annotations,
        ),
    )
    space.until_ready("own")
    space.until_ready("shared")
    claims = {claim["metadata"]["name"]: claim["status"]["phase"] for claim in space.items("pvc")}
    assert len(claims) == 2
    assert set(claims.values()) == {"Bound"}


def test_odd_text_arrives_as_it_was_written(space: Namespace) -> None:
    odd = "emoji \U0001f600 {{ x }} 'quotes\" \u2028 ü \\ !!python/none\n- list: &anchor"
    space.apply(
        vld(
            podTemplate={"annotations": {"example.com/odd": odd}},
            engine={"env": [{"name": "ODD", "value": odd}]},
        )
    )
    space.until_ready()
    template = space.get("statefulset")["spec"]["template"]
    assert template["metadata"]["annotations"]["example.com/odd"] == odd
    (odd_env,) = [e for e in template["spec"]["containers"][0]["env"] if e["name"] == "ODD"]
    assert odd_env["value"] == odd


def test_a_child_that_is_not_wanted_any_more_is_removed(space: Namespace) -> None:
    space.apply(vld())
    space.until_ready()
    space.apply(vld(podTemplate={"serviceAccountName": "default"}))
    obj = space.until_ready()
    assert condition_types(obj) == {"Ready", "Sized"}
    eventually(lambda: space.exists("serviceaccount"), lambda there: not there, timeout_s=120)
    (pod,) = space.items("pods")
    assert pod["spec"]["serviceAccountName"] == "default"
