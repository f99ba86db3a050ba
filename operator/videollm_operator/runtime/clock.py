"""The two clocks: one that only runs forward, for deadlines, and one that people read."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

_FORWARD = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux: goes on while the machine sleeps, unlike CLOCK_MONOTONIC; a Lease does not sleep."""


class Clock(Protocol):
    """What time it is."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back, never jumps with the wall clock."""

    def now(self) -> datetime:
        """Wall-clock time in UTC; only for what people read."""


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        """Seconds since boot, time in which the machine slept included."""
        return time.clock_gettime(_FORWARD)

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)
