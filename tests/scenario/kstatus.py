"""kstatus' verdict on an object of a kind that it does not know, as Flux and Helm compute it.

The rules of sigs.k8s.io/cli-utils/pkg/kstatus/status (generic.go, status.go), in their order.
"""

from __future__ import annotations

from typing import Any


def verdict(obj: dict[str, Any]) -> str:
    """`Terminating`, `InProgress`, `Failed` or `Current`."""
    metadata, status = obj["metadata"], obj.get("status", {})
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    generation = metadata.get("generation")
    if generation is not None and status.get("observedGeneration", generation) != generation:
        return "InProgress"
    conditions = status.get("conditions", [])
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] == "Reconciling":
            return "InProgress"
        if condition["status"] == "True" and condition["type"] == "Stalled":
            return "Failed"
    for condition in conditions:
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"
