"""The states of a deployment as a table: what is combined, what cannot be, what must be told.

The expectations are worked out from the registry of reasons and the API's description, not from
the operator's code: `expected` is a second opinion.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

from tests.cluster.world import FAIL, LOAD_SECONDS, vld

BACKOFF_SECONDS = "devcluster.videollm.io/backoff-seconds"
DEADLINE_S = 60
"""The shortest progress deadline that the API allows."""

NOWHERE = {"nodeSelector": {"example.com/nowhere": "true"}}
CRASHES = {FAIL: "CrashLoopBackOff", BACKOFF_SECONDS: "100000"}
FUTURE_FIELD = "futureField"
"""A field of a newer CRD, which this operator cannot read."""


class Spec(StrEnum):
    """What was last written into the object."""

    ACCEPTED = "accepted"
    CHANGED = "changed"  # a good change, which is held back by a pause or rolls out
    REFUSED = "refused"  # by the plan
    UNREAD = "unread"  # the API server took it, but the operator cannot read it
    CONFLICT = "conflict"  # a child's name is taken
    IMMUTABLE = "immutable"  # Kubernetes does not allow the change of a child


class Pods(StrEnum):
    """The children that run, and how their pods are."""

    NONE = "none"  # no StatefulSet
    ZERO = "zero"  # a StatefulSet without pods
    PENDING = "pending"
    LOADING = "loading"
    FAILING = "failing"
    READY = "ready"
    PARTLY = "partly"  # one of two is ready, the other fails


WITH_PODS = (Pods.PENDING, Pods.LOADING, Pods.FAILING, Pods.READY, Pods.PARTLY)


@dataclass(frozen=True)
class State:
    """One combination.

    Attributes:
        spec: what was last written.
        pods: what runs.
        paused: `spec.paused`.
        some: whether `spec.replicas` is more than 0.
        late: whether the progress deadline has passed.
    """

    spec: Spec
    pods: Pods
    paused: bool
    some: bool
    late: bool

    @property
    def name(self) -> str:
        """A name for the object and the test."""
        words = [self.spec.value, self.pods.value]
        words += ["paused"] if self.paused else []
        words += [] if self.some else ["scaled-down"]
        words += ["late"] if self.late else []
        return "-".join(words)

    @property
    def rolls(self) -> bool:
        """Whether an old replica serves while a new one is on its way."""
        return self.spec is Spec.CHANGED and not self.paused

    @property
    def withheld(self) -> bool:
        """Whether the pause keeps something from being done."""
        return self.paused and (
            self.spec in {Spec.CHANGED, Spec.CONFLICT, Spec.IMMUTABLE}
            or self.pods is Pods.NONE
            or (self.pods is Pods.ZERO) is self.some
        )

    @property
    def serving(self) -> bool:
        """Whether some pod answers."""
        return self.pods in {Pods.READY, Pods.PARTLY} or self.rolls


@dataclass(frozen=True)
class Told:
    """What must be said: `Ready`, the conditions that are true, and kstatus' word."""

    ready: str
    reason: str
    true: frozenset[str]
    kstatus: str


def unreachable(state: State) -> str:
    """Why there cannot be such an object; empty if there can."""
    for holds, why in (
        (
            not state.paused and not state.some and state.pods in WITH_PODS,
            "replicas are honoured: the pods go, which is the state without pods",
        ),
        (
            not state.paused and state.some and state.pods is Pods.ZERO,
            "replicas are honoured: the pods come, which is the state with pods",
        ),
        (
            not state.paused
            and state.pods is Pods.NONE
            and state.spec in {Spec.ACCEPTED, Spec.CHANGED, Spec.IMMUTABLE},
            "children are written at once",
        ),
        (
            state.pods is Pods.NONE and state.spec in {Spec.CHANGED, Spec.IMMUTABLE},
            "a change needs something to be changed",
        ),
        (
            state.rolls and state.pods not in {Pods.PENDING, Pods.LOADING, Pods.FAILING},
            "the rollout ends by itself, which is the state of an accepted object",
        ),
        (state.late and main(state)[0] != "Stalled", "nothing waits, so nothing can be late"),
        (
            state.late and main(State(**{**vars(state), "late": False}))[0] == "Stalled",
            "it is stalled already; the same object is looked at again after the deadline",
        ),
    ):
        if holds:
            return why
    return ""


