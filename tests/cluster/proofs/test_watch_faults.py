"""Whatever becomes of watches: all is noticed, nothing is done twice, nobody asks in a loop."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import nodes
from devcluster.waiting import eventually, wait_until
from hack import local_operator
from tests.cluster.proxy import EXPIRED, Proxy, Rule
from tests.cluster.proxy_actions import Break, CutShort, Refuse
from tests.cluster.world import (
    LOAD_SECONDS,
    Namespace,
    audit_mark,
    condition_types,
    vld,
    writes,
)
from videollm_operator.runtime.kinds import CHILDREN, CONFIG_MAP, DEPLOYMENT, NODE, POD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.target import Target
    from hack.local_operator import LocalOperator
    from tests.cluster.proxy_exchange import Stream

pytestmark = pytest.mark.cluster

WATCHED = {kind.plural for kind in (DEPLOYMENT, *CHILDREN, POD, NODE)}
NODE_NEWS = {"UpdateAvailable", "Degraded"}
"""What a node with too little memory brings up, and its end clears."""

PATIENCE_S = 120.0
PROMISED_S = 120.0
"""Within this a watch that only falls silent is begun anew."""

QUICK = {"annotations": {LOAD_SECONDS: "0"}}


@dataclass
class Scene:
    """An operator of its own namespace, and the proxy before it.

    Attributes:
        silenced: when its watches fell silent, by the monotonic clock.
    """

    space: Namespace
    proxy: Proxy
    operator: LocalOperator
    silenced: float = 0.0

    def restarts(self) -> int:
        """How often the operator began anew."""
        return int(self.metric("videollm_restarts_total"))

    def metric(self, line: str) -> float:
        """The value of one line of /metrics; 0 if there is none."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.operator.metrics(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    def known(self) -> int:
        """How many deployments it knows, by one look at its metrics."""
        lines = self.operator.metrics().splitlines()
        return sum(
            int(float(line.split()[-1]))
            for line in lines
            if line.startswith("videollm_deployments{")
        )

    def well(self) -> bool:
        """Whether it lives and says so."""
        return self.operator.alive and self.operator.healthy()

    def until_watching(self) -> None:
        """Waits until every kind is watched: what failed before is begun anew after a pause."""
        eventually(self.proxy.watched, lambda kinds: kinds >= WATCHED, timeout_s=PATIENCE_S)


@contextmanager
def scene_of(cluster: Target, name: str) -> Iterator[Scene]:
    space = Namespace(cluster, f"w-{name}-{uuid.uuid4().hex[:6]}")
    cluster.create_namespace(space.name)
    options = ["--no-leader-election", f"--namespace={space.name}"]
    with Proxy(cluster) as proxy:
        operator = local_operator.start(
            cluster, name=f"operator-{name}", server=proxy.server, options=options
        )
        try:
            yield Scene(space, proxy, operator)
            assert operator.alive
        finally:
            operator.stop()
            space.kubectl("delete", "vld", "--all", "--wait=false")
            space.kubectl("delete", "pod", "--all", "--now", "--wait=false")
            cluster.kubectl("delete", "namespace", space.name, "--wait=false")


@pytest.fixture(scope="module")
def deaf(installed: Target) -> Iterator[Scene]:
    """An operator whose watches fell silent, with their connections open, at the very beginning."""
    with scene_of(installed, "deaf") as scene:
        scene.space.apply(vld("quiet", replicas=0))
        scene.space.until_ready("quiet", reason="ScaledToZero")
        scene.until_watching()
        scene.silenced = time.monotonic()
        scene.proxy.silence_watches()
        scene.space.patch("vld", {"spec": {"network": {"port": 8001}}}, "quiet")
        scene.space.kubectl("delete", "service", "quiet")
        yield scene


@pytest.fixture(scope="module")
def scene(installed: Target, deaf: Scene) -> Iterator[Scene]:
    assert deaf  # begins to wait first
    with scene_of(installed, "watch") as made:
        yield made


def ended(last: bytes = b"") -> Callable[[Proxy], int]:
    """All watches end, after one more line."""

    def end(stream: Stream) -> None:
        stream.end(last)

    return lambda proxy: proxy._each("*", end)


BROKEN_LINE = b'{"type":"MODIFIED","object":{"meta'
ODD_ERROR = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 500}}).encode()

ENDINGS: dict[str, tuple[Callable[[Proxy], int], int]] = {
    "over": (ended(), 0),
    "broken off": (Proxy.break_watches, 0),
    "too old": (Proxy.expire_watches, 0),
    "broken off within a line": (ended(BROKEN_LINE), 1),
    "an error that is not 410": (ended(ODD_ERROR), 1),
}
"""How watches end, and how often the operator may begin anew for it."""


