"""What is told after the actions: the new status, Events, and when to look again.

The operator's own earlier status is read here, and only here, for three things: transition times,
not repeating an Event, and the progress clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from videollm_operator.api import names
from videollm_operator.api.conditions import ConditionType, Finding, merge
from videollm_operator.api.reasons import REGISTRY, Reason, Stall
from videollm_operator.api.v1alpha1.status import EngineStatus, VideoLLMDeploymentStatus
from videollm_operator.reconcile.actions import EventDraft, Report
from videollm_operator.reconcile.findings import Clock, findings
from videollm_operator.reconcile.progress import PATIENCE, own_workload, progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from videollm_operator.api.v1alpha1.status import Condition
    from videollm_operator.reconcile.actions import Result
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import World

NOTE_LIMIT = 1024
"""Longest `note` of an events.k8s.io/v1 Event."""

LEAST_DEADLINE = timedelta(minutes=15)
"""Shortest automatic progress deadline: images of 10 GB are pulled in this time too."""

_GOOD_NEWS = frozenset({Reason.SERVING, Reason.SCALED_TO_ZERO, Reason.SIZED})


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
    since = _waiting_since(previous, now)
    state = progress(world, _wanted(world, decision), since, now)
    clock = Clock(now, max(since, state.moved_at or since), _deadline(decision))
    problems = [*decision.conflicts, *(r.problem for r in results if r.problem is not None)]
    found = findings(decision, state, problems, clock)
    status = VideoLLMDeploymentStatus(
        observed_generation=generation,
        replicas=state.pods,
        ready_replicas=state.ready,
        updated_replicas=state.updated,
        selector=names.selector_string(metadata["name"]),
        url=_url(world, decision),
        engine=EngineStatus.model_validate(decision.record.engine)
        if decision.record
        else EngineStatus(),
        sizing=decision.sizing,
        observed=previous.observed,
        conditions=merge(previous.conditions, found, generation, now),
    )
    return Report(
        status=_patch(previous, status, world.deployment.get("status", {})),
        events=_events(previous.conditions, found),
        requeue_after_seconds=_requeue(found, clock),
    )


def _previous(raw: Mapping[str, Any]) -> VideoLLMDeploymentStatus:
    """The status as it stands; one that cannot be read counts as none and is written anew."""
    try:
        return VideoLLMDeploymentStatus.model_validate(dict(raw))
    except ValidationError:
        return VideoLLMDeploymentStatus()


def _wanted(world: World, decision: Decision) -> int:
    if decision.deployment is not None:
        return decision.deployment.spec.replicas
    workload = own_workload(world)
    return workload.replicas if workload else 0


def _waiting_since(previous: VideoLLMDeploymentStatus, now: datetime) -> datetime:
    """When the deployment began to wait: since then it has not been ready."""
    conditions = {condition.type: condition for condition in previous.conditions}
    waiting = {ConditionType.RECONCILING: "True", ConditionType.READY: "False"}
    for kind, status in waiting.items():
        condition = conditions.get(kind)
        if condition is not None and condition.status == status:
            return min(now, datetime.fromisoformat(condition.last_transition_time))
    return now


def _deadline(decision: Decision) -> timedelta:
    """`progressDeadlineSeconds`, or from the time that the weights take to load."""
    wanted = (
        decision.deployment.spec.rollout.progress_deadline_seconds
        if decision.deployment
        else "Auto"
    )
    if isinstance(wanted, int):
        return timedelta(seconds=wanted)
    load = timedelta(seconds=decision.record.load_seconds if decision.record else 0)
    return max(LEAST_DEADLINE, load + LEAST_DEADLINE)


def _url(world: World, decision: Decision) -> str:
    if decision.record is None:
        return ""
    metadata = world.deployment["metadata"]
    service = names.service_name(metadata["name"])
    return f"http://{service}.{metadata['namespace']}.svc:{decision.record.port}/v1"


def _patch(
    previous: VideoLLMDeploymentStatus, status: VideoLLMDeploymentStatus, raw: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """The merge patch of `status`, or None if nothing would change.

    Both sides pass through the same model, so that what the schema defaults is no difference.
    """
    new = _dump(status)
    if raw and new == _dump(previous):
        return None
    return {**{key: None for key in raw if key not in new}, **new}


def _dump(status: VideoLLMDeploymentStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def _events(previous: Sequence[Condition], found: Sequence[Finding]) -> tuple[EventDraft, ...]:
    """One Event for each condition whose status or reason is new, where people should notice."""
    before = {condition.type: (condition.status, condition.reason) for condition in previous}
    return tuple(
        EventDraft(
            type="Normal" if _good(finding) else "Warning",
            reason=finding.reason,
            action="Reconcile",
            message=_shortened(finding.message or REGISTRY[finding.reason].meaning),
        )
        for finding in found
        if _noticeable(finding)
        and before.get(finding.type) != (finding.status_word, finding.reason)
    )


def _noticeable(finding: Finding) -> bool:
    if finding.type is ConditionType.READY:
        return finding.status is True or REGISTRY[finding.reason].stall is not Stall.NEVER
    return finding.type in {
        ConditionType.SIZED,
        ConditionType.UPDATE_AVAILABLE,
        ConditionType.DEGRADED,
    } and (finding.type is not ConditionType.SIZED or finding.status is True)


def _good(finding: Finding) -> bool:
    return finding.reason in _GOOD_NEWS or finding.type is ConditionType.UPDATE_AVAILABLE


def _shortened(message: str) -> str:
    return message if len(message) <= NOTE_LIMIT else message[: NOTE_LIMIT - 1] + "…"


def _requeue(found: Sequence[Finding], clock: Clock) -> float | None:
    """Waiting ends by an event or by the deadline; only the deadline needs a clock."""
    if not any(finding.type is ConditionType.RECONCILING for finding in found):
        return None
    return min(clock.remaining_seconds, PATIENCE.total_seconds())
