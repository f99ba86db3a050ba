"""HTTP sessions to the API server: authorization, TLS, and counting of every request.

One kind of session for everybody: our own client, and Kopf's watches. So a rotated token and a
counted request are solved here, once.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING, Protocol

import aiohttp

from videollm_operator import __version__
from videollm_operator.runtime.requests import describe

if TYPE_CHECKING:
    from types import SimpleNamespace

    from aiohttp import AddrInfoType, SocketFactoryType
    from aiohttp.client_middlewares import ClientHandlerType, ClientMiddlewareType

    from videollm_operator.runtime.credentials import Access

USER_AGENT = f"videollm-operator/{__version__}"
MAX_CONNECTIONS = 32

_UNFIT = re.compile(r"[^!-~]|[()\\\\]")
"""What a comment in a User-Agent cannot hold."""


class Observer(Protocol):
    """Is told of every request."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request was answered, or not: then `code` is `error`."""


def user_agent(identity: str) -> str:
    """How a process calls itself, so that the audit log tells replicas of one account apart."""
    return f"{USER_AGENT} ({_UNFIT.sub('_', identity)})" if identity else USER_AGENT


def session(
    access: Access,
    observer: Observer,
    *before: ClientMiddlewareType,
    undelivered_seconds: float | None = None,
) -> aiohttp.ClientSession:
    """A new session; whoever asks for it closes it.

    Args:
        access: where the API server is, and who we are.
        observer: is told of every request.
        before: middlewares through which requests pass first.
        undelivered_seconds: how long the system may try to deliver what was sent, even after this
            process has given the request up or is stopped; None: until it loses patience, which
            takes minutes. Linux only.

    Raises:
        CredentialsError: if a certificate or key cannot be read.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=access.ssl_context() if access.server.startswith("https:") else True,
            limit=MAX_CONNECTIONS,
            socket_factory=_impatient(undelivered_seconds) if undelivered_seconds else None,
        ),
        headers={"User-Agent": user_agent(access.identity)},
        proxy=access.proxy or None,
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[_tracing(observer)],
        middlewares=[*before, _Authorization(access)],
    )


def _impatient(seconds: float) -> SocketFactoryType:
    """Makes sockets that drop what is not acknowledged in time."""

    def make(address: AddrInfoType) -> socket.socket:
        made = socket.socket(*address[:3])
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = max(1, int(seconds * 1000))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return made

    return make


class _Authorization:
    """Adds the token to each request; tries once more if a newer token is there after a 401."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType
    ) -> aiohttp.ClientResponse:
        token = self._access.token.current()
        response = await self._send(request, handler, token)
        if response.status == 401 and token and self._access.token.refused(token):
            response.close()
            response = await self._send(request, handler, self._access.token.current())
        return response

    async def _send(
        self, request: aiohttp.ClientRequest, handler: ClientHandlerType, token: str
    ) -> aiohttp.ClientResponse:
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        if self._access.server_name:
            request.server_hostname = self._access.server_name
        return await handler(request)


def _tracing(observer: Observer) -> aiohttp.TraceConfig:
    tracing = aiohttp.TraceConfig()

    async def start(
        _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams
    ) -> None:
        context.began = asyncio.get_running_loop().time()

    async def end(
        _: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        tell(context, params.method, str(params.url), str(params.response.status))

    async def failed(
        _: aiohttp.ClientSession,
        context: SimpleNamespace,
        params: aiohttp.TraceRequestExceptionParams,
    ) -> None:
        tell(context, params.method, str(params.url), "error")

    def tell(context: SimpleNamespace, method: str, url: str, code: str) -> None:
        verb, resource = describe(method, url)
        observer.request(verb, resource, code, asyncio.get_running_loop().time() - context.began)

    tracing.on_request_start.append(start)
    tracing.on_request_end.append(end)
    tracing.on_request_exception.append(failed)
    return tracing
