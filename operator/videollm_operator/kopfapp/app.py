"""The operator process: waits for leadership, watches, reconciles, and ends in good order."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import random
import signal
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from videollm_operator.kopfapp.leading import Leading
from videollm_operator.kopfapp.reach import ReachChanged
from videollm_operator.kopfapp.supervise import WatchSilent
from videollm_operator.runtime import credentials, logs
from videollm_operator.runtime.client import Client
from videollm_operator.runtime.clock import SystemClock
from videollm_operator.runtime.compare import HistoryRewound
from videollm_operator.runtime.credentials import CredentialsError
from videollm_operator.runtime.errors import APIError
from videollm_operator.runtime.health import Health, Server
from videollm_operator.runtime.leader import Elector
from videollm_operator.runtime.leadership import Alone, LeadershipLost, Unheard
from videollm_operator.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from videollm_operator.runtime.credentials import Access
    from videollm_operator.runtime.leadership import Leadership
    from videollm_operator.runtime.lease import Term
    from videollm_operator.runtime.settings import Settings

_log = logging.getLogger(__name__)

EXIT_STOPPED = 0
EXIT_CANNOT_START = 2

_LONGEST_PAUSE_SECONDS = 30.0
_LAST_SECONDS = 2.0
_GOOD_LIFE_SECONDS = 60.0
"""After a round that lived for so long the next one begins soon."""

_REMEMBERED_TERMS = 32


class Ending(enum.Enum):
    """Why a round ended."""

    STOPPED = "stopped"
    """A signal asked for it."""
    LEADERSHIP_LOST = "leadership lost"
    """Another process may act now; this one becomes a candidate again."""
    BROKEN = "broken"
    """Watching broke down, by a CRD that was removed for example, or a candidate was not answered
    for long; another round may do, with new connections."""


class _CannotStart(Exception):  # noqa: N818 - what happened
    """The process cannot do its work here; the message says why."""


def run(settings: Settings) -> int:
    """Runs the operator until a signal ends it.

    If the Lease is lost, or watching breaks down beyond repair, everything is begun anew within
    the process: a new event loop, empty caches, a candidate among others.

    Returns:
        Exit code: 0 stopped by SIGTERM or SIGINT, 2 it cannot start.
    """
    logs.configure(settings, libraries=("kopf", "aiohttp", "asyncio"))
    try:
        found = credentials.find(settings.kubeconfig, os.environ)
        access = replace(found, identity=settings.identity)
        access.ssl_context()
        access.token.current()
    except CredentialsError as error:
        _log.error("%s", error)
        return EXIT_CANNOT_START
    metrics = Metrics()
    terms: deque[Term] = deque(maxlen=_REMEMBERED_TERMS)
    pause = 0.0
    while True:
        began = time.monotonic()
        try:
            ending = _run(_Round(settings, access, metrics, terms).run(pause))
        except _CannotStart as error:
            _log.error("%s", error)
            return EXIT_CANNOT_START
        if ending is Ending.STOPPED:
            return EXIT_STOPPED
        if ending is Ending.LEADERSHIP_LOST:
            metrics.leadership_lost.inc()
            pause = 0.0  # the Lease itself is waited for
            continue
        metrics.restarts.inc()
        lived = time.monotonic() - began
        pause = 1.0 if lived > _GOOD_LIFE_SECONDS else min(_LONGEST_PAUSE_SECONDS, 1 + pause * 2)


def _run(main: Coroutine[None, None, Ending]) -> Ending:
    """Like `asyncio.run`, but what does not end after it within seconds is left behind."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_LAST_SECONDS))
        with contextlib.suppress(TimeoutError):
            loop.run_until_complete(
                asyncio.wait_for(loop.shutdown_asyncgens(), timeout=_LAST_SECONDS)
            )
        loop.close()


