"""What the proxy can do to a request.

An action is called with the exchange instead of passing it on. Tests may bring their own: any
coroutine function of an `Exchange` will do.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tests.cluster.proxy_exchange import Answer, Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class Action(Protocol):
    """What is done to a request."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Does it; returns what is answered."""


@dataclass(frozen=True)
class Refuse:
    """The API server is not asked; this is answered.

    Attributes:
        status: HTTP status.
        reason: of the Status object; by default the one that goes with the status.
        message: its sentence.
        headers: such as Retry-After.
        body: answered instead of a Status object.
    """

    status: int
    reason: str = ""
    message: str = "injected by the test"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Answers."""
        status = {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "reason": self.reason or REASONS.get(self.status, ""),
            "code": self.status,
            "message": self.message,
        }
        body = json.dumps(status).encode() if self.body is None else self.body
        headers = {"Content-Type": "application/json", **self.headers}
        return await exchange.give(Answer(self.status, headers, body))


@dataclass(frozen=True)
class Slow:
    """It takes long: before it reaches the API server, or after that."""

    before_s: float = 0.0
    after_s: float = 0.0

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Waits; whoever hangs up before it was forwarded has asked for nothing."""
        await asyncio.sleep(self.before_s)
        if exchange.seen.watch:
            return await exchange.stream()
        answer = await exchange.forward()
        await asyncio.sleep(self.after_s)
        return await exchange.give(answer)


@dataclass(frozen=True)
class NoAnswer:
    """Nothing comes back for as long as the operator waits.

    Attributes:
        done: whether the API server does what was asked.
    """

    done: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Never returns."""
        if self.done:
            await exchange.forward()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


@dataclass(frozen=True)
class Late:
    """It reaches the API server only by `Proxy.let_go`, even if nobody waits for it any more.

    Attributes:
        go: set when it may go.
        wait: whether the operator is kept waiting; else the connection breaks at once.
    """

    go: asyncio.Event = field(default_factory=asyncio.Event)
    wait: bool = True

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Waits for the test, then passes it on."""
        later = asyncio.ensure_future(self._do(exchange))
        if not self.wait:
            exchange.keep(later)
            exchange.abort()
        return await exchange.give(await asyncio.shield(later))

    async def _do(self, exchange: Exchange) -> Answer:
        await self.go.wait()
        return await exchange.forward()


@dataclass(frozen=True)
class Break:
    """The connection breaks.

    Attributes:
        done: after the API server did what was asked, else before.
    """

    done: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Breaks it."""
        if self.done:
            await exchange.forward()
        exchange.abort()


@dataclass(frozen=True)
class CutShort:
    """The API server does it, but its answer breaks off in the middle."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Sends half of the answer."""
        answer = await exchange.forward()
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(answer.body)
        await response.prepare(exchange.request)
        await response.write(answer.body[: len(answer.body) // 2])
        if exchange.request.transport is not None:
            exchange.request.transport.close()  # sends what was written
        raise asyncio.CancelledError


@dataclass(frozen=True)
class Hook:
    """The test is told when the API server has done it.

    Attributes:
        call: what is called, in the proxy's thread; nothing passes until it returns.
        answer: whether an answer is given; else the connection breaks.
        answer_first: whether it is called only when the answer has left the proxy.
    """

    call: Callable[[Exchange], object]
    answer: bool = True
    answer_first: bool = False

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Forwards, calls, answers."""
        answer = await exchange.forward()
        if self.answer_first:
            response = await exchange.give(answer)
            await response.prepare(exchange.request)
            await response.write_eof()
            self.call(exchange)
            return response
        self.call(exchange)
        if not self.answer:
            exchange.abort()
        return await exchange.give(answer)


@dataclass(frozen=True)
class Held:
    """A watch that begins, but of which nothing comes until `Proxy.release_watches`."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Begins it."""
        return await exchange.stream(flowing=False)


@dataclass(frozen=True)
class Silent:
    """A watch that begins, but of which nothing ever comes."""

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Begins it."""
        return await exchange.stream(silent=True)
