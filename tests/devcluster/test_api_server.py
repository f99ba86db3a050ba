"""Rights, audit log and outages of the real API server."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import binaries, state
from devcluster.errors import KubectlError
from devcluster.kubectl import Kubectl
from devcluster.waiting import eventually
from tests.devcluster.objects import condition, pod, pod_spec, stateful_set

if TYPE_CHECKING:
    from devcluster.audit import AuditRecord
    from devcluster.cluster import Cluster

pytestmark = pytest.mark.cluster


def as_account(cluster: Cluster, namespace: str, name: str) -> Kubectl:
    kubeconfig = cluster.service_account_kubeconfig(namespace, name)
    return Kubectl(binaries.kubectl(), kubeconfig, cluster.folder / "kubectl-cache")


def test_a_program_can_run_with_exactly_the_rights_of_a_service_account(
    cluster: Cluster, namespace: str
) -> None:
    here = ("-n", namespace)
    cluster.kubectl("create", "serviceaccount", "reader", *here)
    cluster.kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps", *here)
    subject = f"--serviceaccount={namespace}:reader"
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", subject, *here)
    kubectl = as_account(cluster, namespace, "reader")
    assert kubectl.run("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == (
        f"system:serviceaccount:{namespace}:reader"
    )
    names = [each["metadata"]["name"] for each in kubectl.get("configmaps")["items"]]
    assert names == ["kube-root-ca.crt"]
    with pytest.raises(KubectlError, match="Forbidden"):
        kubectl.get("secrets")
    with pytest.raises(KubectlError, match="Forbidden"):
        kubectl.get("configmaps", "--all-namespaces")


def test_a_token_for_an_account_that_does_not_exist_is_refused(
    cluster: Cluster, namespace: str
) -> None:
    with pytest.raises(KubectlError, match="not found"):
        cluster.service_account_kubeconfig(namespace, "nobody")


def test_the_administrators_kubeconfig_is_readable_by_its_user_only(cluster: Cluster) -> None:
    assert cluster.kubeconfig.stat().st_mode & 0o077 == 0
    assert cluster.folder.stat().st_mode & 0o077 == 0


def test_every_request_is_in_the_audit_log_with_its_result(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("create", "serviceaccount", "app", "-n", namespace)
    kubectl = as_account(cluster, namespace, "app")
    mark = cluster.audit_mark()
    before = datetime.now(UTC)
    with pytest.raises(KubectlError):
        kubectl.run("create", "configmap", "c")
    cluster.kubectl("create", "configmap", "c", "-n", namespace)

    def creations() -> list[AuditRecord]:
        return [
            record
            for record in cluster.audit_events(mark)
            if record.resource == "configmaps" and record.namespace == namespace and record.write
        ]

    refused, made = eventually(creations, lambda records: len(records) == 2)
    assert (refused.user, refused.code) == (f"system:serviceaccount:{namespace}:app", 403)
    assert (made.user, made.code, made.verb) == ("devcluster-admin", 201, "create")
    assert refused.time >= before
    assert refused.raw["level"] == "Metadata"
    assert any(record == made for record in cluster.audit_events(before))


def test_each_part_of_the_control_plane_acts_under_a_name_of_its_own(
    cluster: Cluster, namespace: str
) -> None:
    mark = cluster.audit_mark()
    cluster.apply([stateful_set(namespace, "s", replicas=1, load_seconds="0")])
    cluster.kubectl("rollout", "status", "statefulset/s", "-n", namespace, "--timeout=60s")
    writers = {
        (record.user, record.resource, record.subresource)
        for record in cluster.audit_events(mark)
        if record.write and record.namespace == namespace
    }
    assert {
        ("devcluster-admin", "statefulsets", ""),
        ("system:serviceaccount:kube-system:statefulset-controller", "pods", ""),
        ("system:kube-scheduler", "pods", "binding"),
        ("devcluster-kwok", "pods", "status"),
    } <= writers


def test_after_an_outage_everything_goes_on_where_it_was(cluster: Cluster, namespace: str) -> None:
    cluster.apply([stateful_set(namespace, "s", replicas=1, load_seconds="0")])
    cluster.kubectl("rollout", "status", "statefulset/s", "-n", namespace, "--timeout=60s")
    before = cluster.get("pod", "s-0", "-n", namespace)
    mark = cluster.audit_mark()

    cluster.stop_api_server()
    with pytest.raises(KubectlError, match="refused"):
        cluster.get("nodes")
    assert set(cluster.processes) == {
        "etcd",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
    }
    assert all(process.alive for process in cluster.processes.values())
    cluster.start_api_server()

    assert cluster.get("pod", "s-0", "-n", namespace)["metadata"] == before["metadata"]
    cluster.kubectl("scale", "statefulset/s", "-n", namespace, "--replicas=2")
    cluster.kubectl("rollout", "status", "statefulset/s", "-n", namespace, "--timeout=60s")
    nodes = cluster.get("nodes")["items"]
    assert all(condition(node, "Ready")["status"] == "True" for node in nodes)
    assert any(record.resource == "statefulsets" for record in cluster.audit_events(mark))


def put_into_etcd(cluster: Cluster, key: str, value: dict[str, Any]) -> None:
    """Writes behind the API server's back; it reads JSON as well as what it writes itself."""
    found = state.load(cluster.name)
    assert found is not None
    pair = {"key": key.encode(), "value": json.dumps(value).encode()}
    body = {name: base64.b64encode(data).decode() for name, data in pair.items()}
    url = f"http://127.0.0.1:{found.ports['etcd']}/v3/kv/put"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, json.dumps(body).encode(), timeout=10) as answer:
        assert answer.status == 200


