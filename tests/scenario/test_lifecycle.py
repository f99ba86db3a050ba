"""The life of a deployment to which nothing bad happens."""

from __future__ import annotations

from tests.scenario.kstatus import verdict
from tests.scenario.objects import CHILDREN, LARGE, NAME, STATEFUL_SET, fresh, serving, spec
from tests.scenario.simulator import Cluster
from videollm_operator.reconcile.world import ChildKey


def pod_of(cluster: Cluster, name: str = "a-0") -> str:
    return cluster.pods[name]["metadata"]["uid"]


def test_a_new_deployment_goes_from_its_children_to_serving_step_by_step() -> None:
    cluster = fresh()
    assert verdict(cluster.deployments[NAME]) == "InProgress"  # before the operator saw it

    turn = cluster.reconcile(NAME)
    assert turn.deeds == [f"Apply {child}" for child in CHILDREN]
    assert cluster.told(NAME) == "False Creating"
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}

    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Scheduling"
    assert cluster.condition(NAME, "Ready")["message"] == (
        "0 of 1 replicas ready; pod 'a-0' waits for a node"
    )
    cluster.pods_step()
    cluster.pods["a-0"]["status"]["containerStatuses"] = []
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Creating"
    cluster.pods_step()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Loading"
    assert verdict(cluster.deployments[NAME]) == "InProgress"
    cluster.pods_step()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized"}
    assert verdict(cluster.deployments[NAME]) == "Current"
    assert cluster.reconcile(NAME).quiet


def test_status_says_what_a_user_needs_from_the_first_reconcile_on() -> None:
    cluster = Cluster()
    cluster.create(NAME, {**LARGE, "replicas": 2})
    cluster.reconcile(NAME)
    status = cluster.status(NAME)
    assert status["observedGeneration"] == 1
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (0, 0, 0)
    assert status["selector"] == ("app.kubernetes.io/instance=a,app.kubernetes.io/name=videollm")
    assert status["url"] == "http://a.video.svc:8000/v1"
    assert status["engine"]["type"] == "VLLM"
    assert status["sizing"]["gpusPerReplica"] == 4
    assert status["sizing"]["totalGPUs"] == 8
    assert status["sizing"]["tensorParallelSize"] == 4
    cluster.settle()
    status = cluster.status(NAME)
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert cluster.condition(NAME, "Ready")["message"] == (
        "2 of 2 replicas serve 'my-org/LLaVA-Video-72B-Qwen2-hf' on 4 x A100-80GB each"
    )


def test_times_of_conditions_move_only_with_their_status() -> None:
    cluster = fresh()
    cluster.reconcile(NAME)
    began = cluster.condition(NAME, "Reconciling")["lastTransitionTime"]
    cluster.passes(seconds=10)
    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.condition(NAME, "Reconciling")["lastTransitionTime"] == began
    assert cluster.condition(NAME, "Ready")["lastTransitionTime"] == began
    cluster.settle()
    assert cluster.condition(NAME, "Ready")["lastTransitionTime"] > began


def test_a_settled_world_is_left_alone() -> None:
    cluster = serving()
    cluster.passes(hours=100)
    assert cluster.reconcile(NAME).quiet
    assert cluster.writes == []


def test_an_operator_that_starts_again_writes_and_says_nothing() -> None:
    cluster = serving()
    cluster.restart_operator()
    assert cluster.reconcile(NAME).quiet


def test_an_operator_killed_between_two_children_goes_on_where_it_was() -> None:
    for done in range(len(CHILDREN)):
        cluster = fresh()
        cluster.reconcile(NAME)
        for key in CHILDREN[done:]:
            del cluster.children[key]
        cluster.deployments[NAME]["status"] = {"observedGeneration": -1}
        cluster.restart_operator()
        turn = cluster.reconcile(NAME)
        assert turn.deeds == [f"Apply {child}" for child in CHILDREN[done:]]
        cluster.settle()
        assert cluster.told(NAME) == "True Serving"


def test_a_spec_change_replaces_the_pods() -> None:
    cluster = serving(replicas=2)
    old = {pod_of(cluster, "a-0"), pod_of(cluster, "a-1")}
    cluster.edit(NAME, workload={"framesPerVideo": 16})
    turn = cluster.reconcile(NAME)
    assert turn.deeds == [f"Apply {STATEFUL_SET}"]
    assert cluster.told(NAME) == "False RollingOut"
    assert {"Serving", "Reconciling"} <= cluster.conditions(NAME)
    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.condition(NAME, "Ready")["message"] == (
        "0 of 2 replicas are ready with the present layout; pod 'a-1' is ending"
    )
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert old.isdisjoint({pod_of(cluster, "a-0"), pod_of(cluster, "a-1")})
    assert cluster.status(NAME)["observedGeneration"] == 2


