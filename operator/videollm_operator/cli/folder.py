"""A model in a local folder."""

from __future__ import annotations

import os
import stat
from typing import IO, TYPE_CHECKING

from videollm_operator.api.sentences import shown
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.safetensors import LENGTH_BYTES, header_length

if TYPE_CHECKING:
    from collections.abc import Collection

_PREFIX = 64
"""Bytes that tell a safetensors file from a Git LFS pointer."""


class Folder:
    """Files of a folder; see `checkpoint.Files`."""

    def __init__(self, path: str) -> None:
        self._path = os.path.expanduser(path)
        if "\0" in path:
            raise CheckpointProblem(f"{_quoted(path)} is no path: it holds a NUL")

    def names(self) -> Collection[str]:
        """Files at the top."""
        try:
            return frozenset(os.listdir(self._path))
        except NotADirectoryError:
            problem = f"{_quoted(self._path)} is a file: name the folder in which config.json lies"
            raise CheckpointProblem(problem) from None
        except FileNotFoundError:
            raise CheckpointProblem(f"there is no folder {_quoted(self._path)}") from None
        except OSError as error:
            raise _unreadable(self._path, error) from None

    def whole(self, name: str, most: int) -> bytes:
        """A file's content, of which no more than one byte beyond `most` is read."""
        path = os.path.join(self._path, name)
        try:
            with _opened(path) as file:
                return file.read(most + 1)
        except OSError as error:
            raise _unreadable(path, error) from None

    def header(self, name: str) -> tuple[bytes, int]:
        """A safetensors header without its length, and the size of the whole file in bytes."""
        path = os.path.join(self._path, name)
        try:
            with _opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                length = header_length(file.read(_PREFIX), size, shown(name))
                file.seek(LENGTH_BYTES)
                return file.read(length), size
        except OSError as error:
            raise _unreadable(path, error) from None


def _opened(path: str) -> IO[bytes]:
    """Opens a regular file; a pipe or device would be waited for, or never end."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise CheckpointProblem(f"{_quoted(path)} is no regular file")
    return file


def _unreadable(path: str, error: OSError) -> CheckpointProblem:
    return CheckpointProblem(f"cannot read {_quoted(path)}: {error.strerror or error}")


def _quoted(path: str) -> str:
    """A path in full: shortened, it could not be followed."""
    return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in path) + "'"
