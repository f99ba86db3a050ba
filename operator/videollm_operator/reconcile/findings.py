"""From what was decided and seen to conditions: which reason holds, and whether it stalls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.conditions import ConditionType, Finding
from videollm_operator.api.reasons import REGISTRY, Reason, Stall

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from videollm_operator.api.problem import Problem
    from videollm_operator.api.v1alpha1.status import SizingStatus
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.progress import Progress


@dataclass(frozen=True, slots=True)
class Clock:
    """The progress clock: `since` the last step forward, `deadline` after it is too late."""

    now: datetime
    since: datetime
    deadline: timedelta

    @property
    def overdue(self) -> bool:
        """Whether the deadline has passed."""
        return self.now - self.since >= self.deadline

    @property
    def remaining_seconds(self) -> float:
        """Seconds until the deadline passes; at least one."""
        return max(1.0, (self.since + self.deadline - self.now).total_seconds())


def findings(
    decision: Decision,
    progress: Progress,
    problems: Sequence[Problem],
    sizing: SizingStatus | None,
    clock: Clock,
    unread: int = 0,
) -> tuple[Finding, ...]:
    """All conditions that hold, `Ready` first.

    Args:
        decision: what was decided.
        progress: how far the pods are.
        problems: conflicts, and what the API server refused.
        sizing: the plan that status shows.
        clock: says whether waiting has become too long.
        unread: format of the layout in force, if this version cannot read it; else 0.
    """
    main = _main(decision, progress, problems, sizing, clock)
    ready = main[0]
    found = [ready, _sized(decision, sizing, unread), *main[1:]]
    if progress.ready and ready.status is not True:
        found.append(
            Finding(
                ConditionType.SERVING,
                True,
                Reason.SERVING,
                _answering(progress),
            )
        )
    found.extend(_degraded(decision, progress, ready))
    if decision.update:
        found.append(
            Finding(ConditionType.UPDATE_AVAILABLE, True, Reason.UPDATE_AVAILABLE, decision.update)
        )
    if decision.unverified is not None:
        problem = decision.unverified
        found.append(
            Finding(ConditionType.ENGINE_UNVERIFIED, True, problem.reason, problem.message)
        )
    if decision.paused:
        found.append(
            Finding(
                ConditionType.PAUSED,
                True,
                Reason.PAUSED,
                "`spec.paused` is true: nothing but status is written",
            )
        )
    return tuple(found)


def _main(
    decision: Decision,
    progress: Progress,
    problems: Sequence[Problem],
    sizing: SizingStatus | None,
    clock: Clock,
) -> tuple[Finding, ...]:
    """`Ready`, and `Stalled` or `Reconciling` if one of them holds."""
    refused = [*decision.refusals, *_stalling(problems, Stall.AT_ONCE)]
    if refused:
        return _stalled(refused[0].reason, " ".join(_sentences(refused)))
    if decision.withheld:
        message = "`spec.paused` is true, and there are changes that wait for its end"
        return (Finding(ConditionType.READY, False, Reason.PAUSED, message),)
    waiting = _stalling(problems, Stall.AFTER_DEADLINE)
    if waiting:
        return _waiting(waiting[0].reason, " ".join(_sentences(waiting)), clock)
    if decision.leaving:
        message = f"{decision.leaving[0]} is being deleted, and made anew once it is gone"
        return _waiting(Reason.CREATING, message, clock)
    if progress.settled:
        return (_ready(decision, progress, sizing),)
    own = f"; it is taking up an update by itself: {decision.taking_up}"
    message = progress.message + (own if decision.taking_up else "")
    if progress.reason is Reason.UNSCHEDULABLE and decision.no_node:
        message = f"{message.rstrip('.')}. {decision.no_node}"
    return _waiting(progress.reason, message, clock)


def _stalling(problems: Sequence[Problem], stall: Stall) -> list[Problem]:
    return [problem for problem in problems if REGISTRY[problem.reason].stall is stall]


def _sentences(problems: Sequence[Problem]) -> list[str]:
    """The messages, each once; joined they read as sentences."""
    messages = list(dict.fromkeys(problem.message for problem in problems))
    return messages if len(messages) == 1 else [f"{message.rstrip('.')}." for message in messages]


def _stalled(reason: Reason, message: str) -> tuple[Finding, ...]:
    return (
        Finding(ConditionType.READY, False, reason, message),
        Finding(ConditionType.STALLED, True, reason, message),
    )


def _waiting(reason: Reason, message: str, clock: Clock) -> tuple[Finding, ...]:
    if clock.overdue:
        late = f"no progress for {int(clock.deadline.total_seconds())} seconds: {message}"
        if REGISTRY[reason].stall is Stall.AFTER_DEADLINE:
            return _stalled(reason, late)
        return _stalled(Reason.PROGRESS_DEADLINE_EXCEEDED, late)
    return (
        Finding(ConditionType.READY, False, reason, message),
        Finding(ConditionType.RECONCILING, True, reason, message),
    )


def _ready(decision: Decision, progress: Progress, sizing: SizingStatus | None) -> Finding:
    if progress.wanted == 0:
        return Finding(
            ConditionType.READY, True, Reason.SCALED_TO_ZERO, "`spec.replicas` is 0: no GPU is held"
        )
    what = ""
    if decision.deployment is not None and sizing is not None:
        spec = decision.deployment.spec
        what = (
            f" '{spec.model.served_name or spec.model.name}' on {sizing.gpus_per_replica} x "
            f"{spec.gpu.sku} each"
        )
    return Finding(
        ConditionType.READY,
        True,
        Reason.SERVING,
        f"{progress.ready} of {progress.wanted} replicas serve{what}",
    )


def _answering(progress: Progress) -> str:
    if progress.ready > progress.wanted:
        return f"{progress.ready} replicas answer, {progress.wanted} are wanted"
    return f"{progress.ready} of {progress.wanted} replicas answer"


def _sized(decision: Decision, sizing: SizingStatus | None, unread: int) -> Finding:
    if decision.deployment is None or decision.sizing_refused:
        first = decision.refusals[0]
        return Finding(ConditionType.SIZED, False, first.reason, first.message)
    if unread:
        told = "what that version told of it" if sizing else "empty until it is planned anew"
        message = (
            "the running layout was planned and recorded by another version of the operator, in a "
            f"format, {unread}, that this version cannot read; `status.sizing` is {told}"
        )
        return Finding(ConditionType.SIZED, True, Reason.SIZED, message)
    message = (sizing.explanation if sizing else "") or REGISTRY[Reason.SIZED].meaning
    message = f"{message} {decision.memory}".rstrip()
    return Finding(ConditionType.SIZED, True, Reason.SIZED, message)


def _degraded(decision: Decision, progress: Progress, ready: Finding) -> list[Finding]:
    if decision.unsafe:
        return [Finding(ConditionType.DEGRADED, True, Reason.RUNNING_PLAN_UNSAFE, decision.unsafe)]
    broken = REGISTRY[progress.reason].stall is Stall.AFTER_DEADLINE
    if progress.ready and broken and ready.status is not True:
        return [
            Finding(
                ConditionType.DEGRADED,
                True,
                Reason.REPLICAS_UNAVAILABLE,
                f"{_answering(progress)}; {progress.message}",
            )
        ]
    return []
