"""Which modules config.json leaves out of the quantization: they stay in 16 bit.

Each method has a list of its own, matched in its own way (vLLM 0.33
`model_executor/layers/quantization`): compressed-tensors `ignore` and `targets`, names or `re:`
patterns; FP8 `ignored_layers` or `modules_to_not_convert`, whole names; AWQ
`modules_to_not_convert`, parts of names; GPTQ `modules_in_block_to_quantize` and `dynamic`; and
bitsandbytes `llm_int8_skip_modules`, components of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.quantization import method_of, section_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from videollm_operator.checkpoints.fields import Fields

MOST_ENTRIES = 5000
"""Entries of one list; a tower and a decoder of 80 layers have some 800 modules."""

_TEXT = ("model.", "language_model.model.", "model.language_model.")
_LINEAR = "Linear"
_MOST_REPEATS = 3
"""Repeats in one pattern: with more of them, or with those of groups, a match may take for ever."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The lists of one config.json."""

    place: str
    """Where they stand."""
    whole: frozenset[str] = frozenset()
    """Names of modules."""
    components: frozenset[str] = frozenset()
    """Components of names, or several with dots between them."""
    within: tuple[str, ...] = ()
    """Parts of names."""
    patterns: tuple[re.Pattern[str], ...] = ()
    only: tuple[re.Pattern[str], ...] | None = None
    """If given, all modules that match none of these are left out."""
    not_followed: str = ""
    """A pattern that is not looked for, because that might take for ever."""
    binding: bool = True
    """Whether vLLM goes by the lists, not by the files."""

    def leaves(self, name: str) -> bool:
        """Whether a module with this name is left out, in any of the forms that names have."""
        forms = tuple(_forms(name))
        if any(self._names(form) for form in forms):
            return True
        wanted = self.only
        return wanted is not None and not any(p.match(form) for p in wanted for form in forms)

    def _names(self, name: str) -> bool:
        return (
            name in self.whole
            or any(part in name for part in self.within)
            or any(part in self.components for part in _components(name))
            or any(pattern.match(name) for pattern in self.patterns)
        )


def _forms(name: str) -> Iterator[str]:
    """A module's name as this and other versions of transformers, and the engines, write it."""
    yield name
    bare = re.sub(
        r"^(?:model\.language_model\.|language_model\.model\.|model\.)(?=layers\.)", "", name
    )
    if bare != name:
        yield from (prefix + bare for prefix in _TEXT if prefix + bare != name)
    elif name.startswith("model."):
        yield name.removeprefix("model.")
    else:
        yield f"model.{name}"


def _components(name: str) -> Iterator[str]:
    """Every run of components: `a.b.c` has a, a.b, a.b.c, b, b.c and c."""
    parts = name.split(".")
    for first in range(len(parts)):
        for last in range(first, len(parts)):
            yield ".".join(parts[first : last + 1])


def left_out(*places: Fields) -> LeftOut | None:
    """What the first `quantization_config` there is leaves out; None if there is none.

    Args:
        places: the config, and the part of it that describes the language model.

    Raises:
        CheckpointProblem: for lists that are none, or too long.
    """
    found = section_of(*places)
    return _lists(*found) if found else None


def _lists(section: Fields, place: str) -> LeftOut:
    method = method_of(section)
    if method == "compressed-tensors":
        return _compressed(section, place)
    if method in {"fp8", "fbgemm_fp8"}:
        for key in ("ignored_layers", "modules_to_not_convert"):
            names = _entries(section, key)
            if names:
                return LeftOut(f"{place}.{key}", whole=frozenset(names))
        return LeftOut(f"{place}.modules_to_not_convert")
    if method == "awq":
        names = _entries(section, "modules_to_not_convert")
        return LeftOut(f"{place}.modules_to_not_convert", within=names, binding=bool(names))
    if method == "gptq":
        return _gptq(section, place)
    names = _entries(section, "llm_int8_skip_modules")
    key = f"{place}.llm_int8_skip_modules"
    return LeftOut(key, components=frozenset(names), binding=False)


def _entries(section: Fields, key: str) -> tuple[str, ...]:
    """A list of words, those of lists inside it included."""
    found: list[str] = []
    for each in section.items(key) or ():
        found += [word for word in (each if isinstance(each, list) else [each]) if _word(word)]
    if len(found) > MOST_ENTRIES:
        problem = (
            f"`{section.place(key)}` in config.json has {len(found)} entries, but a LLaVA model"
        )
        raise CheckpointProblem(f"{problem} has no more than {MOST_ENTRIES} modules: correct it")
    return tuple(dict.fromkeys(found))


def _word(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _compressed(section: Fields, place: str) -> LeftOut:
    ignored = _entries(section, "ignore")
    groups = section.section("config_groups")
    targets: list[str] = []
    for name in groups.keys() if groups else ():
        group = groups.section(name) if groups else None
        if group is not None and "weights" in group:
            targets += _entries(group, "targets") or (_LINEAR,)
    patterns, dropped = _patterns(word[3:] for word in ignored if word.startswith("re:"))
    only = None
    if targets and _LINEAR not in targets:
        whole = [f"{re.escape(word)}$" for word in targets if not word.startswith("re:")]
        wanted = (word[3:] for word in targets if word.startswith("re:"))
        only, lost = _patterns((*whole, *wanted))
        dropped = dropped or lost
    return LeftOut(
        f"{place}.ignore",
        whole=frozenset(ignored),
        patterns=patterns,
        only=only,
        not_followed=dropped,
    )


def _gptq(section: Fields, place: str) -> LeftOut:
    """These lists bind nothing: vLLM looks into the files for what is quantized."""
    listed = _entries(section, "modules_in_block_to_quantize")
    rules = section.section("dynamic")
    negative = [key[2:] for key in (rules.keys() if rules else ()) if key.startswith("-:")]
    patterns, dropped = _patterns(negative)
    only = tuple(re.compile(rf"(?:.*\.)?{re.escape(name)}$") for name in listed) or None
    return LeftOut(place, patterns=patterns, only=only, not_followed=dropped, binding=False)


def _patterns(words: Iterable[str]) -> tuple[tuple[re.Pattern[str], ...], str]:
    """Compiled patterns, and the first that is not followed."""
    found, dropped = [], ""
    for word in words:
        compiled = _compiled(word)
        if compiled is None:
            dropped = dropped or word
        else:
            found.append(compiled)
    return tuple(found), dropped


def _compiled(word: str) -> re.Pattern[str] | None:
    """A pattern whose matching ends soon: short, few repeats, and none of a group."""
    repeats = len(re.findall(r"(?<!\\)[*+{]", word))
    if len(word) > 500 or repeats > _MOST_REPEATS or re.search(r"\)\s*[*+{]", word):
        return None
    try:
        return re.compile(word)
    except re.error:
        return None
