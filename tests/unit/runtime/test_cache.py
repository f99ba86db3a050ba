from __future__ import annotations

import copy

from tests.unit.runtime.jumping import dice
from videollm_operator.api import names
from videollm_operator.reconcile.world import AppliedDigest, ChildKey, Key, NodeFacts
from videollm_operator.runtime.cache import Caches, Unsupported

KEY = Key("team", "video")


def deployment(name="video", uid="d1", rv=1, **fields):
    return {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": uid,
            "resourceVersion": str(rv),
            "generation": 1,
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{...}"},
            "labels": {"argocd.argoproj.io/instance": "x"},
        },
        "spec": {"replicas": 1},
        **fields,
    }


def child(kind="Service", name="video", owner="d1", instance="video", rv=1, uid="c1", **fields):
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": uid,
        "resourceVersion": str(rv),
        "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
    }
    if instance:
        metadata["labels"][names.LABEL_INSTANCE] = instance
    if owner:
        metadata["ownerReferences"] = [
            {"kind": "VideoLLMDeployment", "name": "video", "uid": owner, "controller": True}
        ]
    return {"kind": kind, "metadata": metadata, "spec": {}, **fields}


def pod(name="video-0", rv=1, uid="p1", instance="video", **status):
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": uid,
            "resourceVersion": str(rv),
            "labels": {names.LABEL_INSTANCE: instance},
        },
        "status": status,
    }


def node(name, rv=1, **labels):
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(rv), "labels": labels}}


def filled():
    caches = Caches(node_keys={"gpu"})
    caches.put_deployment(deployment())
    return caches


def test_a_world_holds_the_object_as_the_server_gave_it_without_ballast():
    world = filled().world(KEY)
    metadata = world.deployment["metadata"]
    assert metadata["resourceVersion"] == "1"
    assert not {"annotations", "labels", "managedFields"} & set(metadata)
    assert world.deployment["spec"] == {"replicas": 1}


def test_there_is_no_world_of_an_unknown_object():
    assert filled().world(Key("team", "other")) is None


def test_a_change_that_nobody_reads_concerns_nobody():
    caches = filled()
    other = deployment(rv=2)
    other["metadata"]["managedFields"] = []
    other["metadata"]["annotations"] = {"somebody": "else"}
    assert caches.put_deployment(other) == set()
    assert caches.world(KEY).deployment["metadata"]["resourceVersion"] == "2"
    changed = deployment(rv=3)
    changed["metadata"]["annotations"][names.ANNOTATION_ADOPT] = "true"
    assert caches.put_deployment(changed) == {KEY}
    kept = caches.world(KEY).deployment["metadata"]["annotations"]
    assert kept == {names.ANNOTATION_ADOPT: "true"}


def test_a_child_is_found_by_its_owner_by_its_label_and_by_its_name():
    caches = filled()
    assert caches.put_child(child(name="x", instance="", uid="1")) == {KEY}
    assert caches.put_child(child(name="y", owner="", uid="2")) == {KEY}
    assert caches.put_child(child(name="video-pods", owner="d9", instance="z", uid="3")) == set()
    found = caches.world(KEY).children
    assert set(found) == {ChildKey("Service", name) for name in ("x", "y", "video-pods")}


def test_children_of_other_objects_and_namespaces_are_not_found():
    caches = filled()
    caches.put_child(child(name="other", owner="d2", instance="other"))
    elsewhere = child()
    elsewhere["metadata"]["namespace"] = "elsewhere"
    elsewhere["metadata"].pop("ownerReferences")
    caches.put_child(elsewhere)
    assert caches.world(KEY).children == {}


def test_a_child_that_loses_its_label_still_concerns_its_owner():
    caches = filled()
    caches.put_child(child())
    assert caches.put_child(child(instance="", rv=2)) == {KEY}
    assert ChildKey("Service", "video") in caches.world(KEY).children


def test_a_heartbeat_of_a_child_concerns_nobody():
    caches = filled()
    caches.put_child(child())
    assert caches.put_child(child(rv=2, status={"x": 1})) == set()


def test_a_child_may_come_before_its_deployment():
    caches = Caches()
    assert caches.put_child(child()) == set()
    caches.put_deployment(deployment())
    assert ChildKey("Service", "video") in caches.world(KEY).children


def test_a_removed_child_concerns_its_owner_once():
    caches = filled()
    caches.put_child(child())
    caches.remember_applied("team", ChildKey("Service", "video"), AppliedDigest("d", "o"))
    assert caches.world(KEY).applied
    assert caches.remove_child(child(rv=2)) == {KEY}
    assert caches.remove_child(child(rv=2)) == set()
    world = caches.world(KEY)
    assert not world.children
    caches.put_child(child(rv=3, uid="c2"))
    assert not caches.world(KEY).applied  # what we knew was about the one before


def test_a_child_that_went_before_its_apply_was_answered_leaves_nothing_behind():
    caches = filled()
    caches.remove_child(child(rv=2))
    assert caches.put_child(child()) == set()
    caches.remember_applied("team", ChildKey("Service", "video"), AppliedDigest("d", "o"))
    caches.put_child(child(rv=3, uid="c2"))
    assert not caches.world(KEY).applied


