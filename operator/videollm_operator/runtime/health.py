"""The HTTP endpoints: /healthz, /readyz and /metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from videollm_operator.runtime.metrics import Metrics

_BEAT_SECONDS = 1.0
_STALE_SECONDS = 15.0
"""An event loop that did not come round for this long is stuck."""


@dataclass
class Health:
    """What the process knows about its own state.

    Attributes:
        checks: what must hold for the process to be healthy, by name; each returns what is wrong,
            or nothing.
        waiting_for: what it waits for before it is ready; returns nothing once it is.
        role: `leader` or `standby`.
    """

    checks: dict[str, Callable[[], str]] = field(default_factory=dict)
    waiting_for: Callable[[], str] = lambda: "start-up"
    role: str = "standby"
    _beat: float = 0.0

    async def beat(self) -> None:
        """Notes that the event loop comes round, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._beat = loop.time()
            await asyncio.sleep(_BEAT_SECONDS)

    def problems(self) -> Mapping[str, str]:
        """What is wrong, by name of the check; empty if the process is healthy."""
        found = {name: check() for name, check in self.checks.items()}
        late = asyncio.get_running_loop().time() - self._beat
        if self._beat and late > _STALE_SECONDS:
            found["event loop"] = f"did not come round for {late:.0f} s"
        return {name: problem for name, problem in found.items() if problem}


class Server:
    """Serves the endpoints.

    Args:
        health: what /healthz and /readyz say.
        metrics: what /metrics says.
        health_port: TCP port of /healthz and /readyz; 0: none.
        metrics_port: TCP port of /metrics; 0: none; may be the same.
    """

    def __init__(
        self, health: Health, metrics: Metrics, *, health_port: int, metrics_port: int
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._ports: dict[int, list[web.RouteDef]] = {}
        if health_port:
            self._ports[health_port] = [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        if metrics_port:
            self._ports.setdefault(metrics_port, []).append(web.get("/metrics", self._text))
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Opens the ports.

        Raises:
            OSError: if one is taken.
        """
        for port, routes in self._ports.items():
            app = web.Application()
            app.add_routes(routes)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            self._runners.append(runner)
            await web.TCPSite(runner, port=port, reuse_address=True).start()

    async def stop(self) -> None:
        """Closes the ports."""
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()

    async def _healthz(self, _: web.Request) -> web.Response:
        problems = self._health.problems()
        if problems:
            text = "".join(f"{name}: {problem}\n" for name, problem in problems.items())
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        waiting_for = self._health.waiting_for()
        if waiting_for:
            return web.Response(status=503, text=f"waiting for {waiting_for}\n")
        return web.Response(text=f"{self._health.role}\n")

    async def _text(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.text(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
