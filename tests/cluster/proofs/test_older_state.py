"""An API server whose lists and watches are behind does no harm: what was done is not undone."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually, wait_until
from hack import local_operator
from tests.cluster.proxy import Proxy, Rule
from tests.cluster.updating import learn
from tests.cluster.world import CHILDREN as CHILDREN_NAMES
from tests.cluster.world import Namespace, audit_mark, ready, settled, vld, writes
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT, POD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from devcluster.target import Target
    from hack.local_operator import LocalOperator
    from tests.cluster.proxy_exchange import Answer, Exchange

pytestmark = pytest.mark.cluster

PATIENCE_S = 120.0

BEHIND: dict[str, set[str]] = {
    "deployments": {DEPLOYMENT.plural},
    "children": {kind.plural for kind in CHILDREN},
    "everything": {kind.plural for kind in (DEPLOYMENT, *CHILDREN, POD)},
}


@dataclass
class WatchCache:
    """Lists are answered as they were once, and watches tell nothing new, for some kinds.

    Attributes:
        behind: plurals of the kinds.
        answers: what was answered once.
    """

    behind: set[str] = field(default_factory=set)
    answers: dict[tuple[str, str, str], Answer] = field(default_factory=dict)

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Answers as an API server does whose watch cache does not get on."""
        seen = exchange.seen
        old = seen.path.rsplit("/", 1)[1] in self.behind
        if seen.watch:
            return await exchange.stream(silent=old)
        key = seen.path, str(sorted(seen.query.items())), exchange.request.headers["Accept"]
        if old and key in self.answers:
            return await exchange.give(self.answers[key])
        answer = await exchange.forward()
        self.answers.setdefault(key, answer)
        return await exchange.give(answer)

    def rules(self) -> list[Rule]:
        """Lists and watches of everything go through it."""
        return [Rule(self, f"*/{plural}", {"GET"}) for plural in BEHIND["everything"]]


class Scene:
    """A namespace in which the world has moved on since the lists were remembered."""

    def __init__(self, cluster: Target, proxy: Proxy) -> None:
        self.cluster = cluster
        self.proxy = proxy
        self.cache = WatchCache()
        self.space = Namespace(cluster, f"older-{uuid.uuid4().hex[:6]}")
        self.operator: LocalOperator
        self._news = 0

    def start(self) -> None:
        options = ["--no-leader-election", f"--namespace={self.space.name}"]
        self.operator = local_operator.start(
            self.cluster, name="operator-older", server=self.proxy.server, options=options
        )

    def reconciles(self) -> float:
        """How often the operator has looked at an object."""
        return self._sum("videollm_reconciles_total")

    def _sum(self, metric: str) -> float:
        """Of all lines of a metric, in one look."""
        lines = self.operator.metrics().splitlines()
        return sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith(f"{metric}{{"))

    def look_again(self) -> None:
        """Makes the operator look at all that it knows, as it knows it, and waits until it has.

        The catalogue is watched, too, and its watch is not behind: another text makes every object
        due, also one whose next try is minutes away. All that is new in it is a comment.
        """
        known, looked = self._sum("videollm_deployments"), self.reconciles()
        assert known >= 3
        self._news += 1
        learn(self.cluster, f"models: []\n# look {self._news}\n")
        assert wait_until(lambda: self.reconciles() >= looked + known, PATIENCE_S)
        idle = "videollm_queue_depth 0.0"
        assert wait_until(lambda: idle in self.operator.metrics(), PATIENCE_S)

    def state(self) -> dict[str, Any]:
        """Everything that the operator could have changed."""
        found = {}
        kinds = f"vld,{CHILDREN_NAMES}"
        for obj in self.cluster.get(kinds, "-n", self.space.name, "--show-managed-fields")["items"]:
            metadata = obj["metadata"]
            kept = {key: metadata[key] for key in ("uid", "generation") if key in metadata}
            if obj["kind"] != "VideoLLMDeployment":
                kept["managedFields"] = [
                    f for f in metadata.get("managedFields", ()) if "subresource" not in f
                ]
            found[f"{obj['kind']}/{metadata['name']}"] = [kept, obj.get("spec"), obj.get("status")]
        return found

    def written(self, mark: int) -> list[str]:
        """What the operator has written since a mark, whether it was accepted or not."""
        return [
            f"{record.verb} {record.resource}/{record.subresource} {record.name}: {record.code}"
            for record in writes(self.cluster, mark)
            if record.namespace == self.space.name
        ]


def zero(*names: str) -> list[dict[str, Any]]:
    return [vld(name, replicas=0) for name in names]


