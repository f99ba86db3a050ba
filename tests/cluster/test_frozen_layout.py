"""A running layout changes only with its object (design principle 9), whatever else changes.

The witnesses: pods by uid, generations of StatefulSets, and the API server's audit log.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from devcluster import nodes
from devcluster.target import Cluster
from hack import local_operator
from tests.cluster.updating import (
    Still,
    another_operator,
    conditions,
    deployment,
    entry,
    image,
    learn,
    until,
    updates,
)
from tests.cluster.world import SMALL
from videollm_operator import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devcluster.target import Target
    from tests.cluster.world import Namespace

pytestmark = pytest.mark.cluster

OWN = "team/Own-7B"
BUILTIN_IMAGE = "vllm/vllm-openai:v0.32.0"
NEW_IMAGE = "mirror.example.com/vllm:new"
MODEL = entry("models", SMALL, name=OWN)
PARTS = MODEL["architecture"]
HEAVY = entry(
    "models",
    SMALL,
    name=OWN,
    architecture={
        **PARTS,
        "text": {**PARTS["text"], "layers": PARTS["text"]["layers"] * 7},
        "parameters": {**PARTS["parameters"], "layers": PARTS["parameters"]["layers"] * 7},
    },
)
"""Seven times the layers: too much for the one GPU that the model fits on."""

ENGINE = entry("engines", "VLLM", image=NEW_IMAGE)
SMALLER = "a100-80gb-smaller"


@pytest.fixture
def space(space: Namespace) -> Iterator[Namespace]:
    """A namespace, and the catalogue and the nodes as they were afterwards."""
    yield space
    learn(space.cluster)
    space.cluster.kubectl("delete", "node", f"{SMALLER}-0", "--ignore-not-found")


def add_smaller_node(cluster: Target) -> None:
    """A node of the same product that reports half of the memory."""
    if not isinstance(cluster, Cluster):
        pytest.skip("needs simulated nodes, which only a local cluster gives")
    group = next(group for group in nodes.load() if group.name == "a100-80gb")
    assert group.gpu is not None
    smaller = replace(group, name=SMALLER, count=1, gpu=replace(group.gpu, memory=40960))
    cluster.add_nodes([smaller])


def names(found: dict[str, str]) -> set[str]:
    return set(found)


def images(space: Namespace, name: str) -> set[str]:
    """The images that the pods of a deployment run."""
    pods = space.items("pods", f"app.kubernetes.io/instance={name}")
    return {container["image"] for pod in pods for container in pod["spec"]["containers"]}


def test_catalogue_and_nodes_restart_nothing_until_somebody_asks(space: Namespace) -> None:
    cluster = space.cluster
    learn(cluster, models=[MODEL])
    operator = local_operator.start(cluster, name="operator-frozen")
    try:
        space.apply(
            deployment("plain"),
            deployment("large", model={"name": "llava-hf/llava-onevision-qwen2-72b-ov-hf"}),
            deployment("own", model={"name": OWN}),
            deployment("pinned", engine={"type": "VLLM", "image": "pinned:1"}),
        )
        for name in ("plain", "large", "own", "pinned"):
            space.until_ready(name)
        still = Still.now(space)

        # A model's numbers: another layout, and the running one is known to be too small.
        learn(cluster, models=[HEAVY])
        said = until(space, updates, lambda found: names(found) == {"own"})["own"]
        assert "the catalogue's entries for this model" in said
        assert "instead of 1" in said
        assert names(conditions(space, "Degraded")) == {"own"}
        still.holds()

        # Entries that cannot be read, or whole texts: what they say is left out.
        for bad in (
            {"text": "models: [{name: team/Own-7B, architecture: none}]"},
            {"text": "models: [unclosed"},
            {},
        ):
            learn(cluster, models=[MODEL])
            until(space, updates, lambda found: not found)
            learn(cluster, **bad)
            said = until(space, updates, lambda found: names(found) == {"own"})["own"]
            assert said.startswith("by what is known today this object would be refused")
            assert operator.alive
            still.holds()
        assert names(conditions(space, "Ready")) == {"plain", "large", "own", "pinned"}
        learn(cluster, models=[MODEL])
        until(space, updates, lambda found: not found)

        # A smaller node comes and goes.
        add_smaller_node(cluster)
        said = until(space, updates, lambda found: names(found) == {"large"})["large"]
        assert "memory per GPU 81039 MiB -> 40079 MiB" in said
        assert "it would take 8 GPUs per replica instead of 2" in said
        degraded = conditions(space, "Degraded")
        assert "TP2 x PP1 on 2 GPUs, would be refused today" in degraded["large"]
        still.holds()
        cluster.kubectl("delete", "node", f"{SMALLER}-0")
        until(space, updates, lambda found: not found)
        assert conditions(space, "Degraded") == {}

        # The default image: who names an image of their own is not concerned.
        learn(cluster, models=[MODEL], engines=[ENGINE])
        told = until(space, updates, lambda found: names(found) == {"plain", "large", "own"})
        for said in told.values():
            assert f"image {BUILTIN_IMAGE} -> {NEW_IMAGE}" in said
            assert said.endswith("set a new `spec.rollout.restartToken` to take it up")
        still.holds()

        # Replicas are honoured, with the layout in force.
        space.kubectl("scale", "vld", "plain", "--replicas=2")
        space.until_ready("plain")
        assert len(space.items("pods", "app.kubernetes.io/instance=plain")) == 2
        assert images(space, "plain") == {BUILTIN_IMAGE}
        assert still.written() == ["patch statefulsets plain"]
        assert names(updates(space)) == {"plain", "large", "own"}

        # The three ways to take it up.
        before = Still.now(space)
        token = {"rollout": {"restartToken": "2026-11-24"}}
        space.patch("vld", {"spec": {"workload": {"framesPerVideo": 16}}}, "plain")
        space.patch("vld", {"spec": token}, "large")
        space.patch("vld", {"spec": {"rollout": {"updates": "Automatic"}}}, "own")
        until(space, updates, lambda found: not found)
        for name in ("plain", "large", "own"):
            space.until(lambda _obj, name=name: image(space, name) == NEW_IMAGE, name)
            space.until_ready(name)
        assert image(space, "pinned") == "pinned:1"
        old, new = before.seen[0], Still.now(space).seen[0]
        assert {pod for pod in old if old[pod] == new.get(pod)} == {"pinned-0"}
    finally:
        operator.stop()


FUTURE = (
    ("__init__.py", r'__version__ = ".*"', '__version__ = "9.9.9"'),
    ("render/templates/poddisruptionbudget.yaml.j2", "maxUnavailable: 1", "maxUnavailable: 2"),
    ("catalog/data/engines.yaml", r"image: vllm/vllm-openai:v0\.32\.0", f"image: {NEW_IMAGE}"),
    ("reconcile/record.py", r'body\["format"\] != FORMAT', 'body["format"] not in (1, 2)'),
    (
        "reconcile/record.py",
        '"format": FORMAT',
        '"format": 2 if self.inputs.operator == "9.9.9" else 1',
    ),
)
"""A later version: another rendering, another default image, and records of another format,
though it reads the old one, and leaves what it read as it is."""


def test_another_version_of_the_operator_restarts_nothing_and_neither_does_the_way_back(
    space: Namespace, tmp_path: Path
) -> None:
    future = another_operator(tmp_path, FUTURE)
    present = local_operator.start(space.cluster, name="operator-present")
    try:
        space.apply(deployment("a"), deployment("b"), deployment("c", replicas=0))
        space.until_ready("a")
        space.until_ready("b")
        space.until_ready("c", reason="ScaledToZero")
    finally:
        present.stop()

    still = Still.now(space)
    later = local_operator.start(space.cluster, name="operator-later", modules=future)
    try:
        told = until(space, updates, lambda found: names(found) == {"a", "b", "c"})
        assert f"operator {__version__} -> 9.9.9" in told["a"]
        assert f"image {BUILTIN_IMAGE} -> {NEW_IMAGE}" in told["a"]
        still.holds()
        space.patch("vld", {"spec": {"rollout": {"restartToken": "now"}}}, "a")
        space.until(lambda _obj: image(space, "a") == NEW_IMAGE, "a")
        space.until_ready("a")
        assert space.get("poddisruptionbudget", "a")["spec"]["maxUnavailable"] == 2
    finally:
        later.stop()

    still = Still.now(space)
    present = local_operator.start(space.cluster, name="operator-downgraded")
    try:
        told = until(space, updates, lambda found: names(found) == {"a"})
        assert "recorded by another version of the operator (format 2)" in told["a"]
        still.holds()
        space.kubectl("scale", "vld", "a", "--replicas=2")
        space.until_ready("a")
        assert images(space, "a") == {NEW_IMAGE}
        assert [w.split()[2] for w in still.written()] == ["a"]
        assert still.seen[0].items() <= Still.now(space).seen[0].items()
    finally:
        present.stop()

    still = Still.now(space)
    later = local_operator.start(space.cluster, name="operator-later-again", modules=future)
    try:
        until(space, updates, lambda found: names(found) == {"b", "c"})
        # `replicas` belonged to /scale; applying it again, as it is, takes it back.
        still.holds(but_for="patch statefulsets a")
    finally:
        later.stop()

    present = local_operator.start(space.cluster, name="operator-present-again")
    try:
        until(space, updates, lambda found: names(found) == {"a"})
        still.holds(but_for="patch statefulsets a")
        space.patch("vld", {"spec": {"rollout": {"restartToken": "back"}}}, "a")
        space.until(lambda _obj: image(space, "a") == BUILTIN_IMAGE, "a")
        space.until_ready("a")
        assert updates(space) == {}
    finally:
        present.stop()
