"""What kubelets would do and kwok does not, after an outage of the API server."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devcluster.kubectl import Kubectl


def delete_ended_pods(kubectl: Kubectl) -> None:
    """Delete once more the pods whose deletion the API server had begun when it was killed.

    A pod whose grace is over is marked so by one write and removed by a second one. Between the two
    the API server can be killed, and does not go on where it was. A kubelet asks again until the
    pod is gone; kwok must not, since it deletes by name (stages.yaml, pod-deleted).
    """
    ended: dict[str, list[str]] = defaultdict(list)
    for pod in kubectl.get("pods", "--all-namespaces")["items"]:
        if _is_ended(pod["metadata"]):
            ended[pod["metadata"]["namespace"]].append(pod["metadata"]["name"])
    for namespace, names in ended.items():
        at_once = ("--force", "--grace-period=0", "--wait=false", "--ignore-not-found")
        kubectl.run("delete", "pods", *names, "-n", namespace, *at_once)


def _is_ended(metadata: dict[str, Any]) -> bool:
    return metadata.get("deletionGracePeriodSeconds") == 0 and not metadata.get("finalizers")
