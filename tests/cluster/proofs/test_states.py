"""Every state that a deployment can be in, on a real control plane: what is told, and by whom.

All of them live side by side in one namespace. `played` goes through the acts once; each test looks
at one deployment, or at one tool.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.proofs import stalls
from tests.cluster.proofs.play import (
    DELETED,
    NEWBORN,
    SERVING,
    Act,
    Played,
    play,
    updatable,
)
from tests.cluster.proofs.stage import mistakes
from tests.cluster.proofs.states import EVERY, STATES, Pods, Spec, State, expected, unreachable
from tests.cluster.world import ROOT, Namespace, condition_types, ready
from tests.verdicts import health, kstatus, promised, promised_health, seen, true_conditions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target
    from videollm_operator.api.reasons import Reason

pytestmark = pytest.mark.cluster

AFTER = [state for state in STATES if state.name not in DELETED]


@pytest.fixture(scope="module")
def played(installed: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """All acts; a namespace of their own, which goes with everything in it."""
    space = Namespace(installed, f"states-{uuid.uuid4().hex[:6]}")
    installed.create_namespace(space.name)
    yield play(space, tmp_path_factory.mktemp("states") / "watched")
    installed.kubectl("delete", "namespace", space.name, "--wait=false")


def name(state: State) -> str:
    return state.name


def test_every_combination_is_there_or_a_reason_why_it_cannot_be() -> None:
    assert len(EVERY) == 6 * 7 * 2 * 2 * 2
    assert all(unreachable(state) for state in EVERY if state not in STATES)
    assert len({state.name for state in STATES}) == len(STATES) > 100


@pytest.mark.parametrize("state", [s for s in STATES if not s.late], ids=name)
def test_a_state_before_the_deadline(played: Played, state: State) -> None:
    told = expected(state)
    assert mistakes(played.soon.sights[state.name], told) == []
    assert promised(played.soon.sights[state.name].obj) == told.kstatus


@pytest.mark.parametrize("state", STATES, ids=name)
def test_a_state_after_the_deadline(played: Played, state: State) -> None:
    told = expected(state)
    assert mistakes(played.late.sights[state.name], told) == []
    assert promised(played.late.sights[state.name].obj) == told.kstatus


@pytest.mark.parametrize("state", [s for s in STATES if not s.paused and not s.some], ids=name)
def test_scaled_down_frees_the_gpus_also_when_stalled(played: Played, state: State) -> None:
    sight = played.soon.sights[state.name]
    assert sight.counts == (0, 0)
    assert ("Stalled" in sight.conditions) == (state.spec is not Spec.ACCEPTED)
    if state.spec is Spec.ACCEPTED:
        assert ready(sight.obj) == ("True", "ScaledToZero")


def test_a_pause_writes_nothing_but_status(played: Played) -> None:
    if played.written is None:
        pytest.skip("the API server's audit log is the witness here, and there is none")
    paused = {s.name for s in STATES if s.paused}
    names = paused | {f"{each}-pods" for each in paused}
    touched = [r for r in played.written if r.name in names]
    assert {(r.resource, r.subresource) for r in touched} == {("videollmdeployments", "status")}
    assert {r.name for r in touched} > {s.name for s in STATES if s.paused and s.late}


@pytest.mark.parametrize("state", [s for s in STATES if s.paused and s.pods in {
    Pods.PENDING, Pods.LOADING, Pods.FAILING, Pods.READY, Pods.PARTLY}], ids=name)  # fmt: skip
def test_a_pause_keeps_the_pods_whatever_replicas_say(played: Played, state: State) -> None:
    there = 2 if state.pods is Pods.PARTLY else 1
    assert played.late.sights[state.name].counts[0] == there


@pytest.mark.parametrize("act", ["soon", "late", "unseen"])
def test_kubectl_says_the_same(played: Played, act: str) -> None:
    then: Act = getattr(played, act)
    at_rest = {s.name for s in STATES if act != "soon" or not s.late} & then.sights.keys()
    for each in at_rest:
        obj = then.sights[each].obj
        number = obj["status"].get("readyReplicas", "")
        row = (str(obj["spec"]["replicas"]), str(number), ready(obj)[1])
        assert then.rows[each] == row, each
    for kind, names in then.waits.items():
        objects = {each: then.sights[each].obj for each in at_rest}
        true = {n for n, obj in objects.items() if seen(obj) and kind in true_conditions(obj)}
        assert names & at_rest == true, kind


@pytest.mark.parametrize("state", STATES, ids=name)
def test_another_catalogue_is_told_where_a_layout_is_kept_and_changes_nothing_else(
    played: Played, state: State
) -> None:
    sight, told = played.update.sights[state.name], expected(state)
    more = {"UpdateAvailable"} if updatable(state) else set()
    assert true_conditions(sight.obj) == told.true | more
    assert ready(sight.obj) == (told.ready, told.reason)


@pytest.mark.parametrize("state", AFTER, ids=name)
def test_every_state_ends_in_serving_once_the_object_is_good(played: Played, state: State) -> None:
    assert mistakes(played.cleared.sights[state.name], SERVING) == []


def test_every_reason_that_stalls_has_a_cause() -> None:
    assert set(stalls.CAUSES) == set(stalls.STALLING)
    for reason, where in stalls.ELSEWHERE.items():
        assert f'"{reason}"' in (ROOT / where).read_text()


@pytest.mark.parametrize("reason", stalls.STALLING)
def test_a_reason_stalls_when_the_registry_says_and_clears_when_its_cause_goes(
    played: Played, reason: Reason
) -> None:
    each = stalls.name_of(reason)
    past = [obj for obj in played.past if obj["metadata"]["name"] == each]
    stalled = [n for n, obj in enumerate(past) if by(obj, "Stalled") == reason]
    waiting = [
        n for n, obj in enumerate(past) if by(obj, "Reconciling") == stalls.before_deadline(reason)
    ]
    assert stalled
    assert bool(waiting and waiting[0] < stalled[0]) == (not stalls.stalls_at_once(reason))
    assert by(played.late.sights[each].obj, "Stalled") == reason
    assert mistakes(played.cured.sights[each], SERVING) == []


def by(obj: dict[str, Any], kind: str) -> str:
    """Reason of a condition; empty if there is none."""
    conditions = obj["status"].get("conditions", [])
    return next((c["reason"] for c in conditions if c["type"] == kind), "")


@pytest.mark.parametrize("each", stalls.LATE)
def test_what_comes_a_minute_late_never_stalls(played: Played, each: str) -> None:
    waiting = played.missing.sights[each]
    reason = "ConfigMissing" if each == "late-secret" else "Unschedulable"
    assert ready(waiting.obj) == ("False", reason)
    assert "Reconciling" in waiting.conditions
    assert mistakes(played.late.sights[each], SERVING) == []
    past = [obj for obj in played.past if obj["metadata"]["name"] == each]
    assert len(past) >= 4
    assert not any("Stalled" in condition_types(obj) for obj in past)
    assert "Failed" not in {word.status for word in kstatus(past)}


def test_kubectl_wait_ends_when_it_serves_and_not_before(played: Played) -> None:
    assert played.waited


def test_nothing_unseen_is_ready(played: Played) -> None:
    sights = played.unseen.sights
    changed = {state.name for state in AFTER} | {NEWBORN}
    words = kstatus([sights[each].obj for each in changed])
    assert {word.status for word in words} == {"InProgress"}
    assert {health(sights[each].obj).status for each in changed} == {"Progressing"}
    assert not changed & (played.unseen.waits["Ready"] | played.unseen.waits["Stalled"])
    assert sights[NEWBORN].obj["status"] == {"observedGeneration": -1}
    assert played.unseen.rows[NEWBORN] == ("1", "", "")
    assert mistakes(played.cleared.sights[NEWBORN], SERVING) == []


def test_what_is_being_deleted_is_terminating(played: Played) -> None:
    words = kstatus([played.deleted.sights[each].obj for each in DELETED])
    assert {word.status for word in words} == {"Terminating"}


def test_the_real_kstatus_and_argo_cd_say_what_we_promise_of_every_status_ever_written(
    played: Played,
) -> None:
    past = played.past
    words = kstatus(past)
    for obj, word in zip(past, words, strict=True):
        assert word.status == promised(obj)
        if word.status != "Terminating":
            assert health(obj).status == promised_health(obj)
        true = true_conditions(obj)
        assert len(true & {"Ready", "Reconciling", "Stalled"}) <= 1
        assert ("Serving" in true) <= ("Ready" not in true)
    assert {word.status for word in words} == {"Current", "InProgress", "Failed", "Terminating"}
    assert len(past) > 4 * len(STATES)
