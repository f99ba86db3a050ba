"""What is told after the actions: the new status, Events, and when to look again.

The operator's own earlier status is read here, and only here, for four things: transition times,
not repeating an Event, the progress clock, and a layout in force that another version recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from videollm_operator.api import names
from videollm_operator.api.conditions import ConditionType, Finding, merge
from videollm_operator.api.reasons import REGISTRY, Reason, Stall
from videollm_operator.api.v1alpha1.status import EngineStatus, VideoLLMDeploymentStatus
from videollm_operator.reconcile.actions import EventDraft, Report
from videollm_operator.reconcile.findings import Clock, findings
from videollm_operator.reconcile.ownership import own_workload
from videollm_operator.reconcile.progress import PATIENCE, progress, replicas_wanted
from videollm_operator.reconcile.record import OtherFormat, Record, decode, for_replicas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from videollm_operator.api.problem import Problem
    from videollm_operator.api.v1alpha1.status import Condition, SizingStatus
    from videollm_operator.reconcile.actions import Result
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import World

LEAST_DEADLINE = timedelta(minutes=15)
"""Shortest automatic progress deadline: images of 10 GB are pulled in this time too."""

_GOOD_NEWS = frozenset(
    {Reason.SERVING, Reason.SCALED_TO_ZERO, Reason.SIZED, Reason.UPDATE_AVAILABLE}
)
_NOTICEABLE = frozenset(
    {
        ConditionType.SIZED,
        ConditionType.STALLED,
        ConditionType.UPDATE_AVAILABLE,
        ConditionType.DEGRADED,
        ConditionType.ENGINE_UNVERIFIED,
    }
)
"""Conditions that are worth an Event when they become true."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What status tells of the layout in force."""

    url: str = ""
    engine: EngineStatus = field(default_factory=EngineStatus)
    sizing: SizingStatus | None = None
    load_seconds: int = 0
    unread: int = 0
    """Format of its record, if this version cannot read it."""


def report(world: World, decision: Decision, results: Sequence[Result], now: datetime) -> Report:
    """Status, Events and the next look.

    Args:
        world: as it is after the actions.
        decision: what was decided before them.
        results: what came of each action.
        now: the present time, UTC.
    """
    if decision.deleting:
        return Report(None, (), None)
    metadata = world.deployment["metadata"]
    previous = _previous(world.deployment.get("status", {}))
    generation = int(metadata.get("generation", 0))
    problems = [*decision.conflicts, *(r.problem for r in results if r.problem is not None)]
    wanted = replicas_wanted(world)
    layout = _in_force(world, decision, previous)
    since = _waiting_since(previous, generation, problems, now)
    state = progress(world, wanted, since, now)
    clock = Clock(
        now, max(since, state.moved_at or since), _deadline(decision, layout.load_seconds)
    )
    found = findings(decision, state, problems, layout.sizing, clock, unread=layout.unread)
    status = VideoLLMDeploymentStatus(
        observed_generation=generation,
        replicas=state.pods,
        ready_replicas=state.ready,
        updated_replicas=state.updated,
        selector=names.selector_string(metadata["name"]),
        url=layout.url,
        engine=layout.engine,
        sizing=layout.sizing,
        observed=previous.observed,
        conditions=merge(_continued(previous.conditions, since, now), found, generation, now),
    )
    return Report(
        status=_unless_equal(status, previous, world.deployment.get("status", {})),
        events=_events(previous.conditions, found),
        requeue_after_seconds=_requeue(found, clock),
    )


def _in_force(world: World, decision: Decision, previous: VideoLLMDeploymentStatus) -> _Layout:
    """The layout that is in force now, whatever was decided, and the plan to show.

    It is read from the StatefulSet, so that a change which is paused, or which the API server
    refuses, is not told as done. Today's plan is shown where nothing is in force yet. Of a layout
    that this version cannot read, what the other version told of it stays.
    """
    workload = own_workload(world)
    record = decode(workload.record) if workload else None
    if workload is not None and isinstance(record, Record):
        return _Layout(
            url=_url(world.deployment["metadata"], record),
            engine=record.engine,
            sizing=record.sizing_of(workload.replicas),
            load_seconds=record.load_seconds,
        )
    if workload is not None and isinstance(record, OtherFormat):
        told = previous.sizing or decision.sizing
        return _Layout(
            url=previous.url,
            engine=previous.engine,
            sizing=for_replicas(told, workload.replicas) if told else None,
            unread=record.format,
        )
    return _Layout(sizing=decision.sizing)