def test_an_account_that_is_not_wanted_any_more_is_deleted_and_comes_back_when_it_is() -> None:
    cluster = serving()
    cluster.edit(NAME, podTemplate={"serviceAccountName": "theirs"})
    turn = cluster.reconcile(NAME)
    assert turn.deeds == [f"Apply {STATEFUL_SET}", "Delete ServiceAccount 'a'"]
    cluster.settle()
    assert ChildKey("ServiceAccount", NAME) not in cluster.children
    cluster.edit(NAME, podTemplate=None)
    assert cluster.reconcile(NAME).deeds == ["Apply ServiceAccount 'a'", f"Apply {STATEFUL_SET}"]
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_a_child_that_is_not_wanted_any_more_and_already_being_deleted_is_left_to_it() -> None:
    cluster = serving()
    cluster.edit(NAME, podTemplate={"serviceAccountName": "theirs"})
    cluster.hand_delete(ChildKey("ServiceAccount", NAME), lingers=True)
    assert cluster.reconcile(NAME).deeds == [f"Apply {STATEFUL_SET}"]


def test_scaling_changes_replicas_and_nothing_else() -> None:
    cluster = serving()
    pod = pod_of(cluster)
    template = cluster.child(*key(STATEFUL_SET))["spec"]["template"]
    cluster.edit(NAME, replicas=3)
    assert cluster.reconcile(NAME).deeds == [f"Apply {STATEFUL_SET}"]
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert cluster.child(*key(STATEFUL_SET))["spec"]["template"] == template
    assert pod_of(cluster) == pod
    assert cluster.status(NAME)["sizing"]["totalGPUs"] == 3
    cluster.edit(NAME, replicas=1)
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False RollingOut"  # the others still hold their GPUs
    cluster.settle()
    assert list(cluster.pods) == ["a-0"]


def key(child: ChildKey) -> tuple[str, str]:
    return child.kind, child.name


def test_no_replicas_is_ready_once_the_gpus_are_free() -> None:
    cluster = serving()
    cluster.edit(NAME, replicas=0)
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False RollingOut"
    cluster.ended()
    cluster.controllers()
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "True ScaledToZero"
    assert cluster.status(NAME)["sizing"]["totalGPUs"] == 0
    assert verdict(cluster.deployments[NAME]) == "Current"


def test_a_new_restart_token_replaces_the_pods() -> None:
    cluster = serving()
    pod = pod_of(cluster)
    cluster.edit(NAME, rollout={"restartToken": "monday"})
    cluster.settle()
    assert pod_of(cluster) != pod
    pod = pod_of(cluster)
    cluster.edit(NAME, rollout={"restartToken": "monday", "progressDeadlineSeconds": 900})
    cluster.settle()
    assert pod_of(cluster) == pod  # the deadline is no layout


def test_a_deployment_that_is_being_deleted_is_not_touched_any_more() -> None:
    cluster = serving()
    cluster.delete(NAME, how="foreground")
    cluster.hand_edit(STATEFUL_SET, ("spec", "replicas"), 7)
    del cluster.children[ChildKey("Service", NAME)]
    turn = cluster.reconcile(NAME)
    assert turn.quiet
    assert turn.report.requeue_after_seconds is None
    assert cluster.writes == []
    cluster.delete(NAME)
    cluster.settle()
    assert cluster.children == {}
    assert cluster.pods == {}


def test_an_old_status_is_never_ready_for_a_new_generation() -> None:
    cluster = serving()
    cluster.edit(NAME, workload={"framesPerVideo": 16})
    assert cluster.told(NAME) == "True Serving"
    assert verdict(cluster.deployments[NAME]) == "InProgress"
    cluster.reconcile(NAME)
    assert cluster.status(NAME)["observedGeneration"] == 2
    assert cluster.told(NAME) == "False RollingOut"
    assert verdict(cluster.deployments[NAME]) == "InProgress"


def test_names_that_share_a_long_beginning_do_not_collide() -> None:
    long = "video-" + "x" * 80
    cluster = Cluster()
    for name in (f"{long}-one", f"{long}-two"):
        cluster.create(name, spec())
    cluster.settle()
    assert len(cluster.children) == 2 * len(CHILDREN)
    assert len(cluster.pods) == 2
    assert {cluster.told(name) for name in cluster.deployments} == {"True Serving"}
    cluster.edit(f"{long}-one", replicas=0)
    assert cluster.reconcile(f"{long}-two").quiet
    cluster.settle()
    assert len(cluster.pods) == 1
