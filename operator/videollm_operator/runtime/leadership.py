"""The right to act: what the process asks of it, and the case of a process that is alone."""

from __future__ import annotations

import asyncio
from typing import Protocol


class LeadershipLost(Exception):  # noqa: N818 - what happened
    """The Lease could not be renewed in time, or somebody else has it."""


class Unheard(Exception):  # noqa: N818 - what happened
    """The API server has not answered about the Lease for a long time."""


class Leadership(Protocol):
    """The right to act, and how it is won and kept."""

    @property
    def heard(self) -> bool:
        """Whether it is known who leads."""

    def remaining(self) -> float:
        """Seconds until another process may act; 0 if this one may not begin anything now."""

    async def acquire(self) -> None:
        """Waits until this process leads; raises Unheard if nobody can say who does."""

    async def keep(self) -> None:
        """Stays leader for as long as possible; raises LeadershipLost then."""

    async def release(self) -> None:
        """Gives leadership up."""


class Alone:
    """Leadership of a process that shares its work with nobody."""

    heard = True

    async def acquire(self) -> None:
        """At once."""

    async def keep(self) -> None:
        """For ever."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Nobody waits for it."""

    def remaining(self) -> float:
        """No limit."""
        return float("inf")
