"""The API client: sends what `runtime.requests` builds; knows time limits, retries and leadership.

Everything it does can be done again, or is not done again: a request that might have been carried
out is repeated only if repeating it changes nothing.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from videollm_operator.runtime import errors, requests, transport
from videollm_operator.runtime.store import version

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Mapping

    from aiohttp.abc import AbstractStreamWriter

    from videollm_operator.runtime.credentials import Access
    from videollm_operator.runtime.kinds import Kind
    from videollm_operator.runtime.requests import Request
    from videollm_operator.runtime.transport import Observer

ATTEMPTS = 4
"""Most times that one request is sent."""

PATIENCE_SECONDS = 3.0
"""Longest wait between two attempts; for a longer `Retry-After` the caller is told to come back."""

READ_SECONDS = 30.0
WRITE_SECONDS = 15.0

_NOT_JSON = (json.JSONDecodeError, UnicodeDecodeError)
"""What a proxy's page in the place of an answer gives, in whatever character set."""


class Guard(Protocol):
    """Says whether this process may write."""

    def remaining(self) -> float:
        """Seconds for which a write that begins now may go on; 0 if none may begin."""


class Unguarded:
    """For a process that is alone, and for the writes by which a leader is found."""

    def remaining(self) -> float:
        """No limit."""
        return float("inf")


class _GuardedBody(aiohttp.BytesPayload):
    """The body of a write; asks the guard at the very moment at which the request is sent.

    Between the decision to send and this moment a connection is made, or one becomes free, and the
    process may have been stopped. Headers leave together with the body, so nothing was sent yet.
    """

    def __init__(self, body: bytes, content_type: str, guard: Guard) -> None:
        super().__init__(body, content_type=content_type)
        self._guard = guard

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """Writes the body, or raises NotLeader."""
        _permitted(self._guard)
        await super().write_with_length(writer, content_length)