def _previous(raw: Mapping[str, Any]) -> VideoLLMDeploymentStatus:
    """The status as it stands; one that cannot be read counts as none and is written anew."""
    try:
        return VideoLLMDeploymentStatus.model_validate(dict(raw))
    except ValidationError:
        return VideoLLMDeploymentStatus()


def _waiting_since(
    previous: VideoLLMDeploymentStatus,
    generation: int,
    problems: Sequence[Problem],
    now: datetime,
) -> datetime:
    """When the deployment began to wait for what it waits for now.

    A change of the object, the end of a pause, and a refusal that is gone all begin it anew.
    """
    if previous.observed_generation != generation:
        return now
    for condition in previous.conditions:
        if condition.status != "True":
            continue
        if condition.type == ConditionType.RECONCILING:
            return _time(condition.last_transition_time, now)
        if condition.type == ConditionType.STALLED and _still_overdue(condition.reason, problems):
            return _overdue_since(previous, now)
    return now


def _continued(previous: Sequence[Condition], since: datetime, now: datetime) -> list[Condition]:
    """The conditions that go on; a wait that begins anew is another `Reconciling`."""
    anew = since == now
    return [c for c in previous if not (anew and c.type == ConditionType.RECONCILING)]


def _still_overdue(reason: str, problems: Sequence[Problem]) -> bool:
    """Whether it is the deadline that stalled it, and what it waited for is not gone.

    A pod that gets further moves the clock by itself; a refused child has no pod.
    """
    if reason == Reason.CHILD_REFUSED:
        return any(problem.reason == reason for problem in problems)
    return reason == Reason.PROGRESS_DEADLINE_EXCEEDED or (
        reason in REGISTRY and REGISTRY[Reason(reason)].stall is Stall.AFTER_DEADLINE
    )


def _overdue_since(previous: VideoLLMDeploymentStatus, now: datetime) -> datetime:
    """`Ready` became false at the latest when the waiting began, so this is overdue too."""
    ready = [c for c in previous.conditions if c.type == ConditionType.READY]
    return _time(ready[0].last_transition_time, now) if ready else now


def _time(text: str, now: datetime) -> datetime:
    """A time of our own status; `now` where somebody has made it unreadable, or future."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return now
    return min(now, time) if time.tzinfo else now


def _deadline(decision: Decision, load_seconds: int) -> timedelta:
    """`progressDeadlineSeconds`, or from the time that the weights take to load."""
    wanted = (
        decision.deployment.spec.rollout.progress_deadline_seconds
        if decision.deployment
        else "Auto"
    )
    if isinstance(wanted, int):
        return timedelta(seconds=wanted)
    return LEAST_DEADLINE + timedelta(seconds=load_seconds)


def _url(metadata: Mapping[str, Any], record: Record) -> str:
    service = names.service_name(metadata["name"])
    return f"http://{service}.{metadata['namespace']}.svc:{record.port}/v1"


def _unless_equal(
    status: VideoLLMDeploymentStatus, previous: VideoLLMDeploymentStatus, raw: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The new status, or None if nothing would change.

    Both sides pass through the same model, so that what the schema defaults is no difference.
    """
    new = _dump(status)
    return None if raw and new == _dump(previous) else new


def _dump(status: VideoLLMDeploymentStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _events(previous: Sequence[Condition], found: Sequence[Finding]) -> tuple[EventDraft, ...]:
    """One Event for each condition whose status or reason is new, where people should notice."""
    before = {condition.type: (condition.status, condition.reason) for condition in previous}
    drafts = [
        EventDraft(
            type="Normal" if finding.reason in _GOOD_NEWS else "Warning",
            reason=finding.reason,
            action="Reconcile",
            message=finding.message,
        )
        for finding in found
        if _noticeable(finding)
        and before.get(finding.type) != (finding.status_word, finding.reason)
    ]
    return tuple(dict.fromkeys(drafts))  # `Ready` and `Stalled` say the same


def _noticeable(finding: Finding) -> bool:
    if finding.type is ConditionType.READY:
        return finding.status is True or REGISTRY[finding.reason].stall is not Stall.NEVER
    return finding.status is True and finding.type in _NOTICEABLE


def _requeue(found: Sequence[Finding], clock: Clock) -> float | None:
    """Waiting ends by an event or by the deadline; only the deadline needs a clock."""
    if not any(finding.type is ConditionType.RECONCILING for finding in found):
        return None
    return min(clock.remaining_seconds, PATIENCE.total_seconds())
