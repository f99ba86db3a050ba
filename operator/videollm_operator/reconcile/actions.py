"""What a reconcile may do to the cluster, and what came of it; the runtime carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from videollm_operator.reconcile.world import ChildKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.problem import Problem


@dataclass(frozen=True, slots=True)
class Scale:
    """Sets replicas through `/scale`, where the rest of the StatefulSet is not to be touched."""

    key: ChildKey
    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a whole child.

    With `uid`: the child as seen; the apply carries it, so that a namesake made since is refused.
    Without: nobody was seen. It is created and never overwritten: a namesake is `NameConflict`,
    unless its controller is us already (a cache that lags).

    With `otherwise`: what is still done if the server refuses the whole.
    """

    manifest: Mapping[str, Any]
    digest: str
    uid: str = ""
    otherwise: Scale | None = None

    @property
    def key(self) -> ChildKey:
        """Kind and name of the child."""
        return ChildKey(self.manifest["kind"], self.manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a child that is not wanted any more; only ours, by uid."""

    key: ChildKey
    uid: str


Action = Apply | Delete | Scale


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one action. `problem` is None if it worked."""

    action: Action
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class EventDraft:
    """An Event to post about the deployment; only on transitions."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What is told after the actions: the new status, Events, and when to look again."""

    status: Mapping[str, Any] | None
    """The whole new status; None if it equals the present one (no write)."""
    events: tuple[EventDraft, ...]
    requeue_after_seconds: float | None