@pytest.mark.parametrize("how", ENDINGS)
def test_what_happened_before_a_watch_ended_is_noticed_after_it(scene: Scene, how: str) -> None:
    space, (end, most) = scene.space, ENDINGS[how]
    space.apply(vld("changed", replicas=0), vld("hurt", replicas=0))
    space.until_ready("changed", reason="ScaledToZero")
    space.until_ready("hurt", reason="ScaledToZero")
    before = scene.restarts()
    lost = space.get("service", "hurt")["metadata"]["uid"]
    scene.until_watching()
    scene.proxy.hold_watches()
    now = space.get("service", "changed")["spec"]["ports"][0]["port"]
    port = 8001 if now != 8001 else 8000
    space.patch("vld", {"spec": {"network": {"port": port}}}, "changed")
    space.kubectl("delete", "service", "hurt")
    space.apply(vld("new", replicas=0))
    mark = audit_mark(space.cluster)
    end(scene.proxy)
    space.until_ready("new", reason="ScaledToZero")
    space.until_ready("changed", reason="ScaledToZero")
    space.until(lambda obj: obj["metadata"]["uid"] != lost, "hurt", "service")
    space.until(lambda obj: obj["spec"]["ports"][0]["port"] == port, "changed", "service")
    children = [
        record
        for record in writes(space.cluster, mark)
        if record.namespace == space.name and record.subresource != "status"
    ]
    created = Counter((r.name, r.resource) for r in children if r.code == 201)
    assert created[("hurt", "services")] == 1
    assert sum(created.values()) == 6
    assert scene.well()
    assert scene.restarts() - before <= most
    space.kubectl("delete", "vld", "new")


def test_what_was_deleted_while_watches_were_too_old_is_noticed(scene: Scene) -> None:
    """Kopf lists anew and tells of what is there; of what is not, it says nothing."""
    space, cluster = scene.space, scene.space.cluster
    kept = {"podTemplate": QUICK}
    space.apply(vld("gone", replicas=0), vld("hurt", replicas=0), vld("crowded", **kept))
    for name, reason in (
        ("gone", "ScaledToZero"),
        ("hurt", "ScaledToZero"),
        ("crowded", "Serving"),
    ):
        space.until_ready(name, reason=reason)
    small = smaller(scene)
    cluster.add_nodes([small])
    labels = space.get("pod", "crowded-0")["metadata"]["labels"]
    space.apply(stray_pod(labels))
    # It does not count; that other pods went is news that comes after it, by the same watch.
    space.patch("vld", {"spec": {"replicas": 0}}, "crowded")
    space.until_ready("crowded", reason="ScaledToZero")
    space.until(lambda obj: NODE_NEWS & condition_types(obj), "hurt")
    lost = space.get("service", "hurt")["metadata"]["uid"]
    known = eventually(scene.known, lambda n: n == len(space.items("vld")), timeout_s=PATIENCE_S)

    scene.until_watching()
    scene.proxy.hold_watches()
    space.kubectl("delete", "vld", "gone")
    space.kubectl("delete", "service", "hurt")
    space.kubectl("delete", "pod", "stray", "--now")
    cluster.kubectl("delete", "node", *small.node_names)
    eventually(lambda: of_instance(space, "gone"), lambda left: not left, timeout_s=90)
    mark = audit_mark(cluster)
    # The comparison that follows Kopf's list fails at first, too.
    scene.proxy.add(Rule(Refuse(503), "*/pods", {"GET"}, watch=False, nth=2, times=5))
    first = len(scene.proxy.seen)
    scene.proxy.expire_watches()

    space.until(lambda obj: obj["metadata"]["uid"] != lost, "hurt", "service")
    space.until(lambda obj: not NODE_NEWS & condition_types(obj), "hurt")
    for resource in ("videollmdeployments", "services", "pods", "nodes"):
        line = f'videollm_cache_repairs_total{{resource="{resource}"}}'
        assert wait_until(lambda line=line: scene.metric(line) >= 1, PATIENCE_S), resource
    eventually(scene.known, lambda n: n == known - 1, timeout_s=PATIENCE_S)
    scene.proxy.clear()
    assert [r.uri for r in writes(cluster, mark) if r.name == "gone"] == []
    assert of_instance(space, "gone") == []
    lists = Counter(
        each.path
        for each in scene.proxy.seen[first:]
        if each.method == "GET" and not each.watch and each.path.rsplit("/", 1)[1] in WATCHED
    )
    assert max(lists.values()) <= 12
    assert scene.restarts() <= 2  # of the tests before


def smaller(scene: Scene) -> nodes.NodeGroup:
    """Nodes with the same GPUs, but less memory on each."""
    like = next(group for group in nodes.load() if group.name == "a100-80gb")
    assert like.gpu is not None
    name = f"{scene.space.name}-small"
    return replace(like, name=name, count=1, gpu=replace(like.gpu, memory=20000))


