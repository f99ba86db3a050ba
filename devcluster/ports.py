"""Choose free TCP ports for one cluster."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

from devcluster.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Collection

# Below the range from which Linux and macOS take the local port of outgoing connections (32768
# and 49152 up): while an API server is stopped for a test, no client can be given its port.
_LOWEST, _HIGHEST = 20000, 32000


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(count: int, taken: Collection[int]) -> list[int]:
    """`count` different free ports.

    Args:
        count: how many.
        taken: ports that belong to other clusters, running or not.

    Raises:
        StartError: if not enough are free.
    """
    candidates = [port for port in range(_LOWEST, _HIGHEST) if port not in taken]
    secrets.SystemRandom().shuffle(candidates)  # two users of a computer should not meet
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise StartError(
            f"{count} free ports are needed between {_LOWEST} and {_HIGHEST}, "
            f"but only {len(found)} are free: end programs that listen there, or remove "
            "clusters with `python -m devcluster down --all`"
        )
    return found
