"""Compares the caches with the API server, since a watch alone can miss things.

Kopf does not notice what was deleted while it listed anew, and an event can get lost before it
comes to us. So each kind is listed (metadata only, in pages) at the start, after Kopf listed it
again, and now and then: what is not there any more is dropped, what we should have seen is read.
The first round is also the gate before the first reconcile: absence decides, so everything that
exists must have been seen.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.reconcile.world import ChildKey, Key
from videollm_operator.runtime import errors
from videollm_operator.runtime.feed import DELETED
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT, NODE, POD
from videollm_operator.runtime.store import version

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from videollm_operator.runtime.cache import Caches
    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.feed import Feed
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.store import Store

_log = logging.getLogger(__name__)

_SHORTEST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.25
_READERS = 8
"""Objects that are read at the same time."""


class HistoryRewound(Exception):  # noqa: N818 - what happened
    """The cluster is at an older state than one already seen.

    Either the API server is behind, or the cluster was restored from a backup.
    """


@dataclass(frozen=True)
class _Table:
    """One kind, and where and how it is remembered."""

    kind: Kind
    store: Store[Any, Any]
    put: Callable[[Kind, str | None, Mapping[str, Any]], None]
    selector: str = ""

    def identity(self, metadata: Mapping[str, Any]) -> Hashable:
        """Identity of an object in the store."""
        name = metadata["name"]
        if self.kind is NODE:
            return str(name)
        if self.kind is DEPLOYMENT:
            return Key(metadata["namespace"], name)
        return metadata["namespace"], name if self.kind is POD else ChildKey(self.kind.kind, name)

    def place(self, identity: Any) -> tuple[str, str] | None:
        """Namespace and name of an object in the store; None if it is of another kind."""
        match identity:
            case str():
                return "", identity
            case Key():
                return identity.namespace, identity.name
            case (namespace, ChildKey(kind, name)):
                return (namespace, name) if kind == self.kind.kind else None
            case (namespace, name):
                return namespace, name
        return None


class Comparer:
    """Compares one kind at a time.

    Args:
        client: for lists.
        caches: what is compared.
        feed: takes in what was missed.
        namespaces: those that are served; empty: all.
        nodes: whether nodes are looked at.
        repaired: is told of each object (its resource, by plural) that had to be corrected.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        feed: Feed,
        *,
        namespaces: Sequence[str] = (),
        nodes: bool = True,
        repaired: Callable[[str], None] = lambda _resource: None,
    ) -> None:
        self._client = client
        self._caches = caches
        self._feed = feed
        self._namespaces = tuple(namespaces) or ("",)
        self._repaired = repaired
        self.kinds: tuple[Kind, ...] = (DEPLOYMENT, *CHILDREN, POD, *((NODE,) if nodes else ()))

    async def one(self, kind: Kind, patience: float) -> None:
        """Compares one kind.

        Args:
            kind: which.
            patience: seconds that the watches may take to deliver any of what was listed.

        Raises:
            APIError: if a list cannot be had.
            HistoryRewound: see there.
        """
        table = self._table(kind)
        seen_before = table.store.newest
        listed: dict[Hashable, tuple[str, int]] = {}
        for namespace in self._namespaces if kind.namespaced else ("",):
            at = 0
            async for items, listed_at in self._client.pages(
                kind, namespace, selector=table.selector, metadata_only=True
            ):
                at = listed_at
                for item in items:
                    metadata = item["metadata"]
                    seen = metadata["uid"], version(metadata["resourceVersion"])
                    listed[table.identity(metadata)] = seen
            if 0 < at < seen_before:
                raise HistoryRewound(
                    f"{kind.plural} were seen at resource version {seen_before}, the API server is "
                    f"at {at}: is it behind, or was the cluster restored from a backup?"
                )
            self._drop(table, namespace, listed, at)
        await self._await(table, listed, patience)

    def _drop(
        self, table: _Table, namespace: str, listed: Mapping[Hashable, tuple[str, int]], at: int
    ) -> None:
        """Drops what the list does not have, unless it was made after the list."""
        for identity, stored in table.store.items():
            place = table.place(identity)
            if place is None or identity in listed or stored.version > at:
                continue
            if namespace and place[0] != namespace:
                continue
            self._tell(table.kind, place, "is gone")
            metadata = {
                "namespace": place[0],
                "name": place[1],
                "uid": stored.uid,
                "resourceVersion": str(at),
            }
            table.put(table.kind, DELETED, {"metadata": metadata})

    async def _await(
        self, table: _Table, listed: Mapping[Hashable, tuple[str, int]], patience: float
    ) -> None:
        """Waits until everything listed has been seen; reads what does not come."""
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        pause = _SHORTEST_PAUSE_SECONDS
        late = _unseen(table.store, listed)
        while late and loop.time() < until:
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 1.5)
            before, late = late, _unseen(table.store, late)
            if len(late) < len(before):
                until = loop.time() + patience
        places = [place for place in map(table.place, late) if place is not None]
        for start in range(0, len(places), _READERS):
            await asyncio.gather(
                *(self._read(table, place) for place in places[start : start + _READERS])
            )

    async def _read(self, table: _Table, place: tuple[str, str]) -> None:
        try:
            obj = await self._client.get(table.kind, *place)
        except errors.NotFound:
            return
        self._tell(table.kind, place, "has changed")
        table.put(table.kind, "MODIFIED", obj)

    def _tell(self, kind: Kind, place: tuple[str, str], what: str) -> None:
        shown = "/".join(part for part in place if part)
        _log.info("%s %s %s, and no event said so", kind.kind, shown, what)
        self._repaired(kind.plural)

    def _table(self, kind: Kind) -> _Table:
        caches, feed = self._caches, self._feed
        if kind is DEPLOYMENT:
            return _Table(kind, caches.deployments, feed.deployment)
        if kind is NODE:
            return _Table(kind, caches.nodes, feed.node)
        if kind is POD:
            return _Table(kind, caches.pods, feed.pod, names.CHILD_SELECTOR)
        return _Table(kind, caches.children, feed.child, names.CHILD_SELECTOR)


def _unseen(
    store: Store[Any, Any], listed: Mapping[Hashable, tuple[str, int]]
) -> dict[Hashable, tuple[str, int]]:
    return {identity: seen for identity, seen in listed.items() if not store.knows(identity, *seen)}
