"""Who may take an update up by itself now (`spec.rollout.updates: Automatic`), and who waits.

Who holds a place is read from the caches, each time. Two things are remembered, and both come back
by themselves after a restart: places that are kept for writes on their way, so that two workers
do not give the same place away, and who waits. An object first joins those that wait, and goes at
another look: by then everybody has been looked at whom the same change concerns, so that the order
is that of names and not of events.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from videollm_operator.reconcile.updates import TOLD
from videollm_operator.reconcile.world import Line, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Set as AbstractSet

    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import Key


class Turns:
    """Gives the places away.

    Args:
        limit: how many places there are.
        taking: deployments that hold one by what the caches know.
        wake: has a deployment looked at again.
    """

    def __init__(
        self, limit: int, taking: Callable[[], AbstractSet[Key]], wake: Callable[[Key], None]
    ) -> None:
        self._limit = limit
        self._taking = taking
        self._wake = wake
        self._kept: set[Key] = set()
        self._lines: dict[Line, list[Key]] = {Line.SERVING: [], Line.FAILING: []}
        self._seen: tuple[object, ...] = ()

    def turn(self, key: Key) -> Turn:
        """What one deployment sees."""
        serving = self._lines[Line.SERVING]
        line = next((line for line, keys in self._lines.items() if _has(keys, key)), None)
        return Turn(
            limit=self._limit,
            taking=tuple(sorted((self._taking() | self._kept) - {key})),
            line=line,
            ahead=len(serving) if line is Line.FAILING else bisect_left(serving, key),
            held=key in self._kept,
        )

    def decided(self, key: Key, decision: Decision) -> None:
        """Keeps a place for what is to be written; must follow on `turn` without a pause."""
        if decision.takes_up:
            self._kept.add(key)
        else:
            self._kept.discard(key)
        for line, keys in self._lines.items():
            if _has(keys, key):
                keys.remove(key)
            if line is decision.line:
                insort(keys, key)

    def written(self, key: Key) -> None:
        """The caches know of it now. A refused write keeps its place until it is not wanted."""
        self._kept.discard(key)

    def gone(self, key: Key) -> None:
        """There is no such deployment any more."""
        self._kept.discard(key)
        for keys in self._lines.values():
            if _has(keys, key):
                keys.remove(key)

    def look(self) -> None:
        """Has those looked at that may go now, or are to be told that others do."""
        serving, failing = self._lines[Line.SERVING], self._lines[Line.FAILING]
        if not serving and not failing:
            self._seen = ()
            return
        taking = self._taking() | self._kept
        concerned: Iterable[Key] = serving[: max(TOLD, self._limit)]
        if not serving and not taking:
            concerned = failing
        seen = (frozenset(taking), tuple(concerned))
        if seen != self._seen:
            self._seen = seen
            for key in seen[1]:
                self._wake(key)


def _has(keys: list[Key], key: Key) -> bool:
    at = bisect_left(keys, key)
    return at < len(keys) and keys[at] == key
