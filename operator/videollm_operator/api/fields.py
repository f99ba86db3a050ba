"""Types of fields that several models share: names, labels, quantities, a number or a word."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticKnownError

from videollm_operator.api.rules import VALIDATIONS, Rule, enforce, matching

INT_OR_STRING = "x-kubernetes-int-or-string"

_LABEL_WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_KEY = f"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL_WORD}"

LabelValue = Annotated[
    str,
    Field(max_length=63),
    matching(
        f"({_LABEL_WORD})?",
        "must be a label value: letters, digits, '-', '_' and '.', with a letter or digit at both "
        "ends",
    ),
]
"""Value of a label."""

NO_NUL = matching(
    r"[^\x00]*",
    "must not hold the character NUL, which no argument or variable of a program can: remove it",
)
"""For text that becomes an argument or an environment variable of the engine."""

_LABEL_KEYS = Rule(
    f"self.all(key, key.matches(r'^({_LABEL_KEY})$'))",
    "must have keys such as 'team' or 'example.com/team': letters, digits, '-', '_' and '.', at "
    "most 63 of them after the '/'",
    lambda labels: all(re.fullmatch(_LABEL_KEY, key) for key in labels),
)


def _without_nulls(value: Any) -> Any:
    """A map without its null entries, which the API server drops too."""
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value


LabelMap = Annotated[
    dict[str, LabelValue], Field(max_length=32), BeforeValidator(_without_nulls), _LABEL_KEYS
]
"""Labels, or a selector of labels."""

AnnotationMap = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=32),
    BeforeValidator(_without_nulls),
    _LABEL_KEYS,
]
"""Annotations; all together stay below the 256 KiB that Kubernetes allows."""

_SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"

Name = Annotated[
    str,
    Field(min_length=1, max_length=253),
    matching(
        _SUBDOMAIN,
        "must be the name of an object: lower-case letters, digits, '-' and '.', with a letter or "
        "digit at both ends",
    ),
]
"""Name of another object in the same namespace."""

OptionalName = Annotated[
    str,
    Field(max_length=253),
    matching(
        f"({_SUBDOMAIN})?",
        "must be the name of an object (lower-case letters, digits, '-' and '.', with a letter or "
        "digit at both ends): correct it, or remove the field",
    ),
]
"""Name of another object, or nothing."""


_ZERO = "0+([.]0+)?[A-Za-z]*"


def _not_zero(remedy: str) -> Rule:
    """The rule that a quantity is not zero, whatever its unit."""
    return Rule(
        f"!self.matches(r'^({_ZERO})$')",
        f"must be more than zero: {remedy}",
        lambda text: re.fullmatch(_ZERO, text) is None,
    )


_MEMORY = "[0-9]{1,12}([.][0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?"

MemoryQuantity = Annotated[
    str,
    Field(max_length=32),
    matching(_MEMORY, "must be an amount of memory such as '64Gi': a number and a unit"),
    _not_zero("raise it, or remove the field"),
]
"""Memory as Kubernetes writes it."""

AutoOrSize = Annotated[
    str,
    Field(max_length=32),
    matching(f"Auto|{_MEMORY}", "must be 'Auto' or a size such as '200Gi': a number and a unit"),
    _not_zero("raise it, or set 'Auto'"),
]
"""Size of a volume, or `Auto`."""

_cpu = matching("[0-9]{1,6}([.][0-9]{1,3})?|[0-9]{1,9}m", "")
_cpu_not_zero = _not_zero("")
_CPU_RULE = Rule(
    "type(self) == int ? self >= 1 && self <= 999999 : "
    f"{_cpu.expression} && {_cpu_not_zero.expression}",
    "must be a number of CPUs such as 8, '0.5' or '500m', and more than zero",
    lambda text: _cpu.check(text) and _cpu_not_zero.check(text),
)


def _is_number(value: Any) -> bool:
    """Whether a value is a whole number in YAML; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


CPUQuantity = Annotated[
    str,
    Field(max_length=32),
    BeforeValidator(lambda value: str(value) if _is_number(value) else value),
    _CPU_RULE,
    WithJsonSchema({INT_OR_STRING: True, "maxLength": 32, VALIDATIONS: [_CPU_RULE.as_schema()]}),
]
"""CPUs as Kubernetes writes them; `cpu: 8` is read as `cpu: '8'`."""


def auto_or_number(path: str, low: int, high: int) -> tuple[PlainValidator, WithJsonSchema]:
    """The metadata of a field that takes `Auto` or a number between `low` and `high`."""
    rule = Rule(
        f"type(self) == int ? (self >= {low} && self <= {high}) : self == 'Auto'",
        f"`{path}` must be 'Auto' or a number between {low} and {high}",
        lambda value: low <= value <= high if _is_number(value) else value == "Auto",
    )

    def read(value: Any) -> Any:
        if not isinstance(value, str) and not _is_number(value):
            raise PydanticKnownError("string_type")
        return enforce((rule,), value)

    return (
        PlainValidator(read),
        WithJsonSchema({INT_OR_STRING: True, VALIDATIONS: [rule.as_schema()]}),
    )
