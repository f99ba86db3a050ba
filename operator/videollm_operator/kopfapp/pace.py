"""Keeps lists and watches that end at once from being begun again at once.

Kopf waits between attempts that are refused, but not after a watch that was accepted and then
closed, answered by 410, or cut off. Where something between us and the API server does that to
every watch, it would ask as fast as it is answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    import aiohttp
    from aiohttp.client_middlewares import ClientHandlerType

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 8.0
_CALM_SECONDS = 30.0
"""A watch that lived for so long did not fail."""


@dataclass
class _Last:
    """When something was last begun, and how long after that it may be begun again."""

    begun: float
    pause: float


class Pace:
    """A middleware: the same list or watch begins anew later and later if it keeps ending early.

    One that ends after longer than its pause is begun anew at once.

    Args:
        rng: for jitter.
    """

    def __init__(self, rng: random.Random) -> None:
        self._random = rng
        self._last: dict[tuple[str, bool], _Last] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Sends a request when its turn has come; the pages of one list come without pause."""
        query = request.url.query
        if request.method == "GET" and "continue" not in query:
            await self._turn((request.url.path, "watch" in query))
            if request.session.closed:
                raise RuntimeError("Session is closed")  # as aiohttp says it; Kopf takes a new one
        return await handler(request)

    async def _turn(self, what: tuple[str, bool]) -> None:
        now = asyncio.get_running_loop().time()
        last = self._last.get(what)
        if last is None:
            self._last[what] = _Last(now, _FIRST_SECONDS)
            return
        calm = now - last.begun > _CALM_SECONDS
        wait = 0.0 if calm else last.pause * (0.5 + self._random.random() / 2) - (now - last.begun)
        last.pause = _FIRST_SECONDS if calm else min(_LONGEST_SECONDS, last.pause * 2)
        last.begun = now + max(0.0, wait)
        if wait > 0:
            await asyncio.sleep(wait)
