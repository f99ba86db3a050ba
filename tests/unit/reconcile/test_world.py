from __future__ import annotations

from videollm_operator.reconcile.world import ChildKey, Key


def test_keys_are_written_as_people_write_them() -> None:
    assert str(Key("team", "video")) == "team/video"
    assert str(ChildKey("Service", "video-pods")) == "Service 'video-pods'"


def test_keys_sort_by_namespace_and_then_name() -> None:
    assert sorted([Key("b", "a"), Key("a", "c"), Key("a", "b")]) == [
        Key("a", "b"),
        Key("a", "c"),
        Key("b", "a"),
    ]
