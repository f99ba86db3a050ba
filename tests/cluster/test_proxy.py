"""The proxy between operator and API server does what its rules say, and nothing else."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from hack import local_operator
from tests.cluster.proxy import Proxy, Rule
from tests.cluster.proxy_actions import (
    Break,
    CutShort,
    Held,
    Hook,
    Late,
    NoAnswer,
    Refuse,
    Silent,
    Slow,
)
from tests.cluster.world import Namespace, audit_mark, by_operator, vld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from devcluster.target import Target
    from tests.cluster.proxy_exchange import Exchange

pytestmark = pytest.mark.cluster

LONG_S = 30.0
MOMENT_S = 0.3


@pytest.fixture(scope="module")
def namespace(cluster: Target) -> Iterator[str]:
    name = f"proxy-{uuid.uuid4().hex[:6]}"
    cluster.create_namespace(name)
    account = ["serviceaccount", "admin", "-n", name]
    cluster.kubectl("create", *account)
    cluster.kubectl(
        "create", "rolebinding", "admin", "-n", name, "--clusterrole=cluster-admin",
        f"--serviceaccount={name}:admin",
    )  # fmt: skip
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def token(cluster: Target, namespace: str) -> str:
    return cluster.kubectl("create", "token", "admin", "-n", namespace).strip()


class Client:
    """Someone who talks to the API server through a proxy."""

    def __init__(self, session: aiohttp.ClientSession, proxy: Proxy, namespace: str) -> None:
        self.session = session
        self.maps = f"{proxy.server}/api/v1/namespaces/{namespace}/configmaps"

    async def create(self, name: str) -> int:
        body = {"metadata": {"name": name}, "data": {"long": "x" * 2000}}
        async with self.session.post(self.maps, json=body) as answer:
            await answer.read()
            return answer.status

    async def get(self, name: str) -> dict[str, Any]:
        async with self.session.get(f"{self.maps}/{name}") as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def exists(self, name: str) -> bool:
        return (await self.get(name))["kind"] == "ConfigMap"

    async def watch(self, name: str) -> AsyncIterator[dict[str, Any]]:
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}"}
        async with self.session.get(self.maps, params=query) as answer:
            assert answer.status == 200
            async for line in answer.content:
                yield json.loads(line)


@pytest.fixture
async def client(proxy: Proxy, namespace: str, token: str) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=LONG_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Client(session, proxy, namespace)


async def moment(coroutine: Any) -> Any:
    """Waits for what must not come; raises TimeoutError as it should."""
    return await asyncio.wait_for(coroutine, MOMENT_S)


async def test_without_rules_it_passes_all_and_writes_it_down(proxy, client) -> None:
    assert await client.create("plain") == 201
    assert (await client.get("plain"))["data"]["long"] == "x" * 2000
    assert await client.create("plain") == 409
    assert [(s.method, s.status, s.write, s.fault) for s in proxy.seen] == [
        ("POST", 201, True, ""),
        ("GET", 200, False, ""),
        ("POST", 409, True, ""),
    ]
    assert [s.status for s in proxy.writes()] == [201, 409]


async def test_credentials_are_those_of_whoever_asks(client) -> None:
    async with aiohttp.ClientSession() as nobody, nobody.get(client.maps) as answer:
        assert answer.status == 403
        assert "system:anonymous" in (await answer.json())["message"]


async def test_a_refusal_comes_at_the_nth_write_and_as_often_as_said(proxy, client) -> None:
    proxy.add(Rule(Refuse(429, headers={"Retry-After": "7"}), writes=True, nth=2, times=2))
    assert [await client.create(f"nth-{n}") for n in range(4)] == [201, 429, 429, 201]
    assert [await client.exists(f"nth-{n}") for n in range(4)] == [True, False, False, True]
    assert [s.fault for s in proxy.writes()] == ["", "Refuse", "Refuse", ""]


async def test_a_rule_is_for_the_paths_methods_and_watches_it_names(proxy, client) -> None:
    proxy.add(
        Rule(Refuse(503), path="*/secrets*"),
        Rule(Refuse(503), methods=["DELETE"]),
        Rule(Refuse(503), watch=True),
    )
    assert await client.create("named") == 201
    proxy.add(Rule(Refuse(401, message="expired"), path="*/configmaps/named", watch=False))
    answer = await client.get("named")
    assert (answer["code"], answer["reason"], answer["message"]) == (401, "Unauthorized", "expired")
    proxy.clear()
    assert await client.exists("named")


async def test_of_two_rules_that_are_due_the_first_acts(proxy, client) -> None:
    proxy.add(Rule(Refuse(500), nth=2, times=1), Rule(Refuse(503)))
    assert [await client.create("two") for _ in range(3)] == [503, 500, 503]


@pytest.mark.parametrize(
    ("action", "done"),
    [
        (Break(), False),
        (Break(done=True), True),
        (CutShort(), True),
        (Hook(lambda exchange: None, answer=False), True),
    ],
    ids=["before", "after", "cut-short", "unanswered"],
)
async def test_a_broken_connection_before_or_after_it_was_done(proxy, client, action, done) -> None:
    name = f"broken-{uuid.uuid4().hex[:6]}"
    proxy.add(Rule(action, writes=True, times=1))
    with pytest.raises(aiohttp.ClientError):
        await client.create(name)
    assert await client.exists(name) is done


@pytest.mark.parametrize("done", [False, True])
async def test_no_answer_for_as_long_as_one_waits(proxy, client, done) -> None:
    name = f"unanswered-{done}".lower()
    proxy.add(Rule(NoAnswer(done=done), writes=True))
    with pytest.raises(TimeoutError):
        await moment(client.create(name))
    assert await client.exists(name) is done


async def test_a_slow_answer_comes_in_the_end(proxy, client) -> None:
    proxy.add(Rule(Slow(before_s=MOMENT_S, after_s=MOMENT_S), writes=True))
    began = asyncio.get_running_loop().time()
    assert await client.create("slow") == 201
    assert asyncio.get_running_loop().time() - began >= 2 * MOMENT_S


async def test_what_was_given_up_before_it_was_forwarded_never_is(proxy, client) -> None:
    proxy.add(Rule(Slow(before_s=2 * MOMENT_S), writes=True, times=1))
    with pytest.raises(TimeoutError):
        await moment(client.create("given-up"))
    await asyncio.sleep(2 * MOMENT_S)
    assert not await client.exists("given-up")


@pytest.mark.parametrize(
    ("late", "outcome"),
    [(Late(), TimeoutError), (Late(wait=False), aiohttp.ClientError)],
    ids=["waiting", "broken-off"],
)
async def test_a_late_write_is_done_when_nobody_waits_for_it_any_more(
    proxy, client, late, outcome
) -> None:
    name = f"late-{late.wait}".lower()
    proxy.add(Rule(late, writes=True))
    with pytest.raises(outcome):
        await moment(client.create(name))
    assert not await client.exists(name)
    proxy.let_go(late)
    events = client.watch(name)
    assert (await anext(events))["type"] == "ADDED"
    await events.aclose()


@pytest.mark.parametrize("first", [False, True])
async def test_a_hook_is_called_when_it_is_done(proxy, client, first) -> None:
    told: list[int] = []

    def take(exchange: Exchange) -> None:
        told.append(exchange.seen.status)

    proxy.add(Rule(Hook(take, answer_first=first), writes=True, nth=2, times=1))
    names = [f"hook-{first}-{number}".lower() for number in range(3)]
    assert [await client.create(name) for name in names] == [201, 201, 201]
    assert told == [201]


async def test_watches_are_held_and_released(proxy, client) -> None:
    await client.create("held")
    events = client.watch("held")
    assert (await anext(events))["type"] == "ADDED"
    assert proxy.hold_watches("*/configmaps") == 1
    later = asyncio.ensure_future(anext(events))
    async with client.session.delete(f"{client.maps}/held"):
        pass
    done, _ = await asyncio.wait([later], timeout=MOMENT_S)
    assert not done
    proxy.release_watches()
    assert (await later)["type"] == "DELETED"
    await events.aclose()


@pytest.mark.parametrize("action", [Held(), Silent()], ids=["held", "silent"])
async def test_watches_may_begin_without_a_word(proxy, client, action) -> None:
    await client.create("begin")
    proxy.add(Rule(action, watch=True))
    events = client.watch("begin")
    first = asyncio.ensure_future(anext(events))
    done, _ = await asyncio.wait([first], timeout=MOMENT_S)
    assert not done
    assert proxy.release_watches() == 1
    done, _ = await asyncio.wait([first], timeout=MOMENT_S)
    assert bool(done) is isinstance(action, Held)
    first.cancel()


async def test_watches_fall_silent_and_end(proxy, client) -> None:
    await client.create("silent")
    one, two, three = (client.watch("silent") for _ in range(3))
    for events in (one, two):
        await anext(events)
    assert proxy.silence_watches() == 2
    await anext(three)
    quiet = asyncio.ensure_future(anext(one))
    async with client.session.delete(f"{client.maps}/silent"):
        pass
    assert (await anext(three))["type"] == "DELETED"
    assert not quiet.done()
    assert proxy.end_watches() == 3
    for events in (two, three):
        assert [event async for event in events] == []
    with pytest.raises(StopAsyncIteration):
        await quiet


async def test_watches_end_with_the_event_that_they_are_too_old(proxy, client) -> None:
    await client.create("old")
    events = client.watch("old")
    await anext(events)
    proxy.expire_watches()
    (last,) = [event async for event in events]
    assert (last["type"], last["object"]["code"]) == ("ERROR", 410)


async def test_watches_break(proxy, client) -> None:
    await client.create("break")
    events = client.watch("break")
    await anext(events)
    proxy.break_watches()
    with pytest.raises(aiohttp.ClientError):
        await anext(events)


async def test_the_line_is_refused_and_restored(proxy, client) -> None:
    await client.create("refused")
    events = client.watch("refused")
    await anext(events)
    proxy.refuse_all()
    with pytest.raises(aiohttp.ClientError):
        await anext(events)
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.exists("refused")
    proxy.restore()
    assert await client.exists("refused")


async def test_the_line_hangs_and_is_restored(proxy, client) -> None:
    await client.create("hangs")
    events = client.watch("hangs")
    await anext(events)
    proxy.hang_all()
    waiting = asyncio.ensure_future(client.exists("hangs"))
    with pytest.raises(TimeoutError):
        await moment(client.create("given-up-on"))
    assert not waiting.done()
    proxy.restore()
    assert await waiting
    assert not await client.exists("given-up-on")
    async with client.session.delete(f"{client.maps}/hangs"):
        pass
    assert (await anext(events))["type"] == "DELETED"
    await events.aclose()


def test_an_operator_works_through_it(space: Namespace, proxy: Proxy) -> None:
    mark = audit_mark(space.cluster)
    name = f"operator-{uuid.uuid4().hex[:6]}"
    running = local_operator.start(space.cluster, name=name, server=proxy.server)
    try:
        space.apply(vld())
        space.until_ready()
        writes = [r for r in by_operator(space.cluster, mark) if r.write]
        seen = [s for s in proxy.writes() if s.status]
        assert [(s.path, s.status) for s in seen] == [(w.uri.split("?")[0], w.code) for w in writes]
        assert len(seen) >= 6
    finally:
        running.stop()
