"""Runs Kopf's tasks, notices when they break down, and ends them within bounds.

`kopf.operator()` would do the same, but when a watch has failed it waits for ever for the others,
which wait for credentials that nobody renews any more. So its tasks are spawned and ended here.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import kopf

from videollm_operator.kopfapp import watching
from videollm_operator.runtime.requests import describe

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection

    import aiohttp
    from aiohttp.client_middlewares import ClientHandlerType

    from videollm_operator.runtime.credentials import Access
    from videollm_operator.runtime.feed import Feed
    from videollm_operator.runtime.transport import Observer

SILENT_SECONDS = 480.0
"""A watch lasts at most 330 s (`watching.settings`); one that was not begun anew for this long is
stuck."""

_CHECK_SECONDS = 15.0


class WatchSilent(Exception):  # noqa: N818 - what happened
    """A watch neither delivers nor fails."""


class Watches:
    """Kopf, listing and watching all kinds.

    Args:
        feed: takes in the events.
        access: credentials.
        observer: is told of every request.
        rng: for jitter.
        namespaces: those that are served; empty: all.
        nodes: whether nodes are watched.
        listed_anew: is told of each resource (by plural) that Kopf lists again, since deletions may
            have been missed; the objects listed would not tell if there are none left.
    """

    def __init__(
        self,
        feed: Feed,
        access: Access,
        observer: Observer,
        rng: random.Random,
        *,
        namespaces: Collection[str],
        nodes: bool,
        listed_anew: Callable[[str], None],
    ) -> None:
        self._feed = feed
        self._access = access
        self._observer = observer
        self._random = rng
        self._namespaces = namespaces
        self._nodes = nodes
        self._listed_anew = listed_anew
        self._tasks: Collection[asyncio.Task[object]] = ()
        self._listed: set[str] = set()
        self._begun: dict[str, float] = {}

    async def note(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A middleware: notes when watches begin, and lists; each namespace has its own."""
        response = await handler(request)
        if response.status == HTTPStatus.OK:
            self.noted(request.method, str(request.url.path_qs))
        return response

    def noted(self, method: str, url: str) -> None:
        """Notes a request of Kopf that was accepted."""
        path, query = urlsplit(url)[2:4]
        verb, resource = describe(method, url)
        if verb == "watch":
            self._begun[path] = asyncio.get_running_loop().time()
        if verb == "list" and "continue" not in parse_qs(query):
            if path in self._listed:
                self._listed_anew(resource)
            self._listed.add(path)

    async def run(self, spawned: Callable[[], None]) -> None:
        """Watches until something breaks down.

        Args:
            spawned: is called once Kopf has done with process-wide settings (signals).

        Raises:
            WatchSilent: a watch is stuck.
            Exception: whatever else broke down.
        """
        self._tasks = await kopf.spawn_tasks(
            registry=watching.registry(
                self._feed,
                self._access,
                self._observer,
                self._random,
                self.note,
                nodes=self._nodes,
            ),
            settings=watching.settings(self._random),
            memories=watching.Forgetful(),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
        )
        spawned()
        while True:
            done, _ = await asyncio.wait(
                self._tasks, timeout=_CHECK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            if done:
                raise RuntimeError("a task of Kopf has ended")
            silent = self.silent()
            if silent:
                raise WatchSilent(silent)

    def silent(self) -> str:
        """What is wrong with the watches; empty if nothing is."""
        since = asyncio.get_running_loop().time() - SILENT_SECONDS
        stuck = sorted(path for path, begun in self._begun.items() if begun < since)
        return f"the watch of {', '.join(stuck)} is stuck" if stuck else ""

    async def stop(self, grace: float) -> None:
        """Ends Kopf's tasks; those that do not end within `grace` seconds are left behind."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
