"""Exit codes of the command line; part of its contract with scripts and pipelines."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code means."""

    FITS = 0
    BAD_INPUT = 2
    """Also click's own code for wrong options."""
    DOES_NOT_FIT = 3
    """Well-formed, but no layout, engine or GPU can do it."""
