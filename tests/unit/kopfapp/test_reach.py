"""What may not be read is left out, told once, and taken up when it may be read."""

from __future__ import annotations

import asyncio
import logging

import pytest

from videollm_operator.kopfapp.reach import (
    LEFT_OUT_SECONDS,
    Reach,
    ReachChanged,
    find,
    outgrow,
)
from videollm_operator.runtime import errors
from videollm_operator.runtime.settings import Settings

DEPLOYMENTS = "/apis/videollm.io/v1alpha1/namespaces/{}/videollmdeployments"
EVERYWHERE = "/apis/videollm.io/v1alpha1/videollmdeployments"
NODES = "/api/v1/nodes"
FORBIDDEN = errors.Forbidden("not yours", status=403)


class Server:
    """Refuses paths, each with its error for so many seconds."""

    def __init__(self, *refused):
        self.refused = {path: (error, seconds) for path, error, seconds in refused}
        self.asked = []
        self.began = None

    async def send(self, request):
        self.asked.append(request.path)
        now = asyncio.get_running_loop().time()
        self.began = now if self.began is None else self.began
        error, seconds = self.refused.get(request.path, (None, 0))
        if error is not None and now < self.began + seconds:
            raise error
        return {"items": []}


def found(travel, server, **settings):
    return travel(find(server, Settings(**settings)))


def test_everything_is_served_if_everything_may_be_read(travel, caplog):
    server = Server()
    assert found(travel, server) == Reach((), nodes=True)
    assert found(travel, server, namespaces=("a", "b"), nodes=False) == Reach(("a", "b"), False)
    assert server.asked == [EVERYWHERE, NODES, DEPLOYMENTS.format("a"), DEPLOYMENTS.format("b")]
    assert caplog.records == []


def test_a_namespace_that_may_not_be_read_is_left_out_and_told_once(travel, caplog):
    server = Server((DEPLOYMENTS.format("gone"), FORBIDDEN, 1e9))
    assert found(travel, server, namespaces=("a", "gone")).namespaces == ("a",)
    assert [r.message for r in caplog.records] == [
        "VideoLLMDeployments cannot be listed: not yours"
    ]


def test_a_refusal_that_passes_leaves_nothing_out(travel):
    server = Server((DEPLOYMENTS.format("b"), FORBIDDEN, 1.0), (NODES, FORBIDDEN, 3.0))
    assert found(travel, server, namespaces=("a", "b")) == Reach(("a", "b"), nodes=True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.NotFound("no"), "the CustomResourceDefinition of VideoLLMDeployment"),
        (FORBIDDEN, "VideoLLMDeployments cannot be listed: not yours"),
    ],
)
def test_with_nothing_to_read_it_waits_and_says_so_once(travel, caplog, error, said):
    server = Server((EVERYWHERE, error, 60.0))
    assert found(travel, server) == Reach((), nodes=True)
    assert len(server.asked) > 20
    (line,) = caplog.records
    assert line.message.startswith(said)
    assert line.message.endswith("; waiting")


def test_nodes_that_may_not_be_read_are_left_out(travel, caplog):
    assert found(travel, Server((NODES, FORBIDDEN, 1e9))) == Reach((), nodes=False)
    assert "plans use the catalogue's memory" in caplog.text
    # A server that is away says nothing about rights.
    away = Server((NODES, errors.Unreachable("away"), 1e9))
    assert found(travel, away) == Reach((), nodes=True)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (DEPLOYMENTS.format("b"), "namespace 'b' may be read now"),
        (NODES, "nodes may be read now"),
    ],
)
def test_what_may_be_read_again_is_taken_up(travel, caplog, path, said):
    caplog.set_level(logging.DEBUG)
    seconds = 10 * LEFT_OUT_SECONDS
    server = Server((path, FORBIDDEN, seconds))
    settings = Settings(namespaces=("a", "b"))

    async def main():
        reach = await find(server, settings)
        with pytest.raises(ReachChanged, match=said):
            await outgrow(server, settings, reach)
        return asyncio.get_running_loop().time() - server.began

    assert seconds <= travel(main()) < seconds + 3 * LEFT_OUT_SECONDS


def test_nothing_is_asked_while_nothing_is_left_out(travel):
    server = Server()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(20 * LEFT_OUT_SECONDS):
                await outgrow(server, Settings(), Reach((), nodes=True))

    travel(main())
    assert server.asked == []
