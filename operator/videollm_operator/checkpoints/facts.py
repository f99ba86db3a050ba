"""What is known of a model so far, each value with where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from videollm_operator.api.sentences import shown


class Source(StrEnum):
    """Where a value came from, the most trusted first."""

    HEADERS = "headers"
    """Shapes and sizes of the tensors themselves."""
    CONFIG = "config.json"
    LIBRARY = "default"
    """config.json leaves it out, and transformers fills it in."""
    TOWER = "tower's name"
    CODE = "family's code"
    NAME = "model's name"
    COMPUTED = "computed"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Fact:
    """One value."""

    path: str
    """Place in a catalogue entry, such as `architecture.text.layers`."""
    value: Any
    source: Source
    detail: str
    """The field, tensor or rule that it was read from."""


class Facts:
    """Facts as they are gathered; a later, better source replaces a value and says so."""

    def __init__(self) -> None:
        self._facts: dict[str, Fact] = {}
        self.warnings: list[str] = []

    def __getitem__(self, path: str) -> Any:
        return self._facts[path].value

    def all(self) -> tuple[Fact, ...]:
        """Every fact, in the order in which it was first put."""
        return tuple(self._facts.values())

    def put(self, path: str, value: Any, source: Source, detail: str) -> None:
        """Sets a value."""
        self._facts[path] = Fact(path, value, source, detail)

    def correct(self, path: str, value: Any, detail: str, consequence: str = "") -> None:
        """Sets what the headers say; where that is news, warns.

        Args:
            path: place of the value.
            value: what the headers say.
            detail: the tensor.
            consequence: what the difference means, for the warning.
        """
        before = self._facts.get(path)
        self.put(path, value, Source.HEADERS, detail)
        if before is not None and before.value != value and before.source is not Source.ASSUMED:
            said = f"{before.source} ({before.detail}) says"
            if before.source is Source.COMPUTED:
                said = f"the widths ({before.detail}) give"
            self.warnings.append(
                f"{path}: {said} {shown(before.value)}, but {detail} in the files say "
                f"{shown(value)}; the files win{consequence and ': ' + consequence}"
            )
