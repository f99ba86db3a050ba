"""`manifests/install.yaml` on a real API server: it applies, and gives the rights that it should.

Asked of the real authorizer, as the operator's own account and as people with the cluster's roles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster.errors import KubectlError
from devcluster.waiting import wait_until
from hack.render_install import NAMESPACE, RELEASE, ROOT, TARGET

if TYPE_CHECKING:
    from pathlib import Path

    from devcluster.cluster import Cluster

OPERATOR = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))

ALLOWED = [
    ("list", "videollmdeployments.videollm.io", "video"),
    ("patch", "videollmdeployments.videollm.io/status", "video"),
    ("create", "statefulsets.apps", "video"),
    ("patch", "statefulsets.apps/scale", "video"),
    ("delete", "serviceaccounts", "video"),
    ("patch", "persistentvolumeclaims", "video"),
    ("create", "events.events.k8s.io", "video"),
    ("watch", "nodes", ""),
    ("create", "leases.coordination.k8s.io", NAMESPACE),
    ("update", f"leases.coordination.k8s.io/{RELEASE}", NAMESPACE),
    ("get", "configmaps/videollm-catalog", NAMESPACE),
    ("watch", "configmaps/videollm-catalog", NAMESPACE),
]
DENIED = [
    ("get", "secrets", "video"),
    ("list", "secrets", NAMESPACE),
    ("patch", "videollmdeployments.videollm.io", "video"),
    ("update", "videollmdeployments.videollm.io", "video"),
    ("delete", "videollmdeployments.videollm.io", "video"),
    ("deletecollection", "persistentvolumeclaims", "video"),
    ("delete", "pods", "video"),
    ("update", "statefulsets.apps", "video"),
    ("create", "pods", "video"),
    ("create", "pods/exec", "video"),
    ("get", "configmaps", "video"),
    ("get", "configmaps/other", NAMESPACE),
    ("list", "configmaps", NAMESPACE),
    ("update", "leases.coordination.k8s.io/other", NAMESPACE),
    ("create", "leases.coordination.k8s.io", "video"),
    ("patch", "nodes", ""),
    ("create", "clusterroles.rbac.authorization.k8s.io", ""),
    ("patch", "customresourcedefinitions.apiextensions.k8s.io", ""),
]


def may(cluster: Cluster, user: str, verb: str, resource: str, namespace: str) -> bool:
    """Whether the API server's authorizer allows it. `resource` is TYPE, TYPE/NAME, TYPE/SUB."""
    kind, _, rest = resource.partition("/")
    arguments = [f"{kind}/{rest}" if rest else kind]
    if rest in {"status", "scale", "exec"}:
        arguments = [kind, f"--subresource={rest}"]
    try:
        cluster.kubectl(
            *("auth", "can-i", verb, *arguments, f"--as={user}", "--quiet"),
            *([f"--namespace={namespace}"] if namespace else ["--all-namespaces"]),
        )
    except KubectlError as error:
        if error.code == 1 and not error.stderr.strip():
            return False
        raise
    return True


@pytest.fixture(scope="module", autouse=True)
def installed(cluster: Cluster) -> None:
    cluster.apply(TARGET.read_text())
    cluster.kubectl("wait", "--for=condition=Established", "crd/videollmdeployments.videollm.io")
    cluster.kubectl("create", "namespace", "video")


def test_operator_starts_in_its_restricted_namespace(cluster: Cluster) -> None:
    cluster.kubectl(
        *("rollout", "status", f"deployment/{RELEASE}", f"--namespace={NAMESPACE}"), "--timeout=90s"
    )


def test_its_namespace_refuses_pods_that_are_less_hardened(cluster: Cluster) -> None:
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        cluster.kubectl(
            *("run", "careless", "--image=careless", f"--namespace={NAMESPACE}"), "--dry-run=server"
        )


def test_applying_again_changes_nothing(cluster: Cluster) -> None:
    def versions() -> list[str]:
        answer = cluster.kubectl("get", "-f", str(TARGET), "-o", "jsonpath={..metadata.generation}")
        return answer.split()

    before = versions()
    assert before
    cluster.apply(TARGET.read_text())
    assert versions() == before


@pytest.mark.parametrize(("verb", "resource", "namespace"), ALLOWED)
def test_operator_may(cluster: Cluster, verb: str, resource: str, namespace: str) -> None:
    assert may(cluster, OPERATOR, verb, resource, namespace)


@pytest.mark.parametrize(("verb", "resource", "namespace"), DENIED)
def test_operator_may_not(cluster: Cluster, verb: str, resource: str, namespace: str) -> None:
    assert not may(cluster, OPERATOR, verb, resource, namespace)


@pytest.mark.parametrize(
    ("role", "writes"), [("view", False), ("edit", True), ("admin", True)], ids=str
)
def test_people_with_the_clusters_roles_get_the_kind_too(
    cluster: Cluster, role: str, writes: bool
) -> None:
    user = f"{role}-person"
    cluster.kubectl(
        *("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}"),
        "--namespace=video",
    )
    resource = "videollmdeployments.videollm.io"
    # The aggregation controller and the authorizer's cache need a moment.
    assert wait_until(lambda: may(cluster, user, "list", resource, "video"), timeout_s=30)
    assert wait_until(
        lambda: may(cluster, user, "create", resource, "video") is writes, timeout_s=30
    )
    assert may(cluster, user, "patch", f"{resource}/scale", "video") is writes
    assert not may(cluster, user, "patch", f"{resource}/status", "video")
    assert not may(cluster, user, "list", resource, "default")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_api_server_takes_the_sample(cluster: Cluster, path: Path) -> None:
    cluster.kubectl(
        *("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", str(path)),
        "--namespace=video",
    )
