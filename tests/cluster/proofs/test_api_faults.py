"""Whatever is answered to a request, or not, the end is the same as without, and soon reached."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import wait_until
from hack import local_operator
from tests.cluster.proofs.fault_cells import (
    Cell,
    Field,
    causes_of,
    differing,
    most_looks,
    written,
)
from tests.cluster.proofs.fault_table import DONE_ALREADY, FAULTS, LONG_S, SHORT_S
from tests.cluster.proxy import Proxy, Rule
from tests.cluster.world import audit_mark
from videollm_operator.runtime.client import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from devcluster.target import Target
    from hack.local_operator import LocalOperator
    from tests.cluster.proofs.causes import Causes
    from tests.cluster.proxy_actions import Action
    from tests.cluster.proxy_exchange import Exchange, Seen

pytestmark = pytest.mark.cluster

STORM_S = 12.0
LATER_S = 15.0
"""Every lasting fault goes on for `STORM_S`, and for `LATER_S` more."""

STORMS: dict[str, Action] = {
    name: FAULTS[name][0]
    for name in ("409", "422", "429", "500", "503", "broken off", "broken off, but done")
}
"""What is done to all requests for a while."""

TARGETS = {
    "apply of the StatefulSet": ("PATCH", "statefulsets/a"),
    "apply of a Service": ("PATCH", "services/a"),
    "status": ("PATCH", "videollmdeployments/a/status"),
    "Event": ("POST", "events"),
    "look at the object": ("GET", "videollmdeployments/a"),
}
CASES = [(target, fault) for target in TARGETS for fault in FAULTS]
STORMY = ("apply of the StatefulSet", "status", "Event")
PERSISTENT = [(target, fault) for target in STORMY for fault in STORMS]
OVERTAKEN = "status: 409 because the object has changed"

EVENT_LOST = {"409", "422", "500", "no answer"} | {name for name in FAULTS if "later" in name}
"""An Event is given up then: a status that waits for it would be worse."""

SENT_AGAIN = {"429", "503", "broken off", "broken off, but done"}
"""What the client itself tries again before it tells."""

BESIDES = 6
"""Requests of one look besides the one that fails: the object, its children, status, an Event."""

PATIENCE_S = 300.0


@dataclass(frozen=True)
class Overtaken:
    """Somebody changes the object just before its status is written."""

    cluster: Target
    namespace: str

    async def __call__(self, exchange: Exchange) -> web.StreamResponse:
        """Changes it, then passes the request on."""
        await asyncio.to_thread(
            self.cluster.kubectl, "annotate", "vld", "a", "-n", self.namespace, "--overwrite",
            f"somebody={exchange.seen.number}",
        )  # fmt: skip
        return await exchange.through()


def rule(cell: Cell, target: str, action: Action, times: float) -> Rule:
    method, path = TARGETS[target]
    return Rule(action, f"*/namespaces/{cell.namespace}/{path}", {method}, times=times)


class Scene:
    """All cells, one operator, and the proxy between it and the API server."""

    def __init__(self, field: Field, proxy: Proxy, operator: LocalOperator) -> None:
        self.field = field
        self.proxy = proxy
        self.operator = operator
        self.reference, self.overtaken, *rest = field.cells
        self.passing = dict(zip(CASES, rest[: len(CASES)], strict=True))
        self.lasting = dict(zip(PERSISTENT, rest[len(CASES) :], strict=True))
        self.renewals: list[Rule] = []

    def arm(self) -> None:
        """Sets up every cell's fault, and those of the Lease; rules count, so they are new ones."""
        self.renewals = [
            Rule(action, "*/leases/*", {"PUT"}, nth=2 * number + 1, times=1)
            for number, (action, _) in enumerate(FAULTS.values())
        ]
        self.overtaken.rules = [
            rule(
                self.overtaken, "status", Overtaken(self.field.cluster, self.overtaken.namespace), 2
            )
        ]
        for (target, fault), cell in self.passing.items():
            cell.rules = [rule(cell, target, *FAULTS[fault])]
        for (target, fault), cell in self.lasting.items():
            cell.rules = [rule(cell, target, STORMS[fault], float("inf"))]
        self.proxy.clear()
        self.proxy.add(*(each for cell in self.field.cells for each in cell.rules))
        self.proxy.add(*self.renewals)

    def without_events(self) -> list[Cell]:
        """Those that wait for other things than an Event.

        Of a change there may be no Event: what is seen only when it is over was never not so.
        """
        of_events = [
            cell
            for (target, _), cell in {**self.passing, **self.lasting}.items()
            if target == "Event"
        ]
        return [cell for cell in self.field.cells if cell not in of_events]

    def lease(self) -> dict[str, Any]:
        """Whose turn it is."""
        found = self.field.cluster.get("lease", "videollm-operator", "-n", local_operator.NAMESPACE)
        return {
            key: found["spec"][key] for key in ("holderIdentity", "acquireTime", "leaseTransitions")
        }

    def change(self, **spec: Any) -> Change:
        """Changes every object under faults; what came of it."""
        field, proxy = self.field, self.proxy
        mark, first = audit_mark(field.cluster), len(proxy.seen)
        told, lease = field.news(), self.lease()
        self.arm()
        began = time.monotonic()
        field.apply(field.cells, **spec)
        field.until_ready(
            [self.reference, self.overtaken, *self.passing.values()], within_s=PATIENCE_S
        )
        wait_until(lambda: time.monotonic() - began > STORM_S, STORM_S + 5)
        wait_until(lambda: self.renewals[-1].matched > self.renewals[-1].nth, PATIENCE_S)
        steady = time.monotonic()
        wait_until(lambda: time.monotonic() - steady > LATER_S, LATER_S + 5)
        healthy = self.operator.alive and self.operator.healthy() and self.operator.ready()
        proxy.clear()
        during = proxy.seen[first:]
        field.until_ready(list(self.lasting.values()), within_s=PATIENCE_S)
        news = field.news()
        return Change(
            self,
            creating=not spec,
            lease=(lease, self.lease()),
            steady=steady,
            healthy=healthy,
            during=during,
            seen=proxy.seen[first:],
            contents=field.contents(),
            written=written(field.cluster, mark),
            causes=causes_of(field.cluster, mark),
            news={cell.name: news[cell.namespace] - told[cell.namespace] for cell in field.cells},
        )


