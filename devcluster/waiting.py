"""Wait for conditions, with deadlines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from devcluster.errors import KubectlError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_until(condition: Callable[[], bool], timeout_s: float, interval_s: float = 0.05) -> bool:
    """Whether `condition` came true within `timeout_s` seconds; asked every `interval_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True


def eventually(
    ask: Callable[[], T],
    accept: Callable[[T], object],
    *,
    timeout_s: float = 120.0,
    interval_s: float = 0.2,
) -> T:
    """The first answer of `ask` that `accept` takes; for tests.

    Args:
        ask: asked again and again; kubectl's "not found" and the like count as "not yet".
        accept: whether the answer will do.
        timeout_s: seconds until it is given up.
        interval_s: seconds between two questions.

    Raises:
        TimeoutError: if none came in time; the message shows the last answer or error.
    """
    last: object = "never asked"

    def asked() -> bool:
        nonlocal last
        try:
            answer = ask()
        except KubectlError as error:
            last = error
            return False
        last = answer
        found.append(answer)
        return bool(accept(answer))

    found: list[T] = []
    if wait_until(asked, timeout_s, interval_s):
        return found[-1]
    raise TimeoutError(f"not so within {timeout_s:g} s; the last answer was: {last}")
