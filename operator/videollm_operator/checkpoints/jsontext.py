"""JSON of strangers: bounded, strict, and never more than one kind of error.

Python's own reader takes NaN, keeps the last of two equal keys, and fails in four different ways.
A header or a config that does any of this was damaged or made to mislead.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

from videollm_operator.api.sentences import shown
from videollm_operator.checkpoints.problem import CheckpointProblem


class _BadValueError(ValueError):
    """Raised from inside the parser, whose callbacks can only raise."""


def read_object(raw: bytes, what: str, most: int) -> dict[str, Any]:
    """A JSON object.

    Args:
        raw: the text in UTF-8; a byte order mark is allowed.
        what: what it is, for the sentence, such as `'config.json'`.
        most: bytes that it may have.

    Raises:
        CheckpointProblem: for anything that is not one JSON object with unique keys and finite
            numbers.
    """
    if len(raw) > most:
        problem = f"{what} has {len(raw)} bytes, but may have {most}: it is not what its name says"
        raise CheckpointProblem(problem)
    try:
        value = json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except _BadValueError as bad:
        raise CheckpointProblem(f"{what} {bad}") from None
    except UnicodeDecodeError as error:
        problem = f"{what} is not text in UTF-8 (byte {error.start}): download it again"
        raise CheckpointProblem(problem) from None
    except json.JSONDecodeError as error:
        if not raw.strip():
            raise CheckpointProblem(f"{what} is empty: download it again") from None
        problem = (
            f"{what} is not JSON ({error.msg.lower()}, line {error.lineno}): download it again"
        )
        raise CheckpointProblem(problem) from None
    except RecursionError:
        problem = f"{what} is nested too deeply to be read: it is not what its name says"
        raise CheckpointProblem(problem) from None
    if not isinstance(value, dict):
        problem = f"{what} holds {shown(value)}, but must hold an object (`{{...}}`)"
        raise CheckpointProblem(problem)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _BadValueError(f"has the key {shown(key)} twice: one of them must go")
    return result


def _no_constant(word: str) -> None:
    raise _BadValueError(f"holds {word}, which is no number: write a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _BadValueError(f"holds the number {shown(digits)}, which is too large: correct it")
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20:  # 2^64 has 20 digits
        raise _BadValueError(f"holds the number {shown(digits)}, which is too large: correct it")
    return int(digits)
