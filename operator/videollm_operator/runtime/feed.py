"""From watch events to caches and queue: what happened, and who is to look at it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from videollm_operator.reconcile.world import Key
    from videollm_operator.runtime.cache import Caches
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.queue import WorkQueue

_log = logging.getLogger(__name__)

DELETED = "DELETED"
"""Event type of an object that went, or that our selector does not match any more."""


class Feed:
    """Takes in events of all kinds.

    Args:
        caches: what is remembered.
        queue: deployments to look at.
    """

    def __init__(self, caches: Caches, queue: WorkQueue[Key]) -> None:
        self._caches = caches
        self._queue = queue
        self.live = False
        """Whether everything has been listed once: from then on changes go before routine."""

    def deployment(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a VideoLLMDeployment; its type is None if it is from a list."""
        gone = event == DELETED
        put = self._caches.remove_deployment if gone else self._caches.put_deployment
        self._take(kind, obj, put)

    def child(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a child."""
        put = self._caches.remove_child if event == DELETED else self._caches.put_child
        self._take(kind, _with_kind(kind, obj), put)

    def pod(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a pod."""
        put = self._caches.remove_pod if event == DELETED else self._caches.put_pod
        self._take(kind, obj, put)

    def node(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a node; of interest only if a kind of node came or went."""
        put = self._caches.remove_node if event == DELETED else self._caches.put_node

        def everybody(node: Mapping[str, Any]) -> list[Key]:
            return self._caches.known() if put(node) else []

        self._take(kind, obj, everybody, urgent=False)

    def _take(
        self,
        kind: Kind,
        obj: Mapping[str, Any],
        put: Callable[[Mapping[str, Any]], Iterable[Key]],
        *,
        urgent: bool = True,
    ) -> None:
        try:
            keys = put(obj)
        except Exception:  # noqa: BLE001 - one odd object must not cost us the others
            name = obj.get("metadata", {}).get("name", "?")
            _log.exception("%s '%s' could not be taken in; this is a bug", kind.kind, name)
            return
        for key in keys:
            self._queue.add(key, urgent=urgent and self.live)

    def everybody(self) -> None:
        """All deployments are to be looked at, after what is more pressing."""
        for key in self._caches.known():
            self._queue.add(key, urgent=False)


def _with_kind(kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Items of lists lack their kind."""
    return obj if obj.get("kind") else {**obj, "kind": kind.kind, "apiVersion": kind.api_version}
