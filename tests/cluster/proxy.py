"""A program between operator and API server that does what networks and servers do.

An operator is started with the proxy as its API server (`local_operator.start(server=...)`). The
proxy writes down each request, forwards it with the operator's own credentials, and does what the
first rule says that is due for it; see `proxy_actions`. Watches that are open, and the line as a
whole, are held, broken and mended by methods.

It runs in a thread with an event loop of its own. Its methods may be called from any thread but
that one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from tests.cluster.proxy_exchange import Answer, Exchange, Seen, Stream
from videollm_operator.runtime import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from devcluster.target import Target
    from tests.cluster.proxy_actions import Action, Late

T = TypeVar("T")

_STARTS_IN_S = 30.0


@dataclass
class Rule:
    """What is done to which requests.

    Attributes:
        action: what is done.
        path: pattern of the path, as of file names: `*/statefulsets/*`.
        methods: HTTP methods; empty for all.
        writes: only what changes something, renewals of a Lease left out.
        watch: only watches, or only others; None for both.
        nth: the first matching request to which it is done, counted from 1.
        times: to how many it is done from there on.
        matched: how many have matched so far.
    """

    action: Action
    path: str = "*"
    methods: Collection[str] = ()
    writes: bool = False
    watch: bool | None = None
    nth: int = 1
    times: float = float("inf")
    matched: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        # Hundreds of rules are asked about each request, more than fnmatch keeps compiled.
        self._fits = re.compile(translate(self.path)).match

    def due(self, seen: Seen) -> bool:
        """Counts a request if it matches; whether something is done to it."""
        if not (
            (not self.writes or (seen.write and not seen.lease))
            and (not self.methods or seen.method in self.methods)
            and self.watch in (None, seen.watch)
            and self._fits(seen.path)
        ):
            return False
        self.matched += 1
        return self.nth <= self.matched < self.nth + self.times


class Proxy:
    """One proxy; a context manager.

    Args:
        cluster: whose API server it stands before.

    Attributes:
        seen: all requests so far, oldest first.
    """

    def __init__(self, cluster: Target) -> None:
        self.seen: list[Seen] = []
        self._access = kubeconfig.load([cluster.kubeconfig])
        self._numbers = itertools.count(1)
        self._rules: list[Rule] = []
        self._streams: list[Stream] = []
        self._later: set[asyncio.Future[Answer]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._port = 0

    @property
    def server(self) -> str:
        """URL for an operator's kubeconfig."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What was seen

    def writes(self) -> list[Seen]:
        """The requests so far that change something, renewals of a Lease left out."""
        return [seen for seen in list(self.seen) if seen.write and not seen.lease]

    # What is done to requests that come from now on

    def add(self, *rules: Rule) -> None:
        """Puts rules after those that are there; of those that are due the first one acts."""
        self._do(lambda: self._rules.extend(rules))

    def clear(self) -> None:
        """Forgets all rules; what they hold back stays held back."""
        self._do(self._rules.clear)

    def let_go(self, late: Late) -> None:
        """Forwards what came late, and whatever comes to it from now on."""
        self._do(late.go.set)

    # What is done to watches that are open now

    def watched(self) -> set[str]:
        """Plurals of the kinds that a watch is open for."""
        found: set[str] = set()
        self._each("*", lambda stream: found.add(stream.seen.path.rsplit("/", 1)[1]))
        return found

    def end_watches(self, path: str = "*") -> int:
        """Ends streams as a server does when their time is over; returns how many."""
        return self._each(path, lambda stream: stream.end())

    def expire_watches(self, path: str = "*") -> int:
        """Ends streams by the event that says that their resource version is too old."""
        return self._each(path, lambda stream: stream.end(EXPIRED))

    def break_watches(self, path: str = "*") -> int:
        """Breaks their connections off."""
        return self._each(path, lambda stream: stream.abort())

    def hold_watches(self, path: str = "*") -> int:
        """Delivers nothing more until `release_watches`; connections stay open."""
        return self._each(path, lambda stream: stream.flow.clear())

    def silence_watches(self, path: str = "*") -> int:
        """Swallows everything from now on; connections stay open."""
        return self._each(path, lambda stream: stream.silence())

    def release_watches(self, path: str = "*") -> int:
        """Delivers what was held back, and goes on."""
        return self._each(path, lambda stream: stream.flow.set())

    # What is done to the whole line

    def refuse_all(self) -> None:
        """Breaks all connections off and refuses new ones, until `restore`."""
        self._call(self._refuse())

    def hang_all(self) -> None:
        """Nothing passes until `restore`; connections stay open and new ones are taken."""
        self._do(self._line.clear)

    def restore(self) -> None:
        """Ends `refuse_all` and `hang_all`; what was held back passes now."""
        self._call(self._restore())

    # Inside the thread

    async def _open(self) -> None:
        self._line = asyncio.Event()
        self._line.set()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # Whoever hangs up is not waited for: a request that was not forwarded yet never is.
        self._web = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(self._web, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()
        self._port = self._runner.addresses[0][1]

    async def _refuse(self) -> None:
        await self._site.stop()
        for connection in self._web.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _restore(self) -> None:
        self._line.set()
        if self._site not in self._runner.sites:
            await self._listen()

    async def _close(self) -> None:
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._session.close()
        await asyncio.sleep(0.05)  # TLS connections are closed a few turns of the loop later

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        await self._line.wait()
        seen = Seen(
            next(self._numbers),
            time.monotonic(),
            request.method,
            request.path,
            dict(request.query),
            body,
        )
        self.seen.append(seen)
        due = [rule for rule in self._rules if rule.due(seen)]
        target = URL(self._access.server + request.raw_path, encoded=True)
        exchange = Exchange(
            request, seen, self._session, target, self._line, self._streams, self._later
        )
        if not due:
            return await exchange.through()
        seen.fault = type(due[0].action).__name__
        return await due[0].action(exchange)

    # From other threads

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STARTS_IN_S)

    def _do(self, work: Callable[[], object]) -> None:
        async def done() -> None:
            work()

        self._call(done())

    def _each(self, path: str, do: Callable[[Stream], object]) -> int:
        async def done() -> int:
            found = [stream for stream in self._streams if fnmatchcase(stream.seen.path, path)]
            for stream in found:
                do(stream)
            return len(found)

        return self._call(done())


EXPIRED = json.dumps(
    {
        "type": "ERROR",
        "object": {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "reason": "Expired",
            "code": 410,
            "message": "too old resource version",
        },
    }
).encode()
"""The event by which a watch ends whose resource version is too old."""
