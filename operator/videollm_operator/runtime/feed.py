"""From watch events to caches and queue: what happened, and who is to look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from videollm_operator.reconcile.world import Key
    from videollm_operator.runtime.cache import Caches
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.queue import WorkQueue

DELETED = "DELETED"
"""Event type of an object that went, or that our selector does not match any more."""


class Feed:
    """Takes in events of all kinds.

    Args:
        caches: what is remembered.
        queue: deployments to look at.
        relisted: is told of a kind that was listed again, so that deletions may have been missed.
    """

    def __init__(
        self, caches: Caches, queue: WorkQueue[Key], relisted: Callable[[Kind], None]
    ) -> None:
        self._caches = caches
        self._queue = queue
        self._relisted = relisted
        self.live = False
        """Whether everything has been listed once: from then on changes go before routine."""

    def deployment(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a VideoLLMDeployment; an event of None is from a list."""
        self._note(kind, event)
        gone = event == DELETED
        put = self._caches.remove_deployment if gone else self._caches.put_deployment
        self._add(put(obj))

    def child(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a child."""
        self._note(kind, event)
        put = self._caches.remove_child if event == DELETED else self._caches.put_child
        self._add(put(_with_kind(kind, obj)))

    def pod(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a pod."""
        self._note(kind, event)
        put = self._caches.remove_pod if event == DELETED else self._caches.put_pod
        self._add(put(obj))

    def node(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        """An event about a node; of interest only if a kind of node came or went."""
        self._note(kind, event)
        put = self._caches.remove_node if event == DELETED else self._caches.put_node
        if put(obj) and self.live:
            self.everybody()

    def everybody(self) -> None:
        """All deployments are to be looked at, after what is more pressing."""
        for key in self._caches.known():
            self._queue.add(key, urgent=False)

    def _add(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue.add(key, urgent=self.live)

    def _note(self, kind: Kind, event: str | None) -> None:
        if event is None and self.live:
            self._relisted(kind)


def _with_kind(kind: Kind, obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Items of lists lack their kind."""
    return obj if obj.get("kind") else {**obj, "kind": kind.kind, "apiVersion": kind.api_version}
