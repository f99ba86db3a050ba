"""Show a person what goes on: one line per step, and a line that moves while a step takes long."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without a terminal nothing can move, so a line is printed now and then.
_QUIET_SECONDS = 15.0
_MOVING_SECONDS = 0.2


class Progress:
    """Writes to a stream; silent if there is none.

    Args:
        stream: where to write, None for nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._moving = stream is not None and stream.isatty()
        self._shown = 0.0
        self._width = 0

    def line(self, text: str) -> None:
        """Write a line that stays."""
        if self._stream is None:
            return
        self._stream.write(self._over(text) + "\n")
        self._stream.flush()
        self._width = 0
        self._shown = time.monotonic()

    def moving(self, text: str) -> None:
        """Show where things stand: over the last such line on a terminal, else now and then."""
        if self._stream is None:
            return
        now = time.monotonic()
        if now - self._shown < (_MOVING_SECONDS if self._moving else _QUIET_SECONDS):
            return
        self._shown = now
        if self._moving:
            self._stream.write(self._over(text))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def _over(self, text: str) -> str:
        """`text` so that it covers the moving line on the screen."""
        return "\r" + text.ljust(self._width) if self._width else text

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Time a step; its line is written when it has succeeded."""
        began = time.monotonic()
        yield
        self.line(f"  {text:<44} {time.monotonic() - began:5.1f} s")


def to_terminal() -> Progress:
    """Progress on standard error, so that standard output stays usable for other programs."""
    return Progress(sys.stderr)


def silent() -> Progress:
    """Progress that nobody sees."""
    return Progress(None)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `8 s`, `2 min 05 s`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
