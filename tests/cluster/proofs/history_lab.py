"""What all deployments share: the operator's process, the catalogue, the nodes, the API server."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import yaml

from devcluster import nodes
from hack import local_operator
from tests.cluster.proofs.history_space import Space
from tests.cluster.proofs.history_story import encoded
from tests.scenario.objects import SMALL, UNKNOWN_MODEL
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.loader import builtin, extended
from videollm_operator.reconcile.nodes import MEMORY_LABEL, label_keys
from videollm_operator.runtime import errors
from videollm_operator.runtime.client import Client
from videollm_operator.runtime.credentials import find
from videollm_operator.runtime.kinds import CONFIG_MAP, NODE
from videollm_operator.runtime.requests import APPLY, MERGE, Request

if TYPE_CHECKING:
    from devcluster.cluster import Cluster
    from hack.local_operator import LocalOperator
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.world import NodeFacts

CATALOGUE = "videollm-catalog"
OPTIONS = ("--no-leader-election", "--workers=8")
"""Election has its own proofs; here a crash must not cost a lease's duration each time."""

WEAK = "weak-a100"
"""A node that reports less memory than its SKU has; it takes no pods."""

_ROOMY = nodes.NodeGroup(
    name="roomy-a100",
    count=6,
    instance_type="sim.a100-80gb.many",
    cpu=4096,
    memory_gib=65536,
    ephemeral_gib=900000,
    gpu=nodes.Gpu("NVIDIA-A100-SXM4-80GB", 1000, 81920, "ampere", "8.0"),
)
_ROOMY_H100 = nodes.NodeGroup(
    name="roomy-h100",
    count=4,
    instance_type="sim.h100.many",
    cpu=4096,
    memory_gib=65536,
    ephemeral_gib=900000,
    gpu=nodes.Gpu("NVIDIA-H100-80GB-HBM3", 1000, 81559, "hopper", "9.0"),
)


ROOMY_NODES = (*_ROOMY.node_names, *_ROOMY_H100.node_names)
"""Nodes that are added, with room for all pods."""


def _catalogue_texts() -> dict[str, str]:
    """What an administrator adds to the catalogue, by the word that the steps use."""
    engine = builtin().engine(EngineType.VLLM)
    model = builtin().model(SMALL["model"]["name"])
    assert engine is not None
    assert model is not None
    said = engine.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    newer = next(e for e in builtin().engines if e.type == engine.type and not e.default)
    known = model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    texts: dict[str, Any] = {
        "": {},
        "mirror": {"engines": [{**said, "default": True, "image": "mirror.example.com/vllm:1"}]},
        "newer": {
            "engines": [
                {
                    **newer.model_dump(mode="json", by_alias=True, exclude_defaults=True),
                    "default": True,
                }
            ]
        },
        "known": {"models": [{**known, "name": UNKNOWN_MODEL["name"]}]},
        "broken": {"models": [{"name": "half/a-model"}], "engines": "none"},
    }
    return {word: yaml.safe_dump(value) for word, value in texts.items()}


TEXTS = _catalogue_texts()


