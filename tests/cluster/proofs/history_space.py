"""A namespace full of deployments with histories: requests, a mirror of the objects, snapshots."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.world import ChildFacts, ChildKey, NodeFacts, World
from videollm_operator.runtime import errors, requests
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT, NODE, POD
from videollm_operator.runtime.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.kinds import Kind

PATIENCE_S = 240.0
"""Longest wait for anything, also for an API server that is being restarted."""

Object = dict[str, Any]


class Mirror:
    """The deployments of a namespace as a watch tells them; for waiting only."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client, self._namespace = client, namespace
        self._news = asyncio.Condition()
        self.objects: dict[str, Object] = {}

    async def follow(self) -> None:
        """Keeps up, for ever; begins anew whenever the watch ends."""
        while True:
            try:
                listed: dict[str, Object] = {}
                async for items, at in self._client.pages(DEPLOYMENT, self._namespace):
                    listed |= {item["metadata"]["name"]: item for item in items}
                    since = at
                self.objects = listed
                await self._tell()
                async for event in self._client.events(self._watch(since)):
                    if event["type"] == "ERROR":
                        break
                    name = event["object"]["metadata"]["name"]
                    if event["type"] == "DELETED":
                        self.objects.pop(name, None)
                    else:
                        self.objects[name] = event["object"]
                    await self._tell()
            except errors.APIError:
                await asyncio.sleep(0.2)

    def _watch(self, since: int) -> Request:
        params = {"watch": "true", "timeoutSeconds": "300", "resourceVersion": str(since)}
        return Request("GET", DEPLOYMENT.path(self._namespace), params)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def changed(self, within_s: float) -> None:
        """Waits for the next news, but not for ever."""
        try:
            async with asyncio.timeout(within_s), self._news:
                await self._news.wait()
        except TimeoutError:
            return

    async def until(self, name: str, accept: Callable[[Object | None], bool]) -> None:
        """Waits until a deployment is as wanted (None: it is gone).

        Raises:
            TimeoutError: if it does not come; with the object as it is then.
        """
        try:
            async with asyncio.timeout(PATIENCE_S), self._news:
                await self._news.wait_for(lambda: accept(self.objects.get(name)))
        except TimeoutError:
            status = self.objects.get(name, {}).get("status")
            raise TimeoutError(f"{name} is not so within {PATIENCE_S:.0f} s: {status}") from None


@dataclass
class Space:
    """One namespace."""

    client: Client
    namespace: str
    mirror: Mirror = field(init=False)

    def __post_init__(self) -> None:
        self.mirror = Mirror(self.client, self.namespace)

    async def ask(self, request: Request) -> Object:
        """Sends a request as often as it takes until the API server answers it.

        Raises:
            APIError: what it refuses.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self.client.send(request)
            except errors.APIError as error:
                again = error.transient and not isinstance(error, errors.AlreadyExists)
                # A server that just started knows no custom kinds, lets nobody in, and has no
                # addresses for Services (500, "range is full") for a moment.
                starting = "apiserver not ready" in error.message
                early = isinstance(error, errors.Forbidden | errors.NotFound) and not error.reason
                failed = isinstance(error, errors.ServerError)
                late = deadline < asyncio.get_running_loop().time()
                if late or not (again or starting or early or failed):
                    raise
            await asyncio.sleep(0.2)

    async def find(self, kind: Kind, name: str) -> Object | None:
        """One object; None if there is none."""
        try:
            return await self.ask(requests.get(kind, self.namespace, name))
        except errors.NotFound:
            return None

    async def all(self, kind: Kind) -> list[Object]:
        """All objects of a kind."""
        listed = await self.ask(Request("GET", kind.path(self.namespace)))
        api = {"kind": kind.kind, "apiVersion": kind.api_version}
        return [{**api, **item} for item in listed["items"]]

    async def snapshot(self) -> Snapshot:
        """Everything, read anew."""
        kinds = (DEPLOYMENT, POD, NODE, *CHILDREN)
        deployments, pods, nodes, *children = await asyncio.gather(*map(self.all, kinds))
        return Snapshot(
            {obj["metadata"]["name"]: obj for obj in deployments},
            [obj for some in children for obj in some],
            pods,
            nodes,
        )


@dataclass(frozen=True)
class Snapshot:
    """What there is in a namespace, and the nodes."""

    deployments: dict[str, Object]
    children: list[Object]
    pods: list[Object]
    nodes: list[Object]

    def children_of(self, name: str) -> list[Object]:
        """Whatever has the name of a child, or is a volume claim of one."""
        own = (names.workload_name(name), names.headless_service_name(name))
        return [c for c in self.children if c["metadata"]["name"].startswith(own)]

    def pods_of(self, name: str) -> list[Object]:
        """Its pods, by label, as its Service finds them."""
        labels = names.selector_labels(name).items()
        return [pod for pod in self.pods if labels <= pod["metadata"].get("labels", {}).items()]

    def node_facts(self, keys: Collection[str]) -> frozenset[NodeFacts]:
        """Kinds of nodes."""
        return frozenset(filter(None, (observe.node(node, keys) for node in self.nodes)))

    def world(self, name: str, nodes: frozenset[NodeFacts]) -> World:
        """What an operator with perfect knowledge looks at."""
        facts: dict[ChildKey, ChildFacts] = {}
        for obj in self.children_of(name):
            if obj["metadata"]["name"] in {name, names.headless_service_name(name)} or (
                observe.instance_of(obj) == name
            ):
                child = observe.child(obj)
                facts[child.key] = child
        return World(
            deployment=self.deployments[name],
            children=facts,
            pods=observe.in_order(map(observe.pod, self.pods_of(name))),
            nodes=nodes,
        )
