"""A wall clock that jumps hours forward and back changes times that people read, nothing else."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually, wait_until
from hack import local_operator
from tests.cluster.world import (
    LOAD_SECONDS,
    OPERATOR_USER,
    Namespace,
    audit_mark,
    ready,
    vld,
    writes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target
    from hack.local_operator import LocalOperator

pytestmark = pytest.mark.cluster

HOUR_S = 3600
DEADLINE_S = 60
"""The shortest progress deadline there is."""

PATIENCE_S = 180.0
LEEWAY = timedelta(seconds=120)


class Scene:
    """An operator whose wall clock can be set."""

    def __init__(self, cluster: Target, space: Namespace, ahead: Path) -> None:
        self.cluster = cluster
        self.space = space
        self._ahead = ahead
        self.operator: LocalOperator

    def set(self, seconds: int) -> None:
        """Sets the clock, in one step."""
        fresh = self._ahead.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._ahead)

    def lease(self) -> dict[str, Any]:
        found = self.cluster.get("lease", "videollm-operator", "-n", local_operator.NAMESPACE)
        spec: dict[str, Any] = found["spec"]
        return spec

    def renewals(self, mark: int) -> int:
        """How often the Lease was renewed since a mark."""
        return sum(
            record.resource == "leases" and record.user == OPERATOR_USER and record.code == 200
            for record in self.cluster.audit_events(mark)
            if record.verb == "update"
        )


@pytest.fixture(scope="module")
def scene(installed: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    ahead = tmp_path_factory.mktemp("clock") / "ahead"
    ahead.write_text("0")
    space = Namespace(installed, f"clock-{uuid.uuid4().hex[:6]}")
    installed.create_namespace(space.name)
    made = Scene(installed, space, ahead)
    program = [str(Path(__file__).with_name("other_time.py")), str(ahead)]
    made.operator = local_operator.start(installed, name="operator-clock", program=program)
    try:
        space.apply(
            vld("settled"),
            vld("zero", replicas=0),
            vld("loading", podTemplate={"annotations": {LOAD_SECONDS: "3600"}}),
        )
        space.until_ready("settled")
        space.until_ready("zero", reason="ScaledToZero")
        space.until(lambda obj: ready(obj)[1] == "Loading", "loading")
        yield made
        assert made.operator.alive
    finally:
        made.operator.stop()
        space.kubectl("delete", "vld", "--all", "--wait=false")
        space.kubectl("delete", "pod", "--all", "--now", "--wait=false")
        installed.kubectl("delete", "namespace", space.name, "--wait=false")


def stuck(name: str) -> dict[str, Any]:
    """A deployment one of whose children is refused, by a quota of the namespace."""
    return vld(name, replicas=0, rollout={"progressDeadlineSeconds": DEADLINE_S})


def full(space: Namespace) -> dict[str, Any]:
    """A quota that admits no further Service."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "full"},
        "spec": {"hard": {"services": str(len(space.items("services")))}},
    }


@pytest.mark.parametrize("ahead", [HOUR_S, -HOUR_S], ids=["an hour forward", "two hours back"])
def test_a_jump_of_the_wall_clock_disturbs_nothing(scene: Scene, ahead: int) -> None:
    space, cluster = scene.space, scene.cluster
    term = {
        key: scene.lease()[key] for key in ("holderIdentity", "leaseTransitions", "acquireTime")
    }
    mark = audit_mark(cluster)
    scene.set(ahead)
    assert wait_until(lambda: scene.renewals(mark) >= 3, PATIENCE_S)
    assert {key: scene.lease()[key] for key in term} == term
    renewed = datetime.fromisoformat(scene.lease()["renewTime"])
    assert abs(renewed - datetime.now(UTC) - timedelta(seconds=ahead)) < LEEWAY
    touched = [record.name for record in writes(cluster, mark) if record.namespace == space.name]
    assert set(touched) <= {"loading"}, "the clock of what is settled does not run"
    assert len(touched) <= 4
    assert "videollm_restarts_total 0.0" in scene.operator.metrics()
    assert scene.operator.healthy()

    port = 8001 if ahead > 0 else 8002
    space.patch("vld", {"spec": {"network": {"port": port}}}, "zero")
    space.until(lambda obj: obj["spec"]["ports"][0]["port"] == port, "zero", "service")
    space.until_ready("zero", reason="ScaledToZero")
    fresh = f"fresh-{port}"
    space.apply(vld(fresh))
    obj = space.until_ready(fresh)
    (since,) = (
        datetime.fromisoformat(condition["lastTransitionTime"])
        for condition in obj["status"]["conditions"]
        if condition["type"] == "Ready"
    )
    assert abs(since - datetime.now(UTC) - timedelta(seconds=ahead)) < LEEWAY


def test_a_deadline_counts_from_where_the_clock_was_set_back_to(scene: Scene) -> None:
    space = scene.space
    scene.set(HOUR_S)
    space.apply(full(space))
    space.apply(stuck("stuck"))
    space.until(lambda obj: ready(obj)[1] == "ChildRefused", "stuck")
    scene.set(-HOUR_S)
    mark = audit_mark(scene.cluster)
    # Each look tries the Services again, and tells what came of it. Begun for the second time, it
    # has told.
    eventually(
        lambda: Counter(r.name for r in writes(scene.cluster, mark) if r.resource == "services"),
        lambda tried: max(tried["stuck"], tried["stuck-pods"]) >= 2,
        timeout_s=PATIENCE_S,
    )
    assert "Stalled" not in types(space.get("vld", "stuck"))
    scene.set(-HOUR_S + DEADLINE_S + 1)  # not two hours later
    space.until(lambda obj: "Stalled" in types(obj), "stuck", within_s=PATIENCE_S)
    space.kubectl("delete", "resourcequota", "full")
    space.patch("vld", {"spec": {"network": {"port": 8003}}}, "stuck")
    obj = space.until_ready("stuck", reason="ScaledToZero")
    assert "Stalled" not in types(obj)


def types(obj: dict[str, Any]) -> set[str]:
    return {condition["type"] for condition in obj["status"]["conditions"]}
