"""A hub on loopback: the two requests that a description needs, and every way to refuse them.

Answers as the real one does: `/api/models/ID/revision/REV` lists files and names the commit,
`/ID/resolve/REV/FILE` gives ranges, large files by a redirect to another host.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Fault:
    """What a server does instead of answering."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    silent: bool = False
    """Accepts the request and says nothing."""


@dataclass
class HubServer:
    """One server."""

    folder: Path
    """Repositories by id: `folder/org/name/...`."""
    token: str = ""
    """If set, every request to the hub itself must carry it."""
    faults: dict[str, Fault] = field(default_factory=dict)
    """By a part of the path."""
    ignores_ranges: bool = False
    storage: str = ""
    """Address that weight files are redirected to."""
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and headers (lower case) of every request."""
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: the client has read enough and is gone."""


@contextmanager
def serve(folder: Path, **settings: Any) -> Iterator[HubServer]:
    """Runs a hub until the block ends."""
    hub = HubServer(folder, **settings)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            _answer(hub, self)

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(hub: HubServer, request: http.server.BaseHTTPRequestHandler) -> None:
    for part, fault in hub.faults.items():
        if part in request.path:
            if fault.silent:
                hub.released.wait(30)
                request.close_connection = True
                return
            _send(request, fault.status, fault.body, fault.headers)
            return
    if hub.token and request.headers.get("authorization") != f"Bearer {hub.token}":
        _send(request, 401, b"", {"x-error-code": "RepoNotFound"})
        return
    for pattern, handle in _ROUTES:
        match = re.fullmatch(pattern, request.path)
        if match:
            handle(hub, request, match)
            return
    _send(request, 404, b"", {})


def _listing(
    hub: HubServer, request: http.server.BaseHTTPRequestHandler, match: re.Match[str]
) -> None:
    folder = hub.folder / match[1]
    if not folder.is_dir():
        _send(request, 404, b"", {"x-error-code": "RepoNotFound"})
        return
    if match[2] != "main":
        _send(request, 404, b"", {"x-error-code": "RevisionNotFound"})
        return
    files = [{"rfilename": path.name} for path in sorted(folder.iterdir())]
    body = json.dumps({"id": match[1], "sha": COMMIT, "siblings": files}).encode()
    _send(request, 200, body, {"content-type": "application/json"})


def _file(
    hub: HubServer, request: http.server.BaseHTTPRequestHandler, match: re.Match[str]
) -> None:
    path = hub.folder / match[1] / match[3]
    if match[2] != COMMIT or not path.is_file():
        _send(request, 404, b"", {"x-error-code": "EntryNotFound"})
        return
    if hub.storage and path.suffix == ".safetensors":
        target = f"{hub.storage}{request.path}"
        _send(request, 302, b"", {"location": target})
        return
    size = path.stat().st_size
    wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    with path.open("rb") as file:
        if wanted is None or hub.ignores_ranges:
            _send(request, 200, file.read(4 * 1024 * 1024), {}, size)
            return
        begin, end = int(wanted[1]), min(int(wanted[2]) + 1, size)
        if begin >= size:
            _send(request, 416, b"", {"content-range": f"bytes */{size}"})
            return
        file.seek(begin)
        where = {"content-range": f"bytes {begin}-{end - 1}/{size}"}
        _send(request, 206, file.read(end - begin), where)


_ROUTES: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"/api/models/([\w.-]+/[\w.-]+)/revision/([^/]+)", _listing),
    (r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/([^/]+)", _file),
)


def _send(
    request: http.server.BaseHTTPRequestHandler,
    status: int,
    body: bytes,
    headers: dict[str, str],
    length: int | None = None,
) -> None:
    """Sends an answer; one shorter than it says ends the connection."""
    said = {"content-length": str(len(body) if length is None else length), **headers}
    try:
        request.send_response(status)
        for name, value in said.items():
            if value:
                request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
    except OSError:
        request.close_connection = True  # the client has read enough
    if said["content-length"] != str(len(body)):
        request.close_connection = True
