"""Drift: every kind of child by everything that others do to it; the audit log counts.

All deployments live side by side. Each is drifted in one way, and then its object gets a marker,
twice. Once the status speaks of the marker, the operator has looked at it with the drift before
it, so "no write" is not only "not yet".
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually, wait_until
from tests.cluster.drift_cases import DRIFTS, ROLES, Drift
from tests.cluster.rest import KINDS, Rest
from tests.cluster.world import Namespace, audit_mark, ready, vld, writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.audit import AuditRecord
    from devcluster.target import Target

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

SHARED = {"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany"}
CHILDREN = [kind for kind in KINDS if kind != "VideoLLMDeployment"]
WITHIN_S = 120.0
FIRST_ERROR = 400
MENDED_WITHIN_S = 60.0

Objects = dict[tuple[str, str], dict[str, Any]]


@dataclass
class History:
    """What became of all deployments."""

    before: Objects = field(default_factory=dict)
    drifted: Objects = field(default_factory=dict)
    after: Objects = field(default_factory=dict)
    writes: dict[tuple[str, str], list[AuditRecord]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)


def plural(kind: str) -> str:
    return KINDS[kind].plural


def children(rest: Rest) -> Objects:
    return {(kind, name): obj for kind in CHILDREN for name, obj in rest.items(kind).items()}


def mark(rest: Rest, names: list[str], seconds: int) -> dict[str, dict[str, Any]]:
    """Changes each deployment in a way that makes no other layout, until its status says so."""
    for name in names:
        rest.merge(
            "VideoLLMDeployment", name, {"spec": {"rollout": {"progressDeadlineSeconds": seconds}}}
        )

    def late() -> list[str]:
        return [
            name
            for name, obj in rest.items("VideoLLMDeployment").items()
            if obj["status"]["observedGeneration"] != obj["metadata"]["generation"]
        ]

    eventually(late, lambda names: not names, timeout_s=WITHIN_S, interval_s=0.5)
    return rest.items("VideoLLMDeployment")


def mended(now: dict[str, Any] | None, before: dict[str, Any]) -> bool:
    """Whether everything that the operator wrote is as it was."""
    return now is not None and contains(essence(now), essence(before))


def essence(obj: dict[str, Any]) -> dict[str, Any]:
    """What the operator may have written, without what a new object gets anew."""
    body = {k: v for k, v in obj.items() if k not in {"apiVersion", "metadata", "status"}}
    metadata = obj["metadata"]
    kept = {
        key: metadata[key]
        for key in ("labels", "annotations", "ownerReferences")
        if key in metadata
    }
    spec = {k: v for k, v in body.get("spec", {}).items() if not k.startswith("clusterIP")}
    return {**body, "spec": spec, "metadata": kept}


def contains(whole: Any, part: Any) -> bool:
    """Whether all of `part` is in `whole`; lists may have more items."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(whole, list) and all(
            any(contains(candidate, item) for candidate in whole) for item in part
        )
    return bool(whole == part)


@pytest.fixture(scope="module")
def history(installed: Target, operator: object) -> Iterator[History]:
    """All drifts, each on a deployment of its own, and what came of them."""
    audit_mark(installed)
    space = Namespace(installed, f"t-{uuid.uuid4().hex[:8]}")
    installed.create_namespace(space.name)
    try:
        with Rest(installed, space.name) as rest:
            yield drifted(space, rest)
    finally:
        space.kubectl("delete", "vld", "--all", "--wait=false")
        space.kubectl("delete", "namespace", space.name, "--wait=false")


def drifted(space: Namespace, rest: Rest) -> History:
    names = [f"d{number}" for number in range(len(DRIFTS))]
    space.apply(*(vld(name, cache=SHARED, replicas=0) for name in names))
    eventually(
        lambda: rest.items("VideoLLMDeployment"),
        lambda found: all(ready(obj) == ("True", "ScaledToZero") for obj in found.values()),
        timeout_s=WITHIN_S,
        interval_s=0.5,
    )
    mark(rest, names, 900)
    told = History(before=children(rest))
    since = audit_mark(space.cluster)
    other = rest.find("ServiceAccount", "default")
    assert other is not None
    reference = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "name": "default",
        "uid": other["metadata"]["uid"],
    }
    for drift, name in zip(DRIFTS, names, strict=True):
        child = (drift.kind, drift.child(name))
        told.drifted[child] = drift.do(rest, child[1], {**told.before[child], "other": reference})
    wait_until(lambda: not broken(children(rest), told), MENDED_WITHIN_S, 0.5)
    for seconds in (901, 902):
        told.deployments = mark(rest, names, seconds)
    told.after = children(rest)
    found = defaultdict(list)
    for write in writes(space.cluster, since):
        if write.namespace == space.name:
            found[write.resource, write.name].append(write)
    told.writes = dict(found)
    for name in names:
        rest.merge("PersistentVolumeClaim", f"{name}-cache", {"metadata": {"finalizers": None}})
    return told


def broken(now: Objects, told: History) -> list[tuple[str, str]]:
    """Children that still are as they were drifted."""
    return [
        child
        for number, drift in enumerate(DRIFTS)
        if drift.writes
        for child in [(drift.kind, drift.child(f"d{number}"))]
        if not mended(now.get(child), told.before[child])
        or (drift.what == "deleted" and is_same(now[child], told.before[child]))
    ]


def is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["metadata"]["uid"] == other["metadata"]["uid"])


CASES = [
    pytest.param(f"d{number}", drift, id=str(drift).replace(" ", "-"))
    for number, drift in enumerate(DRIFTS)
]


@pytest.mark.parametrize(("name", "drift"), CASES)
def test_a_drift_costs_the_writes_that_repair_it(name: str, drift: Drift, history: History) -> None:
    child = (drift.kind, drift.child(name))
    made = history.writes.get((plural(drift.kind), child[1]), [])
    accepted = [write.verb for write in made if write.code < FIRST_ERROR]
    assert accepted == ["patch"] * drift.writes
    now = history.after[child]
    assert mended(now, history.before[child])
    if not drift.writes:
        assert contains(essence(now), essence(history.drifted[child])), "what others added is gone"
    assert ready(history.deployments[name]) == ("True", "ScaledToZero")


def test_no_other_child_was_written(history: History) -> None:
    drifted = {
        (plural(drift.kind), drift.child(f"d{number}")) for number, drift in enumerate(DRIFTS)
    }
    others = {
        child: [write.uri for write in made]
        for child, made in history.writes.items()
        if child not in drifted and child[0] != "videollmdeployments"
    }
    assert others == {}


def test_every_kind_of_child_is_in_the_table(history: History) -> None:
    rendered = {
        (kind, name.removeprefix("d0"))
        for kind, name in history.before
        if name == "d0" or name.startswith("d0-")
    }
    assert rendered == {(role.kind, role.suffix) for role in ROLES.values()}
