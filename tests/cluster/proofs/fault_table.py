"""What can be done to a request: refused, broken off, answered late, half or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.proxy_actions import Break, CutShort, NoAnswer, Refuse, Slow

if TYPE_CHECKING:
    from aiohttp import web

    from tests.cluster.proxy_actions import Action
    from tests.cluster.proxy_exchange import Exchange

SHORT_S, LONG_S = 1, 5
"""`Retry-After`: one that the client sits out, and one after which the object comes back."""


@dataclass(frozen=True)
class HalfClosed:
    """The server says that it sends no more, and goes on listening.

    Attributes:
        done: after it did what was asked, else before.
    """

    done: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Closes one direction."""
        if self.done:
            await exchange.forward()
        if exchange.request.transport is not None:
            exchange.request.transport.write_eof()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


def retry(status: int, seconds: int) -> Refuse:
    """The server asks to be left alone for so long."""
    return Refuse(status, headers={"Retry-After": str(seconds)})


FAULTS: dict[str, tuple[Action, int]] = {
    "409": (Refuse(409), 2),
    "422": (Refuse(422), 2),
    "429": (Refuse(429), 2),
    "429, come back soon": (retry(429, SHORT_S), 2),
    "429, come back later": (retry(429, LONG_S), 1),
    "500": (Refuse(500), 2),
    "502 from a proxy": (Refuse(502, body=b"<html>", headers={"Content-Type": "text/html"}), 2),
    "503": (Refuse(503), 2),
    "503, come back soon": (retry(503, SHORT_S), 2),
    "503, come back later": (retry(503, LONG_S), 1),
    "504": (Refuse(504), 2),
    "no answer": (NoAnswer(), 1),
    "no answer, but done": (NoAnswer(done=True), 1),
    "broken off": (Break(), 2),
    "broken off, but done": (Break(done=True), 2),
    "half closed": (HalfClosed(), 2),
    "half closed, but done": (HalfClosed(done=True), 2),
    "cut short": (CutShort(), 2),
    "slow": (Slow(before_s=2, after_s=2), 2),
}
"""What is done, and to how many requests in a row."""

DONE_ALREADY = {name for name in FAULTS if "done" in name or name == "cut short"}
"""The API server did what was asked, and the operator did not learn of it."""
