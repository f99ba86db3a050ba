"""Who undoes what the operator writes, again and again, is told, and written to rarely."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.runtime.test_reconciler import KEY, Operator, deployment
from videollm_operator.reconcile.actions import Delete, Result
from videollm_operator.reconcile.world import ChildKey
from videollm_operator.runtime.contests import (
    FREE_WRITES,
    HELD_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PEACE_SECONDS,
    Contests,
)
from videollm_operator.runtime.kinds import SERVICE
from videollm_operator.runtime.queue import Outcome

CHILD = ("team", ChildKey("Service", "video"))
TOLD = Result(Delete(CHILD[1], "uid"))


class Clock:
    def __init__(self):
        self.seconds = 1000.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def made(clock):
    return Contests(clock)


def exhaust(made, digest="d"):
    for _ in range(FREE_WRITES):
        assert made.may_write(CHILD, digest)
        made.wrote(CHILD, digest)


def test_after_some_writes_pauses_grow_to_a_limit(made, clock):
    exhaust(made)
    pauses = []
    for _ in range(10):
        began = clock.seconds
        while not made.may_write(CHILD, "d"):
            clock.seconds += 1
        pauses.append(clock.seconds - began)
        made.wrote(CHILD, "d")
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]


def test_something_else_is_written_at_once_and_counted_anew(made):
    exhaust(made)
    assert not made.may_write(CHILD, "d")
    exhaust(made, "other")
    assert not made.may_write(CHILD, "other")
    assert made.may_write(CHILD, "d")


def test_a_write_that_stood_for_long_ends_the_count(made, clock):
    exhaust(made)
    clock.seconds += PEACE_SECONDS + 1
    exhaust(made)


def test_it_is_found_out_who_it_is_after_each_write_and_told_until_one_stands(made, clock):
    assert made.told(CHILD) is None
    assert made.known(CHILD) is None
    exhaust(made)
    assert made.told(CHILD) is None
    assert made.known(CHILD) is None
    made.tell(CHILD, TOLD)
    assert made.known(CHILD) is TOLD
    made.wrote(CHILD, "d")
    assert made.known(CHILD) is None
    clock.seconds += HELD_SECONDS
    assert made.told(CHILD) is TOLD
    clock.seconds += 1
    assert made.told(CHILD) is None


def test_who_never_gives_up_gets_ever_fewer_answers(made, clock):
    exhaust(made)
    began, writes = clock.seconds, []
    while clock.seconds < began + 3 * 3600:
        if made.may_write(CHILD, "d"):
            made.wrote(CHILD, "d")
            writes.append(clock.seconds - began)
        clock.seconds += 5
    pauses = [after - before for before, after in itertools.pairwise(writes)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_write_that_stood_for_long_before_it_was_undone_ends_the_count_also_in_a_pause(
    made, clock
):
    exhaust(made)
    for _ in range(7):  # the pauses are the longest now
        clock.seconds += LONGEST_PAUSE_SECONDS
        assert made.may_write(CHILD, "d")
        made.wrote(CHILD, "d")
    clock.seconds += PEACE_SECONDS + 1
    exhaust(made)


def test_what_is_over_is_forgotten(made, clock):
    for number in range(5):
        made.wrote(f"old {number}", "d")
    clock.seconds += PEACE_SECONDS + LONGEST_PAUSE_SECONDS + 1
    for number in range(3):
        made.wrote(f"new {number}", "d")
    assert set(made._contests) == {f"new {number}" for number in range(3)}


@pytest.fixture
def operator():
    """One deployment that is settled."""
    made = Operator()
    made.api.put(deployment())
    return made


async def undone(operator):
    """Somebody changes the Service, and the operator looks."""
    service = operator.child(SERVICE)
    service["spec"]["ports"] = [{"port": 1}]
    operator.api.put(service)
    operator.deliver()
    return await operator.reconcile(KEY)


async def test_a_field_that_is_changed_back_for_ever_is_written_rarely_and_told(operator):
    await operator.settle()
    operator.api.requests.clear()
    for _ in range(40):
        outcome = await undone(operator)
    assert outcome == Outcome(after=HELD_SECONDS)
    writes = operator.api.writes
    assert writes.count(("patch", "services")) == FREE_WRITES - 1  # it was created before
    assert writes.count(("patch", "videollmdeployments/status")) <= 1
    stalled = operator.condition("Stalled")
    assert stalled["reason"] == "Contested"
    assert 'conflict with "mesh" using v1: - .spec.ports' in stalled["message"]
    operator.clock.seconds += 11
    await undone(operator)
    assert operator.api.writes.count(("patch", "services")) == FREE_WRITES
    assert operator.condition()["reason"] == "Contested"  # one write is no peace
    assert await operator.reconcile(KEY) == Outcome(after=HELD_SECONDS)
    operator.clock.seconds += HELD_SECONDS + 1
    assert not (await operator.reconcile(KEY)).failed
    assert operator.condition("Stalled") is None


async def test_a_child_that_is_deleted_for_ever_is_made_rarely_and_told(operator):
    await operator.settle()
    operator.api.requests.clear()
    for _ in range(40):
        service = operator.api.objects.pop(SERVICE.path(KEY.namespace, KEY.name), None)
        if service is not None:
            operator.caches.remove_child(service)
        operator.deliver()
        await operator.reconcile(KEY)
    assert operator.api.writes.count(("patch", "services")) == FREE_WRITES - 1
    assert operator.condition()["reason"] == "Contested"