@pytest.fixture(scope="module")
def scene(installed: Target) -> Iterator[Scene]:
    with Proxy(installed) as proxy:
        made = Scene(installed, proxy)
        space = made.space
        installed.create_namespace(space.name)
        made.start()
        try:
            space.apply(*zero("moved", "gone", "mended", "same"))
            for name in ("moved", "gone", "mended", "same"):
                space.until_ready(name, reason="ScaledToZero")
            made.operator.stop()
            proxy.add(*made.cache.rules())
            made.start()  # lists everything, which is remembered
            move_on(space)
            yield made
            assert made.operator.alive
        finally:
            made.operator.stop()
            learn(installed)
            space.kubectl("delete", "vld", "--all", "--wait=false")
            installed.kubectl("delete", "namespace", space.name, "--wait=false")


def move_on(space: Namespace) -> None:
    """A newer spec, an object that goes, one that comes, and a child that is made anew."""
    lost = space.get("service", "mended")["metadata"]["uid"]
    space.patch("vld", {"spec": {"network": {"port": 8001}, "replicas": 1}}, "moved")
    space.kubectl("delete", "vld", "gone")
    space.kubectl("delete", "service", "mended")
    space.apply(*zero("new"))
    space.until_ready("moved")
    space.until_ready("new", reason="ScaledToZero")
    space.until(lambda obj: obj["metadata"]["uid"] != lost, "mended", "service")
    eventually(
        lambda: [key for key in names_of(space) if key.endswith("/gone")],
        lambda left: not left,
        timeout_s=90,
    )


def names_of(space: Namespace) -> set[str]:
    return {
        f"{obj['kind']}/{obj['metadata']['name']}" for obj in space.items(f"vld,{CHILDREN_NAMES}")
    }


def test_a_running_operator_keeps_to_what_it_knows(scene: Scene) -> None:
    before, mark = scene.state(), audit_mark(scene.cluster)
    looked = scene.reconciles()
    scene.cache.behind = BEHIND["everything"]
    scene.proxy.expire_watches()
    assert wait_until(lambda: "is it behind" in scene.operator.log.read_text(), PATIENCE_S)
    scene.space.kubectl("delete", "pod", "moved-0", "--now")  # nobody tells it
    scene.look_again()
    assert scene.written(mark) == []
    assert scene.operator.healthy()
    scene.cache.behind = set()
    scene.proxy.end_watches()
    scene.space.patch("vld", {"spec": {"network": {"port": 8002}}}, "same")
    scene.space.until(lambda obj: obj["spec"]["ports"][0]["port"] == 8002, "same", "service")
    scene.space.until_ready("moved")
    scene.space.until_ready("same", reason="ScaledToZero")
    after = scene.state()
    changed = {key for key in before if before[key] != after.get(key)}
    assert changed <= {
        "VideoLLMDeployment/same", "VideoLLMDeployment/moved", "Service/same", "Service/same-pods",
        "StatefulSet/same", "StatefulSet/moved", "PodDisruptionBudget/moved",
    }  # fmt: skip
    assert before["StatefulSet/moved"][:2] == after["StatefulSet/moved"][:2]
    assert after.keys() == before.keys()
    assert scene.reconciles() > looked
    assert "videollm_restarts_total 0.0" in scene.operator.metrics()


@pytest.mark.parametrize("what", BEHIND)
def test_an_operator_that_begins_with_an_older_state_undoes_nothing(
    scene: Scene, what: str
) -> None:
    space = scene.space
    scene.operator.stop()
    scene.cache.behind = BEHIND[what]
    before, mark = scene.state(), audit_mark(scene.cluster)
    scene.start()
    wanted = 3 if what == "children" else 4
    assert wait_until(lambda: scene.reconciles() >= wanted, PATIENCE_S)
    scene.look_again()
    accepted = [line for line in scene.written(mark) if not line.endswith("409")]
    assert [line for line in accepted if "201" in line or "delete" in line] == []
    after = scene.state()
    assert after.keys() == before.keys()
    for key, (metadata, spec, _) in before.items():
        assert after[key][:2] == [metadata, spec], key
    moved = space.get("vld", "moved")
    assert settled(moved)
    if what == "deployments":
        assert ready(moved) == ("True", "Serving")
    scene.cache.behind = set()
    scene.proxy.end_watches()
    port = 8010 + len(what)
    space.patch("vld", {"spec": {"network": {"port": port}}}, "same")
    space.until(lambda obj: obj["spec"]["ports"][0]["port"] == port, "same", "service")
    for name, reason in (("same", "ScaledToZero"), ("new", "ScaledToZero"), ("moved", "Serving")):
        space.until_ready(name, reason=reason)
    assert scene.operator.healthy()
