"""What is kept of a VideoLLMDeployment in memory: its JSON, deflated, without what nobody reads."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names

if TYPE_CHECKING:
    from collections.abc import Mapping

_METADATA = (
    "name",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)


_OUR_ANNOTATIONS = f"{names.PREFIX}/"
"""Others' annotations and labels say nothing to us: Argo CD may change them as it likes."""


def restore(kept: bytes, version: int) -> dict[str, Any]:
    """The object again, with the resource version that it was seen at."""
    deployment: dict[str, Any] = json.loads(zlib.decompress(kept))
    deployment["metadata"]["resourceVersion"] = str(version)
    return deployment


def keep(obj: Mapping[str, Any]) -> bytes:
    """An object to keep. Its resource version is left out, so that equal objects are equal."""
    metadata = {key: obj["metadata"][key] for key in _METADATA if key in obj["metadata"]}
    annotations = obj["metadata"].get("annotations", {})
    ours = {key: value for key, value in annotations.items() if key.startswith(_OUR_ANNOTATIONS)}
    if ours:
        metadata["annotations"] = ours
    kept = {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": metadata,
        "spec": obj.get("spec", {}),
        "status": obj.get("status", {}),
    }
    text = json.dumps(kept, separators=(",", ":"), sort_keys=True)
    return zlib.compress(text.encode(), level=1)


def ready_reason(obj: Mapping[str, Any]) -> str:
    """Reason of the Ready condition; `Unseen` if there is none."""
    for condition in obj.get("status", {}).get("conditions", ()):
        if condition.get("type") == "Ready":
            return str(condition.get("reason", ""))
    return "Unseen"
