"""Where files are: one folder in the user's cache holds everything that this package writes."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOURCE = Path(__file__).resolve().parent

# RFC 1123 label, short enough that paths and context names stay readable.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


def cache() -> Path:
    """The cache folder, `$XDG_CACHE_HOME/videollm-operator` or `~/.cache/videollm-operator`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "videollm-operator"


def clusters() -> Path:
    """The folder that holds one folder per cluster."""
    return cache() / "clusters"


def check_name(name: str) -> str:
    """Return `name` if it can name a cluster.

    Raises:
        StartError: if it cannot: it becomes a folder and a kubeconfig context.
    """
    if not _NAME.fullmatch(name):
        raise StartError(
            f"cluster name {name!r} cannot be used: use up to 40 lower-case letters, digits "
            "and '-', beginning and ending with a letter or digit"
        )
    return name


@contextmanager
def locked(what: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock named `what` among all processes of this user.

    The lock files stay: removing one would let two processes hold "the same" lock.

    Args:
        what: name of the lock, such as `build`.
        waiting: called once if another process holds it now.
    """
    path = cache() / "locks" / f"{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
