"""Flag tables: which arguments an engine version really takes.

The tables under `catalog/data/flags/` are dumped from the engines' own parsers, so that rendered
and extra arguments can be checked without the engine. They are large, so one is read only when it
is asked for, and its flags only when one of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, overload

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = files("videollm_operator.catalog") / "data" / "flags"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster


@dataclass(frozen=True, slots=True)
class Flag:
    """One argument of an engine's command line."""

    name: str
    """With its dashes, such as `--max-model-len`."""
    type: str
    """integer, count (an integer, also with a unit: 32k), number, string, boolean or json."""
    aliases: tuple[str, ...] = ()
    default: Any = None
    choices: tuple[str, ...] = ()
    nargs: str = ""
    """Empty: exactly one value (none for a boolean). `optional`: none or one; `many`: several."""
    negation: tuple[str, ...] = ()
    """Spellings that switch a boolean off."""
    deprecated: bool = False
    shape: str = ""
    """Of JSON: `object`, `list` or `scalar`, if it must be that."""
    parts: tuple[str, ...] | None = None
    """Of a JSON object: the only keys that it may have; None: any."""


@dataclass(frozen=True)
class FlagTable:
    """All arguments of one engine version."""

    engine: str
    version: str
    source: str
    flags: Sequence[Flag]

    @cached_property
    def _by_spelling(self) -> Mapping[str, Flag]:
        names = {flag.name: flag for flag in self.flags}
        others = {
            spelling: flag for flag in self.flags for spelling in (*flag.negation, *flag.aliases)
        }
        return {**others, **names}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every spelling that the parser takes: names, aliases and negations."""
        return frozenset(self._by_spelling)

    def get(self, name_or_alias: str) -> Flag | None:
        """The flag of this spelling (name, alias or negation), or None if there is none."""
        return self._by_spelling.get(name_or_alias)


@cache
def available() -> frozenset[str]:
    """Names of the tables that the package holds."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return frozenset(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


@cache
def load(name: str) -> FlagTable:
    """The table of this name.

    Raises:
        KeyError: if the package holds no table of this name.
    """
    if name not in available():
        raise KeyError(name)
    head, _, flags = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("\nflags:\n")
    data = yaml.load(head, Loader=_Loader)  # noqa: S506 - a safe loader
    return FlagTable(
        engine=str(data["engine"]),
        version=str(data["version"]),
        source=str(data["source"]),
        flags=_Unread(flags),
    )


@dataclass(frozen=True)
class _Unread(Sequence[Flag]):
    """Flags as the table's file has them, read when the first of them is asked for."""

    text: str

    @cached_property
    def _read(self) -> tuple[Flag, ...]:
        return tuple(_flag(entry) for entry in yaml.load(self.text, Loader=_Loader))  # noqa: S506 - a safe loader

    @overload
    def __getitem__(self, index: int) -> Flag: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Flag]: ...

    def __getitem__(self, index: int | slice) -> Flag | Sequence[Flag]:
        return self._read[index]

    def __len__(self) -> int:
        return len(self._read)


def _flag(entry: dict[str, Any]) -> Flag:
    negation = entry.get("negation", ())
    return Flag(
        name=entry["name"],
        type=entry["type"],
        aliases=tuple(entry.get("aliases", ())),
        default=entry.get("default"),
        choices=tuple(str(choice) for choice in entry.get("choices") or ()),
        nargs=entry.get("nargs", ""),
        negation=(negation,) if isinstance(negation, str) else tuple(negation),
        deprecated=bool(entry.get("deprecated", False)),
        shape=entry.get("shape", ""),
        parts=tuple(entry["parts"]) if "parts" in entry else None,
    )
