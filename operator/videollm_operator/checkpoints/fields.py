"""config.json field by field: checked types and ranges, and the place for sentences."""

from __future__ import annotations

from typing import Any

from videollm_operator.api.sentences import shown
from videollm_operator.checkpoints.problem import CheckpointProblem

LARGEST_SIZE = 10_000_000
"""Of a width, a count of layers or a vocabulary; the limit of `spec.model.architecture`."""

LONGEST_CONFIG = 4 * 1024 * 1024
"""Bytes of a config.json; real ones have a few kB."""


class Fields:
    """One object inside config.json."""

    def __init__(self, values: dict[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def place(self, key: str) -> str:
        """The path of a field, as sentences name it."""
        return f"{self._path}.{key}" if self._path else key

    def integer(self, key: str, least: int = 1, most: int = LARGEST_SIZE) -> int | None:
        """A whole number, or None if the field is absent or null."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(key, f"a whole number between {least} and {most}")
        return value

    def boolean(self, key: str) -> bool | None:
        """True or false, or None if absent."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def text(self, key: str) -> str | None:
        """A string, or None if absent or empty."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value or None

    def items(self, key: str) -> list[Any] | None:
        """A list, or None if absent."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, list):
            raise self._wrong(key, "a list")
        return value

    def section(self, key: str) -> Fields | None:
        """An object, or None if absent."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return Fields(value, self.place(key))

    def raw(self, key: str) -> Any:
        """Whatever stands there, or None."""
        return self._values.get(key)

    def keys(self) -> tuple[str, ...]:
        """The fields that are there."""
        return tuple(self._values)

    def _wrong(self, key: str, wanted: str) -> CheckpointProblem:
        found = shown(self._values[key])
        problem = f"`{self.place(key)}` in config.json is {found}, but must be {wanted}: correct it"
        return CheckpointProblem(problem)
