from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from typing import Any

import pytest

from tests.unit.runtime.jumping import dice
from videollm_operator.runtime.queue import Outcome, WorkQueue


class Work:
    """Records what a queue does; each run takes `seconds` and ends as told."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.starts: list[tuple[str, float]] = []
        self.running: Counter[str] = Counter()
        self.most = 0
        self.overlap = False
        self.outcomes: dict[str, list[Outcome | Exception]] = {}

    async def __call__(self, key: str) -> Outcome:
        self.starts.append((key, asyncio.get_running_loop().time()))
        self.running[key] += 1
        self.overlap = self.overlap or self.running[key] > 1
        self.most = max(self.most, self.running.total())
        await asyncio.sleep(self.seconds)
        self.running[key] -= 1
        planned = self.outcomes.get(key)
        outcome = planned.pop(0) if planned else Outcome()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def times(self, key: str) -> list[float]:
        first = self.starts[0][1]
        return [at - first for started, at in self.starts if started == key]

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.starts]


def queue(work: Work, **options: Any) -> WorkQueue[str]:
    made = WorkQueue(work, rng=dice(1), **options)
    made.start()
    made.open()
    return made


def test_a_key_that_is_added_twice_before_it_is_begun_runs_once(travel):
    async def main():
        work = Work()
        made = queue(work)
        made.add("a")
        made.add("a")
        made.add("b")
        await asyncio.sleep(10)
        return work.keys

    assert travel(main()) == ["a", "b"]


def test_many_keys_that_need_no_waiting_leave_turns_to_others(travel):
    async def main():
        begun: list[int] = []

        async def handler(key: int) -> Outcome:
            begun.append(key)
            return Outcome()

        made = WorkQueue(handler, workers=4, rng=dice(1))
        for key in range(1000):
            made.add(key)
        made.start()
        made.open()
        others = 0
        while len(begun) < 1000:
            await asyncio.sleep(0)
            others += 1
        return others

    assert travel(main()) >= 1000 // 4


def test_who_is_asked_to_come_back_later_does_whatever_happens_meanwhile(travel):
    async def main():
        work = Work(seconds=1)
        work.outcomes["a"] = [Outcome(after=7, failed=True), Outcome(after=1000, failed=True)]
        made = queue(work)
        made.add("a")
        await asyncio.sleep(0.5)
        made.add("a")  # while it runs
        await asyncio.sleep(2)
        made.add("a")  # while it waits
        await asyncio.sleep(7)
        made.add("a")
        await asyncio.sleep(100)
        return work.times("a")

    first, second, third = travel(main())
    assert (first, second) == (0, 8)  # it ran for a second
    assert 69 <= third <= 70  # nobody is asked to stay away for more than a minute


def test_nothing_begins_before_the_gate_opens(travel):
    async def main():
        work = Work()
        made: WorkQueue[str] = WorkQueue(work, rng=dice(1))
        made.start()
        made.add("a")
        await asyncio.sleep(10)
        before = list(work.keys)
        made.open()
        await asyncio.sleep(1)
        return before, work.keys

    assert travel(main()) == ([], ["a"])


def test_a_change_during_a_run_leads_to_one_more_run_and_never_to_two_at_once(travel):
    async def main():
        work = Work(seconds=1)
        made = queue(work)
        made.add("a")
        for _ in range(20):
            await asyncio.sleep(0.04)
            made.add("a")
        await asyncio.sleep(10)
        return work

    work = travel(main())
    assert work.keys == ["a", "a"]
    assert not work.overlap


def test_a_burst_is_coalesced_but_its_first_event_acts_at_once(travel):
    async def main():
        work = Work(seconds=0.005)
        made = queue(work, cooldown=0.1)
        began = asyncio.get_running_loop().time()
        for _ in range(30):
            made.add("a")
            await asyncio.sleep(0.005)
        await asyncio.sleep(10)
        return work.starts[0][1] - began, len(work.starts)

    first, runs = travel(main())
    assert first == pytest.approx(0, abs=1e-6)
    assert runs == 3  # at 0, after one cooldown, and once for what came last


def test_no_more_keys_run_at_once_than_there_are_workers(travel):
    async def main():
        work = Work(seconds=1)
        made = queue(work, workers=3)
        for number in range(10):
            made.add(str(number))
        await asyncio.sleep(60)
        return work

    work = travel(main())
    assert work.most == 3
    assert sorted(work.keys) == sorted(str(number) for number in range(10))


def test_changes_go_before_routine_and_a_key_can_be_moved_up(travel):
    async def main():
        work = Work(seconds=1)
        made = queue(work, workers=1)
        made.add("running")
        await asyncio.sleep(0.1)
        for key in ("routine 1", "routine 2", "moved up"):
            made.add(key, urgent=False)
        made.add("change")
        made.add("moved up", urgent=True)
        await asyncio.sleep(60)
        return work.keys

    assert travel(main()) == ["running", "change", "moved up", "routine 1", "routine 2"]


def test_a_later_date_is_brought_forward_but_not_put_off(travel):
    async def main():
        work = Work()
        made = queue(work)
        made.add("start")
        made.add_after("a", 100)
        made.add_after("a", 5)
        made.add_after("a", 50)
        await asyncio.sleep(200)
        return work.times("a")

    assert travel(main()) == [pytest.approx(5)]


def test_an_event_makes_a_key_due_that_waits_for_a_later_date(travel):
    async def main():
        work = Work()
        made = queue(work)
        made.add_after("a", 1000)
        await asyncio.sleep(1)
        made.add("a")
        await asyncio.sleep(3000)
        return len(work.starts)

    assert travel(main()) == 1


def test_an_outcome_says_when_the_key_is_due_again(travel):
    async def main():
        work = Work()
        work.outcomes["a"] = [Outcome(after=30), Outcome(after=40)]
        made = queue(work)
        made.add("a")
        await asyncio.sleep(1000)
        return work.times("a")

    assert travel(main()) == [0, pytest.approx(30), pytest.approx(70)]


def test_failures_come_back_later_and_later_up_to_a_limit(travel):
    async def main():
        work = Work()
        work.outcomes["a"] = [Outcome(failed=True)] * 12
        made = queue(work, base_delay=0.2, max_delay=60)
        made.add("a")
        await asyncio.sleep(10_000)
        return work.times("a")

    times = travel(main())
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert len(gaps) == 12
    for number, gap in enumerate(gaps):
        longest = min(60.0, 0.2 * 2**number)
        assert longest / 2 - 1e-6 <= gap <= longest + 0.1  # a cooldown may come on top


def test_a_success_forgets_earlier_failures(travel):
    async def main():
        work = Work()
        work.outcomes["a"] = [Outcome(failed=True)] * 8 + [Outcome(), Outcome(failed=True)]
        made = queue(work, base_delay=0.2)
        made.add("a")
        await asyncio.sleep(1000)
        made.add("a")
        await asyncio.sleep(1000)
        return work.times("a")

    times = travel(main())
    assert times[-1] - times[-2] <= 0.2


def test_the_server_may_ask_for_a_longer_pause_than_the_backoff(travel):
    async def main():
        work = Work()
        work.outcomes["a"] = [Outcome(after=7, failed=True)]
        made = queue(work)
        made.add("a")
        await asyncio.sleep(100)
        return work.times("a")

    assert travel(main()) == [0, pytest.approx(7)]


def test_a_bug_in_the_handler_is_logged_and_the_key_and_the_others_go_on(travel, caplog):
    async def main():
        work = Work()
        work.outcomes["a"] = [RuntimeError("broken")]
        seen = []
        made = queue(work, workers=1, observe=lambda result, _: seen.append(result))
        made.add("a")
        made.add("b")
        await asyncio.sleep(100)
        return work.keys, seen, made.alive

    with caplog.at_level(logging.ERROR):
        keys, seen, alive = travel(main())
    assert keys == ["a", "b", "a"]
    assert seen == ["error", "done", "done"]
    assert alive
    assert "this is a bug" in caplog.text


def test_a_key_that_never_comes_to_rest_is_slowed_down_and_recovers(travel):
    async def main():
        work = Work()
        made = queue(work, cooldown=0.1)
        for _ in range(6000):  # somebody undoes everything at once, for a minute
            made.add("a")
            await asyncio.sleep(0.01)
        busy = len(work.starts)
        last = work.times("a")[-1] - work.times("a")[-2]
        await asyncio.sleep(30)
        made.add("a")
        await asyncio.sleep(0.15)
        made.add("a")
        await asyncio.sleep(0.15)
        return busy, last, len(work.starts) - busy

    busy, last, after = travel(main())
    assert busy < 60
    assert last >= 1.9
    assert after == 3  # one was still due; then two at the usual pace


def test_idle_keys_are_forgotten(travel):
    async def main():
        work = Work()
        made = queue(work)
        for number in range(100):
            made.add(str(number))
        await asyncio.sleep(60)
        return len(made._entries)

    assert travel(main()) == 0


def test_stopping_waits_for_what_runs_and_begins_nothing_more(travel):
    async def main():
        work = Work(seconds=2)
        made = queue(work, workers=1)
        made.add("a")
        made.add("b")
        await asyncio.sleep(1)
        ended = await made.stop(grace=5)
        made.add("c")
        await asyncio.sleep(60)
        return work.keys, work.running["a"], ended

    assert travel(main()) == (["a"], 0, True)


def test_stopping_cancels_what_does_not_end_in_time(travel):
    async def main():
        work = Work(seconds=1000)
        made = queue(work, workers=1)
        made.add("a")
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        ended = await made.stop(grace=5)
        return asyncio.get_running_loop().time() - began, made.alive, ended

    took, alive, ended = travel(main())
    assert took == pytest.approx(5)
    assert not alive
    assert not ended


def test_depth_and_age_are_told(travel):
    async def main():
        work = Work(seconds=10)
        made = queue(work, workers=1)
        empty = made.depth, made.oldest_seconds
        made.add("a")
        await asyncio.sleep(1)
        made.add("b")
        made.add("c")
        await asyncio.sleep(3)
        return empty, (made.depth, made.oldest_seconds)

    assert travel(main()) == ((0, 0.0), (2, pytest.approx(3)))