def main(state: State) -> tuple[str, str]:
    """`Ready`, `Reconciling`, `Stalled` or none of them; and the reason of `Ready`."""
    at_once = {
        Spec.REFUSED: "ModelUnknown",
        Spec.UNREAD: "InvalidSpec",
        Spec.CONFLICT: "NameConflict",
        Spec.IMMUTABLE: "ImmutableField",
    }
    if state.spec in {Spec.REFUSED, Spec.UNREAD}:
        return "Stalled", at_once[state.spec]
    if state.withheld:
        return "", "Paused"
    if state.spec in at_once:
        return "Stalled", at_once[state.spec]
    if state.pods is Pods.READY:
        return "Ready", "Serving"
    if state.pods is Pods.ZERO:
        return "Ready", "ScaledToZero"
    if state.pods is Pods.LOADING:
        reason = "RollingOut" if state.rolls else "Loading"
        return ("Stalled", "ProgressDeadlineExceeded") if state.late else ("Reconciling", reason)
    reason = "Unschedulable" if state.pods is Pods.PENDING else "CrashLoop"
    return "Stalled" if state.late else "Reconciling", reason


def expected(state: State) -> Told:
    """What must be told of an object in this state."""
    word, reason = main(state)
    true = {word} if word else set()
    if state.spec not in {Spec.REFUSED, Spec.UNREAD}:
        true.add("Sized")
    if state.serving and word != "Ready":
        true.add("Serving")
        if state.pods in {Pods.PARTLY, Pods.PENDING, Pods.FAILING}:
            true.add("Degraded")
    if state.paused:
        true.add("Paused")
    kstatus = {"Ready": "Current", "Stalled": "Failed"}.get(word, "InProgress")
    return Told(str(word == "Ready"), reason, frozenset(true), kstatus)


EVERY = [State(*each) for each in product(Spec, Pods, *((False, True),) * 3)]
STATES = [state for state in EVERY if not unreachable(state)]


def good(name: str, **spec: Any) -> dict[str, Any]:
    """A deployment that comes to serve at once."""
    return vld(name, **{"podTemplate": {"annotations": {LOAD_SECONDS: "0"}}, **spec})


def _pods(pods: Pods) -> dict[str, Any]:
    """The sections of the spec that bring pods about as the word says."""
    if pods is Pods.PENDING:
        return {"scheduling": NOWHERE}
    if pods is Pods.LOADING:
        return {"podTemplate": {"annotations": {LOAD_SECONDS: "100000"}}}
    if pods is Pods.FAILING:
        return {"podTemplate": {"annotations": CRASHES}}
    return {}


def first(state: State) -> dict[str, Any] | None:
    """The object that brings the children about; None if there are to be none."""
    if state.pods is Pods.NONE:
        return None
    zero = state.pods is Pods.ZERO and state.paused
    replicas = 0 if zero else 2 if state.pods is Pods.PARTLY or state.rolls else 1
    return good(
        state.name,
        **_common(state),
        **({} if state.rolls else _pods(state.pods)),
        replicas=replicas,
    )


def last(state: State) -> dict[str, Any]:
    """The object that brings the state about."""
    before = first(state)
    if before is None:
        spec = {} if state.spec is Spec.CONFLICT else _change(state)
        before = good(state.name, **_common(state))
    else:
        spec = _change(state)
    spec["paused"] = state.paused
    if not state.some:
        spec["replicas"] = 0
    elif state.pods is Pods.ZERO:
        spec["replicas"] = 1
    return {**before, "spec": {**before["spec"], **spec}}


def _common(state: State) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if state.spec is Spec.IMMUTABLE:
        spec["cache"] = {"type": "PersistentVolumeClaim", "size": "100Gi"}
    if state.late:
        spec["rollout"] = {"progressDeadlineSeconds": DEADLINE_S}
    return spec


def _change(state: State) -> dict[str, Any]:
    """The sections by which the last object differs from the first."""
    if state.rolls:
        return _pods(state.pods)
    return {
        Spec.CHANGED: {"workload": {"framesPerVideo": 16}},
        Spec.REFUSED: {"model": {"name": "no/such-model"}},
        Spec.UNREAD: {FUTURE_FIELD: "x"},
        Spec.IMMUTABLE: {"cache": {"type": "PersistentVolumeClaim", "size": "200Gi"}},
    }.get(state.spec, {})
