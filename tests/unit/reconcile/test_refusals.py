from __future__ import annotations

import pytest

from videollm_operator.api.reasons import Reason
from videollm_operator.reconcile import refusals
from videollm_operator.reconcile.actions import Delete
from videollm_operator.reconcile.world import ChildFacts, ChildKey

KEY = ChildKey("StatefulSet", "a")
CLAIM = ChildKey("PersistentVolumeClaim", "a-cache")


def facts(*, controller: str = "", managed: bool = False, key: ChildKey = KEY) -> ChildFacts:
    return ChildFacts(
        key=key,
        uid="u",
        controller_uid="c" if controller else "",
        controller=controller,
        managed=managed,
        deleting=False,
        owned_digest="",
    )


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (422, "spec: Forbidden: updates to statefulset spec for fields other than", "immutable"),
        (422, "spec.storageClassName: Invalid value: field is immutable", "immutable"),
        (422, "spec.template.spec.volumes[0].name: Required value", "refused"),
        (403, "exceeded quota: field is immutable", "refused"),
        (400, "strict decoding error", "refused"),
    ],
)
def test_what_the_server_says_becomes_a_reason(status: int, message: str, reason: str) -> None:
    problem = refusals.problem_of(Delete(KEY, "u"), status, "", message)
    expected = Reason.IMMUTABLE_FIELD if reason == "immutable" else Reason.CHILD_REFUSED
    assert problem.reason is expected
    assert message in problem.message
    assert "StatefulSet 'a'" in problem.message


@pytest.mark.parametrize(
    ("reason", "message", "said"),
    [
        ("Forbidden", " no. \n", "no"),
        ("Forbidden", "", "Forbidden"),
        ("", "", "HTTP status 403"),
    ],
)
def test_a_refusal_always_says_something(reason: str, message: str, said: str) -> None:
    problem = refusals.problem_of(Delete(KEY, "u"), 403, reason, message)
    assert problem.message == f"StatefulSet 'a' was refused by the API server: {said}"


def test_a_field_that_the_server_does_not_know_is_told_as_such() -> None:
    said = "failed to create typed patch object: .spec.x: field not declared in schema"
    problem = refusals.problem_of(Delete(KEY, "u"), 500, "InternalError", said)
    assert problem.reason is Reason.FIELD_NOT_SUPPORTED
    assert "upgrade the cluster" in problem.message
    assert said in problem.message


def test_a_conflict_names_the_owner_and_offers_adoption_only_of_orphans() -> None:
    theirs = refusals.name_conflict(facts(controller="Team 'x'", managed=True)).message
    assert "it is controlled by Team 'x'; it is not touched" in theirs
    assert "adopt" not in theirs
    assert "adopt" not in refusals.name_conflict(facts()).message
    assert "videollm.io/adopt=true" in refusals.name_conflict(facts(managed=True)).message


@pytest.mark.parametrize("controller", ["", "Team 'x'"])
@pytest.mark.parametrize("managed", [False, True])
def test_nobody_is_told_to_delete_a_volume(controller: str, managed: bool) -> None:
    claim = facts(controller=controller, managed=managed, key=CLAIM)
    message = refusals.name_conflict(claim).message
    assert "delete" not in message
    lost_its_label = not controller and not managed
    assert ("app.kubernetes.io/managed-by=videollm-operator back" in message) is lost_its_label


def test_what_is_lost_with_a_volume_is_said() -> None:
    said = "spec: Forbidden: spec is immutable after creation"
    assert "goes with it" in refusals.problem_of(Delete(CLAIM, "u"), 422, "", said).message
    assert "goes with it" not in refusals.problem_of(Delete(KEY, "u"), 422, "", said).message


def test_only_the_first_dropped_fields_are_named() -> None:
    problem = refusals.fields_dropped(KEY, [f"spec.f{n}" for n in range(9)])
    assert problem.reason is Reason.FIELD_NOT_SUPPORTED
    assert "`spec.f4`" in problem.message
    assert "`spec.f5`" not in problem.message