class Client:
    """An asynchronous client of one API server.

    Args:
        access: where it is, and who we are.
        observer: is told of every request.
        rng: for jitter.
        guard: is asked before every write.
        undelivered_seconds: see `transport.session`.
    """

    def __init__(
        self,
        access: Access,
        observer: Observer,
        rng: random.Random,
        guard: Guard | None = None,
        undelivered_seconds: float | None = None,
    ) -> None:
        self._access = access
        self._observer = observer
        self._guard = guard or Unguarded()
        self._random = rng
        self._undelivered_seconds = undelivered_seconds
        self._session: aiohttp.ClientSession | None = None

    @property
    def access(self) -> Access:
        """Where the API server is, and who we are."""
        return self._access

    def guarded_by(self, guard: Guard) -> Client:
        """A client with the same connections that asks `guard` before every write."""
        other = Client(self._access, self._observer, self._random, guard)
        other._session = self._opened()
        return other

    async def close(self) -> None:
        """Closes its connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request, *, seconds: float | None = None) -> dict[str, Any]:
        """Sends a request and returns the object that it is answered with.

        Args:
            request: what to send.
            seconds: time for one attempt; by default half a minute, for writes less.

        Raises:
            APIError: the server refused, or did not answer; see `runtime.errors`.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._attempt(request, seconds)
            except (errors.Unreachable, errors.TooManyRequests, errors.Unavailable) as error:
                wait = self._wait(request, attempt, error)
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def pages(
        self, kind: Kind, namespace: str = "", *, selector: str = "", metadata_only: bool = False
    ) -> AsyncIterator[tuple[list[dict[str, Any]], int]]:
        """The pages of a list: their objects, and the resource version of the whole list.

        Raises:
            APIError: see `send`; `Gone` if it took so long that the list must be begun anew.
        """
        token = ""
        while True:
            page = await self.send(
                requests.list_page(
                    kind, namespace, selector=selector, token=token, metadata_only=metadata_only
                )
            )
            metadata = page.get("metadata", {})
            yield page.get("items") or [], version(metadata.get("resourceVersion", ""))
            token = metadata.get("continue") or ""
            if not token:
                return

    async def events(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """The events of a watch, until the server ends it.

        Raises:
            APIError: see `send`.
        """
        limit = aiohttp.ClientTimeout(
            sock_connect=READ_SECONDS, total=float(request.params["timeoutSeconds"]) + READ_SECONDS
        )
        rest = b""
        try:
            async with self._request(request, limit) as response:
                if response.status >= 400:
                    raise await _error(response)
                # Not line by line: aiohttp refuses long lines, and a ConfigMap may have 1 MiB.
                async for chunk in response.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        yield json.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError, *_NOT_JSON) as error:
            raise _unreachable(request, error) from error

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Reads one object.

        Raises:
            NotFound: if there is none.
            APIError: see `send`.
        """
        return await self.send(requests.get(kind, namespace, name))

    async def apply(
        self, kind: Kind, manifest: Mapping[str, Any], *, uid: str = ""
    ) -> dict[str, Any]:
        """Server-side apply; see `requests.apply`.

        Raises:
            APIError: see `send`.
        """
        return await self.send(requests.apply(kind, manifest, uid=uid))

    async def _attempt(self, request: Request, seconds: float | None) -> dict[str, Any]:
        seconds = seconds or (WRITE_SECONDS if request.write else READ_SECONDS)
        if request.write:
            seconds = min(seconds, _permitted(self._guard))
        try:
            async with self._request(request, aiohttp.ClientTimeout(total=seconds)) as response:
                if response.status >= 400:
                    raise await _error(response)
                answer = json.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError, *_NOT_JSON) as error:
            if isinstance(error.__cause__, errors.NotLeader):
                raise error.__cause__ from None
            raise _unreachable(request, error) from error
        if not isinstance(answer, dict):
            raise errors.ServerError(f"the answer to {_shown(request)} is no object", status=500)
        return answer

    def _request(
        self, request: Request, limit: aiohttp.ClientTimeout
    ) -> aiohttp.client._RequestContextManager:
        body = None
        if request.body:  # it goes out only if the guard allows it
            body = _GuardedBody(request.body, request.content_type, self._guard)
        return self._opened().request(
            request.method,
            self._access.server + request.path,
            params=dict(request.params),
            data=body,
            headers={"Accept": request.accept},
            timeout=limit,
            allow_redirects=False,
        )

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = transport.session(
                self._access, self._observer, undelivered_seconds=self._undelivered_seconds
            )
        return self._session

    def _wait(self, request: Request, attempt: int, error: errors.APIError) -> float | None:
        """Seconds until the next attempt; None if there is to be none."""
        if attempt >= ATTEMPTS or isinstance(error, errors.TooSlow):
            return None
        harmless = (
            request.repeatable
            or isinstance(error, errors.NotSent | errors.TooManyRequests)
            or error.retry_after is not None
        )
        asked = error.retry_after or 0.0
        if not harmless or asked > PATIENCE_SECONDS:
            return None
        own = 0.1 * 2.0 ** (attempt - 1) * (0.5 + self._random.random())
        return max(asked, own)


def _permitted(guard: Guard) -> float:
    """Seconds for which a write may go on; raises NotLeader if none may begin."""
    remaining = guard.remaining()
    if remaining <= 0:
        raise errors.NotLeader("this process does not hold the Lease: nothing was sent")
    return remaining


def _unreachable(request: Request, error: Exception) -> errors.Unreachable:
    if isinstance(error, TimeoutError):
        return errors.TooSlow(f"{_shown(request)}: no answer in time")
    not_sent = isinstance(error, aiohttp.ClientConnectorError)
    kind = errors.NotSent if not_sent else errors.Unreachable
    return kind(f"{_shown(request)}: {str(error) or type(error).__name__}")


def _shown(request: Request) -> str:
    return f"{request.method} {request.path}"


async def _error(response: aiohttp.ClientResponse) -> errors.APIError:
    try:
        body = json.loads(await response.read())
    except _NOT_JSON:
        body = None
    return errors.error_of(response.status, body, response.headers.get("Retry-After"))
