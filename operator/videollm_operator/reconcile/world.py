"""What a reconcile sees: thin, frozen facts, never API objects.

`observe` makes them from watch events; the runtime caches them; `decide` reads them. Five
thousand deployments must fit in memory, so facts hold only what a decision reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from videollm_operator.api.reasons import Reason


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A VideoLLMDeployment."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class ChildKey:
    """A child within its deployment's namespace."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """The part of a StatefulSet that status and decisions need."""

    generation: int
    observed_generation: int
    replicas: int
    """`spec.replicas`."""
    created_replicas: int
    """`status.replicas`: pods that exist."""
    update_revision: str
    record: bytes
    """The record annotation, deflated; empty if there is none. See `reconcile.record`."""
    taking_up: str = ""
    """The update that it is taking up by itself; empty if it is not. See `reconcile.updates`."""


@dataclass(frozen=True, slots=True)
class ChildFacts:
    """One existing object that has a child's kind and name; ours or not."""

    key: ChildKey
    uid: str
    controller_uid: str
    """uid of the controlling owner; empty if there is none."""
    controller: str
    """That owner for people: "StatefulSet 'x'"; empty if there is none."""
    managed: bool
    """Whether it carries the operator's `managed-by` label."""
    deleting: bool
    owned_digest: str
    """Digest of the fields that our field manager owns, as they are now."""
    workload: WorkloadFacts | None = None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod with the labels of the deployment's pods."""

    name: str
    uid: str
    controller_uid: str
    """uid of the controlling owner; empty if there is none."""
    revision: str
    ready: bool
    deleting: bool
    scheduled: bool
    started: bool
    """Whether the engine's container runs."""
    progressed_at: datetime | None
    """When the pod last took a step forward: created, scheduled, initialized, first started."""
    problem: Reason | None
    message: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A kind of node, by the labels that say which GPU it has. Equal nodes are one fact."""

    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AppliedDigest:
    """What the fields we own looked like right after our own apply of `desired`.

    Lets a quantity that the server spells differently count as equal without another write.
    """

    desired: str
    owned: str


class Line(Enum):
    """Where an object stands that waits for its turn to take an update up by itself."""

    SERVING = auto()
    """It serves; first by name goes first."""
    FAILING = auto()
    """Nothing of it serves, and it fails; it goes after all that serve."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Who takes updates up by themselves now, as one object sees it. See `reconcile.updates`."""

    limit: int = 0
    """How many may at the same time, in all namespaces that are served."""
    taking: tuple[Key, ...] = ()
    """Others that do, in order."""
    line: Line | None = None
    """Where this object is known to wait; None if that is not known yet."""
    ahead: int = 0
    """How many of those that serve wait before it."""
    held: bool = False
    """Whether a place is kept for this object: a write of it is under way, or was refused."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything one reconcile looks at."""

    deployment: Mapping[str, Any]
    """The object as the API server gave it: metadata, spec, status."""
    children: Mapping[ChildKey, ChildFacts] = field(default_factory=dict)
    pods: tuple[PodFacts, ...] = ()
    """Pods with the deployment's labels; `reconcile.pods` says which of them are its own."""
    nodes: frozenset[NodeFacts] = frozenset()
    applied: Mapping[ChildKey, AppliedDigest] = field(default_factory=dict)
    turn: Turn = Turn()
