"""Real scheduler and controllers with simulated kubelets: pods live as on a real cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.errors import KubectlError
from devcluster.waiting import eventually
from tests.devcluster.objects import (
    annotated,
    condition,
    phase_of,
    pod,
    pod_spec,
    stateful_set,
    waiting_reason,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.cluster import Cluster

pytestmark = pytest.mark.cluster


def wait_pod(
    cluster: Cluster, namespace: str, name: str, accept: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    return eventually(lambda: cluster.get("pod", name, "-n", namespace), accept, timeout_s=40)


def is_ready(thing: dict[str, Any]) -> bool:
    return condition(thing, "Ready").get("status") == "True"


def annotate(cluster: Cluster, namespace: str, name: str, *changes: str) -> None:
    words = [f"devcluster.videollm.io/{change}" for change in changes]
    cluster.kubectl("annotate", "pod", name, "-n", namespace, "--overwrite", *words)


def test_a_gpu_pod_runs_on_a_node_with_the_gpu_that_it_requires(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply([pod(namespace, "p", pod_spec(product="NVIDIA-H100-80GB-HBM3", gpus=8))])
    ready = wait_pod(cluster, namespace, "p", is_ready)
    assert ready["spec"]["nodeName"] in ("h100-0", "h100-1")
    assert ready["status"]["containerStatuses"][0]["ready"]
    assert ready["status"]["podIP"].startswith("127.10.")


def test_a_pod_that_no_node_can_hold_stays_pending_with_the_schedulers_words(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply([pod(namespace, "p", pod_spec(product="NVIDIA-L4", gpus=2))])
    pending = wait_pod(
        cluster, namespace, "p", lambda p: condition(p, "PodScheduled").get("status") == "False"
    )
    assert phase_of(pending) == "Pending"
    assert condition(pending, "PodScheduled")["reason"] == "Unschedulable"
    message = condition(pending, "PodScheduled")["message"]
    assert "0/11 nodes are available" in message
    assert "2 Insufficient nvidia.com/gpu" in message


def test_a_pod_without_a_toleration_does_not_get_a_gpu_node(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply([pod(namespace, "plain"), pod(namespace, "greedy", pod_spec(gpus=1))])
    assert wait_pod(cluster, namespace, "plain", is_ready)["spec"]["nodeName"] == "cpu-0"
    refused = wait_pod(
        cluster,
        namespace,
        "greedy",
        lambda p: condition(p, "PodScheduled").get("status") == "False",
    )
    assert "untolerated taint" in condition(refused, "PodScheduled")["message"]


def test_a_pod_runs_unready_while_it_loads(cluster: Cluster, namespace: str) -> None:
    probed = pod_spec()
    probed["containers"][0]["startupProbe"] = probed["containers"][0]["readinessProbe"]
    cluster.apply([pod(namespace, "p", probed, load_seconds="600")])
    loading = wait_pod(cluster, namespace, "p", lambda p: phase_of(p) == "Running")
    (status,) = loading["status"]["containerStatuses"]
    assert "running" in status["state"]
    assert not status["ready"]
    assert not status["started"]
    assert condition(loading, "Ready")["reason"] == "ContainersNotReady"
    annotate(cluster, namespace, "p", "load-seconds=0")
    ready = wait_pod(cluster, namespace, "p", is_ready)
    assert ready["status"]["containerStatuses"][0]["started"]


def test_init_containers_run_in_turn_before_the_others(cluster: Cluster, namespace: str) -> None:
    spec = pod_spec(
        initContainers=[
            {"name": "layout", "image": "example.invalid/a"},
            {"name": "proxy", "image": "example.invalid/b", "restartPolicy": "Always"},
            {"name": "fetch", "image": "example.invalid/c"},
        ]
    )
    cluster.apply([pod(namespace, "p", spec, init_seconds="600")])
    first = wait_pod(
        cluster,
        namespace,
        "p",
        lambda p: (
            "running" in (p["status"].get("initContainerStatuses") or [{}])[0].get("state", {})
        ),
    )
    states = [list(each["state"]) for each in first["status"]["initContainerStatuses"]]
    assert states == [["running"], ["waiting"], ["waiting"]]
    assert waiting_reason(first) == "PodInitializing"
    assert condition(first, "Initialized")["status"] == "False"
    annotate(cluster, namespace, "p", "init-seconds=0.1")
    done = wait_pod(cluster, namespace, "p", is_ready)
    states = [list(each["state"]) for each in done["status"]["initContainerStatuses"]]
    assert states == [["terminated"], ["running"], ["terminated"]]
    assert condition(done, "Initialized")["status"] == "True"


def test_a_missing_image_is_reported_and_the_pod_recovers_when_it_is_there(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply([pod(namespace, "p", fail="ImagePullBackOff")])
    failed = wait_pod(cluster, namespace, "p", lambda p: waiting_reason(p) == "ImagePullBackOff")
    assert phase_of(failed) == "Pending"
    message = failed["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    assert "example.invalid/engine:1" in message
    annotate(cluster, namespace, "p", "fail-")
    assert wait_pod(cluster, namespace, "p", is_ready)


def test_any_other_waiting_reason_can_be_asked_for(cluster: Cluster, namespace: str) -> None:
    cluster.apply([pod(namespace, "p", fail="CreateContainerConfigError")])
    wait_pod(cluster, namespace, "p", lambda p: waiting_reason(p) == "CreateContainerConfigError")


def test_a_container_that_runs_out_of_memory_restarts_and_remembers_why(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply([pod(namespace, "p", fail="OOMKilled", fail_times="2", backoff_seconds="0")])
    crashed = wait_pod(cluster, namespace, "p", lambda p: waiting_reason(p) == "CrashLoopBackOff")
    assert phase_of(crashed) == "Running"
    (status,) = crashed["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert status["lastState"]["terminated"]["exitCode"] == 137
    ready = wait_pod(cluster, namespace, "p", is_ready)
    assert ready["status"]["containerStatuses"][0]["restartCount"] == 2


def test_a_crash_loop_goes_on_until_its_cause_is_gone(cluster: Cluster, namespace: str) -> None:
    cluster.apply([pod(namespace, "p", fail="CrashLoopBackOff", backoff_seconds="0")])
    crashed = wait_pod(
        cluster,
        namespace,
        "p",
        lambda p: (p["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0) >= 2,
    )
    assert crashed["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    annotate(cluster, namespace, "p", "fail-")
    assert wait_pod(cluster, namespace, "p", is_ready)


def test_a_pod_can_be_refused_by_the_kubelet(cluster: Cluster, namespace: str) -> None:
    cluster.apply([pod(namespace, "p", fail="UnexpectedAdmissionError")])
    refused = wait_pod(cluster, namespace, "p", lambda p: phase_of(p) == "Failed")
    assert refused["status"]["reason"] == "UnexpectedAdmissionError"


def test_a_ready_pod_can_lose_readiness_and_get_it_back(cluster: Cluster, namespace: str) -> None:
    cluster.apply([pod(namespace, "p", load_seconds="0")])
    wait_pod(cluster, namespace, "p", is_ready)
    annotate(cluster, namespace, "p", "ready=false")
    unready = wait_pod(cluster, namespace, "p", lambda p: not is_ready(p))
    assert not unready["status"]["containerStatuses"][0]["ready"]
    assert "running" in unready["status"]["containerStatuses"][0]["state"]
    annotate(cluster, namespace, "p", "ready-")
    wait_pod(cluster, namespace, "p", is_ready)


def test_a_job_completes(cluster: Cluster, namespace: str) -> None:
    container = {"name": "c", "image": "example.invalid/c"}
    cluster.apply(
        [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "job", "namespace": namespace},
                "spec": {
                    "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}
                },
            }
        ]
    )
    cluster.kubectl("wait", "job/job", "-n", namespace, "--for=condition=Complete", "--timeout=40s")


def test_a_pod_ends_within_its_grace_period(cluster: Cluster, namespace: str) -> None:
    slow = pod(namespace, "slow", terminate_seconds="600")
    slow["spec"]["terminationGracePeriodSeconds"] = 2
    cluster.apply([slow])
    wait_pod(cluster, namespace, "slow", is_ready)
    cluster.kubectl("delete", "pod", "slow", "-n", namespace, "--timeout=40s")
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.get("pod", "slow", "-n", namespace)


def test_a_terminating_pod_stays_for_as_long_as_it_is_told(
    cluster: Cluster, namespace: str
) -> None:
    slow = pod(namespace, "slow", terminate_seconds="600")
    slow["spec"]["terminationGracePeriodSeconds"] = 3600
    cluster.apply([slow])
    wait_pod(cluster, namespace, "slow", is_ready)
    cluster.kubectl("delete", "pod", "slow", "-n", namespace, "--wait=false")
    ending = wait_pod(cluster, namespace, "slow", lambda p: "deletionTimestamp" in p["metadata"])
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 3600
    cluster.kubectl("delete", "pod", "slow", "-n", namespace, "--force", "--grace-period=0")


def test_a_stateful_set_scales_rolls_out_and_goes_with_all_its_pods(
    cluster: Cluster, namespace: str
) -> None:
    made = stateful_set(namespace, "s", load_seconds="0")
    cluster.apply([made])
    rollout = ("rollout", "status", "statefulset/s", "-n", namespace, "--timeout=60s")
    cluster.kubectl(*rollout)
    cluster.kubectl("scale", "statefulset/s", "-n", namespace, "--replicas=3")
    cluster.kubectl(*rollout)
    assert len(cluster.get("pods", "-n", namespace)["items"]) == 3

    made["spec"]["replicas"] = 3
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "example.invalid/engine:2"
    cluster.apply([made])
    cluster.kubectl(*rollout)
    images = {
        each["spec"]["containers"][0]["image"]
        for each in cluster.get("pods", "-n", namespace)["items"]
    }
    assert images == {"example.invalid/engine:2"}

    cluster.kubectl("delete", "statefulset/s", "-n", namespace)
    eventually(lambda: cluster.get("pods", "-n", namespace)["items"], lambda items: items == [])


def test_the_garbage_collector_removes_what_a_removed_owner_leaves(
    cluster: Cluster, namespace: str
) -> None:
    def config_map(name: str, **metadata: Any) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, **metadata},
        }

    cluster.apply([config_map("owner")])
    uid = cluster.get("configmap", "owner", "-n", namespace)["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    cluster.apply([config_map("child", ownerReferences=[owner])])
    cluster.kubectl("delete", "configmap", "owner", "-n", namespace)

    def names() -> set[str]:
        items = cluster.get("configmaps", "-n", namespace)["items"]
        return {each["metadata"]["name"] for each in items}

    eventually(names, lambda found: "child" not in found)


def test_a_claim_is_bound_when_a_pod_needs_it_and_its_volume_goes_with_it(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply([stateful_set(namespace, "s", replicas=1, storage="150Gi", load_seconds="0")])
    cluster.kubectl("rollout", "status", "statefulset/s", "-n", namespace, "--timeout=60s")
    claim = cluster.get("pvc", "weights-s-0", "-n", namespace)
    assert phase_of(claim) == "Bound"
    assert claim["spec"]["storageClassName"] == "standard"
    volume = claim["spec"]["volumeName"]
    assert cluster.get("pv", volume)["spec"]["capacity"]["storage"] == "150Gi"

    cluster.kubectl("delete", "statefulset/s", "-n", namespace, "--cascade=foreground")
    cluster.kubectl("delete", "pvc", "weights-s-0", "-n", namespace, "--timeout=40s")
    eventually(
        lambda: [each["metadata"]["name"] for each in cluster.get("pv")["items"]],
        lambda names: volume not in names,
    )


def test_a_claim_that_no_pod_uses_waits_for_one(cluster: Cluster, namespace: str) -> None:
    claim = stateful_set(namespace, "s", storage="1Gi")["spec"]["volumeClaimTemplates"][0]
    claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    claim["metadata"]["namespace"] = namespace
    cluster.apply([claim])

    def reasons() -> set[str]:
        return {each["reason"] for each in cluster.get("events", "-n", namespace)["items"]}

    eventually(reasons, lambda found: "WaitForFirstConsumer" in found)
    assert phase_of(cluster.get("pvc", "weights", "-n", namespace)) == "Pending"


def test_a_namespace_goes_with_everything_in_it(cluster: Cluster) -> None:
    cluster.create_namespace("doomed")
    cluster.apply([stateful_set("doomed", "s", storage="1Gi", load_seconds="0")])
    cluster.kubectl("rollout", "status", "statefulset/s", "-n", "doomed", "--timeout=60s")
    cluster.kubectl("delete", "namespace", "doomed", "--timeout=60s")
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.get("namespace", "doomed")


def test_a_node_can_fail_and_come_back(cluster: Cluster) -> None:
    def status() -> str:
        node = cluster.get("node", "l4-1")
        return str(condition(node, "Ready").get("status"))

    (key,) = annotated(ready="false")
    cluster.kubectl("annotate", "node", "l4-1", f"{key}=false")
    eventually(status, lambda value: value == "False")
    cluster.kubectl("annotate", "node", "l4-1", f"{key}-")
    eventually(status, lambda value: value == "True")


def test_a_pod_is_deleted_once_and_not_its_successor_too(cluster: Cluster, namespace: str) -> None:
    mark = cluster.audit_mark()
    for name in ("p", "q"):  # whatever is done about the first one is done before the second goes
        cluster.apply([pod(namespace, name, load_seconds="0", terminate_seconds="0")])
        wait_pod(cluster, namespace, name, is_ready)
        cluster.kubectl("delete", "pod", name, "-n", namespace, "--wait", timeout_s=60)
    deleted = [
        record.user
        for record in cluster.audit_events(mark)
        if (record.verb, record.resource, record.namespace, record.name)
        == ("delete", "pods", namespace, "p")
    ]
    assert deleted == ["devcluster-admin", "devcluster-kwok"]


def test_a_pod_that_never_was_told_unready_becomes_ready(cluster: Cluster, namespace: str) -> None:
    cluster.apply([pod(namespace, "p", load_seconds="0", ready="false")])
    wait_pod(cluster, namespace, "p", lambda found: found["status"]["phase"] == "Running")
    bare = '{"status": {"conditions": [{"type": "Ready", "$patch": "delete"}]}}'
    where = ("pod", "p", "-n", namespace, "--subresource=status")
    cluster.kubectl("patch", *where, "--type=strategic", "-p", bare)
    annotate(cluster, namespace, "p", "ready-")
    wait_pod(cluster, namespace, "p", is_ready)


def test_nodes_can_be_added(cluster: Cluster, namespace: str) -> None:
    from devcluster.nodes import Gpu, NodeGroup

    gpu = Gpu("NVIDIA-B200", 8, 183359, "blackwell", "10.0", mig=True)
    cluster.add_nodes([NodeGroup("b200", 1, "sim.b200.8", 224, 2048, 7000, gpu)])
    cluster.apply([pod(namespace, "p", pod_spec(product="NVIDIA-B200", gpus=8), load_seconds="0")])
    assert wait_pod(cluster, namespace, "p", is_ready)["spec"]["nodeName"] == "b200-0"
    cluster.kubectl("delete", "node", "b200-0")


def test_nodes_show_signs_of_life(cluster: Cluster) -> None:
    def heard() -> str:
        return str(condition(cluster.get("node", "l40-0"), "Ready")["lastHeartbeatTime"])

    before = heard()
    eventually(heard, lambda now: now != before, timeout_s=40, interval_s=1)


def test_kubernetes_says_its_true_version(cluster: Cluster) -> None:
    version = json.loads(cluster.kubectl("get", "--raw=/version"))
    assert version["gitVersion"].startswith("v1.")
    assert version["gitVersion"] != "v0.0.0-master+$Format:%H$"
    assert version["minor"] == version["gitVersion"].split(".")[1]
