"""One request on its way through the proxy, and one watch that is open."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from yarl import URL

_NOT_PASSED_ON = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "accept-encoding"}
)


@dataclass
class Seen:
    """What is known of a request.

    Attributes:
        number: the how manyth of this proxy.
        time: when it came, by the monotonic clock.
        method: HTTP method.
        path: path of the URL.
        query: its query.
        body: as sent.
        status: what the API server answered; 0 if it did not, or was not asked.
        fault: name of the action that was taken; empty if it passed.
    """

    number: int
    time: float
    method: str
    path: str
    query: Mapping[str, str]
    body: bytes = field(repr=False)
    status: int = 0
    fault: str = ""

    @property
    def watch(self) -> bool:
        """Whether it is a watch."""
        return self.query.get("watch") in {"true", "1"}

    @property
    def write(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"

    @property
    def lease(self) -> bool:
        """Whether it is about a Lease."""
        return "/leases" in self.path


@dataclass(frozen=True)
class Answer:
    """What the API server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """One request, for actions to deal with.

    Attributes:
        request: as it came.
        seen: what is written down about it.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        seen: Seen,
        session: aiohttp.ClientSession,
        target: URL,
        line: asyncio.Event,
        streams: list[Stream],
        later: set[asyncio.Future[Answer]],
    ) -> None:
        self.request = request
        self.seen = seen
        self._session = session
        self._target = target
        self._line = line
        self._streams = streams
        self._later = later

    async def forward(self) -> Answer:
        """Has the API server carry it out, even if whoever asked hangs up meanwhile."""
        return await asyncio.shield(asyncio.ensure_future(self._forward()))

    async def through(self) -> web.StreamResponse:
        """Passes it on, and the answer back, as if there were no proxy."""
        if self.seen.watch:
            return await self.stream()
        return await self.give(await self.forward())

    async def give(self, answer: Answer) -> web.StreamResponse:
        """Gives an answer."""
        await self._line.wait()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def stream(self, *, flowing: bool = True, silent: bool = False) -> web.StreamResponse:
        """Begins a watch and passes its events on.

        Args:
            flowing: whether events pass from the beginning; else they are held back.
            silent: whether all are swallowed.
        """
        async with self._ask() as upstream:
            self.seen.status = upstream.status
            if upstream.status != 200:
                answer = Answer(upstream.status, _kept(upstream.headers), await upstream.read())
                return await self.give(answer)
            response = web.StreamResponse(status=200, headers=_kept(upstream.headers))
            await response.prepare(self.request)
            stream = Stream(self, response)
            if not flowing:
                stream.flow.clear()
            if silent:
                stream.silence()
            self._streams.append(stream)
            try:
                await stream.run(upstream.content, self._line)
            finally:
                self._streams.remove(stream)
            return response

    def keep(self, later: asyncio.Future[Answer]) -> None:
        """Keeps a task alive that goes on when this request is over."""
        self._later.add(later)
        later.add_done_callback(self._later.discard)

    def abort(self) -> NoReturn:
        """Breaks the connection off."""
        self.hang_up()
        # How the server is told that there is nobody to answer any more.
        raise asyncio.CancelledError

    def hang_up(self) -> None:
        """Breaks the connection off, from outside of its handler."""
        if self.request.transport is not None:
            self.request.transport.abort()

    async def _forward(self) -> Answer:
        async with self._ask() as upstream:
            body = await upstream.read()
            self.seen.status = upstream.status
            return Answer(upstream.status, _kept(upstream.headers), body)

    @contextlib.asynccontextmanager
    async def _ask(self) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                self.seen.method,
                self._target,
                data=self.seen.body or None,
                headers=_kept(self.request.headers),
                skip_auto_headers={"User-Agent", "Accept-Encoding", "Content-Type"},
                allow_redirects=False,
            ) as upstream:
                yield upstream
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            self.abort()


class Stream:
    """One open watch.

    Attributes:
        seen: the request that began it.
        flow: set while events pass.
    """

    def __init__(self, exchange: Exchange, response: web.StreamResponse) -> None:
        self.seen = exchange.seen
        self.flow = asyncio.Event()
        self.flow.set()
        self._exchange = exchange
        self._response = response
        self._silent = False
        self._end = asyncio.Event()
        self._last = b""

    def end(self, last: bytes = b"") -> None:
        """Ends it after the events that have passed; `last` is one more."""
        self._last = last
        self._end.set()

    def silence(self) -> None:
        """Lets no further event pass, for good."""
        self._silent = True

    def abort(self) -> None:
        """Breaks its connection off."""
        self._exchange.hang_up()

    async def run(self, events: aiohttp.StreamReader, line: asyncio.Event) -> None:
        """Passes events on, whole ones only, until one side or a test ends it."""
        pump = asyncio.ensure_future(self._pump(events, line))
        ended = asyncio.ensure_future(self._end.wait())
        try:
            await asyncio.wait({pump, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and self._last:
                await self._response.write(self._last + b"\n")
            elif pump.done():
                pump.result()
        finally:
            for task in (pump, ended):
                task.cancel()
            await asyncio.gather(pump, ended, return_exceptions=True)

    async def _pump(self, events: aiohttp.StreamReader, line: asyncio.Event) -> None:
        rest = b""
        async for chunk in events.iter_any():
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            await self.flow.wait()
            await line.wait()
            if newline and not self._silent:
                await self._response.write(whole + newline)
        if self._silent:
            await asyncio.Event().wait()  # whoever watches does not even learn of the end
        await self.flow.wait()


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
