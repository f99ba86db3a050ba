"""What a reconcile may do to the cluster, and what came of it; the runtime carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from videollm_operator.api.reasons import Reason
from videollm_operator.reconcile.world import ChildKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

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

    With `needs`: children that its pods use. It is not written while one of them is somebody
    else's: pods would run with a stranger's account, or write to a stranger's volume.
    """

    manifest: Mapping[str, Any]
    digest: str
    uid: str = ""
    otherwise: Scale | None = None
    needs: frozenset[ChildKey] = frozenset()

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


def allowed(action: Action, taken: Collection[ChildKey]) -> Action | None:
    """What may be done of an action while these children are somebody else's; None for nothing."""
    if isinstance(action, Apply) and not action.needs.isdisjoint(taken):
        return action.otherwise
    return action


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one action. `problem` is None if it worked."""

    action: Action
    problem: Problem | None = None


def taken(results: Iterable[Result]) -> frozenset[ChildKey]:
    """Children in whose place these actions found something of somebody else."""
    return frozenset(
        result.action.key
        for result in results
        if result.problem is not None and result.problem.reason is Reason.NAME_CONFLICT
    )


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
