"""The client against a real HTTP server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest
from aiohttp import web

from tests.unit.runtime.jumping import dice
from videollm_operator.runtime import errors, kinds, requests
from videollm_operator.runtime.client import Client
from videollm_operator.runtime.credentials import Access, FileToken, StaticToken
from videollm_operator.runtime.transport import USER_AGENT, user_agent

GET = requests.get(kinds.POD, "n", "x")
DELETE = requests.delete(kinds.POD, "n", "x", uid="u")
CREATE = requests.create(kinds.EVENT, "n", {"kind": "Event"})
STATUS = requests.patch_status(
    kinds.DEPLOYMENT, "n", "x", {"replicas": 1}, uid="u", resource_version="1"
)


def status(code, reason="", message="", **details):
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response({**body, "details": details} if details else body, status=code)


class APIServer:
    """Answers requests as planned, then with an object; writes down what was asked."""

    def __init__(self):
        self.plan = []
        self.seen = []
        self.url = ""

    async def handle(self, request):
        self.seen.append((request.method, request.path_qs, dict(request.headers)))
        self.body = await request.read()
        answer = self.plan.pop(0) if self.plan else web.json_response({"kind": "Pod"})
        if callable(answer):
            answer = await answer(request)
        return answer

    @property
    def count(self):
        return len(self.seen)


class Told:
    """An observer that remembers."""

    def __init__(self):
        self.requests = []

    def request(self, verb, resource, code, seconds):
        assert seconds >= 0
        self.requests.append((verb, resource, code))


@pytest.fixture
async def server():
    api = APIServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    yield api
    await runner.cleanup()


@pytest.fixture
def told():
    return Told()


@pytest.fixture
async def client(server, told):
    made = Client(Access(server.url, StaticToken("secret")), told, dice(1))
    yield made
    await made.close()


@pytest.fixture
async def nowhere(told, unused_port):
    made = Client(Access(f"http://127.0.0.1:{unused_port}"), told, dice(1))
    yield made
    await made.close()


@pytest.fixture
async def unused_port():
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    return port


async def test_a_request_says_who_asks_and_for_what(server, client):
    assert await client.get(kinds.POD, "n", "x") == {"kind": "Pod"}
    method, path, headers = server.seen[0]
    assert (method, path) == ("GET", "/api/v1/namespaces/n/pods/x")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["User-Agent"] == USER_AGENT
    assert headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    ("identity", "shown"),
    [
        ("videollm-operator-7d9f-abcde", "videollm-operator-7d9f-abcde"),
        ("höst_(a)\\\r\nX: y", "h_st__a____X:_y"),
    ],
)
async def test_replicas_of_one_account_call_themselves_by_their_names(
    server, told, identity, shown
):
    client = Client(Access(server.url, identity=identity), told, dice(1))
    await client.send(GET)
    await client.close()
    assert server.seen[0][2]["User-Agent"] == f"{USER_AGENT} ({shown})" == user_agent(identity)


async def test_a_body_is_sent_with_its_content_type(server, client):
    await client.send(STATUS)
    assert server.seen[0][2]["Content-Type"] == "application/merge-patch+json"
    assert json.loads(server.body)["status"] == {"replicas": 1}


@pytest.mark.parametrize(
    ("code", "reason", "kind", "transient"),
    [
        (400, "BadRequest", errors.BadRequest, False),
        (401, "Unauthorized", errors.Unauthorized, True),
        (403, "Forbidden", errors.Forbidden, False),
        (404, "NotFound", errors.NotFound, False),
        (409, "Conflict", errors.Conflict, True),
        (409, "AlreadyExists", errors.AlreadyExists, True),
        (410, "Expired", errors.Gone, True),
        (418, "Teapot", errors.APIError, False),
        (422, "Invalid", errors.Invalid, False),
        (500, "InternalError", errors.ServerError, False),
    ],
)
async def test_refusals_are_typed_and_not_repeated(
    server, client, told, code, reason, kind, transient
):
    server.plan = [status(code, reason, "no, because")]
    with pytest.raises(errors.APIError) as refused:
        await client.send(GET)
    error = refused.value
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (code, reason, "no, because")
    assert error.transient is transient
    assert server.count == 1
    assert told.requests == [("get", "pods", str(code))]


async def test_an_apply_meant_for_another_object_is_a_conflict(server, client):
    """As a real API server answers: 422, `metadata.uid: field is immutable`."""
    causes = [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]
    server.plan = [status(422, "Invalid", "metadata.uid is immutable", causes=causes)]
    with pytest.raises(errors.WrongObject) as refused:
        await client.send(STATUS)
    assert refused.value.transient


async def test_a_namespace_that_goes_is_told_from_other_refusals(server, client):
    causes = [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]
    server.plan = [status(403, "Forbidden", "it is being terminated", causes=causes)]
    with pytest.raises(errors.NamespaceTerminating) as refused:
        await client.send(STATUS)
    assert refused.value.transient


async def test_an_answer_of_a_proxy_is_an_error_too(server, client):
    server.plan = [web.Response(status=403, text="<html>blocked</html>")]
    with pytest.raises(errors.Forbidden, match="HTTP status 403"):
        await client.send(GET)


async def test_an_answer_that_is_no_object_is_an_error(server, client):
    server.plan = [web.json_response([1])]
    with pytest.raises(errors.ServerError, match="is no object"):
        await client.send(GET)


@pytest.mark.parametrize("code", [429, 502, 503, 504])
async def test_a_busy_server_is_asked_again(server, client, told, code):
    server.plan = [status(code), status(code)]
    assert await client.send(GET) == {"kind": "Pod"}
    assert [code for _, _, code in told.requests] == [str(code), str(code), "200"]


async def test_retries_end(server, client):
    server.plan = [status(503) for _ in range(10)]
    with pytest.raises(errors.Unavailable):
        await client.send(GET)
    assert server.count == 4


async def test_a_short_retry_after_is_honoured(server, client):
    loop = asyncio.get_running_loop()
    server.plan = [web.json_response({"kind": "Status"}, status=429, headers={"Retry-After": "1"})]
    began = loop.time()
    await client.send(GET)
    assert loop.time() - began >= 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.json_response({}, status=429, headers={"Retry-After": "30"}),
        lambda: status(429, "TooManyRequests", retryAfterSeconds=30),
    ],
)
async def test_a_long_retry_after_is_left_to_the_caller(server, client, answer):
    server.plan = [answer()]
    with pytest.raises(errors.TooManyRequests) as refused:
        await client.send(GET)
    assert refused.value.retry_after == 30
    assert server.count == 1


@pytest.mark.parametrize("header", ["inf", "1e308", "86400"])
async def test_nobody_is_sent_away_for_ever(server, client, header):
    server.plan = [web.json_response({}, status=503, headers={"Retry-After": header})]
    with pytest.raises(errors.Unavailable) as refused:
        await client.send(GET)
    assert refused.value.retry_after == 300


PAGE = "<p>Dienst nicht verfügbar</p>".encode("latin-1")


@pytest.mark.parametrize(
    ("code", "kind"),
    [(200, errors.Unreachable), (500, errors.ServerError), (503, errors.Unavailable)],
)
async def test_a_proxys_page_in_another_character_set_is_no_answer(server, client, code, kind):
    server.plan = [web.Response(status=code, body=PAGE) for _ in range(4)]
    with pytest.raises(kind):
        await client.send(CREATE)


async def test_a_proxys_page_in_the_place_of_a_watch_is_no_event(server, client):
    server.plan = [web.Response(body=PAGE + b"\n")]
    watch = requests.watch_one(kinds.CONFIG_MAP, "n", "x", timeout_seconds=5)
    with pytest.raises(errors.Unreachable):
        _ = [event async for event in client.events(watch)]


async def test_a_retry_after_that_is_a_date_is_no_hindrance(server, client):
    server.plan = [
        web.json_response({}, status=503, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    ]
    assert await client.send(GET) == {"kind": "Pod"}


async def drop(request):
    """Closes the connection instead of answering."""
    request.transport.abort()
    await asyncio.sleep(60)


async def test_a_broken_connection_is_tried_again(server, client, told):
    server.plan = [drop, drop, drop]  # aiohttp tries once more by itself
    assert await client.send(GET) == {"kind": "Pod"}
    assert told.requests == [("get", "pods", "error"), ("get", "pods", "200")]
    assert server.count == 4


async def test_a_write_that_may_have_been_carried_out_is_repeated_only_if_harmless(server, client):
    server.plan = [drop]
    await client.send(STATUS)
    assert server.count == 2
    server.plan = [drop]
    with pytest.raises(errors.Unreachable):
        await client.send(CREATE)
    assert server.count == 3


async def test_a_creation_that_the_server_did_not_take_is_repeated(server, client):
    server.plan = [status(429)]
    await client.send(CREATE)
    assert server.count == 2


async def test_a_creation_after_a_gateway_gave_up_is_not_repeated(server, client):
    server.plan = [status(504)]
    with pytest.raises(errors.Unavailable):
        await client.send(CREATE)
    assert server.count == 1


async def test_a_server_that_is_not_there_is_unreachable(nowhere, told):
    with pytest.raises(errors.NotSent) as failed:
        await nowhere.send(CREATE)
    assert failed.value.transient
    assert "POST /apis/events.k8s.io/v1/namespaces/n/events: " in str(failed.value)
    assert told.requests == [("create", "events", "error")] * 4


async def test_a_server_that_does_not_answer_in_time_is_given_up(server, client):
    async def hang(_):
        await asyncio.sleep(60)

    server.plan = [hang]
    with pytest.raises(errors.TooSlow, match="no answer in time"):
        await client.send(GET, seconds=0.2)
    assert server.count == 1


class Lease:
    """A guard with so many seconds left."""

    def __init__(self, *left):
        self.left = list(left)

    def remaining(self):
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


async def test_nothing_is_written_without_leadership_but_reading_is_free(server, client):
    guarded = client.guarded_by(Lease(0.0))
    with pytest.raises(errors.NotLeader):
        await guarded.send(STATUS)
    assert server.count == 0
    await guarded.send(GET)
    assert server.count == 1


async def test_leadership_is_checked_before_every_attempt(server, client):
    server.plan = [status(503), status(503)]
    with pytest.raises(errors.NotLeader):
        await client.guarded_by(Lease(10.0, 10.0, 0.0)).send(STATUS)
    assert server.count == 1


@pytest.mark.parametrize("request_", [CREATE, STATUS, DELETE], ids=lambda each: each.method)
async def test_leadership_that_ends_while_a_connection_is_made_sends_nothing(
    server, client, request_
):
    with pytest.raises(errors.NotLeader):
        await client.guarded_by(Lease(10.0, 0.0)).send(request_)
    assert server.count == 0
    await client.send(request_)
    assert server.count == 1


async def test_a_request_that_aiohttp_sends_again_by_itself_is_checked_again(server, client):
    server.plan = [web.json_response({}), drop]
    await client.send(DELETE)  # leaves a connection that can be used again
    with pytest.raises(errors.NotLeader):
        await client.guarded_by(Lease(10.0, 10.0, 0.0)).send(DELETE)
    assert server.count == 2


@pytest.mark.skipif(
    not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux can be told to drop what it keeps"
)
@pytest.mark.parametrize("limit", [None, 0.3])
async def test_what_was_not_delivered_in_time_is_never_delivered(told, limit):
    """A server that does not read looks like a network that drops what it should carry."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    listener.setblocking(False)
    client = Client(
        Access(f"http://127.0.0.1:{listener.getsockname()[1]}"),
        told,
        dice(1),
        undelivered_seconds=limit,
    )
    long = requests.create(kinds.EVENT, "n", {"note": "x" * 1_000_000})
    sending = asyncio.create_task(client.send(long, seconds=30))
    connection, _ = await asyncio.get_running_loop().sock_accept(listener)
    done, _ = await asyncio.wait({sending}, timeout=2)
    received = 0
    with connection, listener:
        connection.settimeout(1)
        with contextlib.suppress(ConnectionResetError, TimeoutError):
            while received < 1_000_000 and (
                chunk := await asyncio.to_thread(connection.recv, 1_000_000)
            ):
                received += len(chunk)
    if limit is None:
        assert not done  # so the limit makes the difference
        assert received >= 1_000_000
    else:
        with pytest.raises(errors.Unreachable):
            sending.result()
        assert received < 1_000_000
    await asyncio.wait({sending}, timeout=0)
    sending.cancel()
    await client.close()


