"""Parts of the spec that are written as in a pod: affinity, tolerations, volumes, mounts.

Their meaning is Kubernetes' own and is checked by the API server. Here they are only brought into
the form in which the API server gives them back, so that an object which nobody touched never
looks changed: what Kubernetes drops when it is empty is left out, quantities are canonical.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.render.literal import literal
from videollm_operator.render.quantity import canonical_quantity

MAX_DEPTH = 32
"""Nesting that a pod can have is about 12."""

_WORD_MAPS = frozenset({"matchLabels", "labels", "annotations", "volumeAttributes", "options"})
"""Maps whose keys and values are the user's words: an empty word counts there."""

_AMOUNT_MAPS = frozenset({"requests", "limits"})
_AMOUNTS = frozenset({"sizeLimit", "divisor"})

_EMPTY_COUNTS = frozenset({"storageClassName"})
"""Strings that mean something when they are empty (pointers in Kubernetes' types)."""

_DROPPED_MAPS = _WORD_MAPS | _AMOUNT_MAPS | {"metadata"}
"""Maps that are dropped when they are empty. Others, like `emptyDir: {}`, mean something."""

_DROPPED_WHEN_ZERO = frozenset(
    {"readOnly", "chapAuthDiscovery", "chapAuthSession", "sslEnabled", "partition"}
)
"""Flags and numbers that are dropped when false or 0 (no pointers in Kubernetes' types)."""


def canonical(value: Any, field: str) -> Any:
    """`value` as the API server would give it back.

    Args:
        value: what stands in the object; JSON values only.
        field: YAML path for the message.

    Raises:
        Refused: for what cannot be in a Kubernetes object (fractions, dates, nulls in lists ...).
    """
    return _canonical(value, field)


def mapping(value: Any, field: str) -> dict[str, Any]:
    """`value` if it is a mapping; nothing stands for an empty one.

    Raises:
        Refused: if it is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(field, "must be a mapping, as in a pod")
    return value


def sequence(value: Any, field: str) -> list[Any]:
    """`value` if it is a list; nothing stands for an empty one.

    Raises:
        Refused: if it is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise refuse(field, "must be a list, as in a pod")
    return value


def amount(text: str | int, field: str) -> str:
    """A quantity of the spec in canonical form.

    Raises:
        Refused: if it is more than Kubernetes can count.
    """
    try:
        return canonical_quantity(text)
    except ValueError as error:
        raise refuse(field, f"is no amount that Kubernetes can count: {error}") from None


def refuse(field: str, sentence: str) -> Refused:
    """The refusal of one field."""
    return Refused(Problem(Reason.INVALID_SPEC, f"`{field}` {sentence}", field))


def _canonical(value: Any, field: str, depth: int = 0, parent: str = "") -> Any:
    """`value`, which stands under the key `parent`, in canonical form."""
    if depth > MAX_DEPTH:
        raise refuse(field, f"is nested more than {MAX_DEPTH} levels deep: no pod has that")
    if isinstance(value, Mapping):
        return _mapping(value, field, depth, parent)
    if isinstance(value, list):
        return [_item(item, f"{field}[{index}]", depth) for index, item in enumerate(value)]
    if isinstance(value, float):
        if not value.is_integer():
            raise refuse(field, f"must be a whole number, not {value}: a pod has no fractions")
        value = int(value)
    _check(value, field)
    return value


def _item(value: Any, field: str, depth: int) -> Any:
    if value is None:
        raise refuse(field, "must not be null: remove the list item")
    return _canonical(value, field, depth + 1)


def _mapping(value: Mapping[Any, Any], field: str, depth: int, parent: str) -> dict[str, Any]:
    words = parent in _WORD_MAPS
    kept = {}
    for key, item in value.items():
        _check({key: None}, field)
        if item is None:
            continue
        amount = parent in _AMOUNT_MAPS or (key in _AMOUNTS and not words)
        tidy = _canonical(_amount(item) if amount else item, f"{field}.{key}", depth + 1, key)
        if words or not _dropped(key, tidy):
            kept[key] = tidy
    return kept


def _dropped(key: str, value: Any) -> bool:
    if value == [] or value == "":
        return key not in _EMPTY_COUNTS
    if value == {}:
        return key in _DROPPED_MAPS
    return key in _DROPPED_WHEN_ZERO and value in (False, 0)


def _amount(value: Any) -> Any:
    """A quantity in canonical form; what is none stays, and the API server says why not."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return value
    try:
        return canonical_quantity(value)
    except ValueError:
        return value


def _check(value: Any, field: str) -> None:
    """Refuses what no literal can be written of."""
    try:
        literal(value)
    except (TypeError, ValueError) as error:
        raise refuse(field, f"cannot be part of a pod: {error}") from None
