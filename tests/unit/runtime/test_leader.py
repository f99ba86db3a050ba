from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque

import pytest

from tests.unit.runtime.jumping import LoopClock, dice
from videollm_operator.runtime import errors
from videollm_operator.runtime.leader import UNHEARD_SECONDS, Elector
from videollm_operator.runtime.leadership import Alone, LeadershipLost, Unheard
from videollm_operator.runtime.settings import Settings

DURATION, DEADLINE, RETRY = 15.0, 10.0, 2.0


class LeaseServer:
    """The API server, as far as one Lease is concerned."""

    def __init__(self):
        self.lease = None
        self.versions = itertools.count(1)
        self.writes = []

    def answer(self, request):
        if request.method == "GET":
            if self.lease is None:
                raise errors.NotFound("no such lease", status=404)
            return json.loads(json.dumps(self.lease))
        body = json.loads(request.body)
        if request.method == "POST":
            if self.lease is not None:
                raise errors.AlreadyExists("exists", status=409)
        else:
            assert request.method == "PUT"
            if self.lease is None:
                raise errors.Conflict("no such object any more", status=409)
            if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                raise errors.Conflict("the object has been modified", status=409)
        self.store(body)
        self.writes.append((asyncio.get_running_loop().time(), body["spec"]["holderIdentity"]))
        return json.loads(json.dumps(self.lease))

    def store(self, body):
        body["metadata"]["resourceVersion"] = str(next(self.versions))
        self.lease = body

    def edit(self, **spec):
        lease = json.loads(json.dumps(self.lease))
        lease["spec"].update(spec)
        self.store(lease)


class Link:
    """One process's connection to the server: can be cut, slow, or lose answers."""

    def __init__(self, server):
        self.server = server
        self.cut = False
        self.loses_answers = False
        self.loses_writes = False
        self.latency = 0.01

    async def send(self, request, *, seconds=None):
        await asyncio.sleep(self.latency)
        if self.cut:
            await asyncio.sleep(seconds or 15)
            raise errors.TooSlow("no answer in time")
        answer = self.server.answer(request)
        await asyncio.sleep(self.latency)
        if self.loses_answers or (self.loses_writes and request.write):
            raise errors.Unreachable("connection reset")
        return answer


class Process:
    """A candidate, as the operator process runs it."""

    def __init__(self, server, name, former=None):
        self.link = Link(server)
        self.clock = LoopClock()
        settings = Settings(identity=name, metrics_port=0, health_port=0)
        self.former = deque() if former is None else former
        self.elector = Elector(self.link, settings, self.clock, dice(name), self.former)
        self.lost = None
        self.task = asyncio.create_task(self.run())
        # A candidate that gives up is looked at by some tests only; the others need no complaint.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def run(self):
        await self.elector.acquire()
        try:
            await self.elector.keep()
        except LeadershipLost as lost:
            self.lost = str(lost)

    @property
    def acts(self):
        return self.elector.remaining() > 0


