"""What a fresh cluster holds before anybody uses it: a storage class and simulated nodes.

Goes through kubectl alone, so that it works for a cluster that somebody else started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devcluster import nodes
from devcluster.errors import KubectlError, StartError
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devcluster.kubectl import Kubectl

PROVISIONER = "devcluster.videollm.io/simulated"
# Named and behaving like the one that kind brings: a volume is made when a pod needs it.
STORAGE_CLASS = "standard"


def storage_class(name: str, *, default: bool) -> dict[str, Any]:
    """A class whose volumes kwok makes (stages.yaml, claim-provisioned)."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {"storageclass.kubernetes.io/is-default-class": str(default).lower()},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def fill(kubectl: Kubectl, groups: Sequence[nodes.NodeGroup], *, timeout_s: float) -> None:
    """Make the storage class and the nodes, and wait until pods can be created and scheduled.

    Raises:
        StartError: if the nodes are not ready after `timeout_s` seconds.
        KubectlError: if something cannot be made.
    """
    objects = [storage_class(STORAGE_CLASS, default=True), *nodes.manifests(groups)]
    kubectl.create(objects)
    wait_ready(kubectl, [name for group in groups for name in group.node_names], timeout_s)

    def has_account() -> bool:
        try:
            kubectl.get("serviceaccount", "default", "--namespace=default")
        except KubectlError:
            return False
        return True

    if not wait_until(has_account, timeout_s, 0.2):
        raise StartError(
            "namespace default got no service account: the controller manager does not work"
        )


def wait_ready(kubectl: Kubectl, names: Sequence[str], timeout_s: float) -> None:
    """Wait until nodes are Ready and no taint keeps pods off that does not belong to them.

    Raises:
        StartError: if they are not after `timeout_s` seconds.
    """
    unready: list[str] = list(names)

    def all_ready() -> bool:
        items = kubectl.get("nodes")["items"]
        good = {node["metadata"]["name"] for node in items if is_ready(node)}
        unready[:] = [name for name in names if name not in good]
        return not unready

    if not wait_until(all_ready, timeout_s, 0.1):
        raise StartError(f"nodes not ready after {timeout_s:g} s: {', '.join(unready)}")


def is_ready(node: dict[str, Any]) -> bool:
    """Whether pods that tolerate the node's own taints can run on it."""
    conditions = node["status"].get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    taints = node["spec"].get("taints", [])
    return ready and not any(each["key"].startswith("node.kubernetes.io/") for each in taints)