async def test_a_write_does_not_outlive_the_lease(server, client):
    async def hang(_):
        await asyncio.sleep(60)

    server.plan = [hang]
    with pytest.raises(errors.TooSlow):
        await client.guarded_by(Lease(0.2)).send(STATUS)


async def test_a_rotated_token_is_taken_up_without_a_failure(server, told, tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    client = Client(Access(server.url, FileToken(path)), told, dice(1))
    await client.send(GET)
    path.write_text("new")
    server.plan = [status(401, "Unauthorized")]
    await client.send(GET)
    await client.send(GET)
    await client.close()
    used = [headers["Authorization"] for _, _, headers in server.seen]
    assert used == ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]


async def test_a_token_that_is_refused_and_not_replaced_is_told(server, told, tmp_path):
    path = tmp_path / "token"
    path.write_text("old")
    client = Client(Access(server.url, FileToken(path)), told, dice(1))
    server.plan = [status(401, "Unauthorized")]
    with pytest.raises(errors.Unauthorized):
        await client.send(GET)
    await client.close()
    assert server.count == 1


async def test_a_list_comes_in_pages(server, client):
    def page(names, token=""):
        return web.json_response(
            {
                "metadata": {"resourceVersion": "70", "continue": token},
                "items": [{"metadata": {"name": name}} for name in names],
            }
        )

    server.plan = [page("ab", "next"), page("c")]
    found = [
        (item["metadata"]["name"], at)
        async for items, at in client.pages(kinds.POD, selector="a=b", metadata_only=True)
        for item in items
    ]
    assert found == [("a", 70), ("b", 70), ("c", 70)]
    assert "continue=next" in server.seen[1][1]


