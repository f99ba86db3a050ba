"""Sets the wall clock of a Python process an hour ahead; its other clocks stay as they are."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from videollm_operator.runtime.clock import SystemClock

_AHEAD = timedelta(hours=1)
_time = time.time


def _now(_: SystemClock) -> datetime:
    return datetime.now(UTC) + _AHEAD


SystemClock.now = _now  # type: ignore[method-assign] # of this process only
time.time = lambda: _time() + _AHEAD.total_seconds()
