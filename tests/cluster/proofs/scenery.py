"""What stands around the deployments of `play`: nodes, a newer CRD, another catalogue."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import yaml

from devcluster.waiting import eventually
from hack import local_operator
from tests.cluster.proofs import stalls
from tests.cluster.proofs.states import FUTURE_FIELD
from tests.cluster.world import vld
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target

MORE_NODES = replace(stalls.NODES, name="states", count=24)
CATALOG = {"namespace": local_operator.NAMESPACE, "name": "videollm-catalog"}
IMAGE = "example.com/mirror/vllm-openai:patched"


@contextmanager
def newer_crd(cluster: Target) -> Iterator[None]:
    """A CRD that has a field more than this operator knows."""
    where = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    crd = ("patch", "crd", "videollmdeployments.videollm.io", "--type=json", "-p")
    path = f"{where}/{FUTURE_FIELD}"
    cluster.kubectl(*crd, json.dumps([{"op": "add", "path": path, "value": {"type": "string"}}]))
    probe = json.dumps(vld("probe", **{FUTURE_FIELD: "x"}))
    eventually(lambda: cluster.kubectl("apply", "--dry-run=server", "-f", "-", input=probe), bool)
    yield
    cluster.kubectl(*crd, json.dumps([{"op": "remove", "path": path}]))


@contextmanager
def more_nodes(cluster: Target) -> Iterator[None]:
    """Room for all pods."""
    cluster.add_nodes([MORE_NODES])
    yield
    names = [*MORE_NODES.node_names, *stalls.LATE_NODE.node_names]
    cluster.kubectl("delete", "node", "--ignore-not-found", "--wait=false", *names)
    cluster.kubectl("delete", "storageclass", "--ignore-not-found", stalls.SCARCE)


@contextmanager
def other_image(cluster: Target) -> Iterator[None]:
    """A catalogue in which the default engine has another image."""
    entry = builtin().engine(EngineType.VLLM)
    assert entry is not None
    engine = {**entry.model_dump(mode="json", by_alias=True, exclude_none=True), "image": IMAGE}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": CATALOG,
        "data": {"catalog.yaml": yaml.safe_dump({"engines": [engine]})},
    }
    cluster.apply([body])
    yield
    cluster.kubectl("-n", CATALOG["namespace"], "delete", "configmap", CATALOG["name"])