def stray_pod(labels: dict[str, str]) -> dict[str, Any]:
    """A pod that looks like one of ours, and is none."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stray", "labels": labels},
        "spec": {"containers": [{"name": "c", "image": "example.com/none"}], "nodeName": "cpu-0"},
    }


def of_instance(space: Namespace, name: str) -> list[str]:
    return [
        f"{obj['kind']}/{obj['metadata']['name']}"
        for obj in space.items(
            "statefulset,service,serviceaccount,poddisruptionbudget",
            f"app.kubernetes.io/instance={name}",
        )
    ]


ABUSES: dict[str, Rule] = {
    "services": Rule(Refuse(200, body=b""), "*/services", watch=True),
    "pods": Rule(Refuse(200, body=EXPIRED + b"\n"), "*/pods", watch=True),
    "nodes": Rule(Refuse(403), "*/nodes", watch=True),
    "statefulsets": Rule(Refuse(500), "*/statefulsets", {"GET"}, watch=True),
    "serviceaccounts": Rule(Refuse(503), "*/serviceaccounts", watch=True),
    "poddisruptionbudgets": Rule(Refuse(429), "*/poddisruptionbudgets", watch=True),
    "persistentvolumeclaims": Rule(Break(), "*/persistentvolumeclaims", watch=True),
    "videollmdeployments": Rule(CutShort(), "*/videollmdeployments", {"GET"}, watch=False),
    "configmaps": Rule(Refuse(200, body=b""), "*/configmaps", watch=True),
}
"""What is done to every watch, or list, of a kind: closed, too old, refused, broken off at once."""

ABUSED_S = 10.0
SETTLING_S = 4.0
BUSIEST = {"configmaps": 8, "videollmdeployments": 20}


def test_watches_that_fail_for_long_are_begun_anew_later_and_later(scene: Scene) -> None:
    assert set(ABUSES) == {*WATCHED, CONFIG_MAP.plural}
    space, proxy = scene.space, scene.proxy
    space.apply(vld("after", replicas=0))
    space.until_ready("after", reason="ScaledToZero")
    before = scene.restarts()
    proxy.add(*ABUSES.values())
    proxy.expire_watches()
    began = time.monotonic()
    assert wait_until(lambda: time.monotonic() - began >= ABUSED_S, ABUSED_S + 5)
    assert scene.well()
    proxy.clear()
    asked = Counter(
        each.path.rsplit("/", 1)[1]
        for each in proxy.seen
        if began + SETTLING_S <= each.time <= began + ABUSED_S and each.fault
    )
    assert {kind for kind in ABUSES if not ABUSES[kind].matched} == set()
    # Six seconds: one or two watches, or as many attempts. Of the deployments lists are cut short,
    # Kopf's and those of the comparison after it; a catalogue is watched once a second.
    assert {kind: count for kind, count in asked.items() if count > BUSIEST.get(kind, 5)} == {}
    assert scene.restarts() == before
    space.patch("vld", {"spec": {"network": {"port": 8009}}}, "after")
    space.kubectl("delete", "service", "after")
    space.until(lambda obj: obj["spec"]["ports"][0]["port"] == 8009, "after", "service")
    space.until_ready("after", reason="ScaledToZero")


def test_watches_that_are_refused_as_gone_are_survived(scene: Scene) -> None:
    """410 instead of an answer ends Kopf's watching; the process begins anew, and not in a loop."""
    proxy, before = scene.proxy, scene.restarts()
    proxy.add(Rule(Refuse(410), "*/services", watch=True))
    first = len(proxy.seen)
    proxy.end_watches("*/services")
    assert wait_until(lambda: scene.restarts() >= before + 2, PATIENCE_S)
    began, asked = proxy.seen[first].time, len(proxy.seen) - first
    assert asked / (proxy.seen[-1].time - began) < 40
    assert scene.well()
    proxy.clear()
    space = scene.space
    space.apply(vld("survivor", replicas=0))
    space.until_ready("survivor", reason="ScaledToZero")


def test_what_happened_while_watches_were_silent_is_noticed_within_two_minutes(deaf: Scene) -> None:
    """Every test of this file ran meanwhile."""
    space = deaf.space

    def anew() -> dict[str, float]:
        """Seconds from the silence to the next watch of each kind."""
        found: dict[str, float] = {}
        for each in list(deaf.proxy.seen):
            if each.watch and each.time > deaf.silenced:
                found.setdefault(each.path.rsplit("/", 1)[1], each.time - deaf.silenced)
        return {kind: seconds for kind, seconds in found.items() if kind in WATCHED}

    begun = eventually(anew, lambda found: found.keys() == WATCHED, timeout_s=2 * PROMISED_S)
    assert {kind: seconds for kind, seconds in begun.items() if seconds > PROMISED_S} == {}
    space.until(lambda obj: obj["spec"]["ports"][0]["port"] == 8001, "quiet", "service")
    space.until_ready("quiet", reason="ScaledToZero")
    assert deaf.well()
    assert deaf.restarts() == 0