@dataclass(frozen=True)
class Change:
    """What came of one change of every object.

    Attributes:
        scene: where.
        creating: whether the objects did not exist before.
        lease: whose turn it was before, and is after it.
        steady: since when there were lasting faults only, and nobody did anything.
        healthy: whether the operator was well while faults lasted.
        during: requests while faults lasted.
        seen: all requests.
        contents: what there was in the end.
        written: what the API server was asked to write, and its answers, by namespace.
        causes: how often status was written, and how often there was reason to, by namespace.
        news: reasons of new Events, by cell.
    """

    scene: Scene
    creating: bool
    lease: tuple[dict[str, Any], dict[str, Any]]
    steady: float
    healthy: bool
    during: list[Seen]
    seen: list[Seen]
    contents: dict[str, dict[str, Any]]
    written: dict[str, Counter[tuple[str, int]]]
    causes: dict[str, Causes]
    news: dict[str, Counter[str]]

    def accepted(self, cell: Cell, *, status: bool = False) -> int:
        """Writes to children, or of the status, that the API server accepted."""
        return sum(
            count
            for (what, code), count in self.written[cell.namespace].items()
            if code < 300 and what != "events" and status == (what == "videollmdeployments/status")
        )


@pytest.fixture(scope="module")
def scene(installed: Target) -> Iterator[Scene]:
    cases = [
        "undisturbed",
        OVERTAKEN,
        *(f"{target}: {fault}" for target, fault in CASES),
        *(f"{target}: {fault}, for long" for target, fault in PERSISTENT),
    ]
    field = Field(installed, f"f-{uuid.uuid4().hex[:4]}", cases)
    field.create()
    # Of one that was killed before, whose end would be waited for.
    lease = ["lease", "videollm-operator", "-n", local_operator.NAMESPACE]
    installed.kubectl("delete", *lease, "--ignore-not-found")
    times = ["--lease-seconds=120", "--renew-deadline-seconds=90", "--retry-seconds=0.5"]
    options = ["--workers=16", *times]
    with Proxy(installed) as proxy:
        operator = local_operator.start(
            installed, name="operator-faults", server=proxy.server, options=options
        )
        try:
            assert wait_until(lambda: operator.role() == "leader", 60), operator.tail()
            yield Scene(field, proxy, operator)
            assert "videollm_restarts_total 0.0" in operator.metrics()
            assert 'videollm_reconciles_total{result="error"} 0.0' in operator.metrics()
        finally:
            operator.stop()
            field.remove()


