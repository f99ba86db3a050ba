"""Values as literals that JSON and YAML read alike: why no value can leave its place.

Templates are YAML text, and everything that a template writes goes through `literal`. YAML 1.1 is
nearly a superset of JSON; the differences are closed here:

- Every string is quoted and on one line. Outside quotes there are only digits, `true`, `false`,
  brackets and commas, so nothing is read as a number, date, tag, anchor, merge key or comment.
- YAML folds U+0085, U+2028 and U+2029 as line breaks and refuses control characters; JSON allows
  them. They are escaped, as is everything else that is not printable ASCII.
- JSON writes characters above U+FFFF as two surrogates; YAML would read two characters. They are
  left as they are, which both read alike.
- JSON writes a float such as 1e+16; YAML 1.1 reads a string. Kubernetes has no fractions in what
  is rendered, so floats are refused.
- YAML takes a word for a mapping's key only if it has at most 1024 characters on one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_KEY = 1000
"""Longest key as a literal; PyYAML and libyaml stop at 1024 characters before the colon."""

MAX_INTEGER = 2**63 - 1
"""Kubernetes' integers have 64 bits."""

_TO_ESCAPE = re.compile(r"[^ !#-\[\]-~\U00010000-\U0010FFFF]")


def literal(value: Any) -> str:
    """`value` as a JSON literal on one line that YAML 1.1 and 1.2 read as the same value.

    Raises:
        TypeError: for anything but mappings, lists, tuples, strings, integers, booleans and None.
        ValueError: for lone surrogates, keys that are too long and integers of more than 64 bits.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    msg = f"no literal for a {type(value).__name__}"
    raise TypeError(msg)


def _string(value: str) -> str:
    return '"' + _TO_ESCAPE.sub(_escape, value) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        msg = f"a lone surrogate (U+{code:04X}) is no text"
        raise ValueError(msg)
    return f"\\u{code:04x}"


def _integer(value: int) -> str:
    if abs(value) > MAX_INTEGER:
        msg = "an integer of more than 64 bits"
        raise ValueError(msg)
    return str(int(value))


def _key(key: Any) -> str:
    if not isinstance(key, str):
        msg = "the key of a mapping must be a word"
        raise TypeError(msg)
    text = _string(key)
    if len(text) > MAX_KEY:
        msg = f"a key of more than {MAX_KEY} characters"
        raise ValueError(msg)
    return text