async def test_an_empty_list_has_a_version_too(server, client):
    server.plan = [web.json_response({"metadata": {"resourceVersion": "7"}, "items": None})]
    assert [page async for page in client.pages(kinds.POD)] == [([], 7)]


async def test_a_watch_gives_events_of_any_length(server, client):
    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        long = json.dumps({"type": "ADDED", "object": {"data": "x" * 1_000_000}}).encode()
        for piece in (b'{"type": "AD', b'DED"}\n' + long, b'\n{"type": "DELETED"}\n'):
            await response.write(piece)
        return response

    server.plan = [stream]
    watch = requests.watch_one(kinds.CONFIG_MAP, "n", "x", timeout_seconds=5)
    assert [event["type"] async for event in client.events(watch)] == ["ADDED", "ADDED", "DELETED"]
    assert "fieldSelector=metadata.name%3Dx" in server.seen[0][1]


async def test_a_watch_that_is_refused_or_breaks_is_an_error(server, client):
    watch = requests.watch_one(kinds.CONFIG_MAP, "n", "x", timeout_seconds=5)
    server.plan = [status(403, "Forbidden"), drop, drop]
    with pytest.raises(errors.Forbidden):
        _ = [event async for event in client.events(watch)]
    with pytest.raises(errors.Unreachable):
        _ = [event async for event in client.events(watch)]