def test_a_pod_whose_deletion_an_outage_interrupted_goes_afterwards(
    cluster: Cluster, namespace: str
) -> None:
    names = ("marked", "held", "lives")
    cluster.apply([pod(namespace, name) for name in names])
    cluster.kubectl("wait", "pods", "--all", "-n", namespace, "--for=condition=Ready")
    pods = {name: cluster.get("pod", name, "-n", namespace) for name in names}
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    for name in ("marked", "held"):
        pods[name]["metadata"] |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": 0}
    pods["held"]["metadata"]["finalizers"] = ["example.com/hold"]
    cluster.stop_api_server()
    for name in ("marked", "held"):
        put_into_etcd(cluster, f"/registry/pods/{namespace}/{name}", pods[name])
    cluster.start_api_server()
    left = cluster.get("pods", "-n", namespace)["items"]
    assert [each["metadata"]["name"] for each in left] == ["held", "lives"]
    free = '{"metadata": {"finalizers": null}}'
    cluster.kubectl("patch", "pod", "held", "-n", namespace, "--type=merge", "-p", free)
    cluster.kubectl("wait", "pod/held", "-n", namespace, "--for=delete", "--timeout=40s")


def test_an_account_works_on_after_an_outage(cluster: Cluster, namespace: str) -> None:
    kubectl = as_account(cluster, namespace, "default")
    cluster.stop_api_server()
    cluster.start_api_server()
    user = kubectl.run("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert user == f"system:serviceaccount:{namespace}:default"


def test_a_program_started_with_the_environment_finds_the_cluster(cluster: Cluster) -> None:
    done = subprocess.run(
        ["kubectl", "get", "nodes", "-o", "name"],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "node/a100-80gb-0" in done.stdout.split()


def test_kubectl_that_takes_too_long_is_an_error(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(KubectlError, match="no answer within 1 s"):
        cluster.kubectl("get", "pods", "-n", namespace, "--watch", timeout_s=1)


def test_a_pod_that_the_api_server_refuses_is_an_error_with_its_words(
    cluster: Cluster, namespace: str
) -> None:
    with pytest.raises(KubectlError, match=r"spec\.containers"):
        cluster.apply([pod(namespace, "p", pod_spec(containers=[{"name": "UPPER", "image": "x"}]))])
