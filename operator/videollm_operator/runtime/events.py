"""Events about a deployment (`kubectl describe vld`), by events.k8s.io/v1.

An Event is posted before the status that makes it old news, so a process that dies in between posts
it again. Its name is made from what it says and from the status before it: then the API server
knows it already, and nobody reads it twice.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from videollm_operator.api.v1alpha1.deployment import API_VERSION, KIND
from videollm_operator.runtime.kinds import EVENT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from videollm_operator.reconcile.actions import EventDraft

CONTROLLER = "videollm.io/operator"
"""`reportingController` of all Events."""

_LONGEST_NOTE = 1024
_LONGEST_INSTANCE = 128
_LONGEST_NAME = 253


def event(
    draft: EventDraft, deployment: Mapping[str, Any], instance: str, now: datetime
) -> dict[str, Any]:
    """An Event object.

    Args:
        draft: what it says.
        deployment: what it is about.
        instance: which operator process says it.
        now: the present time, UTC.
    """
    metadata = deployment["metadata"]
    suffix = f".{_transition(draft, deployment)}"
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "name": metadata["name"][: _LONGEST_NAME - len(suffix)].rstrip(".-") + suffix,
            "namespace": metadata["namespace"],
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": draft.type,
        "reason": str(draft.reason),
        "action": draft.action,
        "note": _shortened(draft.message),
        "reportingController": CONTROLLER,
        "reportingInstance": (instance or "operator")[:_LONGEST_INSTANCE],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
    }


def _transition(draft: EventDraft, deployment: Mapping[str, Any]) -> str:
    """The same for the same news about the same object in the same state."""
    news = [
        deployment["metadata"]["uid"],
        deployment.get("status"),
        draft.type,
        str(draft.reason),
        draft.message,
    ]
    return hashlib.sha256(json.dumps(news, sort_keys=True).encode()).hexdigest()[:16]


def _shortened(note: str) -> str:
    """The API server counts bytes, and takes 1024 of them."""
    if len(note.encode()) <= _LONGEST_NOTE:
        return note
    return note.encode()[: _LONGEST_NOTE - 3].decode(errors="ignore") + "…"
