"""A small API server over HTTP, for tests of the whole process that a real one is too slow for,
or cannot be made to misbehave for.

Storage and server-side apply are `fake_api`'s; here are discovery, lists, watches and leases.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl

from aiohttp import web

from tests.unit.runtime.fake_api import FakeAPI
from videollm_operator.api import names
from videollm_operator.runtime import errors, kinds
from videollm_operator.runtime.requests import Request

SERVED = (*kinds.CHILDREN, kinds.DEPLOYMENT, kinds.POD, kinds.NODE, kinds.LEASE, kinds.EVENT,
          kinds.CONFIG_MAP)  # fmt: skip


class MiniAPI:
    """Serves `self.api`'s objects on a free port of this machine."""

    def __init__(self):
        self.api = FakeAPI()
        self.watches = {}
        self.seen = []
        self.unserved = set()
        self.forbidden = ()
        self.token = None
        self.mute = False
        self.fleeting = False
        self._runner = None

    async def start(self, port=0, tls=None):
        """Serves on a port, over TLS with the certificate in the file `tls`, if any."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if tls else None
        if context:
            context.load_cert_chain(tls)
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=context)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        return self

    async def stop(self):
        await self._runner.cleanup()

    # What tests do

    def put(self, obj, kind):
        """Somebody creates or changes an object; watches hear of it."""
        before = kind.path(obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        event = "MODIFIED" if before in self.api.objects else "ADDED"
        stored = self._put(obj, kind)
        self._tell(kind, event, stored)
        return stored

    def _put(self, obj, kind):
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        path = kind.path(metadata.get("namespace", ""), metadata["name"])
        old = self.api.objects.get(path)
        uid = old["metadata"]["uid"] if old else f"uid-{next(self.api.uids)}"
        metadata.setdefault("uid", uid)
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(next(self.api.versions))
        self.api.objects[path] = obj
        return copy.deepcopy(obj)

    def delete(self, kind, name, namespace="team", *, silently=False):
        """Somebody deletes an object; with `silently` no watch hears of it."""
        gone = self.api.objects.pop(kind.path(namespace, name))
        gone["metadata"]["resourceVersion"] = str(next(self.api.versions))
        if not silently:
            self._tell(kind, "DELETED", gone)

    def find(self, kind, name, namespace="team"):
        return self.api.objects.get(kind.path(namespace, name))

    def expire_watches(self, kind):
        """All watches of a kind learn that their resource version is too old."""
        for queue in self.watches.get(kind.plural, []):
            status = {"kind": "Status", "code": 410, "message": "too old"}
            queue.put_nowait({"type": "ERROR", "object": status})

    @property
    def writes(self):
        return [line for line in self.seen if line[0] != "GET" and "/leases" not in line[1]]

    # What it does

    def _tell(self, kind, event, obj, queues=None):
        labels = obj["metadata"].get("labels", {})
        selected = kind in (kinds.DEPLOYMENT, kinds.NODE) or (
            labels.get(names.LABEL_MANAGED_BY) == names.MANAGED_BY
        )
        if selected and not self.mute:
            for queue in self.watches.get(kind.plural, []) if queues is None else queues:
                queue.put_nowait({"type": event, "object": copy.deepcopy(obj)})

    async def _handle(self, request):
        self.seen.append((request.method, request.path_qs))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized", "who are you?")
        kind = next((k for k in SERVED if f"/{k.plural}" in request.path), None)
        if kind is None:
            return self._discover(request.path)
        if any(part in request.path for part in self.forbidden):
            return _status(403, "Forbidden", f"you may not: {request.path}")
        if kind.plural in self.unserved:
            return web.Response(status=404, text="404 page not found\n")
        try:
            if request.method == "GET" and request.path.endswith(f"/{kind.plural}"):
                if "watch" in request.query:
                    return await self._watch(kind, request)
                return self._list(kind, request)
            return web.json_response(await self._single(kind, request))
        except errors.APIError as error:
            return _status(error.status, error.reason, error.message)

    def _discover(self, path):
        groups = {kind.group: kind.version for kind in SERVED if kind.group}
        if path == "/api":
            return web.json_response({"versions": ["v1"]})
        if path == "/apis":
            found = [
                {"name": group, "preferredVersion": {"version": version},
                 "versions": [{"version": version}]}
                for group, version in groups.items()
            ]  # fmt: skip
            return web.json_response({"groups": found})
        resources = [
            {"name": kind.plural, "kind": kind.kind, "singularName": kind.kind.lower(),
             "namespaced": kind.namespaced, "verbs": ["get", "list", "watch", "patch"]}
            for kind in SERVED
            if path.endswith(kind.api_version) and kind.plural not in self.unserved
        ]  # fmt: skip
        if path == "/api/v1":  # Kopf waits for these two
            for name, kind in (("namespaces", "Namespace"), ("events", "Event")):
                resources.append(
                    {"name": name, "kind": kind, "singularName": "", "namespaced": False,
                     "verbs": ["get", "list", "watch"]}
                )  # fmt: skip
        return web.json_response({"resources": resources})

    def _list(self, kind, request):
        partial = "PartialObjectMetadataList" in request.headers["Accept"]
        selector = request.query.get("labelSelector")
        namespace = request.match_info["path"].split("/namespaces/")[-1].split("/")[0]
        items = [
            {"metadata": obj["metadata"]} if partial else obj
            for path, obj in self.api.objects.items()
            if f"/{kind.plural}/" in path
            and (not selector or names.LABEL_MANAGED_BY in obj["metadata"].get("labels", {}))
            and ("/namespaces/" not in request.path or obj["metadata"]["namespace"] == namespace)
        ]
        first, limit = int(request.query.get("continue", 0)), int(request.query["limit"])
        metadata = {"resourceVersion": str(next(self.api.versions))}
        if first + limit < len(items):
            metadata["continue"] = str(first + limit)
        return web.json_response(
            {"kind": f"{kind.kind}List", "apiVersion": kind.api_version,
             "metadata": metadata, "items": items[first : first + limit]}
        )  # fmt: skip

    async def _watch(self, kind, request):
        response = web.StreamResponse()
        await response.prepare(request)
        if self.fleeting:
            return response
        queue = asyncio.Queue()
        self.watches.setdefault(kind.plural, []).append(queue)
        since = int(request.query.get("resourceVersion") or 0)
        try:
            for path, obj in self.api.objects.items():
                if f"/{kind.plural}/" in path and int(obj["metadata"]["resourceVersion"]) > since:
                    self._tell(kind, "ADDED", obj, [queue])
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), timeout=5)
                except TimeoutError:
                    event = self._bookmark(kind)
                await response.write(json.dumps(event).encode() + b"\n")
        except ConnectionResetError:
            return response  # the client has gone
        finally:
            self.watches[kind.plural].remove(queue)

    def _bookmark(self, kind):
        metadata = {"resourceVersion": str(next(self.api.versions))}
        return {"type": "BOOKMARK", "object": {"kind": kind.kind, "metadata": metadata}}

    async def _single(self, kind, request):
        body = await request.read()
        sent = Request(
            request.method, request.path, dict(request.query), body,
            write=request.method != "GET",
        )  # fmt: skip
        if kind is kinds.LEASE and request.method in ("POST", "PUT"):
            return self._lease(request.method, json.loads(body))
        answer = await self.api.send(sent)
        if sent.write and kind is not kinds.EVENT and "metadata" in answer:
            self._tell(kind, "MODIFIED", answer)
        return answer

    def _lease(self, method, lease):
        metadata = lease["metadata"]
        found = self.find(kinds.LEASE, metadata["name"], metadata["namespace"])
        if method == "POST" and found:
            raise errors.AlreadyExists("exists", status=409, reason="AlreadyExists")
        if method == "PUT" and (
            not found or found["metadata"]["resourceVersion"] != metadata["resourceVersion"]
        ):
            raise errors.Conflict("modified", status=409, reason="Conflict")
        return self._put(lease, kinds.LEASE)


def _status(code, reason, message):
    body = {"kind": "Status", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code)
