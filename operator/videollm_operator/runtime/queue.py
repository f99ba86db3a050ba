"""The work queue: which deployments are to be looked at, and when.

A key is in it at most once; while it is worked on it is not begun a second time, and a change
that comes meanwhile makes it due again. Changes go before routine (resync, a new catalogue). A key
is not begun again within `cooldown` seconds of its last end, so that a burst of events costs two
reconciles, not thirty, while the first event still acts at once. Failures come back later and
later, with jitter.

Time is the event loop's, so tests run it with a loop whose clock jumps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import random

_log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

_CALM_SECONDS = 1.0
"""A key that was left alone for this long has come to rest."""

_FREE_STARTS = 20
"""Starts without a rest before the key is slowed down; a large rollout needs some."""

_SLOWEST_SECONDS = 2.0
"""Longest time between two starts of a key that does not come to rest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended.

    Attributes:
        after: seconds until the key is due again by itself; None: not by itself.
        failed: whether it must be tried again, later and later; `after` is then the least delay,
            whatever happens meanwhile.
    """

    after: float | None = None
    failed: bool = False


@dataclass(slots=True)
class _Entry:
    """What is known about one key; dropped when there is nothing to remember."""

    queued_at: float | None = None
    urgent: bool = False
    running: bool = False
    again: bool = False
    again_urgent: bool = False
    not_before: float = 0.0
    streak: int = 0
    failures: int = 0
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)
    due: float = 0.0
    due_urgent: bool = False


class WorkQueue(Generic[K]):
    """Keys that wait, and the workers that take them.

    Args:
        handler: looks at one key; what it raises is a bug, logged and tried again.
        workers: keys that are worked on at the same time.
        cooldown: least seconds between the end of work on a key and the next start.
        base_delay: seconds before the first retry of a key that failed; doubles each time.
        max_delay: longest such delay.
        rng: for jitter.
        observe: is told the result (`done`, `retry`, `error`) and seconds of each run.
    """

    def __init__(
        self,
        handler: Callable[[K], Awaitable[Outcome]],
        *,
        workers: int = 4,
        cooldown: float = 0.1,
        base_delay: float = 0.2,
        max_delay: float = 60.0,
        rng: random.Random,
        observe: Callable[[str, float], None] = lambda _result, _seconds: None,
    ) -> None:
        self._handler = handler
        self._count = workers
        self._cooldown = cooldown
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._random = rng
        self._observe = observe
        self._entries: dict[K, _Entry] = {}
        self._urgent: deque[K] = deque()
        self._routine: deque[K] = deque()
        self._wake = asyncio.Event()
        self._opened = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return sum(1 for entry in self._entries.values() if entry.queued_at is not None)

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest waiting key has waited."""
        oldest = min(
            (e.queued_at for e in self._entries.values() if e.queued_at is not None), default=None
        )
        return 0.0 if oldest is None else asyncio.get_running_loop().time() - oldest

    @property
    def alive(self) -> bool:
        """Whether all workers live."""
        return len(self._workers) == self._count and not any(w.done() for w in self._workers)

    def open(self) -> None:
        """Lets the workers begin."""
        self._opened.set()

    def start(self) -> None:
        """Creates the workers; they wait until `open`, while keys are added."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"worker {number}")
            for number in range(self._count)
        ]

    async def stop(self, grace: float) -> bool:
        """Begins nothing more, waits up to `grace` seconds for what runs, then cancels it.

        Returns:
            Whether nothing had to be cancelled.
        """
        self._stopping = True
        self._wake.set()
        self._opened.set()
        for entry in self._entries.values():
            _cancel(entry)
        if not self._workers:
            return True
        _, late = await asyncio.wait(self._workers, timeout=grace)
        for worker in late:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        return not late

    def add(self, key: K, *, urgent: bool = True) -> None:
        """Makes a key due, now or when it may be begun again."""
        self.add_after(key, 0.0, urgent=urgent)

    def add_after(self, key: K, seconds: float, *, urgent: bool = False) -> None:
        """Makes a key due in so many seconds, unless it is due sooner already."""
        if self._stopping:
            return
        entry = self._entries.setdefault(key, _Entry())
        now = asyncio.get_running_loop().time()
        due = max(now + seconds, entry.not_before)
        if entry.queued_at is not None:
            if urgent and not entry.urgent and seconds <= 0:
                entry.urgent = True
                self._urgent.append(key)  # its place among the routine keys is passed over
        elif entry.running and seconds <= 0:
            entry.again = True
            entry.again_urgent = entry.again_urgent or urgent
        elif due <= now:
            self._enqueue(key, entry, urgent)
        elif entry.timer is None or due < entry.due:
            self._schedule(key, entry, due, urgent)
        elif seconds <= 0:
            entry.due_urgent = entry.due_urgent or urgent

    def _schedule(self, key: K, entry: _Entry, due: float, urgent: bool) -> None:
        urgent = urgent or (entry.timer is not None and entry.due_urgent)
        _cancel(entry)
        entry.due, entry.due_urgent = due, urgent
        entry.timer = asyncio.get_running_loop().call_at(due, self._arrived, key)

    def _arrived(self, key: K) -> None:
        entry = self._entries[key]
        entry.timer = None
        if entry.running:
            entry.again = True
            entry.again_urgent = entry.again_urgent or entry.due_urgent
        else:
            self._enqueue(key, entry, entry.due_urgent)

    def _enqueue(self, key: K, entry: _Entry, urgent: bool) -> None:
        _cancel(entry)
        entry.queued_at = asyncio.get_running_loop().time()
        entry.urgent = urgent
        (self._urgent if urgent else self._routine).append(key)
        self._wake.set()

    def _take(self) -> K | None:
        for lane, urgent in ((self._urgent, True), (self._routine, False)):
            while lane:
                key = lane.popleft()
                entry = self._entries.get(key)
                if entry is not None and entry.queued_at is not None and entry.urgent == urgent:
                    return key
        return None

    async def _work(self) -> None:
        await self._opened.wait()
        while not self._stopping:
            key = self._take()
            if key is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._run(key)
            # Work on what is settled never waits for anything: others (the Lease!) need a turn.
            await asyncio.sleep(0)

    async def _run(self, key: K) -> None:
        loop = asyncio.get_running_loop()
        entry = self._entries[key]
        began = loop.time()
        entry.queued_at, entry.running = None, True
        pace = self._pace(entry, began)
        result = "error"
        try:
            outcome = await self._handler(key)
            result = "retry" if outcome.failed else "done"
        except Exception:  # noqa: BLE001 - a bug about one object must not end work on others
            _log.exception("reconciling failed; this is a bug", extra={"object": str(key)})
            outcome = Outcome(failed=True)
        finally:
            entry.running = False
            entry.not_before = loop.time() + pace
            self._observe(result, loop.time() - began)
        self._finish(key, entry, outcome)

    def _finish(self, key: K, entry: _Entry, outcome: Outcome) -> None:
        after = outcome.after
        if outcome.failed:
            entry.failures += 1
            delay = min(self._max_delay, self._base_delay * 2 ** min(entry.failures - 1, 30))
            least = min(self._max_delay, after or 0.0)
            after = max(least, delay * (0.5 + self._random.random() / 2))
            if least:  # events that came meanwhile, or will come, do not shorten it
                entry.not_before = max(entry.not_before, asyncio.get_running_loop().time() + least)
        else:
            entry.failures = 0
        again, urgent = entry.again, entry.again_urgent
        entry.again = entry.again_urgent = False
        if again:
            self.add_after(key, 0.0, urgent=urgent)
        elif after is not None:
            self.add_after(key, after)
        else:
            self._rest(key, entry)

    def _rest(self, key: K, entry: _Entry) -> None:
        """Keeps the entry of an idle key only as long as its pace matters."""
        asyncio.get_running_loop().call_at(entry.not_before + _CALM_SECONDS, self._drop, key)

    def _drop(self, key: K) -> None:
        entry = self._entries.get(key)
        if entry is None or entry.running or entry.queued_at is not None or entry.timer is not None:
            return
        del self._entries[key]

    def _pace(self, entry: _Entry, now: float) -> float:
        """Seconds that must pass before the next start: more if the key never comes to rest.

        So a program that undoes our work for ever costs a write every two seconds, not ten each.
        """
        calm = now > entry.not_before + _CALM_SECONDS
        entry.streak = 0 if calm else entry.streak + 1
        slower = max(0, entry.streak - _FREE_STARTS)
        return min(_SLOWEST_SECONDS, self._cooldown * 2.0 ** min(slower, 16))


def _cancel(entry: _Entry) -> None:
    if entry.timer is not None:
        entry.timer.cancel()
        entry.timer = None