class _Round:
    """One life of everything, with its own event loop."""

    def __init__(
        self, settings: Settings, access: Access, metrics: Metrics, terms: deque[Term]
    ) -> None:
        self._settings = settings
        self._access = access
        self._metrics = metrics
        self._terms = terms
        self._health = Health()
        self._stop = asyncio.Event()
        self._ending = False
        self._random = random.Random()  # noqa: S311 - spreads load, guards nothing

    async def run(self, pause: float) -> Ending:
        """Runs until a signal, or until it cannot go on; `pause` seconds pass before."""
        self._catch_signals()
        asyncio.get_running_loop().set_exception_handler(self._stray)
        server = Server(
            self._health,
            self._metrics,
            health_port=self._settings.health_port,
            metrics_port=self._settings.metrics_port,
        )
        try:
            await server.start()
        except OSError as error:
            await server.stop()
            raise _CannotStart(f"a port cannot be opened: {error}") from error
        beat = asyncio.create_task(self._health.beat(), name="heartbeat")
        client = Client(
            self._access,
            self._metrics,
            self._random,
            undelivered_seconds=self._settings.undelivered_seconds,
        )
        try:
            return await self._take_turns(client, pause)
        finally:
            beat.cancel()
            await client.close()
            await server.stop()

    async def _take_turns(self, client: Client, pause: float) -> Ending:
        settings = self._settings
        clock = SystemClock()
        leadership: Leadership = (
            Elector(client, settings, clock, self._random, self._terms)
            if settings.leader_election
            else Alone()
        )
        self._health.waiting_for = lambda: "" if leadership.heard else "the API server"
        if not await self._unless_stopped(asyncio.sleep(pause)):
            return Ending.STOPPED
        try:
            if not await self._unless_stopped(leadership.acquire()):
                return Ending.STOPPED
        except (Unheard, CredentialsError) as error:
            _log.warning("beginning anew: %s", error)
            return Ending.BROKEN
        self._metrics.leader.set(1)
        self._health.role = "leader"
        keep = asyncio.create_task(leadership.keep(), name="leadership")
        leading = Leading(
            settings,
            client.guarded_by(leadership),
            self._metrics,
            self._health,
            clock,
            self._random,
        )
        lead = asyncio.create_task(leading.run(self._catch_signals), name="leading")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        ending = Ending.BROKEN
        try:
            await asyncio.wait({keep, lead, stop}, return_when=asyncio.FIRST_COMPLETED)
            ending = self._why(keep, lead)
        finally:
            self._ending = True
            _log.info("ending: %s", ending.value)
            stop.cancel()
            self._metrics.leader.set(0)
            lost = ending is Ending.LEADERSHIP_LOST
            ended = await leading.stop(grace=0.0 if lost else 5.0)
            keep.cancel()
            lead.cancel()
            await asyncio.gather(keep, lead, return_exceptions=True)
            if ended:  # else a write may still be on its way: others wait until it cannot be
                await leadership.release()
            await leading.stop_watching()
        return ending

    def _why(self, keep: asyncio.Task[None], lead: asyncio.Task[None]) -> Ending:
        if keep.done():
            error = keep.exception()
            if isinstance(error, LeadershipLost):
                _log.warning("%s: nothing more is written", error)
                return Ending.LEADERSHIP_LOST
            raise error or AssertionError("leadership is kept until it is lost")
        if lead.done() and not self._stop.is_set():
            _tell(lead.exception())
            return Ending.BROKEN
        return Ending.STOPPED

    async def _unless_stopped(self, wanted: object) -> bool:
        """Waits for something, or for the signal to stop; whether it came."""
        task = asyncio.ensure_future(wanted)  # type: ignore[call-overload] # any awaitable
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return False
            task.result()
            return True
        finally:
            for pending in (task, stop):
                pending.cancel()

    def _stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody waited for; when Kopf breaks down, its watches leave some behind."""
        if self._ending:
            _log.debug("while ending: %s", context.get("exception") or context["message"])
        else:
            loop.default_exception_handler(context)

    def _catch_signals(self) -> None:
        """SIGTERM and SIGINT ask for an end in good order; Kopf takes them over when it starts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)


def _tell(error: BaseException | None) -> None:
    """Logs what broke down; with a traceback if it is nothing that a cluster does to us."""
    if isinstance(error, ReachChanged):
        _log.info("beginning anew: %s", error)
        return
    known = (APIError, HistoryRewound, WatchSilent, aiohttp.ClientError, OSError)
    expected = isinstance(error, known) or type(error).__module__.startswith("kopf.")
    _log.warning(
        "watching broke down, beginning anew: %s", error, exc_info=None if expected else error
    )
