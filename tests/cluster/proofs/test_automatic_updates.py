"""Objects that take updates up by themselves: never more than a few at once, whatever happens.

Pods are watched: every state that the API server ever had comes by, in order, so what is counted
is what was, not what was seen now and then.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import pytest
from kubernetes import client, config, watch

from devcluster.waiting import eventually
from hack import local_operator
from tests.cluster.updating import (
    Still,
    conditions,
    deployment,
    entry,
    image,
    learn,
    until,
    updates,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.local_operator import LocalOperator
    from tests.cluster.world import Namespace

pytestmark = pytest.mark.cluster

SIX = ("a", "b", "c", "d", "e", "f")
LIMIT = 2
KILLS = 3
AUTOMATIC = {"updates": "Automatic"}
NEW_IMAGE = "mirror.example.com/vllm:new"
ENGINE = entry("engines", "VLLM", image=NEW_IMAGE)
LOST_GPU = entry("gpus", "A100-80GB", nodeLabels=[{"nvidia.com/gpu.product": ["NVIDIA-A100-LOST"]}])
"""A bad edit: pods of this layout find no node."""

OVER = "example.com/over"
"""Annotation of pods that are not to be watched any longer."""

INSTANCE = "app.kubernetes.io/instance"


class Watcher:
    """Follows the pods of a namespace: who serves, and how many did not at the same time."""

    def __init__(self, space: Namespace, names: tuple[str, ...]) -> None:
        self._space = space
        self._names = frozenset(names)
        self._pods: dict[str, tuple[str, bool]] = {}
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._failed: Exception | None = None
        self.most_down = 0
        self.order: list[str] = []
        """Objects in the order in which they stopped serving."""

    def __enter__(self) -> Self:
        self._core = client.CoreV1Api(
            config.new_client_from_config(str(self._space.cluster.kubeconfig))
        )
        listed = self._core.list_namespaced_pod(self._space.name)
        for pod in listed.items:
            self._take("ADDED", pod)
        self._version = listed.metadata.resource_version
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._space.kubectl("annotate", "pods", "--all", f"{OVER}=yes")
        self._thread.join(timeout=30)
        self._core.api_client.close()
        assert self._failed is None, self._failed
        assert not self._thread.is_alive()

    @property
    def down(self) -> set[str]:
        """Objects of which no pod serves now."""
        return set(self._names) - {name for name, serves in self._pods.values() if serves}

    def _follow(self) -> None:
        try:
            for event in watch.Watch().stream(
                self._core.list_namespaced_pod,
                self._space.name,
                resource_version=self._version,
            ):
                if OVER in (event["object"].metadata.annotations or {}):
                    return
                before = self.down
                self._take(event["type"], event["object"])
                self.order.extend(sorted(self.down - before))
                self.most_down = max(self.most_down, len(self.down))
        except Exception as error:  # noqa: BLE001 - told when the watcher ends
            self._failed = error

    def _take(self, kind: str, pod: Any) -> None:
        if kind == "DELETED":
            self._pods.pop(pod.metadata.name, None)
            return
        ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or ())
        serves = ready and pod.metadata.deletion_timestamp is None
        self._pods[pod.metadata.name] = (pod.metadata.labels[INSTANCE], serves)


@pytest.fixture
def space(space: Namespace) -> Iterator[Namespace]:
    """A namespace with six objects that serve, and no catalogue but the built-in one at the end."""
    learn(space.cluster)
    yield space
    learn(space.cluster)


def operator(space: Namespace, name: str) -> LocalOperator:
    """One that begins at once where another was killed: there is no Lease to wait for."""
    options = ["--no-leader-election", f"--max-concurrent-updates={LIMIT}"]
    return local_operator.start(space.cluster, name=name, options=options)


def serve_six(space: Namespace) -> None:
    space.apply(*(deployment(name, rollout=AUTOMATIC) for name in SIX))
    until(space, ready, lambda found: found == set(SIX))


def ready(space: Namespace) -> set[str]:
    return set(conditions(space, "Ready"))


def marked(space: Namespace) -> dict[str, str]:
    """What StatefulSets say that they take up."""
    found = {
        obj["metadata"]["name"]: obj["metadata"]["annotations"].get("videollm.io/taking-up", "")
        for obj in space.items("statefulsets")
    }
    return {name: what for name, what in found.items() if what}


def moved(space: Namespace) -> set[str]:
    """Objects that run the new image."""
    return {name for name in SIX if image(space, name) == NEW_IMAGE}


def test_six_take_an_update_up_two_at_a_time_though_the_operator_is_killed_again_and_again(
    space: Namespace,
) -> None:
    running = operator(space, "operator-automatic")
    try:
        serve_six(space)
        still = Still.now(space)
        with Watcher(space, SIX) as watcher:
            learn(space.cluster, engines=[ENGINE])
            for life in range(KILLS):
                begun = 2 * life + 1
                eventually(
                    lambda: len(still.written()), lambda n, least=begun: n >= least, timeout_s=90
                )
                running.stop(grace_s=0)
                running = operator(space, f"operator-automatic-{life}")
            until(space, moved, lambda found: found == set(SIX))
            until(space, ready, lambda found: found == set(SIX))
            until(space, marked, lambda found: not found)
        assert updates(space) == {}
        # The first kill may fall between two writes; the order without kills is a scenario's.
        assert watcher.most_down <= LIMIT
        assert sorted(watcher.order) == sorted(SIX)  # each once
        assert watcher.order[0] in {"a", "b"}
        deeds = still.written()
        assert {deed.split()[1] for deed in deeds} == {"statefulsets"}
        # One write begins, one says that it is over; one that a kill cut off may come twice.
        done = Counter(deed.split()[2] for deed in deeds)
        assert done.keys() == set(SIX)
        assert all(count >= 2 for count in done.values()), deeds
        assert done.total() <= 2 * len(SIX) + KILLS, deeds
        assert running.alive
    finally:
        running.stop()


def test_a_broken_update_stops_after_two_and_its_cure_goes_through(space: Namespace) -> None:
    running = operator(space, "operator-broken")
    try:
        serve_six(space)
        with Watcher(space, SIX) as watcher:
            still = Still.now(space)
            learn(space.cluster, gpus=[LOST_GPU])
            told = until(
                space,
                updates,
                lambda found: (
                    set(found) == {"c", "d", "e", "f"}
                    and all(
                        f"now {space.name}/a, {space.name}/b" in said for said in found.values()
                    )
                ),
            )
            assert "at most 2 objects at the same time" in told["c"]
            space.until_reason("Unschedulable", "a")
            space.until_reason("Unschedulable", "b")
            message = space.condition("Ready", "a")["message"]
            assert "it is taking up an update by itself: the catalogue's entries" in message
            assert set(marked(space)) == {"a", "b"}

            # Another operator finds it so, and goes on waiting.
            running.stop(grace_s=0)
            running = operator(space, "operator-broken-later")
            space.apply(deployment("witness", rollout=AUTOMATIC, replicas=0))
            space.until_ready("witness", reason="ScaledToZero")
            assert {w.split()[2] for w in still.written()} - {"witness", "witness-pods"} == {
                "a",
                "b",
            }

            # Somebody who does not want to wait gives one place to the next.
            space.patch("vld", {"spec": {"rollout": {"updates": "OnRequest"}}}, "b")
            until(space, marked, lambda found: set(found) == {"a", "c"})
            assert ready(space) == {"d", "e", "f", "witness"}

            # The cure: what fails goes first, then nobody needs anything any more.
            learn(space.cluster)
            until(space, ready, lambda found: found >= {"a", "c", "d", "e", "f"})
            assert set(updates(space)) == {"b"}
            space.patch("vld", {"spec": {"rollout": {"restartToken": "now"}}}, "b")
            until(space, ready, lambda found: found == {*SIX, "witness"})
            until(space, marked, lambda found: not found)
        assert watcher.order == ["a", "b", "c"] or watcher.order == ["b", "a", "c"]
        assert watcher.most_down == LIMIT + 1  # `b` was released by hand, and is broken
        assert updates(space) == {}
    finally:
        running.stop()
