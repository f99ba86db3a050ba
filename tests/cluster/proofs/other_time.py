"""The `videollm` command with another wall clock: `python other_time.py FILE operator ...`.

The file holds the seconds by which it is ahead, and may be changed at any time. Monotonic clocks
are those of the machine.
"""

from __future__ import annotations

import datetime
import runpy
import sys
import time
from pathlib import Path


def shift(ahead: Path) -> None:
    """Sets the wall clock of this process ahead by what the file says from now on."""
    seconds, nanoseconds = time.time, time.time_ns

    def offset() -> float:
        return float(ahead.read_text() or "0")

    class Datetime(datetime.datetime):
        """Knows the time by `time.time`."""

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Datetime:
            """The time now."""
            return cls.fromtimestamp(time.time(), tz)

    time.time = lambda: seconds() + offset()
    time.time_ns = lambda: nanoseconds() + int(offset() * 1e9)
    datetime.datetime = Datetime  # type: ignore[misc] # that is the point


if __name__ == "__main__":
    shift(Path(sys.argv.pop(1)))
    runpy.run_module("videollm_operator", run_name="__main__", alter_sys=True)