@pytest.fixture(scope="module", params=["create", "change"])
def change(request: pytest.FixtureRequest, scene: Scene) -> Change:
    """Every object is created, and later changed: its StatefulSet, Service and status with it."""
    if request.param == "create":
        return scene.change()
    return scene.change(workload={"framesPerVideo": 16}, network={"port": 8001})


def test_every_fault_came_up(change: Change) -> None:
    certain = change.scene.field.cells if change.creating else change.scene.without_events()
    assert [cell.name for cell in certain for each in cell.rules if not each.matched] == []
    overtaken = change.written[change.scene.overtaken.namespace]
    assert overtaken["videollmdeployments/status", 409] == 2


def test_the_lease_is_kept_whatever_is_answered_to_a_renewal(change: Change) -> None:
    assert [rule.nth for rule in change.scene.renewals if rule.matched <= rule.nth] == []
    before, after = change.lease
    assert before == after
    assert before["holderIdentity"] == "operator-faults"


def test_children_and_status_are_in_the_end_as_without_faults(change: Change) -> None:
    scene = change.scene
    assert len(change.contents[scene.reference.namespace]) == 6
    assert differing(change.contents, scene.field.cells, scene.reference) == {}


def test_nothing_is_done_twice_but_what_the_operator_cannot_know_of(change: Change) -> None:
    scene = change.scene
    wanted = change.accepted(scene.reference)
    assert wanted >= 2
    found = {}
    for (_, fault), cell in {**scene.passing, **scene.lasting}.items():
        again = sum(each.matched for each in cell.rules) if fault in DONE_ALREADY else 0
        if not wanted <= change.accepted(cell) <= wanted + again:
            found[cell.name] = (change.accepted(cell), wanted, again)
    assert found == {}


def test_the_status_is_not_written_without_end(change: Change) -> None:
    # A refusal that is told, and its end, leave no write of their own.
    wrong = {
        cell.name: change.causes[cell.namespace].too_many(objects=change.creating, more=2)
        for cell in change.scene.field.cells
    }
    assert {name: line for name, line in wrong.items() if line} == {}
    # What is refused lost a race with such a write, or was answered by a fault and sent again.
    refused = {}
    for cell in change.scene.field.cells:
        found = change.causes[cell.namespace]
        most = found.allowed(change.creating, 2) + sum(each.matched for each in cell.rules)
        if found.refused > most:
            refused[cell.name] = (found, most)
    assert refused == {}


def test_while_a_fault_lasts_the_operator_is_well_and_asks_less_and_less(change: Change) -> None:
    assert change.healthy
    too_many, failed = {}, 0
    for (_, fault), cell in change.scene.lasting.items():
        asked = cell.about(change.during)
        late = [e for e in asked if change.steady <= e.time < change.steady + LATER_S]
        before = sum(bool(each.fault) for each in asked if each.time < change.steady)
        sent = ATTEMPTS if fault in SENT_AGAIN else 1
        looks = most_looks(before, LATER_S, sent)
        faults = sum(bool(each.fault) for each in late)
        failed += before
        if faults > looks * sent or len(late) > looks * (sent + BESIDES):
            too_many[cell.name] = (before, faults, len(late), looks)
    assert too_many == {}
    assert failed > 0


def test_events_are_told_once(change: Change) -> None:
    scene = change.scene
    # An Event at the end of a change is told if the change was seen while it went on.
    wanted = change.news[scene.reference.name] | Counter({"ScaledToZero": 1})
    found = {}
    for (target, fault), cell in {**scene.passing, **scene.lasting}.items():
        news = change.news[cell.name]
        # A child that is refused, or twice without an answer, is told until it is over.
        told = target.startswith("apply")
        allowed = wanted + Counter({"ChildRefused": 2}) if told else wanted
        lost = target == "Event" and (fault in EVENT_LOST or cell in scene.lasting.values())
        lost = lost or not change.creating
        if not (news <= allowed and (lost or wanted <= news)):
            found[cell.name] = news
    assert found == {}, wanted


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "Event"])
def test_who_is_asked_to_come_back_later_does(change: Change, target: str) -> None:
    method, path = TARGETS[target]
    for status in (429, 503):
        for when, seconds in (("soon", SHORT_S), ("later", LONG_S)):
            cell = change.scene.passing[target, f"{status}, come back {when}"]
            asked = [
                each
                for each in cell.about(change.seen)
                if each.method == method and each.path.endswith(path)
            ]
            waits = [
                after.time - before.time
                for before, after in itertools.pairwise(asked)
                if before.fault
            ]
            assert waits, cell.name
            assert min(waits) >= seconds - 0.1, cell.name
