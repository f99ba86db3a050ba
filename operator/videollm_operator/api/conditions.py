"""Condition types, and how a list of conditions is updated without lying about its times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.status import MAX_MESSAGE, Condition

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from videollm_operator.api.reasons import Reason
    from videollm_operator.api.v1alpha1.status import ConditionStatus


class ConditionType(StrEnum):
    """Every condition that a VideoLLMDeployment can have.

    `Ready` and `Sized` are always there. The others are present only while they are true, as
    kstatus expects of `Reconciling` and `Stalled`.
    """

    READY = "Ready"
    SIZED = "Sized"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SERVING = "Serving"
    DEGRADED = "Degraded"
    UPDATE_AVAILABLE = "UpdateAvailable"
    ENGINE_UNVERIFIED = "EngineUnverified"
    PAUSED = "Paused"


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition as the decision layer found it, still without times."""

    type: ConditionType
    status: bool | None
    reason: Reason
    message: str

    @property
    def status_word(self) -> ConditionStatus:
        """`True`, `False` or `Unknown`."""
        if self.status is None:
            return "Unknown"
        return "True" if self.status else "False"


def timestamp(now: datetime) -> str:
    """`now` as Kubernetes writes times: UTC, whole seconds.

    Raises:
        ValueError: if `now` has no time zone; a guess would depend on the machine.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now} has no time zone")
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge(
    previous: Iterable[Condition], findings: Iterable[Finding], generation: int, now: datetime
) -> list[Condition]:
    """The new list of conditions, in the order of `findings`.

    A transition time is kept as long as the status is the same. What is not found any more is
    dropped. A message that is too long for a condition is cut; the API server would refuse the
    whole status otherwise.
    """
    before = {condition.type: condition for condition in previous}
    merged = []
    for finding in findings:
        old = before.get(finding.type)
        same = old is not None and old.status == finding.status_word
        merged.append(
            Condition(
                type=finding.type,
                status=finding.status_word,
                observed_generation=generation,
                last_transition_time=old.last_transition_time if old and same else timestamp(now),
                reason=finding.reason,
                message=_cut(finding.message),
            )
        )
    return merged


def _cut(message: str) -> str:
    """`message`, or its beginning and an ellipsis."""
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"
