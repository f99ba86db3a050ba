"""Checks `spec.engine.extraArgs` against the flags of the engine version, before a pod starts.

A wrong argument would otherwise be found by the engine itself, after an image pull and a node;
one that contradicts the plan would not be found at all, but end in a rejected video or an
out-of-memory error. So: unknown flags, abbreviations (argparse takes unique prefixes), wrong
types and choices, missing and superfluous values, and every flag that the plan owns are refused,
each by name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.engines.owned import remedy
from videollm_operator.engines.text import did_you_mean, listed, quoted, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from videollm_operator.catalog.flags import Flag, FlagTable

_NEGATIVE_NUMBER = re.compile(r"-[0-9]*[.]?[0-9]+")
"""What argparse takes for a value though it begins with a dash."""

_COUNT = re.compile("-?[0-9]+|[0-9]+([.][0-9]+)?[kmgt]|[0-9]+[KMGT]")
"""How vLLM reads a count (utils/argparse_utils.py, `human_readable_int`)."""

_SPLIT_BY_A_SHELL = re.compile(r"[\s*?\[]")


@dataclass(frozen=True, slots=True)
class Grammar:
    """How one engine reads its arguments, and which of them the plan owns."""

    engine: str
    """For messages, such as "vLLM 0.32.0"."""
    owned: Mapping[str, str]
    """Flag -> what to do instead, as the end of a sentence ("set `spec.dtype` instead")."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Flag -> another flag, without which the engine refuses it."""
    least: Mapping[str, float] = field(default_factory=dict)
    """Flag -> the smallest number that it may have."""
    texts: frozenset[str] = frozenset()
    """Flags whose JSON must be an object of strings."""
    dotted: bool = False
    """vLLM: `--json-flag.key value` sets one key of a JSON flag."""
    shell_split: bool = False
    """TGI: the entry script expands its arguments unquoted, so spaces and globs change them."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome: arguments ready to append, or what is wrong with them."""

    args: tuple[str, ...]
    problems: tuple[Problem, ...]


@dataclass(slots=True)
class _Given:
    """One flag as the user wrote it, with the values that follow it."""

    index: int
    name: str
    """Dashes for underscores."""
    inline: str | None
    """Value after `=`."""
    following: list[str]

    @property
    def values(self) -> list[str]:
        return self.following if self.inline is None else [self.inline, *self.following]


class _Refusal(Exception):  # noqa: N818 - control flow inside this module
    """Why one flag is refused; becomes a Problem."""


def check(
    items: Sequence[str], table: FlagTable, grammar: Grammar, *, unchecked: bool = False
) -> Checked:
    """Checks a list of extra arguments.

    Args:
        items: `spec.engine.extraArgs`; a value may follow its flag or be joined to it by `=`.
        table: flags of the engine version.
        grammar: how that engine reads them, and what the plan owns.
        unchecked: `spec.engine.allowUncheckedArgs`: flags that the table lacks pass.
    """
    args: list[str] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for given in _group(items):
        try:
            flag = _known(given, table, grammar, unchecked=unchecked)
            _once(given, flag, seen)
            _least(given, flag, grammar)
            _texts(given, flag, grammar)
            args += _unsplit(_written(given, flag), grammar)
        except _Refusal as refusal:
            where = f"spec.engine.extraArgs[{given.index}]"
            problems.append(Problem(Reason.ARGUMENT_REFUSED, f"`{where}` {refusal}", where))
    return Checked(tuple(args), (*problems, *_alone(seen, grammar)))


def _alone(seen: Mapping[str, int], grammar: Grammar) -> Iterator[Problem]:
    """Flags that stand without the one that they need."""
    for name, index in seen.items():
        other = grammar.needs.get(name)
        if other and other not in seen:
            where = f"spec.engine.extraArgs[{index}]"
            text = f"`{where}` is '{name}', which {grammar.engine} takes only with {other}"
            yield Problem(Reason.ARGUMENT_REFUSED, f"{text}: add it, or remove {name}", where)


def _least(given: _Given, flag: Flag | None, grammar: Grammar) -> None:
    """Refuses a number below the least; what is no number at all is told elsewhere."""
    least = grammar.least.get(flag.name) if flag else None
    if least is None:
        return
    for value in given.values:
        if _is_number(value) and float(value) < least:
            raise _Refusal(
                f"gives {given.name} the value '{short(value)}', but it takes {least} or more"
            )


def _texts(given: _Given, flag: Flag | None, grammar: Grammar) -> None:
    """Refuses what is no object of strings where it must be one; what is no JSON is told later."""
    for value in given.values if flag and flag.name in grammar.texts else ():
        read = json.loads(value) if _shape(value) else {}
        if not isinstance(read, dict) or not all(isinstance(each, str) for each in read.values()):
            raise _Refusal(
                f"gives {given.name} the value '{short(value)}', but it takes a JSON object of "
                "strings"
            )


def _once(given: _Given, flag: Flag | None, seen: dict[str, int]) -> None:
    """Refuses a flag that was given before: engines disagree on which one counts."""
    key = flag.name if flag and "." not in given.name else given.name
    if key in seen or f"no {key}" in seen:
        raise _Refusal(f"gives {short(key)} a second time: keep one of them")
    off = flag is not None and given.name in flag.negation
    seen[f"no {key}" if off else key] = given.index


def _unsplit(words: list[str], grammar: Grammar) -> list[str]:
    """The same words, unless the engine's entry script would make more of them."""
    if grammar.shell_split and any(_SPLIT_BY_A_SHELL.search(word) for word in words):
        raise _Refusal(
            f"has white space or one of '*?[' in it, and {grammar.engine}'s entry script would "
            "split it: set the flag's environment variable in `spec.engine.env` instead"
        )
    return words