async def watch_over(seconds, *processes, most=1):
    """Lets time pass, and looks all the time that at most one process acts."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        acting = [process for process in processes if process.acts]
        assert len(acting) <= most, "two processes act at the same time"
        await asyncio.sleep(0.05)


async def until(condition, limit=120.0):
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < limit, "it did not come to that"
        await asyncio.sleep(0.05)
    return loop.time() - began


def test_the_first_candidate_looks_twice_then_acts_and_goes_on_acting(travel):
    async def main():
        process = Process(LeaseServer(), "a")
        took = await until(lambda: process.acts)
        await asyncio.sleep(1000)
        return took, process.acts, process.elector.heard

    took, acts, heard = travel(main())
    assert took <= 2 * RETRY + 0.2
    assert acts
    assert heard


def test_of_two_candidates_one_acts_and_renews_alone(travel):
    async def main():
        server = LeaseServer()
        a, b = Process(server, "a"), Process(server, "b")
        await watch_over(300, a, b)
        return [a.acts, b.acts], {holder for _, holder in server.writes}

    acting, writers = travel(main())
    assert sorted(acting) == [False, True]
    assert len(writers) == 1


@pytest.mark.parametrize("moment", [0, 0.3, 0.9, 1.5, 1.9])
def test_a_leader_that_dies_is_followed_within_the_lease_duration_and_a_retry(travel, moment):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, f"b{moment}")
        await asyncio.sleep(30 + moment)
        a.task.cancel()
        return await until(lambda: b.acts), server.lease["spec"]["leaseTransitions"]

    took, transitions = travel(main())
    assert took <= DURATION + RETRY * 1.2 + 0.1
    assert transitions == 1


def test_a_leader_that_gives_up_is_followed_at_its_successors_next_look(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await asyncio.sleep(30)
        a.task.cancel()
        await a.elector.release()
        assert not a.acts
        return await until(lambda: b.acts)

    assert travel(main()) <= RETRY * 1.2 + 0.5


def test_what_was_given_back_while_a_renewal_was_cut_short_is_given_back(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        server.edit(renewTime="2026-01-01T00:00:00.000000Z")  # it was carried out, unheard
        a.task.cancel()
        await a.elector.release()
        return server.lease["spec"]

    spec = travel(main())
    assert spec["holderIdentity"] == ""
    assert spec["leaseDurationSeconds"] == 1


def test_what_somebody_else_has_is_not_given_back(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        server.edit(holderIdentity="b")
        a.task.cancel()
        await a.elector.release()
        return server.lease["spec"]["holderIdentity"], a.acts

    assert travel(main()) == ("b", False)


def test_a_leader_that_is_cut_off_stops_acting_before_the_other_begins(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await watch_over(31, a, b)
        a.link.cut = True
        await watch_over(60, a, b)
        return a.acts, a.lost, b.acts

    acts, lost, successor = travel(main())
    assert not acts
    assert "not renewed in time" in lost
    assert successor


def test_writes_that_begin_late_may_not_outlive_the_lease(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        await asyncio.sleep(20)
        a.link.cut = True
        renewed = a.elector._renewed_at
        ends = []
        while a.acts:
            ends.append(asyncio.get_running_loop().time() + a.elector.remaining() - renewed)
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().time() - renewed, ends

    stopped, ends = travel(main())
    assert DEADLINE <= stopped <= DEADLINE + 0.2
    assert all(end == pytest.approx(DURATION) for end in ends)


def test_a_leader_that_was_asleep_does_not_act_when_it_wakes(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        a.clock.offset += 2 * DURATION  # SIGSTOP, or the machine slept: no code ran meanwhile
        acts = a.acts
        await asyncio.sleep(5)
        return acts, a.lost

    acts, lost = travel(main())
    assert not acts
    assert "not renewed in time" in lost


def test_wall_clocks_that_jump_change_nothing(travel, monkeypatch):
    async def main():
        server = LeaseServer()
        a, b = Process(server, "a"), Process(server, "b")
        await watch_over(20, a, b)
        first = a.acts
        for process, hours in ((a, -7), (b, 9)):
            now = process.clock.now
            monkeypatch.setattr(
                process.clock, "now", lambda now=now, h=hours: now().replace(year=2026 + h)
            )
        await watch_over(200, a, b)
        return first, a.acts

    first, later = travel(main())
    assert first == later


def test_a_record_with_times_of_another_age_is_waited_for_all_the_same(travel):
    async def main():
        server = LeaseServer()
        server.store(
            {
                "metadata": {"name": "videollm-operator", "namespace": "default"},
                "spec": {
                    "holderIdentity": "other",
                    "renewTime": "2001-01-01T00:00:00.000000Z",
                    "acquireTime": "2001-01-01T00:00:00.000000Z",
                    "leaseDurationSeconds": 15,
                    "leaseTransitions": 3,
                },
            }
        )
        process = Process(server, "a")
        return await until(lambda: process.acts)

    assert travel(main()) >= DURATION


def test_a_deleted_lease_is_written_again_and_nobody_takes_over(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await watch_over(20, a, b)
        server.lease = None
        await watch_over(100, a, b)
        return a.acts, b.acts, server.lease["spec"]["holderIdentity"]

    assert travel(main()) == (True, False, "a")


def test_a_deleted_lease_of_a_leader_that_is_cut_off_is_waited_for(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await watch_over(20, a, b)
        a.link.cut = True
        server.lease = None
        await watch_over(60, a, b)
        return b.acts

    assert travel(main())


def test_who_starts_while_the_lease_is_deleted_does_not_act_beside_its_holder(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        for moment in range(10):
            await asyncio.sleep(moment / 5)
            server.lease = None
            fresh = Process(server, f"fresh {moment}")
            await watch_over(20, a, fresh)
            assert a.acts
            fresh.task.cancel()

    travel(main())


def test_who_starts_while_the_holder_is_emptied_does_not_act_beside_it(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        server.edit(holderIdentity="")
        fresh = Process(server, "fresh")
        await watch_over(60, a, fresh)
        return a.acts, fresh.acts

    assert travel(main()) == (False, True)


@pytest.mark.parametrize("seconds", [1, 86400])
def test_a_duration_edited_by_hand_is_put_right_and_delays_nobody(travel, seconds):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await watch_over(20, a, b)
        server.edit(leaseDurationSeconds=seconds)
        await watch_over(10, a, b)
        kept = a.acts, server.lease["spec"]["leaseDurationSeconds"]
        a.link.cut = True
        await watch_over(DURATION + 2 * RETRY, a, b)
        return kept, b.acts

    assert travel(main()) == ((True, DURATION), True)


@pytest.mark.parametrize(
    "edit",
    [
        {"holderIdentity": "evil"},
        {"holderIdentity": ""},
        {"holderIdentity": "b"},
        {"holderIdentity": "a", "acquireTime": "2001-01-01T00:00:00.000000Z"},
        {"leaseTransitions": 99},
    ],
    ids=["another holder", "no holder", "the other candidate", "another term", "another count"],
)
def test_a_lease_edited_by_hand_ends_the_term_and_two_never_act(travel, edit):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await watch_over(20, a, b)
        server.edit(**edit)
        await watch_over(60, a, b)
        return a.lost, b.acts

    lost, successor = travel(main())
    assert "is held by" in lost
    assert successor


def test_a_touched_lease_is_kept(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        for _ in range(50):
            server.edit(strategy="x")  # a label, another field: the version changes
            await asyncio.sleep(1)
        return a.acts, a.lost

    assert travel(main()) == (True, None)


def test_answers_that_get_lost_do_not_cost_leadership(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        a.link.loses_answers = True
        await asyncio.sleep(6)
        a.link.loses_answers = False
        await asyncio.sleep(100)
        return a.acts, a.lost

    assert travel(main()) == (True, None)


def test_a_successor_whose_first_answer_gets_lost_acts_at_its_next_look(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await asyncio.sleep(30)
        a.task.cancel()
        b.link.loses_writes = True
        await until(lambda: server.lease["spec"]["holderIdentity"] == "b")
        assert not b.acts
        b.link.loses_writes = False
        return await until(lambda: b.acts)

    assert travel(main()) <= RETRY * 1.2 + 0.5


def test_the_deadline_counts_from_before_the_renewal_was_sent(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        a.link.latency = 1.5  # each way
        await asyncio.sleep(20)
        stored, _ = server.writes[-1]
        return a.elector._renewed_at <= stored - 1.4

    assert travel(main())


def test_the_same_process_need_not_wait_for_its_own_former_term(travel):
    async def main():
        server = LeaseServer()
        former = deque()
        a = Process(server, "a", former)
        await until(lambda: a.acts)
        a.task.cancel()  # its round broke down, and it could not give the Lease back
        again = Process(server, "a", former)
        return await until(lambda: again.acts)

    assert travel(main()) < 1


def test_another_process_with_the_same_identity_is_a_stranger(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "pod")
        await until(lambda: a.acts)
        b = Process(server, "pod")
        await watch_over(100, a, b)
        return a.acts, b.acts

    assert travel(main()) == (True, False)


def test_a_candidate_that_is_not_answered_for_a_minute_gives_its_connections_up(travel, caplog):
    async def main():
        process = Process(LeaseServer(), "a")
        process.link.cut = True
        began = asyncio.get_running_loop().time()
        with pytest.raises(Unheard, match="for 60 seconds: no answer in time"):
            await process.task
        return asyncio.get_running_loop().time() - began, process.elector.heard

    lasted, heard = travel(main())
    assert UNHEARD_SECONDS < lasted < UNHEARD_SECONDS + 10
    assert heard is False
    assert caplog.text.count("cannot be read or written") == 1


def test_a_standby_that_is_cut_off_for_less_than_a_minute_goes_on(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await until(lambda: b.elector.heard)
        for _ in range(3):
            b.link.cut = True
            await asyncio.sleep(UNHEARD_SECONDS - 10)
            b.link.cut = False
            await asyncio.sleep(10)
        gave_up = b.task.done()
        b.link.cut = True
        await asyncio.sleep(UNHEARD_SECONDS + 10)
        return gave_up, type(b.task.exception())

    assert travel(main()) == (False, Unheard)


def test_a_standby_that_slept_long_looks_again_before_it_gives_up(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await until(lambda: b.elector.heard)
        b.clock.offset += 1000
        await asyncio.sleep(10)
        return b.task.done()

    assert travel(main()) is False


def test_giving_back_what_is_not_held_does_nothing(travel):
    async def main():
        server = LeaseServer()
        a = Process(server, "a")
        await until(lambda: a.acts)
        b = Process(server, "b")
        await asyncio.sleep(5)
        await b.elector.release()
        return server.lease["spec"]["holderIdentity"]

    assert travel(main()) == "a"


@pytest.mark.parametrize("seed", range(5))
def test_many_candidates_and_random_trouble_never_act_together(travel, seed):
    """All have seen the Lease: a candidate that has not, and finds none, cannot know better."""
    rng = dice(seed)

    async def main():
        server = LeaseServer()
        processes = [Process(server, name) for name in "abcd"]
        led, spared = set(), 0.0
        for _ in range(300):
            victim = rng.choice(processes)
            match rng.randrange(6):
                case 0:
                    victim.link.cut = not victim.link.cut
                case 1 if victim.acts:
                    victim.clock.offset += rng.uniform(0, 40)  # it was asleep
                case 2 if asyncio.get_running_loop().time() > spared:
                    server.lease = None
                    spared = asyncio.get_running_loop().time() + 60
                case 3 if server.lease is not None:
                    server.edit(holderIdentity=rng.choice(["a", "b", "", "x"]))
                case 4:
                    victim.link.latency = rng.uniform(0.001, 3)
                case _:
                    victim.link.cut = False
            await watch_over(rng.uniform(0.5, 12), *processes)
            led |= {process for process in processes if process.acts}
            for index, process in enumerate(processes):
                held = server.lease and server.lease["spec"]["holderIdentity"]
                if process.task.done() and held:
                    again = Process(server, f"{process.elector._settings.identity}'")
                    await until(lambda again=again: again.elector.heard)
                    processes[index] = again
        return len(led)

    assert travel(main()) > 3


def test_alone_there_is_nothing_to_win_or_lose(travel):
    async def main():
        alone = Alone()
        await alone.acquire()
        keeping = asyncio.create_task(alone.keep())
        await asyncio.sleep(1000)
        await alone.release()
        return alone.heard, alone.remaining(), keeping.done()

    assert travel(main()) == (True, float("inf"), False)
