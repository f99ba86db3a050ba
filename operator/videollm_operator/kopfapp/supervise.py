"""Runs Kopf's tasks, notices when they break down, and ends them within bounds.

`kopf.operator()` would do the same, but when a watch has failed it waits for ever for the others,
which wait for credentials that nobody renews any more. So its tasks are spawned and ended here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import kopf

from videollm_operator.kopfapp import watching

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection

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
        listed: is told of each resource (by plural) that Kopf lists, since deletions may have been
            missed; the objects listed would not tell if there are none left.
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
        listed: Callable[[str], None],
    ) -> None:
        self._feed = feed
        self._access = access
        self._observer = observer
        self._random = rng
        self._namespaces = namespaces
        self._nodes = nodes
        self._listed = listed
        self._tasks: Collection[asyncio.Task[object]] = ()
        self._begun: dict[str, float] = {}

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Notes when watches begin, and lists; see `transport.Observer`."""
        if verb == "watch" and code == "200":
            self._begun[resource] = asyncio.get_running_loop().time()
        if verb == "list" and code == "200":
            self._listed(resource)
        self._observer.request(verb, resource, code, seconds)

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
                self._feed, self._access, self, self._random, nodes=self._nodes
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
        stuck = sorted(resource for resource, begun in self._begun.items() if begun < since)
        return f"the watch of {', '.join(stuck)} is stuck" if stuck else ""

    async def stop(self, grace: float) -> None:
        """Ends Kopf's tasks; those that do not end within `grace` seconds are left behind."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