@dataclass
class Lab:
    """A cluster with an operator, and everything that was in force in it since `begin`.

    Attributes:
        cluster: the cluster.
        space: where the deployments are.
        catalogs: every catalogue that was in force, the present one last.
        nodes: every set of node facts that there was, the present one last.
        news: number of shared events that may change what is told of a deployment.
        outages: number of times that the API server was away, and cut answers off.
    """

    cluster: Cluster
    space: Space
    catalogs: list[Catalog] = field(default_factory=lambda: [builtin()])
    nodes: list[frozenset[NodeFacts]] = field(default_factory=list)
    news: int = 0
    outages: int = 0
    _operator: LocalOperator | None = None
    _starts: int = 0

    @classmethod
    async def begin(cls, cluster: Cluster, namespace: str) -> Self:
        """A namespace with a running operator."""
        client = Client(find(str(cluster.kubeconfig), {}), _Nobody(), random.Random())  # noqa: S311 - jitter
        lab = cls(cluster, Space(client, namespace))
        present = await lab.space.all(NODE)
        if not {node["metadata"]["name"] for node in present} & {*ROOMY_NODES}:
            await asyncio.to_thread(cluster.add_nodes, [_ROOMY, _ROOMY_H100])
        await asyncio.to_thread(cluster.create_namespace, namespace)
        await lab._note_nodes()
        await lab._start()
        return lab

    async def end(self) -> None:
        """Stops the operator; it must have run up to now."""
        assert self._operator is not None
        alive = self._operator.alive
        await asyncio.to_thread(self._operator.stop)
        await self._delete(CONFIG_MAP.path(local_operator.NAMESPACE, CATALOGUE))
        await self._delete(f"/api/v1/namespaces/{self.space.namespace}")
        await self.space.client.close()
        assert alive, f"the operator ended by itself; its log ends with:\n{self._operator.tail()}"

    @property
    def alive(self) -> bool:
        """Whether the operator's process lives."""
        return self._operator is not None and self._operator.alive

    async def happen(self, what: str, value: Any) -> None:
        """Carries out one shared step."""
        match what:
            case "crash":
                assert self._operator is not None
                assert self._operator.alive, self._operator.tail()
                await asyncio.to_thread(self._operator.stop, 0)
                await self._start()
            case "catalogue":
                await self._set_catalogue(value)
            case "memory":
                await self._weak_node(value)
            case "cordon":
                await self._patch_node({"spec": {"unschedulable": value}})
            case "node":
                await self._node(value)
            case "api_server":
                self.outages += 1
                await asyncio.to_thread(self.cluster.stop_api_server)
                await asyncio.to_thread(self.cluster.start_api_server)
            case _:
                raise AssertionError(f"there is no step {what}")

    async def calm(self) -> None:
        """The catalogue and the nodes are as in the beginning."""
        await self.happen("catalogue", "")
        await self.happen("memory", None)
        await self.happen("cordon", False)
        await self.happen("node", "ready")

    async def _start(self) -> None:
        self._starts += 1
        name = f"operator-{self.space.namespace}-{self._starts}"
        self._operator = await asyncio.to_thread(
            local_operator.start, self.cluster, name=name, options=OPTIONS
        )

    async def _set_catalogue(self, word: str) -> None:
        self.news += 1
        self.catalogs.append(extended(builtin(), TEXTS[word], "the administrator's"))
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CATALOGUE, "namespace": local_operator.NAMESPACE},
            "data": {"catalog.yaml": TEXTS[word]},
        }
        await self._apply(CONFIG_MAP.path(local_operator.NAMESPACE, CATALOGUE), manifest)

    async def _weak_node(self, mib: int | None) -> None:
        self.news += 1
        path = NODE.path("", WEAK)
        if mib is None:
            await self._delete(path)
        else:
            product = _ROOMY.gpu.product if _ROOMY.gpu else ""
            labels = {"nvidia.com/gpu.product": product, MEMORY_LABEL: str(mib)}
            manifest = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": WEAK, "labels": labels},
                "spec": {"unschedulable": True},
            }
            await self._apply(path, manifest)
        await self._note_nodes()

    async def _node(self, how: str) -> None:
        path = NODE.path("", f"{_ROOMY.name}-0")
        if how == "gone and back":
            await self._delete(path)
            (node,) = [
                each
                for each in nodes.manifests([_ROOMY])
                if each["metadata"]["name"] == f"{_ROOMY.name}-0"
            ]
            try:
                await self.space.ask(Request("POST", NODE.path(), body=encoded(node)))
            except errors.AlreadyExists:
                return  # the answer to our own first try was lost
        else:
            ready = {"devcluster.videollm.io/ready": "false" if how == "not ready" else None}
            await self._patch_node({"metadata": {"annotations": ready}})

    async def _note_nodes(self) -> None:
        snapshot = await self.space.snapshot()
        self.nodes.append(snapshot.node_facts(label_keys(builtin())))

    async def _patch_node(self, body: dict[str, Any]) -> None:
        path = NODE.path("", f"{_ROOMY.name}-0")
        await self.space.ask(Request("PATCH", path, body=encoded(body), content_type=MERGE))

    async def _apply(self, path: str, manifest: dict[str, Any]) -> None:
        params = {"fieldManager": "administrator", "force": "true"}
        await self.space.ask(
            Request("PATCH", path, params, body=encoded(manifest), content_type=APPLY)
        )

    async def _delete(self, path: str) -> None:
        try:
            await self.space.ask(Request("DELETE", path))
        except errors.NotFound:
            return


class _Nobody:
    """Is told of requests, and does not care."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """One request."""
