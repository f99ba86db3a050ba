"""Brings every state about, one act after the other, and keeps what was seen after each."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from devcluster.errors import NotAvailableError
from devcluster.waiting import wait_until
from hack import local_operator
from tests.cluster.proofs import stalls
from tests.cluster.proofs.scenery import more_nodes, newer_crd, other_image
from tests.cluster.proofs.stage import (
    Row,
    Sight,
    Stage,
    has,
    has_no,
    history,
    is_told,
    ready_is,
    stalled_by,
)
from tests.cluster.proofs.states import (
    BACKOFF_SECONDS,
    STATES,
    Pods,
    Spec,
    State,
    Told,
    expected,
    first,
    good,
    last,
)
from tests.cluster.world import FAIL, ready, writes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from subprocess import Popen

    from devcluster.audit import AuditRecord
    from tests.cluster.world import Namespace
    from videollm_operator.api.reasons import Reason

PATIENCE_S = 500.0
"""The longest wait for an act; a quiet machine needs a tenth."""

LATE_BY_S = 60.0
"""How much later than its deployment a Secret or volume claim comes."""

SERVING = Told("True", "Serving", frozenset({"Ready", "Sized"}), "Current")
DELETED = ("accepted-ready", "refused-none", "accepted-loading-late")
NEWBORN = "newborn"

Accepts = dict[str, "Callable[[Sight], object]"]


@dataclass
class Act:
    """What was seen at one time, and what kubectl said of it."""

    sights: dict[str, Sight]
    rows: dict[str, Row] = field(default_factory=dict)
    waits: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class Played:
    """The acts, in their order."""

    recording: Path
    missing: Act
    """The late Secret and claim are about to come."""
    soon: Act
    """Every state before the deadline."""
    late: Act
    """Every state after it."""
    update: Act
    """The catalogue names another engine image."""
    deleted: Act
    """Some are being deleted, and held by a finalizer."""
    cured: Act
    """Every cause of a stall is gone."""
    unseen: Act
    """Every object was changed while no operator ran; one is new."""
    cleared: Act
    """The operator is back."""
    written: list[AuditRecord] | None
    """The operator's writes from the pause to the end of `late`; None without an audit log."""
    waited: bool
    """Whether `kubectl wait` waited for the deployment with the late claim, and then ended well."""

    @cached_property
    def past(self) -> list[dict[str, Any]]:
        """Every deployment as it was after each of its changes, in their order."""
        return history(self.recording)


def play(space: Namespace, recording: Path) -> Played:
    """All acts."""
    with ExitStack() as stack:
        stack.enter_context(more_nodes(space.cluster))
        stack.enter_context(newer_crd(space.cluster))
        play = _Play(Stage(space), space)
        stack.callback(play.stop)
        return play.run(recording)


