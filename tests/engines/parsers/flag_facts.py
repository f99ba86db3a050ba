"""Describes the arguments of an `argparse` parser as plain data.

What a value must look like is found out by trying the parser's own converter on probes, since
engines wrap it in closures that have no name.
"""

from __future__ import annotations

import argparse
import dataclasses
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_FAILS = (ValueError, TypeError, argparse.ArgumentTypeError)
_MISSING = object()


def describe(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """One entry per option of the parser, in the parser's order.

    Keys: name, aliases, type, shape and parts (of JSON), nargs, choices, default, negation,
    deprecated; those that do not apply are left out.
    """
    spellings: dict[int, list[str]] = {}
    for spelling, action in parser._option_string_actions.items():
        spellings.setdefault(id(action), []).append(spelling)
    return [
        _describe(parser, action, spellings[id(action)])
        for action in parser._actions
        if action.option_strings and not isinstance(action, argparse._HelpAction)
    ]


def _describe(
    parser: argparse.ArgumentParser, action: argparse.Action, spellings: list[str]
) -> dict[str, Any]:
    takes_value = action.nargs != 0
    off = [] if takes_value else [s for s in spellings if _switches_off(parser, action, s)]
    on = [spelling for spelling in spellings if spelling not in off]
    name = next((spelling for spelling in on if spelling.startswith("--")), on[0])
    facts: dict[str, Any] = {"name": name}
    if len(on) > 1:
        facts["aliases"] = [spelling for spelling in on if spelling != name]
    facts["type"] = _type(action) if takes_value else "boolean"
    if facts["type"] == "json":
        facts |= _json(action)
    if action.nargs == "?":
        facts["nargs"] = "optional"
    elif action.nargs in ("+", "*"):
        facts["nargs"] = "many"
    if action.choices is not None:
        # Sorted: some are sets, whose order changes from run to run.
        facts["choices"] = sorted(choice for choice in action.choices if choice is not None)
    default = action.default.value if isinstance(action.default, Enum) else action.default
    fits = isinstance(default, bool) != takes_value and default not in ("", argparse.SUPPRESS)
    if isinstance(default, (bool, int, float, str)) and fits:
        facts["default"] = default
    if off:
        facts["negation"] = off
    if _deprecated(parser, action):
        facts["deprecated"] = True
    return facts


def _switches_off(parser: argparse.ArgumentParser, action: argparse.Action, spelling: str) -> bool:
    """Whether this spelling of a switch sets it to False."""
    if not isinstance(action, argparse.BooleanOptionalAction):
        return False
    namespace = argparse.Namespace()
    action(parser, namespace, [], spelling)
    return getattr(namespace, action.dest) is False


def _type(action: argparse.Action) -> str:
    """What a value must be: integer, count, number, json, or string for anything looser."""
    integer, number, fraction = (_convert(action, probe) for probe in ("1", "1.5", "0.5"))
    if _convert(action, "x") is _MISSING:
        if integer == 1 and not isinstance(integer, float):
            if _convert(action, "1k") == 1000:  # a count with a unit
                return "count" if _convert(action, "auto") is _MISSING else "string"
            return "integer" if number is _MISSING else "json"
        if isinstance(integer, float) and fraction == 0.5:
            return "number"
        if any(_convert(action, probe) is not _MISSING for probe in ("{}", "[]")):
            return "json"
    return "string"


def _json(action: argparse.Action) -> dict[str, Any]:
    """Which JSON it must be, if not any, and the parts that an object of settings has."""
    facts: dict[str, Any] = {}
    taken = [
        shape
        for shape, probes in (("object", ("{}",)), ("list", ("[]",)), ("scalar", ("1", '"x"')))
        if any(_convert(action, probe) is not _MISSING for probe in probes)
    ]
    if len(taken) == 1:
        facts["shape"] = taken[0]
    for settings in _settings(action.type):
        facts["parts"] = sorted(part.name for part in dataclasses.fields(settings) if part.init)
    return facts


def _settings(converter: Any) -> Iterator[Any]:
    """The dataclass that a converter makes, itself or by another converter that it calls."""
    yield from filter(dataclasses.is_dataclass, getattr(converter, "__defaults__", None) or ())
    for cell in getattr(converter, "__closure__", None) or ():
        if callable(cell.cell_contents):
            yield from _settings(cell.cell_contents)


def _convert(action: argparse.Action, text: str) -> Any:
    """The value that the parser's converter makes of a text, or _MISSING if it refuses."""
    converter: Any = action.type
    if converter is None:
        return text
    try:
        return converter(text)
    except _FAILS:
        return _MISSING


def _deprecated(parser: argparse.ArgumentParser, action: argparse.Action) -> bool:
    """By the parser's own record, the action's class, or how its help text begins."""
    recorded = action in getattr(parser, "_deprecated", ()) or getattr(action, "deprecated", False)
    help_text = (action.help or "").lstrip("[(").lower()
    return (
        bool(recorded)
        or type(action).__name__.startswith("Deprecated")
        or help_text.startswith("deprecated")
    )
