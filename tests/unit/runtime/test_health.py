from __future__ import annotations

import asyncio

import aiohttp
import pytest

from videollm_operator.runtime.health import Health, Server
from videollm_operator.runtime.metrics import Metrics


async def free_ports(count):
    listeners = [await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) for _ in range(count)]
    ports = [listener.sockets[0].getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
        await listener.wait_closed()
    return ports


@pytest.fixture
async def served():
    health, metrics = Health(), Metrics()
    health_port, metrics_port = await free_ports(2)
    server = Server(health, metrics, health_port=health_port, metrics_port=metrics_port)
    await server.start()
    async with aiohttp.ClientSession() as session:

        async def get(path):
            port = metrics_port if path == "/metrics" else health_port
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, await response.text()

        yield health, metrics, get
    await server.stop()


async def test_a_healthy_process_says_ok(served):
    _, _, get = served
    assert await get("/healthz") == (200, "ok\n")


async def test_what_is_wrong_is_said(served):
    health, _, get = served
    health.checks = {"workers": lambda: "a worker ended", "watches": lambda: ""}
    assert await get("/healthz") == (503, "workers: a worker ended\n")


async def test_it_is_not_ready_as_long_as_it_waits(served):
    health, _, get = served
    assert await get("/readyz") == (503, "waiting for start-up\n")
    health.waiting_for = lambda: ""
    assert await get("/readyz") == (200, "standby\n")
    health.role = "leader"
    assert await get("/readyz") == (200, "leader\n")


async def test_metrics_are_served_as_prometheus_reads_them(served):
    _, metrics, get = served
    metrics.request("list", "pods", "200", 0.1)
    status, text = await get("/metrics")
    assert status == 200
    assert 'videollm_api_requests_total{code="200",resource="pods",verb="list"} 1.0' in text


async def test_health_and_metrics_can_share_a_port_or_be_off():
    (port,) = await free_ports(1)
    server = Server(Health(), Metrics(), health_port=port, metrics_port=port)
    await server.start()
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/metrics"):
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                assert response.status == 200
    await server.stop()
    nothing = Server(Health(), Metrics(), health_port=0, metrics_port=0)
    await nothing.start()
    await nothing.stop()


async def test_a_port_that_is_taken_is_an_error():
    taken = await asyncio.start_server(lambda *_: None, None, 0)
    port = taken.sockets[0].getsockname()[1]
    server = Server(Health(), Metrics(), health_port=port, metrics_port=0)
    with pytest.raises(OSError, match="in use"):
        await server.start()
    await server.stop()
    taken.close()


def test_an_event_loop_that_does_not_come_round_is_unhealthy(travel):
    async def main():
        health = Health()
        beating = asyncio.create_task(health.beat())
        await asyncio.sleep(100)
        well = health.problems()
        beating.cancel()
        await asyncio.sleep(20)
        return well, health.problems()

    well, stuck = travel(main())
    assert well == {}
    assert "did not come round" in stuck["event loop"]
