"""Whether two objects, of two namespaces or two runs, mean the same; and where they do not."""

from __future__ import annotations

import json
from typing import Any

from videollm_operator.api import names

_DIFFERS = {
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "managedFields",
    "lastTransitionTime",
    "clusterIP",
    "clusterIPs",
    "volumeName",
    "volume.kubernetes.io/selected-node",
}
"""Fields that the API server fills, and that differ between two objects of the same meaning."""


def plain(value: Any) -> Any:
    """A value without the fields that are another in each object."""
    if isinstance(value, dict):
        kept = {key: plain(each) for key, each in value.items() if key not in _DIFFERS}
        if names.ANNOTATION_RECORD in kept:
            record = json.loads(kept[names.ANNOTATION_RECORD])
            del record["checksum"]  # of a text that names the namespace
            kept[names.ANNOTATION_RECORD] = plain(record)
        return kept
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two values differ, for people."""
    if one == other:
        return []
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted({*one, *other})
            for line in differences(
                one.get(key, "nothing"), other.get(key, "nothing"), f"{path}.{key}"
            )
        ]
    return [f"{path}: {str(one)[:300]} instead of {str(other)[:300]}"]
