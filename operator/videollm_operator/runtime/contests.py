"""Notices that others undo what the operator writes, again and again, and then writes rarely.

Two programs that both insist would else write for ever, and pods whose template they change in
turn would never come to serve.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from videollm_operator.reconcile.actions import Result
    from videollm_operator.runtime.clock import Clock

FREE_WRITES = 10
"""Times that the same is written to the same child before it counts as contested."""

PEACE_SECONDS = 600.0
"""A write that stands for so long ends the count."""

LONGEST_PAUSE_SECONDS = 600.0
"""Between two writes of the same to a child that is contested."""

HELD_SECONDS = 30.0
"""A write that stands for so long is no longer told as contested."""

_FIRST_PAUSE_SECONDS = 10.0


@dataclass(slots=True)
class _Contest:
    """What was written to one child, how often and when, and what is told about it."""

    digest: str
    writes: int = 0
    last: float = 0.0
    undone: float | None = None
    """When it was first seen that the last write does not stand any more; None: it does."""
    told: Result | None = None
    looked: bool = False
    """Whether it was found out who contests it since the last write."""


class Contests:
    """Remembers the latest writes to children.

    Args:
        clock: for pauses.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._contests: OrderedDict[Hashable, _Contest] = OrderedDict()

    def may_write(self, child: Hashable, digest: str) -> bool:
        """Whether this, which the child is not any more or never was, may be written now."""
        contest = self._contests.get(child)
        if contest is None or contest.digest != digest:
            return True
        if contest.undone is None:
            contest.undone = self._clock.monotonic()
        if contest.writes < FREE_WRITES or _in_peace(contest, contest.undone):
            return True
        doublings = min(contest.writes - FREE_WRITES, 16)
        pause = min(LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**doublings)
        return self._age(contest) >= pause

    def wrote(self, child: Hashable, digest: str) -> None:
        """Takes note that this was written to a child."""
        now = self._clock.monotonic()
        contest = self._contests.get(child)
        if (
            contest is None
            or contest.digest != digest
            or _in_peace(contest, now if contest.undone is None else contest.undone)
        ):
            contest = self._contests[child] = _Contest(digest)
        contest.writes += 1
        contest.last, contest.undone = now, None
        contest.looked = False
        self._contests.move_to_end(child)
        self._forget()

    def known(self, child: Hashable) -> Result | None:
        """What was found out about a child since the last write; None: nothing yet."""
        contest = self._contests.get(child)
        return contest.told if contest is not None and contest.looked else None

    def tell(self, child: Hashable, told: Result) -> None:
        """Remembers what is to be told of a contested child."""
        contest = self._contests[child]
        contest.told, contest.looked = told, True

    def told(self, child: Hashable) -> Result | None:
        """What is still to be told of a child, though nothing is to be written to it now."""
        contest = self._contests.get(child)
        if contest is None or contest.told is None:
            return None
        if self._age(contest) > HELD_SECONDS:
            contest.told = None
        return contest.told

    def _age(self, contest: _Contest) -> float:
        return self._clock.monotonic() - contest.last

    def _forget(self) -> None:
        """Drops what is over: those that were written to first come first."""
        for child, contest in list(itertools.islice(self._contests.items(), 2)):
            if self._age(contest) <= PEACE_SECONDS + LONGEST_PAUSE_SECONDS:
                break
            del self._contests[child]


def _in_peace(contest: _Contest, undone: float) -> bool:
    """Whether the last write stood for so long that what comes now is no answer to it."""
    return undone - contest.last > PEACE_SECONDS
