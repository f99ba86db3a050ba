"""How an engine's side tells the worker that the engine refuses, and why."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - a verdict, not an error
    """The engine refuses; the message names the check and gives the engine's words."""


def words(error: Exception) -> str:
    """The engine's message; pydantic's with the fields and without the dump of its input."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return f"{type(error).__name__}: {error}"
    return "; ".join(
        ": ".join([*(str(part) for part in entry["loc"]), str(entry["msg"])]) for entry in errors()
    )
