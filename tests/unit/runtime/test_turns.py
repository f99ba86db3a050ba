"""Who may take an update up by itself: places are given once, and whoever waits is woken."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from videollm_operator.reconcile.updates import TOLD
from videollm_operator.reconcile.world import Key, Line
from videollm_operator.runtime.turns import Turns

A, B, C = (Key("video", name) for name in "abc")


class Office:
    """Turns, whom the caches know to hold a place, and who was woken."""

    def __init__(self, limit=2):
        self.taking = set()
        self.woken = []
        self.turns = Turns(limit, lambda: self.taking, self.woken.append)

    def waits(self, *keys, line=Line.SERVING):
        for key in keys:
            self.turns.decided(key, SimpleNamespace(takes_up=False, line=line))

    def takes(self, key):
        self.turns.decided(key, SimpleNamespace(takes_up=True, line=None))

    def settles(self, key):
        self.turns.decided(key, SimpleNamespace(takes_up=False, line=None))

    def wakes(self):
        self.woken.clear()
        self.turns.look()
        return list(self.woken)


@pytest.fixture
def office():
    return Office()


def test_the_order_is_that_of_names_not_of_coming(office):
    office.waits(C, A, B)
    assert [office.turns.turn(key).ahead for key in (A, B, C)] == [0, 1, 2]
    assert office.turns.turn(C).line is Line.SERVING
    assert office.turns.turn(Key("video", "d")).line is None


def test_those_that_fail_have_all_that_serve_before_them(office):
    office.waits(C, B)
    office.waits(A, line=Line.FAILING)
    turn = office.turns.turn(A)
    assert (turn.line, turn.ahead) == (Line.FAILING, 2)


def test_a_place_is_kept_from_the_decision_until_the_caches_know_of_the_write(office):
    office.waits(A)
    office.takes(A)
    assert office.turns.turn(A).held
    assert office.turns.turn(A).line is None
    assert office.turns.turn(B).taking == (A,)
    office.taking = {A}
    office.turns.written(A)
    assert office.turns.turn(B).taking == (A,)
    assert not office.turns.turn(A).held
    assert office.turns.turn(A).taking == ()
    office.taking = set()
    assert office.turns.turn(B).taking == ()


def test_a_place_is_given_back_when_it_is_not_wanted_or_the_object_is_gone(office):
    office.takes(A)
    office.takes(B)
    office.settles(A)
    office.turns.gone(B)
    assert office.turns.turn(C).taking == ()


def test_who_comes_to_wait_is_looked_at_again(office):
    office.waits(A)
    assert office.wakes() == [A]
    assert office.wakes() == []
    office.waits(B)
    assert office.wakes() == [A, B]


def test_those_that_wait_are_woken_when_a_place_is_taken_and_when_it_is_free_again(office):
    office.waits(A, B)
    office.turns.look()
    office.taking = {C}
    assert office.wakes() == [A, B]
    assert office.wakes() == []
    office.taking = set()
    assert office.wakes() == [A, B]
    office.turns.gone(A)
    assert office.wakes() == [B]
    office.turns.gone(B)
    assert office.wakes() == []


def test_those_that_fail_are_woken_when_nobody_else_wants_anything(office):
    office.waits(A, line=Line.FAILING)
    office.waits(B)
    assert office.wakes() == [B]
    office.takes(B)
    assert office.wakes() == []
    office.turns.written(B)
    assert office.wakes() == [A]
    office.turns.gone(A)
    assert office.turns.turn(A).line is None


def test_only_so_many_are_woken_as_can_go_or_are_told_who_goes():
    keys = [Key("video", f"{number:03}") for number in range(100)]
    office = Office()
    office.waits(*keys)
    assert office.wakes() == keys[:TOLD]
    wide = Office(limit=50)
    wide.waits(*keys)
    assert wide.wakes() == keys[:50]
