"""Conditions are updated without lying about their times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videollm_operator.api.conditions import ConditionType, Finding, merge, timestamp
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.status import MAX_MESSAGE

EARLIER = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NOW = EARLIER + timedelta(minutes=5)

findings = st.builds(
    Finding,
    st.sampled_from(ConditionType),
    st.sampled_from([True, False, None]),
    st.sampled_from(Reason),
    st.text(max_size=20),
)


def ready(status: bool | None, reason: Reason, message: str = "") -> Finding:
    return Finding(ConditionType.READY, status, reason, message)


def test_a_new_condition_begins_now() -> None:
    (condition,) = merge([], [ready(False, Reason.LOADING, "loads")], 3, NOW)
    assert condition.last_transition_time == "2026-01-01T12:05:00Z"
    assert condition.observed_generation == 3
    assert (condition.status, condition.reason, condition.message) == ("False", "Loading", "loads")


def test_the_time_stays_while_the_status_does() -> None:
    before = merge([], [ready(False, Reason.LOADING)], 1, EARLIER)
    (condition,) = merge(before, [ready(False, Reason.CRASH_LOOP, "ends")], 2, NOW)
    assert condition.last_transition_time == timestamp(EARLIER)
    assert (condition.reason, condition.observed_generation) == ("CrashLoop", 2)


def test_the_time_moves_with_the_status() -> None:
    before = merge([], [ready(False, Reason.LOADING)], 1, EARLIER)
    (condition,) = merge(before, [ready(True, Reason.SERVING)], 1, NOW)
    assert condition.last_transition_time == timestamp(NOW)


def test_what_is_not_found_is_dropped() -> None:
    before = merge([], [Finding(ConditionType.STALLED, True, Reason.DOES_NOT_FIT, "")], 1, EARLIER)
    assert merge(before, [], 1, NOW) == []


@given(st.lists(findings, unique_by=lambda each: each.type), st.integers(0, 9))
def test_merging_again_changes_nothing(found: list[Finding], generation: int) -> None:
    once = merge([], found, generation, EARLIER)
    assert [condition.type for condition in once] == [each.type for each in found]
    assert merge(once, found, generation, NOW) == once


def test_an_endless_message_is_cut() -> None:
    (condition,) = merge([], [ready(None, Reason.CREATING, "x" * 40000)], 1, NOW)
    assert len(condition.message) == MAX_MESSAGE
    assert condition.message.endswith("x…")
    assert condition.status == "Unknown"


def test_times_are_utc() -> None:
    assert timestamp(EARLIER.astimezone(timezone(timedelta(hours=5)))) == "2026-01-01T12:00:00Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        timestamp(datetime(2026, 1, 1))
