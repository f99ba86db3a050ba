"""Time that jumps."""

from __future__ import annotations

import asyncio
import random
import selectors
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _Selector(selectors.DefaultSelector):  # type: ignore[misc, valid-type] # chosen at run time
    """Never sleeps: when nothing is ready, time jumps to the next timer."""

    loop: JumpingLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready: list[Any] = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        self.loop.now += max(timeout, 0)
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps over idle time; for code without real I/O."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class LoopClock:
    """A machine's clock that follows the event loop's, but can be slept over."""

    def __init__(self) -> None:
        self.offset = 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())


def dice(seed: object) -> random.Random:
    """Chance that is the same in every run."""
    return random.Random(str(seed))  # noqa: S311 - tests guard no secrets
