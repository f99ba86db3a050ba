"""How Kopf is used: to list and watch, and for nothing else.

Only its stateless half runs (`on.event`, `on.login`): it writes no annotation, no finalizer and
no status. Every handler hands the event on and returns.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import kopf
from kopf._core.reactor.inventory import (  # kopf.operator(memories=...) takes one
    ResourceMemories,
    ResourceMemory,
)

from videollm_operator.api import names
from videollm_operator.kopfapp.pace import Pace
from videollm_operator.runtime import transport
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT, NODE, POD

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aiohttp.client_middlewares import ClientMiddlewareType

    from videollm_operator.runtime.credentials import Access
    from videollm_operator.runtime.feed import Feed
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.transport import Observer

    Take = Callable[[Kind, str | None, Mapping[str, Any]], None]

_LONGEST_BACKOFF_SECONDS = 8.0
_CALM_SECONDS = 120.0
"""A login this long after the one before is not a sign of trouble."""


def registry(
    feed: Feed,
    access: Access,
    observer: Observer,
    rng: random.Random,
    note: ClientMiddlewareType,
    *,
    nodes: bool,
) -> kopf.OperatorRegistry:
    """All handlers: one for each kind, and the login.

    Args:
        feed: takes in the events.
        access: credentials.
        observer: is told of Kopf's requests.
        rng: for jitter.
        note: a middleware through which Kopf's requests pass.
        nodes: whether nodes are watched.
    """
    handlers = kopf.OperatorRegistry()
    _on_event(handlers, DEPLOYMENT, feed.deployment)
    for kind in CHILDREN:
        _on_event(handlers, kind, feed.child)
    _on_event(handlers, POD, feed.pod)
    if nodes:
        _on_event(handlers, NODE, feed.node)
    _on_login(handlers, access, observer, rng, note)
    return handlers


def _on_event(handlers: kopf.OperatorRegistry, kind: Kind, take: Take) -> None:
    @kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=handlers)
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        take(kind, event["type"], event["object"])


def _on_login(
    handlers: kopf.OperatorRegistry,
    access: Access,
    observer: Observer,
    rng: random.Random,
    note: ClientMiddlewareType,
) -> None:
    waits: Iterator[float] = iter(())
    last = -_CALM_SECONDS
    pace = Pace(rng)

    @kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.TEMPORARY, backoff=5)
    async def login(**_: Any) -> kopf.AiohttpSession:
        # Kopf asks again after each 401. The session reads rotated tokens itself, so then it is
        # the server that is not itself; the answer is to come back, more and more slowly.
        nonlocal waits, last
        loop = asyncio.get_running_loop()
        if loop.time() - last > _CALM_SECONDS:
            waits = iter(Backoffs(rng))
        else:
            await asyncio.sleep(next(waits))
        last = loop.time()
        return kopf.AiohttpSession(
            server=access.server, aiohttp_session=transport.session(access, observer, pace, note)
        )


def settings(rng: random.Random) -> kopf.OperatorSettings:
    """Settings of Kopf."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.posting.enabled = False
    chosen.scanning.disabled = True  # the CRD is there, and namespaces are named or all
    chosen.networking.error_backoffs = Backoffs(rng)
    chosen.networking.request_timeout = 60
    chosen.networking.connect_timeout = 10
    chosen.watching.server_timeout = rng.randint(270, 330)  # not all reconnect at once
    chosen.watching.client_timeout = 360
    chosen.watching.inactivity_timeout = 70  # bookmarks come each minute; a silent watch is ended
    chosen.watching.chunk_size = 50  # all objects of a chunk are in memory at the same time
    for kind in (*CHILDREN, POD):
        selected = (kind.group, kind.version, kind.plural)
        chosen.watching.label_selectors[selected] = names.CHILD_SELECTOR
    chosen.queueing.idle_timeout = 0.5  # a worker keeps its last object alive while it idles
    chosen.queueing.exit_timeout = 1.0
    chosen.execution.max_workers = 1  # no handler is synchronous
    chosen.process.ultimate_exiting_timeout = 20
    chosen.persistence.diffbase_storage = NoDiffBase()
    chosen.persistence.progress_storage = NoProgress()
    return chosen


class Backoffs:
    """Endless pauses between attempts: growing, capped, each with jitter.

    Kopf gives a request up when they end, and with it the process; an API server that is away for
    long is no reason for that.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng

    def __iter__(self) -> Iterator[float]:
        pause = 0.5
        while True:
            yield pause * (0.5 + self._random.random() / 2)
            pause = min(_LONGEST_BACKOFF_SECONDS, pause * 2)


class Forgetful(ResourceMemories):
    """Keeps nothing about objects: event handlers need no memory, and it would be most of ours."""

    async def recall(
        self,
        raw_body: kopf.RawBody,
        *,
        memobase: Any = None,
        noticed_by_listing: bool = False,
        ephemeral: bool = False,
    ) -> ResourceMemory:
        """A new memory for every event."""
        return await super().recall(
            raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True
        )


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers no last-handled state; saves a deep copy of every object in every event."""

    def build(
        self, *, body: kopf.Body, extra_fields: Iterable[kopf.FieldSpec] | None = None
    ) -> kopf.BodyEssence:
        """Nothing."""
        return kopf.BodyEssence({})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Does nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers no progress of handlers: none of ours has any."""

    def fetch(self, *, key: kopf.HandlerId, body: kopf.Body) -> kopf.ProgressRecord | None:
        """Nothing."""
        return None

    def store(
        self,
        *,
        key: kopf.HandlerId,
        record: kopf.ProgressRecord,
        body: kopf.Body,
        patch: kopf.Patch,
    ) -> None:
        """Does nothing."""

    def purge(self, *, key: kopf.HandlerId, body: kopf.Body, patch: kopf.Patch) -> None:
        """Does nothing."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Does nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """The essence as it is."""
        return essence
