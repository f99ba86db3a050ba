"""What the leader does: fills the caches by watching, then reconciles.

Everything here lives as long as this process leads. All parts are put together here, and only
here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from videollm_operator.catalog import loader
from videollm_operator.kopfapp.reach import ReachChanged, find, outgrow
from videollm_operator.kopfapp.supervise import Watches
from videollm_operator.kopfapp.watching import Backoffs
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.nodes import label_keys
from videollm_operator.reconcile.report import report
from videollm_operator.runtime import errors
from videollm_operator.runtime.cache import Caches
from videollm_operator.runtime.catalogue import Catalogue
from videollm_operator.runtime.compare import Comparer, HistoryRewound
from videollm_operator.runtime.execute import Executor
from videollm_operator.runtime.feed import Feed
from videollm_operator.runtime.kinds import DEPLOYMENT, NODE
from videollm_operator.runtime.queue import WorkQueue
from videollm_operator.runtime.reconciler import Mind, Reconciler
from videollm_operator.runtime.turns import Turns

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.kopfapp.reach import Reach
    from videollm_operator.reconcile.world import Key
    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.clock import Clock
    from videollm_operator.runtime.health import Health
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.metrics import Metrics
    from videollm_operator.runtime.settings import Settings

_log = logging.getLogger(__name__)

_GATE_SECONDS = 10.0
"""How long the watches may deliver nothing of what exists, before it is read one by one."""

_PATIENCE_SECONDS = 5.0
"""The same for later comparisons."""

_SETTLE_SECONDS = 2.0
"""Kopf's second list is under way when its first object comes; we list after it."""

_REWOUND_SECONDS = 60.0
"""An API server that is behind catches up by then; one that does not was restored from a backup."""

_FORBIDDEN_SECONDS = 5.0
"""A server that starts refuses everything for a moment; a right that is missing stays missing."""

_KOPF_ENDS_SECONDS = 3.0
_TRY_AGAIN_SECONDS = 2.0
_FORGET_UNSUPPORTED_SECONDS = 3600.0
"""An apply of which fields were dropped is tried again after this: a gate may be on now."""