def test_a_child_that_a_read_did_not_find_is_gone():
    caches = filled()
    caches.put_child(child(rv=5))
    assert caches.child_is_gone("team", ChildKey("Service", "video")) == {KEY}
    assert caches.child_is_gone("team", ChildKey("Service", "video")) == set()
    assert caches.put_child(child(rv=4)) == set()


def test_pods_come_in_order_and_concern_their_deployment():
    caches = filled()
    for index in (10, 2, 1):
        assert caches.put_pod(pod(f"video-{index}", uid=f"p{index}")) == {KEY}
    assert [pod.name for pod in caches.world(KEY).pods] == ["video-1", "video-2", "video-10"]
    assert caches.put_pod(pod("video-1", rv=2, uid="p1")) == set()
    ready = [{"type": "Ready", "status": "True"}]
    assert caches.put_pod(pod("video-1", rv=3, uid="p1", conditions=ready)) == {KEY}
    assert caches.remove_pod(pod("video-1", rv=4, uid="p1")) == {KEY}
    assert len(caches.world(KEY).pods) == 2


def test_long_names_are_found_by_their_hashed_label():
    name = "a" * 80
    caches = Caches()
    caches.put_deployment(deployment(name))
    instance = names.selector_labels(name)[names.LABEL_INSTANCE]
    assert instance != name
    assert caches.put_pod(pod(instance=instance)) == {Key("team", name)}


def test_equal_nodes_are_one_kind_and_only_a_new_or_lost_kind_matters():
    caches = filled()
    assert caches.put_node(node("n1", gpu="A"))
    assert not caches.put_node(node("n2", gpu="A"))
    assert not caches.put_node(node("n1", rv=2, gpu="A", zone="b"))
    assert not caches.put_node(node("cpu"))
    assert caches.world(KEY).nodes == {NodeFacts((("gpu", "A"),))}
    assert not caches.remove_node(node("n1", rv=3))
    assert caches.put_node(node("n2", rv=4, gpu="B"))
    assert caches.world(KEY).nodes == {NodeFacts((("gpu", "B"),))}
    assert caches.remove_node(node("n2", rv=5))
    assert caches.world(KEY).nodes == frozenset()


def test_old_news_about_a_node_is_not_counted():
    caches = filled()
    caches.put_node(node("n1", rv=5, gpu="A"))
    assert not caches.put_node(node("n1", rv=4, gpu="B"))
    assert caches.world(KEY).nodes == {NodeFacts((("gpu", "A"),))}


def test_other_labels_can_become_telling():
    caches = filled()
    caches.put_node(node("n1", gpu="A", shape="s"))
    caches.refocus_nodes({"shape"}, [node("n1", gpu="A", shape="s"), node("n2")])
    assert caches.world(KEY).nodes == {NodeFacts((("shape", "s"),))}


def test_deployments_are_counted_by_the_reason_of_ready():
    caches = filled()
    assert caches.reasons() == {"Unseen": 1}
    conditions = [{"type": "Sized", "reason": "Sized"}, {"type": "Ready", "reason": "Serving"}]
    caches.put_deployment(deployment(rv=2, status={"conditions": conditions}))
    caches.put_deployment(deployment("other", uid="d2"))
    assert caches.reasons() == {"Serving": 1, "Unseen": 1}
    caches.remove_deployment(deployment(rv=3))
    caches.deployment_is_gone(Key("team", "other"))
    caches.deployment_is_gone(Key("team", "other"))
    assert caches.reasons() == {}
    assert caches.known() == []


def test_an_object_made_anew_in_the_same_second_is_another_one():
    caches = filled()
    caches.put_child(child())
    caches.put_deployment(deployment(uid="d2", rv=5))
    caches.remove_deployment(deployment(uid="d1", rv=4))  # a late event about the first
    world = caches.world(KEY)
    assert world.deployment["metadata"]["uid"] == "d2"
    assert world.children[ChildKey("Service", "video")].controller_uid == "d1"  # by its label


def test_any_order_of_events_leads_to_the_same_world():
    events = []
    for version in range(1, 20):
        events.append(("deployment", deployment(rv=version, spec={"replicas": version})))
        events.append(("child", child(rv=version)))
        events.append(("pod", pod(rv=version)))
    worlds = []
    for seed in range(10):
        shuffled = copy.deepcopy(events)
        dice(seed).shuffle(shuffled)
        caches = Caches()
        for kind, obj in shuffled:
            getattr(caches, f"put_{kind}")(obj)
        worlds.append(caches.world(KEY))
    assert all(world == worlds[0] for world in worlds)
    assert worlds[0].deployment["spec"] == {"replicas": 19}


def test_whose_fields_were_dropped_long_ago_is_to_try_again():
    caches = filled()
    caches.put_child(child(name="video", uid="c1"))
    caches.put_child(child(name="video-pods", uid="c2"))
    for at, name in ((100.0, "video"), (200.0, "video-pods")):
        key = ChildKey("Service", name)
        caches.remember_applied("team", key, AppliedDigest("d", "o"))
        caches.remember_unsupported("team", key, Unsupported("d", None, at))
    assert caches.expire_unsupported(100.0) == set()
    assert caches.expire_unsupported(150.0) == {KEY}
    assert list(caches.world(KEY).applied) == [ChildKey("Service", "video-pods")]
    assert caches.expire_unsupported(150.0) == set()
    caches.child_is_gone("team", ChildKey("Service", "video-pods"))
    assert caches.expire_unsupported(300.0) == set()