class _Play:
    def __init__(self, stage: Stage, space: Namespace) -> None:
        self.stage = stage
        self.space = space
        self.operator = local_operator.start(space.cluster, name="operator-states")
        self.started: list[Popen[str]] = []

    def stop(self) -> None:
        """Ends what was started."""
        self.operator.stop()
        for process in self.started:
            process.kill()
            process.wait()

    def run(self, recording: Path) -> Played:
        """Act after act."""
        self.started.append(self.stage.watch(recording))
        began, mark = self.begin()
        self.change()
        soon = self.seen(self.soon_accepts())
        waiter = self.stage.wait("late-claim", PATIENCE_S)
        self.started.append(waiter)
        missing = self.arrival(began)
        waits = waiter.poll() is None
        stalls.arrive(self.space)
        late = self.seen(self.late_accepts())
        written = None if mark is None else writes(self.space.cluster, mark)
        update = self.update()
        deleted = self.delete()
        cured = self.cure()
        unseen = self.unseen()
        cleared = self.clear()
        waited = waits and waiter.wait(60) == 0
        acts = (missing, soon, late, update, deleted, cured, unseen, cleared)
        return Played(recording, *acts, written, waited)

    def begin(self) -> tuple[float, int | None]:
        """Children and pods as the table says, and strangers in the way; the time, and a mark."""
        began = time.monotonic()
        self.stage.apply(stalls.LATE.values())
        self.stage.apply(obj for r in stalls.STALLING for obj in stalls.CAUSES[r].before(_n(r)))
        self.stage.apply(filter(None, map(first, STATES)))
        self.stage.until({s.name: _begun(s) for s in STATES if s.pods is not Pods.NONE}, PATIENCE_S)
        partly = [s.name for s in STATES if s.pods is Pods.PARTLY]
        self.space.kubectl(
            "annotate",
            "pod",
            *(f"{name}-1" for name in partly),
            f"{FAIL}=CrashLoopBackOff",
            f"{BACKOFF_SECONDS}=100000",
        )
        taken = [s for s in STATES if s.spec is Spec.CONFLICT and s.pods is not Pods.NONE]
        self.stage.apply(_paused(first(s)) for s in taken)
        self.stage.until(
            {
                **{name: ready_is("False", "CrashLoop") for name in partly},
                **{s.name: lambda sight: "Paused" in sight.conditions for s in taken},
            },
            PATIENCE_S,
        )
        mark = self.mark()
        self.space.kubectl("delete", "service", *(s.name for s in taken))
        free = [s for s in STATES if s.spec is Spec.CONFLICT and s.pods is Pods.NONE]
        self.stage.apply(
            [
                *(stalls.stranger(s.name) for s in taken),
                *(stalls.stranger(s.name, "StatefulSet") for s in free),
            ]
        )
        return began, mark

    def mark(self) -> int | None:
        """A mark in the audit log, where there is one."""
        try:
            return self.space.cluster.audit_mark()
        except NotAvailableError:
            return None

    def change(self) -> None:
        """The change that makes each state what it is."""
        self.stage.apply([*map(last, STATES), *map(stalls.made, stalls.STALLING)])

    def seen(self, accepts: Accepts) -> Act:
        """What is there as soon as all are accepted, with what kubectl says."""
        act = Act(self.stage.until(accepts, PATIENCE_S))
        act.rows = self.stage.rows()
        names = sorted(act.sights)
        act.waits = {kind: self.stage.waits(kind, names) for kind in ("Ready", "Stalled")}
        return act

    def soon_accepts(self) -> Accepts:
        """Every state that is not late."""
        return {s.name: is_told(expected(s)) for s in STATES if not s.late}

    def late_accepts(self) -> Accepts:
        """Every state, every stall, and the two that waited for something."""
        return {
            **{s.name: is_told(expected(s)) for s in STATES},
            **{_n(r): stalled_by(r) for r in stalls.STALLING},
            **{name: is_told(SERVING) for name in stalls.LATE},
        }

    def arrival(self, began: float) -> Act:
        """A whole minute passes, and the Secret and the claim are still missing."""
        wait_until(lambda: time.monotonic() - began >= LATE_BY_S, LATE_BY_S + 5, 0.2)
        missed = {
            "late-secret": ready_is("False", "ConfigMissing"),
            "late-claim": ready_is("False", "Unschedulable"),
        }
        return Act(self.stage.until(missed, PATIENCE_S))

    def update(self) -> Act:
        """Another catalogue, and back."""
        with other_image(self.space.cluster):
            told = {s.name: has("UpdateAvailable") for s in STATES if updatable(s)}
            update = Act(self.stage.until(told, PATIENCE_S))
        self.stage.until({s.name: has_no("UpdateAvailable") for s in STATES}, PATIENCE_S)
        return update

    def delete(self) -> Act:
        """Some are deleted, while somebody's finalizer holds them."""
        for name in DELETED:
            self.space.patch("vld", {"metadata": {"finalizers": ["example.com/hold"]}}, name)
        self.space.kubectl("delete", "vld", "--wait=false", *DELETED)
        deleted = Act(self.stage.look())
        for name in DELETED:
            self.space.patch("vld", {"metadata": {"finalizers": []}}, name)
        return deleted

    def cure(self) -> Act:
        """What stalled the deployments goes away, in its own way for each."""
        self.stage.apply(filter(None, map(stalls.mended, stalls.STALLING)))
        for reason in stalls.STALLING:
            goes = stalls.CAUSES[reason].goes
            if goes is not None:
                goes(self.space, _n(reason))
        return Act(self.stage.until({_n(r): is_told(SERVING) for r in stalls.STALLING}, PATIENCE_S))

    def unseen(self) -> Act:
        """Every object is made good while no operator looks."""
        self.operator.stop()
        strangers = [s for s in STATES if s.spec is Spec.CONFLICT]
        for kind in ("service", "statefulset"):
            names = [s.name for s in strangers if (s.pods is Pods.NONE) == (kind == "statefulset")]
            self.space.kubectl("delete", kind, "--ignore-not-found", *names)
        living = [s for s in STATES if s.name not in DELETED]
        self.stage.apply([*map(_good, living), good(NEWBORN)])
        return self.seen({})

    def clear(self) -> Act:
        """An operator comes back."""
        self.operator = local_operator.start(self.space.cluster, name="operator-states-2")
        names = [*(s.name for s in STATES if s.name not in DELETED), NEWBORN]
        return Act(self.stage.until({name: is_told(SERVING) for name in names}, PATIENCE_S))


def updatable(state: State) -> bool:
    """Whether a layout of this very spec is in force, so that another catalogue is told."""
    kept = {Spec.ACCEPTED, Spec.CONFLICT}
    return state.pods is not Pods.NONE and (state.spec in kept or state.rolls)


def _n(reason: Reason) -> str:
    return stalls.name_of(reason)


def _good(state: State) -> dict[str, Any]:
    """A good object in the place of the state's, different from it; what cannot change stays."""
    before = first(state)
    kept = {"cache": before["spec"]["cache"]} if before and state.spec is Spec.IMMUTABLE else {}
    return good(state.name, rollout={"progressDeadlineSeconds": 900}, **kept)


def _paused(obj: dict[str, Any] | None) -> dict[str, Any]:
    assert obj is not None
    return {**obj, "spec": {**obj["spec"], "paused": True}}


def _begun(state: State) -> Callable[[Sight], object]:
    """The children and pods of a state are there."""
    if state.pods is Pods.ZERO and state.paused:
        return ready_is("True", "ScaledToZero")
    if state.rolls or state.pods in {Pods.ZERO, Pods.READY, Pods.PARTLY}:
        return ready_is("True", "Serving")
    reasons = {Pods.PENDING: "Unschedulable", Pods.LOADING: "Loading", Pods.FAILING: "CrashLoop"}
    return lambda sight: (
        ready(sight.obj) == ("False", reasons[state.pods])
        or (state.late and "Stalled" in sight.conditions)
    )