class Leading:
    """The leader's work.

    Args:
        settings: of the process.
        client: guarded, so that nothing is written once leadership is over.
        metrics: are told.
        health: is told what to check, and what is waited for.
        clock: of this machine.
        rng: for jitter.
    """

    def __init__(
        self,
        settings: Settings,
        client: Client,
        metrics: Metrics,
        health: Health,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._random = rng
        self._waiting_for = "the CustomResourceDefinition"
        self._background: list[asyncio.Task[None]] = []
        self._relisted: set[Kind] = set()
        self._hint = asyncio.Event()
        self._unfollow: Callable[[], None] = lambda: None
        self._caches = Caches()
        self._catalogue = Catalogue(
            loader.builtin(),
            loader.extended,
            client,
            file=settings.catalog_file,
            configmap=settings.catalog_configmap,
            prepare=self._refocus,
            changed=lambda: self._feed.everybody(),
            problems=metrics.catalog_problems.set,
        )
        reconciler = Reconciler(
            client,
            self._caches,
            Executor(client, self._caches, clock),
            Mind(decide, report, lambda: self._catalogue.current),
            Turns(
                settings.max_concurrent_updates,
                self._caches.taking_up,
                lambda key: self._queue.add(key, urgent=False),
            ),
            clock,
            identity=settings.identity,
            resync_seconds=settings.resync_seconds,
            rng=rng,
        )
        self._queue: WorkQueue[Key] = WorkQueue(
            reconciler, workers=settings.workers, rng=rng, observe=metrics.reconciled
        )
        self._feed = Feed(self._caches, self._queue)
        self._comparer: Comparer
        self._watches: Watches | None = None

    async def run(self, watching: Callable[[], None]) -> None:
        """Works until something breaks down.

        Args:
            watching: is called once Kopf has done with process-wide settings (signals).

        Raises:
            Exception: whatever broke down.
        """
        self._health.waiting_for = lambda: self._waiting_for
        reach = await find(self._client, self._settings)
        self._comparer = self._new_comparer(reach)
        watches = self._watches = self._new_watches(reach)
        self._waiting_for = "the catalogue"
        await self._catalogue.load()
        self._caches.refocus_nodes(label_keys(self._catalogue.current), ())
        self._waiting_for = "the caches"
        self._unfollow = self._metrics.follow(self._queue, self._caches.reasons)
        self._queue.start()
        self._background = [
            asyncio.create_task(watches.run(watching), name="watches"),
            asyncio.create_task(self._compare(), name="compare"),
            asyncio.create_task(self._catalogue.follow(), name="catalogue"),
            asyncio.create_task(outgrow(self._client, self._settings, reach), name="reach"),
        ]
        self._health.checks = {
            "workers": lambda: "" if self._queue.alive else "a worker ended",
            "watches": watches.silent,
        }
        done, _ = await asyncio.wait(self._background, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self, grace: float) -> bool:
        """Begins nothing more, and waits up to `grace` seconds for what is being reconciled.

        Returns:
            Whether all of that came to its end, so that no write is on its way any more.
        """
        self._health.checks = {}
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        ended = await self._queue.stop(grace)
        self._unfollow()
        return ended

    async def stop_watching(self) -> None:
        """Ends Kopf's tasks."""
        if self._watches is not None:
            await self._watches.stop(_KOPF_ENDS_SECONDS)

    def _new_comparer(self, reach: Reach) -> Comparer:
        return Comparer(
            self._client,
            self._caches,
            self._feed,
            namespaces=reach.namespaces,
            nodes=reach.nodes,
            repaired=lambda resource: self._metrics.repairs.labels(resource).inc(),
        )

    def _new_watches(self, reach: Reach) -> Watches:
        return Watches(
            self._feed,
            self._client.access,
            self._metrics,
            self._random,
            namespaces=reach.namespaces,
            nodes=reach.nodes,
            listed_anew=self._listed,
        )

    async def _compare(self) -> None:
        """Opens the gate once everything has been seen; then looks for what was missed."""
        await self._outlast(self._comparer.kinds, _GATE_SECONDS)
        self._feed.live = True
        self._feed.everybody()
        self._queue.open()
        self._waiting_for = ""
        _log.info("watching %d deployments", len(self._caches.deployments))
        while True:
            await self._outlast(await self._next_kinds(), _PATIENCE_SECONDS)
            long_ago = self._clock.monotonic() - _FORGET_UNSUPPORTED_SECONDS
            for key in self._caches.expire_unsupported(long_ago):
                self._queue.add(key, urgent=False)

    async def _outlast(self, kinds: Iterable[Kind], patience: float) -> None:
        """Compares kinds with the API server, however long that cannot be done.

        Raises:
            HistoryRewound: if its answers stay older than what was seen before.
            ReachChanged: if what may be left out may not be read any more.
        """
        left, said = set(kinds), set[str]()
        began = self._clock.monotonic()
        for pause in Backoffs(self._random):
            for kind in sorted(left, key=self._comparer.kinds.index):
                try:
                    await self._comparer.one(kind, patience)
                    left.discard(kind)
                except (errors.APIError, HistoryRewound) as error:
                    lasted = self._clock.monotonic() - began
                    if isinstance(error, HistoryRewound) and lasted > _REWOUND_SECONDS:
                        raise
                    if (
                        isinstance(error, errors.Forbidden)
                        and kind in {DEPLOYMENT, NODE}
                        and lasted > _FORBIDDEN_SECONDS
                    ):
                        raise ReachChanged(f"{kind.plural} may not be read: {error}") from error
                    if str(error) not in said:
                        _log.warning("%s cannot be compared, trying again: %s", kind.plural, error)
                    said.add(str(error))
            if not left:
                return
            await asyncio.sleep(pause)
            left |= self._relisted
            self._relisted.clear()

    async def _next_kinds(self) -> tuple[Kind, ...]:
        """Kinds to compare next: those that were listed again, or all when the time has come."""
        try:
            async with asyncio.timeout(
                self._settings.resync_seconds * (0.8 + 0.4 * self._random.random())
            ):
                await self._hint.wait()
        except TimeoutError:
            return self._comparer.kinds
        await asyncio.sleep(_SETTLE_SECONDS)
        self._hint.clear()
        kinds = tuple(self._relisted)
        self._relisted.clear()
        return kinds

    def _listed(self, resource: str) -> None:
        """Kopf has listed a resource anew: deletions may have been missed."""
        self._relisted.update(kind for kind in self._comparer.kinds if kind.plural == resource)
        self._hint.set()

    async def _refocus(self, catalog: Catalog) -> None:
        """Before another catalogue is in force: are other node labels telling now?"""
        keys = label_keys(catalog)
        if NODE not in self._comparer.kinds or keys == self._caches.node_keys:
            return
        while True:
            try:
                pages = self._client.pages(NODE, metadata_only=True)
                listed = [node async for items, _ in pages for node in items]
                break
            except errors.Forbidden as error:
                raise ReachChanged(f"nodes may not be read: {error}") from error
            except errors.APIError as error:
                _log.warning("nodes cannot be listed, trying again: %s", error)
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
        self._caches.refocus_nodes(keys, listed)
        self._listed(NODE.plural)  # what came since a page was read went into the old store
