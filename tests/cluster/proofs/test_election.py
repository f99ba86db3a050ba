"""Two replicas, one Lease: at every moment at most one writes, and soon another one does.

Whatever is done to them, the API server's audit log is the witness: each test ends with a look at
every write since its beginning (`turns.out_of_turn`), made while a user edits without end. The
second replica's wall clock is an hour ahead throughout.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually, wait_until
from tests.cluster.proofs import turns
from tests.cluster.proofs.replicas import (
    LEASE_S,
    PATIENCE_S,
    TICK,
    Editor,
    Pair,
    Replica,
    idle,
    tick_of,
)
from tests.cluster.proxy import Rule
from tests.cluster.proxy_actions import Break, Late
from tests.cluster.world import Namespace, audit_mark, refused, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from devcluster.target import Target
    from tests.cluster.proxy_exchange import Exchange

pytestmark = pytest.mark.cluster

LOOKS = 2
"""A successor's looks at the Lease once it may take it, as the API server sees them: the one that
takes it, and one that was sent before and came after."""

EDITED = [f"edited-{number}" for number in range(6)]
QUIET = ["quiet-0", "quiet-1"]


@pytest.fixture(scope="module")
def space(installed: Target) -> Iterator[Namespace]:
    namespace = Namespace(installed, f"turns-{int(time.time()) % 100_000}")
    installed.create_namespace(namespace.name)
    yield namespace
    installed.kubectl("delete", "namespace", namespace.name, "--wait=false")


@pytest.fixture(scope="module")
def pair(installed: Target, space: Namespace) -> Iterator[Pair]:
    """Both are started at the same instant."""
    audit_mark(installed)  # else this is not to be proved here
    running = Pair(installed)
    yield running
    running.close()


@pytest.fixture(scope="module")
def editor(space: Namespace, pair: Pair) -> Iterator[Editor]:
    with Editor(space, EDITED) as running:
        space.apply(*(idle(name) for name in QUIET))
        yield running


@pytest.fixture
def mark(pair: Pair, editor: Editor) -> Iterator[int]:
    """The beginning of a test in the audit log; in its end all writes since are looked at."""
    pair.mend()
    leader, _ = pair.roles()
    editor.until_taken_up()
    began = audit_mark(pair.cluster)
    yield began
    requests = turns.since(pair.cluster, began)
    assert turns.out_of_turn(requests, LEASE_S, leader.name) == []


def until_acts(pair: Pair, mark: int, replica: Replica, more: int = 1) -> list[turns.Request]:
    """All requests since a mark, once a replica has renewed the Lease and written something."""
    return eventually(
        lambda: turns.since(pair.cluster, mark),
        lambda requests: (
            len(turns.acts(requests, replica.name)) >= more
            and turns.renewals(requests, replica.name)
        ),
        timeout_s=PATIENCE_S,
    )


def takeover_s(requests: list[turns.Request], leader: Replica, successor: Replica) -> float:
    """Seconds from the leader's last renewal to its successor's first."""
    first = turns.renewals(requests, successor.name)[0]
    last = max(at for at in turns.renewals(requests, leader.name) if at < first)
    return (first - last).total_seconds()


def assert_in_time(requests: list[turns.Request], leader: Replica, successor: Replica) -> None:
    """That a silent leader was waited for, and no longer than promised.

    The promise is the Lease's duration and one more look. How long a look takes is the machine's
    affair, so looks are counted. The duration begins when the successor has seen the last renewal:
    at its second look after it, since the first may cross it, and so before it looks once more.
    """
    assert takeover_s(requests, leader, successor) >= LEASE_S
    first = turns.renewals(requests, successor.name)[0]
    last = max(at for at in turns.renewals(requests, leader.name) if at < first)
    looks = [at for at in turns.looks(requests, successor.name) if last < at <= first]
    free = looks[:3][-1] + timedelta(seconds=LEASE_S)
    assert len([at for at in looks if at > free]) <= LOOKS


def test_of_two_started_at_the_same_instant_one_acts_and_the_other_stands_by(
    pair: Pair, editor: Editor, mark: int
) -> None:
    leader, standby = pair.roles()
    with editor.busy():
        until_acts(pair, mark, leader, more=20)
    assert leader.role == "leader"
    assert "\nvideollm_leader 1.0" in leader.operator.metrics()
    assert standby.operator.ready()
    assert standby.role == "standby"
    assert "\nvideollm_leader 0.0" in standby.operator.metrics()
    assert f"standby: the Lease is held by {leader.name}" in standby.operator.log.read_text()
    asked = [r for r in turns.since(pair.cluster, mark) if r.replica == standby.name]
    assert {r.what.split(" ", 2)[1] for r in asked} == {"leases"}
    assert not any(r.write for r in asked)
    assert pair.lease()["holderIdentity"] == leader.name


def test_every_write_names_what_it_was_decided_upon(pair: Pair, editor: Editor, mark: int) -> None:
    leader, _ = pair.roles()
    before = len(leader.proxy.seen)
    with editor.busy():
        until_acts(pair, mark, leader, more=30)

    written = [seen for seen in leader.proxy.seen[before:] if seen.write and not seen.lease]
    assert any(seen.path.endswith("/status") for seen in written)
    for seen in written:
        if seen.method == "POST":
            continue  # creates, or finds one there
        metadata = json.loads(seen.body)["metadata"]
        assert metadata.get("resourceVersion") or metadata.get("uid"), seen
        if seen.path.endswith("/status"):
            assert metadata["resourceVersion"]
            assert metadata["uid"]


def test_a_leader_that_is_killed_is_followed(pair: Pair, editor: Editor, mark: int) -> None:
    leader, standby = pair.roles()
    with editor.busy():
        until_acts(pair, mark, leader)
        leader.operator.stop(grace_s=0)
        pair.replace(leader)
        requests = until_acts(pair, mark, standby)
    assert_in_time(requests, leader, standby)


def test_a_leader_that_was_stopped_writes_nothing_when_it_wakes(
    pair: Pair, editor: Editor, mark: int, space: Namespace
) -> None:
    leader, standby = pair.roles()
    before = leader.lost()
    space.apply(idle("leaves"))
    space.until_ready("leaves", reason="ScaledToZero")
    with editor.busy():
        until_acts(pair, mark, leader)
        leader.freeze()
        frozen = time.monotonic()
        until_acts(pair, mark, standby)
        # What it must not remember from its first term:
        space.kubectl("delete", "vld", "leaves")
        space.kubectl("delete", "service", EDITED[0])
        assert wait_until(lambda: time.monotonic() - frozen >= 2 * LEASE_S, 3 * LEASE_S)
        woken = datetime.now(UTC)
        leader.thaw()
        leader.until_standby()
    assert leader.lost() > before
    requests = turns.since(pair.cluster, mark)
    assert_in_time(requests, leader, standby)
    assert [r.what for r in turns.acts(requests, leader.name) if r.time >= woken] == []
    assert [at for at in turns.renewals(requests, leader.name) if at >= woken] == []


def test_one_that_is_told_to_stop_is_followed_at_once_by_one_that_knows_what_is_there_now(
    pair: Pair, editor: Editor, mark: int, space: Namespace
) -> None:
    leader, former = pair.roles()
    assert former.lost() > 0  # it has led before, and others have written since
    eventually(
        lambda: space.items("statefulset,service"),
        lambda left: not any(each["metadata"]["name"].startswith("leaves") for each in left),
        timeout_s=PATIENCE_S,
    )
    with editor.busy():
        until_acts(pair, mark, leader)
        leader.operator.stop()
        pair.replace(leader)
        requests = until_acts(pair, mark, former, more=20)
    assert takeover_s(requests, leader, former) < LEASE_S
    touched = {r.name for r in turns.acts(turns.since(pair.cluster, mark), former.name)}
    assert touched
    assert not {name for name in touched if name.startswith((*QUIET, "leaves"))}


def test_a_process_stopped_at_any_moment_of_its_work_writes_nothing_when_it_wakes(
    pair: Pair, editor: Editor, mark: int
) -> None:
    with editor.busy():
        for delay in (0.0, 0.006):
            leader, standby = pair.roles()
            wrote = len(leader.proxy.writes())
            eventually(
                lambda leader=leader: len(leader.proxy.writes()),
                lambda now, wrote=wrote: now > wrote,
                timeout_s=PATIENCE_S,
                interval_s=0.001,
            )
            time.sleep(delay)  # not a wait for anything: where in its work it is stopped
            leader.freeze()
            again = audit_mark(pair.cluster)
            until_acts(pair, again, standby)
            woken = datetime.now(UTC)
            leader.thaw()
            leader.until_standby()
            late = turns.acts(turns.since(pair.cluster, again), leader.name)
            assert [r.what for r in late if r.time >= woken] == []


@pytest.mark.parametrize("cut", ["refuse_all", "hang_all"])
def test_a_leader_that_is_cut_off_is_followed_and_comes_back_as_a_standby(
    pair: Pair, editor: Editor, mark: int, cut: str
) -> None:
    leader, standby = pair.roles()
    before = leader.lost()
    # The answer to the successor's first renewal gets lost: it must not wait for itself.
    standby.proxy.add(Rule(Break(done=True), path="*/leases/*", methods=("PUT",), times=1))
    with editor.busy():
        until_acts(pair, mark, leader)
        getattr(leader.proxy, cut)()
        requests = until_acts(pair, mark, standby)
        eventually(lambda: leader.role, lambda role: role == "", timeout_s=PATIENCE_S)
        leader.proxy.restore()
        leader.until_standby()
    standby.proxy.clear()
    assert_in_time(requests, leader, standby)
    first, second, *_ = turns.renewals(requests, standby.name)
    assert (second - first).total_seconds() < LEASE_S
    assert leader.lost() == before + 1


def test_with_both_cut_off_nobody_writes_and_one_goes_on(
    pair: Pair, editor: Editor, mark: int
) -> None:
    leader, standby = pair.roles()
    with editor.busy():
        until_acts(pair, mark, leader)
        for replica in (leader, standby):
            replica.proxy.hang_all()
        lost = leader.lost()
        eventually(leader.lost, lambda times: times > lost, timeout_s=PATIENCE_S)
        cut = audit_mark(pair.cluster)
        began = time.monotonic()
        assert wait_until(lambda: time.monotonic() - began >= LEASE_S, 2 * LEASE_S)
        assert turns.since(pair.cluster, cut) == []
        for replica in (leader, standby):
            replica.proxy.restore()
        pair.roles()


def test_a_deleted_lease_changes_nothing_even_if_another_one_starts_just_then(
    pair: Pair, editor: Editor, mark: int
) -> None:
    leader, standby = pair.roles()
    before = leader.lost()
    missing: list[int] = []

    async def deleted_first(exchange: Exchange) -> web.StreamResponse:
        if not missing:
            await asyncio.to_thread(pair.delete_lease)
        answer = await exchange.through()
        if exchange.seen.status == 404:
            missing.append(exchange.seen.number)
        return answer

    with editor.busy():
        third = pair.start()
        third.proxy.add(Rule(deleted_first, path="*/leases/*", methods=("GET",)))
        third.until_standby()
        eventually(lambda: missing, bool, timeout_s=PATIENCE_S)
        asked = len(third.proxy.seen)
        eventually(lambda: len(third.proxy.seen), lambda now: now > asked + 3, timeout_s=PATIENCE_S)
        until_acts(pair, audit_mark(pair.cluster), leader)
    assert third.role == "standby"
    third.operator.stop()
    assert pair.lease()["holderIdentity"] == leader.name
    assert leader.lost() == before
    for other in (standby, third):
        assert turns.renewals(turns.since(pair.cluster, mark), other.name) == []


def test_edits_of_the_lease_that_leave_the_holder_change_nothing(
    pair: Pair, editor: Editor, mark: int
) -> None:
    leader, standby = pair.roles()
    before = leader.lost()
    edits: list[dict[str, Any]] = [
        {"renewTime": "2001-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1},
        {"renewTime": "2999-01-01T00:00:00.000000Z", "leaseDurationSeconds": 86400},
        {"renewTime": None, "leaseDurationSeconds": None},
    ]
    with editor.busy():
        for edit in edits:
            pair.edit_lease(**edit)
            spec = eventually(
                pair.lease,
                lambda now, edit=edit: all(now.get(name) != edit[name] for name in edit),
                timeout_s=PATIENCE_S,
            )
            assert spec["leaseDurationSeconds"] == LEASE_S
            assert spec["holderIdentity"] == leader.name
        for impossible in (0, "a"):
            assert "nvalid" in refused(
                lambda it=impossible: pair.edit_lease(leaseDurationSeconds=it)
            )
        until_acts(pair, audit_mark(pair.cluster), leader)
    assert leader.lost() == before
    assert turns.renewals(turns.since(pair.cluster, mark), standby.name) == []


ANOTHER_HOLDER: dict[str, Callable[[Pair, Replica], dict[str, Any]]] = {
    "nobody": lambda pair, standby: {"holderIdentity": ""},
    "a stranger": lambda pair, standby: {"holderIdentity": "stranger"},
    "the standby": lambda pair, standby: {"holderIdentity": standby.name},
    "nothing at all": lambda pair, standby: dict.fromkeys(pair.lease()),
}


@pytest.mark.parametrize("edit", ANOTHER_HOLDER.values(), ids=ANOTHER_HOLDER)
def test_another_holder_by_hand_ends_the_term_and_somebody_goes_on(
    pair: Pair, editor: Editor, mark: int, edit: Callable[[Pair, Replica], dict[str, Any]]
) -> None:
    leader, standby = pair.roles()
    before = leader.lost()
    with editor.busy():
        until_acts(pair, mark, leader)
        pair.edit_lease(**edit(pair, standby))
        edited = audit_mark(pair.cluster)
        eventually(leader.lost, lambda times: times == before + 1, timeout_s=PATIENCE_S)
        successor, _ = pair.roles()
        requests = until_acts(pair, edited, successor)
        assert turns.renewals(requests, successor.name)


def test_a_renewal_whose_answer_gets_lost_costs_nothing(
    pair: Pair, editor: Editor, mark: int
) -> None:
    leader, standby = pair.roles()
    before = leader.lost()
    rule = Rule(Break(done=True), path="*/leases/*", methods=("PUT",), times=2)
    leader.proxy.add(rule)
    with editor.busy():
        eventually(lambda: rule.matched, lambda matched: matched >= 4, timeout_s=PATIENCE_S)
        until_acts(pair, audit_mark(pair.cluster), leader)
    leader.proxy.clear()
    assert leader.lost() == before
    assert turns.renewals(turns.since(pair.cluster, mark), standby.name) == []


def test_the_wall_clock_that_is_an_hour_ahead_is_real(pair: Pair) -> None:
    """Else the other tests would not show that it does not matter."""
    for _ in range(2):
        leader, _ = pair.roles()
        renewed = datetime.fromisoformat(pair.lease()["renewTime"])
        ahead = renewed - datetime.now(UTC)
        assert (ahead > timedelta(minutes=50)) == leader.ahead
        if leader.ahead:
            break
        leader.operator.stop()
        pair.replace(leader)
    else:
        raise AssertionError("the replica with the wrong clock never led")


def test_what_comes_late_from_a_former_leader_is_refused_or_put_right(
    pair: Pair, editor: Editor, space: Namespace
) -> None:
    """The network may deliver a write when another one leads: then its preconditions count."""
    pair.mend()
    leader, standby = pair.roles()
    editor.until_taken_up()
    mark = audit_mark(pair.cluster)
    late = Late()
    name = QUIET[0]
    leader.proxy.add(
        Rule(late, path=f"*/statefulsets/{name}", methods=("PATCH",)),
        Rule(late, path=f"*/videollmdeployments/{QUIET[1]}/status"),
        Rule(late, path="*/statefulsets/born", methods=("PATCH",)),
    )

    def tick(to: int) -> None:
        for edited in QUIET:
            space.patch("vld", {"spec": {"podTemplate": {"annotations": {TICK: str(to)}}}}, edited)

    tick(1)
    space.apply(idle("born"))
    held = eventually(
        lambda: {seen.path: seen for seen in leader.proxy.seen if seen.fault == "Late"},
        lambda found: len(found) == 3,
        timeout_s=PATIENCE_S,
    )
    leader.proxy.refuse_all()
    eventually(lambda: standby.role, lambda role: role == "leader", timeout_s=PATIENCE_S)
    tick(2)

    def taken_up() -> bool:
        ticks = [tick_of(space.get("statefulset", each)) for each in (*QUIET, "born")]
        return ticks == ["2", "2", "0"] and all(map(settled, space.items("vld")))

    eventually(taken_up, bool, timeout_s=PATIENCE_S)
    assert turns.out_of_turn(turns.since(pair.cluster, mark), LEASE_S, leader.name) == []
    before = audit_mark(pair.cluster)
    leader.proxy.let_go(late)
    eventually(
        lambda: [seen.status for seen in held.values()],
        lambda codes: all(codes),
        timeout_s=PATIENCE_S,
    )
    codes = {path.split("/namespaces/")[1].split("/", 1)[1]: s.status for path, s in held.items()}
    assert codes == {
        f"statefulsets/{name}": 200,  # meant for this very object: put right by the leader
        f"videollmdeployments/{QUIET[1]}/status": 409,
        "statefulsets/born": 409,
    }
    eventually(
        lambda: turns.since(pair.cluster, before),
        lambda now: any(
            r.what.startswith("patch statefulsets") for r in turns.acts(now, standby.name)
        ),
        timeout_s=PATIENCE_S,
    )
    eventually(taken_up, bool, timeout_s=PATIENCE_S)
    requests = turns.since(pair.cluster, before)
    repairs = [r for r in turns.acts(requests, standby.name) if r.name == name]
    assert len([r for r in repairs if "statefulsets" in r.what]) == 1
    leader.proxy.clear()
    leader.proxy.restore()
    leader.until_standby()