def _group(items: Sequence[str]) -> list[_Given]:
    """The items as flags with their values. An item without a flag becomes one without a name."""
    groups: list[_Given] = []
    for index, item in enumerate(items):
        if not item.startswith("-") or _NEGATIVE_NUMBER.fullmatch(item):
            if not groups or not groups[-1].name:
                groups.append(_Given(index, "", item, []))
            else:
                groups[-1].following.append(item)
            continue
        name, equals, value = item.partition("=")
        groups.append(_Given(index, name.replace("_", "-"), value if equals else None, []))
    return groups


def _known(given: _Given, table: FlagTable, grammar: Grammar, *, unchecked: bool) -> Flag | None:
    """The table's flag; None for one that may pass unchecked."""
    if not given.name:
        raise _Refusal(
            f"is '{short(given.inline or '')}', which belongs to no flag: write flag and value as "
            "one item, such as '--flag=value'"
        )
    if not re.fullmatch("--?[A-Za-z].*", given.name, re.DOTALL):
        raise _Refusal(f"is '{short(given.name)}', which is not a flag: remove it")
    head, dot, _ = given.name.partition(".") if grammar.dotted else (given.name, "", "")
    flag = table.get(head)
    name = flag.name if flag else head
    if instead := remedy(name, grammar.owned):
        raise _Refusal(f"is '{short(given.name)}', which the plan sets: remove it and {instead}")
    if flag:
        if dot and flag.type != "json":
            raise _Refusal(
                f"is '{short(given.name)}', but {flag.name} has no parts: write '{flag.name}=...'"
            )
        return flag
    whole = sorted({other for other in table.names if other.startswith(head)})
    if whole and (not unchecked or any(remedy(other, grammar.owned) for other in whole)):
        raise _Refusal(
            f"is '{short(given.name)}', an abbreviation of {listed(whole[:4])}: write the flag out"
        )
    if not unchecked:
        raise _Refusal(
            f"is '{short(given.name)}', a flag that {grammar.engine} does not have."
            f"{did_you_mean(head, table.names)} Correct or remove it; `spec.engine."
            "allowUncheckedArgs: true` passes it on unchecked"
        )
    if not head.startswith("--"):
        raise _Refusal(
            f"is '{short(given.name)}': only flags written out with two dashes can pass unchecked"
        )
    return None


def _written(given: _Given, flag: Flag | None) -> list[str]:
    """The arguments to append: the flag's own spelling, values of the right number and type."""
    if flag is None:
        return _joined(given.name, given)
    if "." in given.name:
        if len(given.values) != 1:
            raise _Refusal(f"gives {short(given.name)} no value of its own: write it after `=`")
        _check_part(flag, given.name.split(".")[1].replace("-", "_"))
        return _joined(given.name, given)
    if flag.type == "boolean":
        if given.values:
            raise _Refusal(
                f"gives {flag.name} the value '{short(given.values[0])}', but it takes none: write "
                f"{given.name} alone{_negated(flag)}"
            )
        return [flag.name if given.name not in flag.negation else given.name]
    if len(given.values) > 1 and (flag.nargs != "many" or given.inline is not None):
        raise _Refusal(
            f"gives {flag.name} the values {quoted(given.values, 'and')}"
            f", but it takes one{' after `=`' if flag.nargs == 'many' else ''}: keep one"
            + (", or write flag and values as separate items" if flag.nargs == "many" else "")
        )
    if not given.values and flag.nargs != "optional":
        raise _Refusal(f"gives {flag.name} no value: write '{flag.name}=...'")
    for value in given.values:
        _check_value(flag, value)
    return _joined(flag.name, given)


def _joined(name: str, given: _Given) -> list[str]:
    """Flag and values; one value is joined by `=`, so that it can never be read as a flag."""
    if len(given.values) == 1:
        return [f"{name}={given.values[0]}"]
    return [name, *given.values]


def _negated(flag: Flag) -> str:
    """How to switch a boolean off, as an addition to a sentence."""
    return f", or {flag.negation[0]} to switch it off" if flag.negation else ""


def _check_value(flag: Flag, value: str) -> None:
    """Raises if `value` is not of the flag's type, or not one of its choices."""
    wanted = ""
    if flag.type == "integer" and not re.fullmatch("[-+]?[0-9]+", value):
        wanted = "a whole number"
    elif flag.type == "count" and not _COUNT.fullmatch(value):
        wanted = "a whole number, also with a unit as in 32k"
    elif flag.type == "number" and not _is_number(value):
        wanted = "a number"
    elif flag.type == "json" and _shape(value) not in ({flag.shape} if flag.shape else _WANTED):
        wanted = _WANTED.get(flag.shape, "JSON")
    elif flag.choices and value not in flag.choices:
        wanted = quoted(flag.choices)
    if wanted:
        raise _Refusal(f"gives {flag.name} the value '{short(value)}', but it takes {wanted}")
    if flag.parts is not None:
        for part in json.loads(value):
            _check_part(flag, part)


def _check_part(flag: Flag, part: str) -> None:
    """Raises if an object of settings has no part of this name."""
    if flag.parts is not None and part not in flag.parts:
        raise _Refusal(
            f"gives {flag.name} a part '{short(part)}', which it does not have."
            f"{did_you_mean(part, flag.parts)} Correct or remove it"
        )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


_WANTED = {"object": "a JSON object", "list": "a JSON list", "scalar": "a JSON number or string"}


def _shape(value: str) -> str:
    """Which JSON a text is; empty if it is none."""
    try:
        read = json.loads(value)
    except ValueError:
        return ""
    return "object" if isinstance(read, dict) else "list" if isinstance(read, list) else "scalar"
