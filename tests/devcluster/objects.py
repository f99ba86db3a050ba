"""Objects that the tests of this folder create."""

from __future__ import annotations

from typing import Any

ANNOTATION = "devcluster.videollm.io"


def pod_spec(
    *, product: str = "", gpus: int = 0, containers: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    """A pod spec; with `product` it tolerates GPU nodes and requires that GPU."""
    engine: dict[str, Any] = {
        "name": "engine",
        "image": "example.invalid/engine:1",
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
    }
    if gpus:
        engine["resources"] = {"limits": {"nvidia.com/gpu": gpus}}
    spec: dict[str, Any] = {"containers": containers or [engine], **more}
    if product:
        term = {"key": "nvidia.com/gpu.product", "operator": "In", "values": [product]}
        spec["tolerations"] = [
            {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
        ]
        spec["affinity"] = {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [term]}]
                }
            }
        }
    return spec


def pod(
    namespace: str, name: str, spec: dict[str, Any] | None = None, **annotations: str
) -> dict[str, Any]:
    """A pod; annotations are given without prefix and with `_` for `-`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": annotated(**annotations),
        },
        "spec": spec or pod_spec(),
    }


def annotated(**annotations: str) -> dict[str, str]:
    """Annotations of devcluster."""
    return {f"{ANNOTATION}/{key.replace('_', '-')}": value for key, value in annotations.items()}


def stateful_set(
    namespace: str,
    name: str,
    *,
    replicas: int = 2,
    storage: str = "",
    spec: dict[str, Any] | None = None,
    **annotations: str,
) -> dict[str, Any]:
    """A StatefulSet; with `storage` each pod has a volume of that size."""
    claim = {
        "metadata": {"name": "weights"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage}},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotated(**annotations)},
                "spec": spec or pod_spec(),
            },
            "volumeClaimTemplates": [claim] if storage else [],
        },
    }


def condition(thing: dict[str, Any], kind: str) -> dict[str, Any]:
    """A condition of an object, {} if it has none of that type."""
    found = [each for each in thing["status"].get("conditions", []) if each["type"] == kind]
    return found[0] if found else {}


def waiting_reason(thing: dict[str, Any]) -> str:
    """Why the first container of a pod waits; "" if it does not."""
    statuses = thing["status"].get("containerStatuses") or [{}]
    reason: str = statuses[0].get("state", {}).get("waiting", {}).get("reason", "")
    return reason


def phase_of(thing: dict[str, Any]) -> str:
    """Phase of an object."""
    phase: str = thing["status"].get("phase", "")
    return phase
