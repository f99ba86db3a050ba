from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from videollm_operator.runtime.store import Store, Stored, version


def stored(facts="x", uid="u1", version=1, groups=("g",)):
    return Stored(facts, uid, version, groups)


def store():
    return Store(lambda old, new: old == new)


def test_a_new_object_is_a_change_to_its_groups():
    made = store()
    assert made.put("a", stored(groups=("g", "h"))) == {"g", "h"}
    assert made.group("g") == ("a",)
    assert len(made) == 1
    assert "a" in made


def test_an_older_version_never_replaces_a_newer_one():
    made = store()
    made.put("a", stored("new", version=9))
    assert made.put("a", stored("old", version=3)) == frozenset()
    assert made.put("a", stored("same", version=9)) == frozenset()
    assert made.get("a").facts == "new"


def test_another_version_that_means_the_same_is_no_change():
    made = store()
    made.put("a", stored(version=1))
    assert made.put("a", stored(version=2)) == frozenset()
    assert made.get("a").version == 2


def test_a_move_to_another_group_concerns_both():
    made = store()
    made.put("a", stored(version=1, groups=("g",)))
    assert made.put("a", stored(version=2, groups=("h",))) == {"g", "h"}
    assert made.group("g") == ()
    assert made.group("h") == ("a",)


def test_a_replaced_object_is_a_change_even_if_it_looks_the_same():
    made = store()
    made.put("a", stored(uid="u1", version=1))
    assert made.put("a", stored(uid="u2", version=2)) == {"g"}


def test_an_object_that_went_does_not_come_back_by_a_late_event():
    made = store()
    made.put("a", stored(version=5))
    assert made.remove("a", "u1", 7) == {"g"}
    assert made.put("a", stored(version=6)) == frozenset()  # the answer to our own write, say
    assert "a" not in made
    assert made.put("a", stored(uid="u2", version=8)) == {"g"}


def test_the_end_of_a_predecessor_does_not_remove_its_successor():
    made = store()
    made.put("a", stored(uid="u2", version=8))
    assert made.remove("a", "u1", 7) == frozenset()
    assert made.get("a").uid == "u2"


def test_leaving_the_selector_does_not_remove_what_came_back_since():
    made = store()
    made.put("a", stored(version=9))  # our apply put the label back
    assert made.remove("a", "u1", 8) == frozenset()
    assert "a" in made
    assert made.remove("a", "u1", 10) == {"g"}
    assert made.put("a", stored(version=11)) == {"g"}  # the same object, and it is there again


def test_an_object_that_left_the_selector_comes_back_if_it_is_read():
    it = store()
    it.put("a", stored(version=1))
    it.remove("a", "u1", 5)
    it.exists_after_all("u1")
    assert not it.knows("a", "u1", 5)
    assert it.put("a", stored(version=5)) == {"g"}
    it.exists_after_all("u2")  # was never seen to go


def test_it_is_known_what_has_been_seen():
    made = store()
    assert not made.knows("a", "u1", 1)
    made.put("a", stored(version=5))
    assert made.knows("a", "u1", 5)
    assert not made.knows("a", "u1", 6)
    made.remove("a", "u1", 7)
    assert made.knows("a", "u1", 6)
    assert not made.knows("a", "u2", 8)


def test_the_newest_version_is_remembered():
    made = store()
    made.put("a", stored(version=5))
    made.put("b", stored(version=3, uid="u2"))
    made.remove("b", "u2", 8)
    assert made.newest == 8


def test_versions_are_numbers():
    assert version("17") == 17
    assert version("") == 0
    assert version("x") == 0


events = st.lists(st.tuples(st.sampled_from(["put", "remove"]), st.integers(1, 30)), max_size=30)


@given(history=events, order=st.randoms(use_true_random=False))
def test_events_in_any_order_lead_to_the_same_state(history, order):
    """One object's versions, each seen once or more: the last one counts, whatever came when."""
    unique = {number: kind for kind, number in history}
    shuffled = [(kind, number) for number, kind in unique.items()] * 2
    order.shuffle(shuffled)
    made = store()
    for kind, number in shuffled:
        if kind == "put":
            made.put("a", stored(number, version=number))
        else:
            made.remove("a", "u1", number)
    found = made.get("a")
    removed = max((n for n, kind in unique.items() if kind == "remove"), default=0)
    expected = [n for n, kind in unique.items() if kind == "put" and n > removed]
    assert (found.facts if found else None) == (max(expected) if expected else None)
