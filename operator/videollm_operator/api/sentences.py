"""What is wrong with an object, in sentences for people instead of pydantic's.

A sentence names the field by its YAML path, says what stands there, what was wanted and what to
do. A broken rule keeps the text that the API server shows for it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from videollm_operator.api.fields import INT_OR_STRING
from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.api.rules import DUPLICATE, RULE_BROKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

Schema = dict[str, Any]
Location = tuple[int | str, ...]

_SHOWN = 60
"""Characters of a found value that a sentence repeats."""

_WANTED_TYPE = {
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "an object (lines of `key: value`)",
    "model_type": "an object (lines of `key: value`)",
}


def problems(error: ErrorDetails, schema: Schema) -> list[Problem]:
    """The problems that one error of pydantic stands for; several if several rules are broken.

    Args:
        error: one of `ValidationError.errors()`.
        schema: structural schema of the whole object.
    """
    location = error["loc"]
    if error["type"] == RULE_BROKEN:
        return [_of_rule(rule, location, error["input"]) for rule in error["ctx"]["broken"]]
    node = node_at(schema, location)
    if error["type"] == "extra_forbidden":
        text = _unknown(location, node_at(schema, location[:-1]))
    elif error["type"] == "missing":
        text = f"{_subject(location)} is required, but missing: add it"
        text += f". {node['description']}" if "description" in node else ""
    else:
        text = f"{_subject(location)} {_wrong(error, node)}"
    return [problem(text, path(location))]


def problem(message: str, field: str) -> Problem:
    """A problem of the object itself."""
    return Problem(Reason.INVALID_SPEC, message, field)


def path(location: Location) -> str:
    """The YAML path of a place: `spec.engine.env[0].name`, `spec.podTemplate.labels[my.key]`."""
    text = ""
    for step in location:
        if isinstance(step, int) or not step.replace("_", "").isalnum():
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


def shown(value: Any) -> str:
    """A found value on one line: words in quotes, long ones cut, lists and objects by kind."""
    if isinstance(value, str):
        text = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
        return "'" + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + "'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    return "a list" if isinstance(value, list) else "an object"


def choice(words: Iterable[str], quote: str = "'") -> str:
    """`'A', 'B' or 'C'`."""
    *most, last = [f"{quote}{word}{quote}" for word in words]
    return f"{', '.join(most)} or {last}" if most else last


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or an empty string."""
    plain = {each.lower().replace("_", ""): each for each in known}
    wanted = word.lower().replace("_", "").replace("-", "")
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=0.6)
    return plain[close[0]] if close else ""


def node_at(schema: Schema, location: Location) -> Schema:
    """The schema of a place in the object; empty where the schema says nothing."""
    node = schema
    for step in location:
        if isinstance(step, int):
            node = node.get("items", {})
        elif step in node.get("properties", {}):
            node = node["properties"][step]
        else:
            node = node.get("additionalProperties", {})
    return node


def _subject(location: Location) -> str:
    return f"`{path(location)}`" if location else "the object"


def _of_rule(rule: Any, location: Location, value: Any) -> Problem:
    """The rule's own text; where it does not name the field itself, path and value before it."""
    message = rule.message
    if message.startswith("must"):
        scalar = not isinstance(value, list | dict)
        message = f"is {shown(value)}, but {message}" if scalar else message
        message = f"{_subject(location)} {message}"
    return problem(message, path(location) + rule.field_path)


def _unknown(location: Location, parent: Schema) -> str:
    known = list(parent.get("properties", {}))
    meant = nearest(str(location[-1]), known)
    where = f"of {_subject(location[:-1])}" if len(location) > 1 else "of the object"
    remedy = f"did you mean `{meant}`?" if meant else f"remove it, or use {choice(known, '`')}"
    return f"{_subject(location)} is not a field {where}: {remedy}"


def _wrong(error: ErrorDetails, node: Schema) -> str:
    """What is wrong with a value that stands in a known field."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _WANTED_TYPE:
        return _wrong_type(kind, value, node)
    if kind in {"greater_than_equal", "less_than_equal"}:
        remedy = "raise it" if kind == "greater_than_equal" else "lower it"
        return f"is {value}, but must be between {node['minimum']} and {node['maximum']}: {remedy}"
    if kind in {"enum", "literal_error"}:
        known = node.get("enum") or [context["expected"].strip("'")]
        meant = nearest(value, known) if isinstance(value, str) and len(known) > 1 else ""
        remedy = f": did you mean '{meant}'?" if meant else ""
        return f"is {shown(value)}, but must be {choice(known)}{remedy}"
    if kind == "string_too_short":
        return "is empty, but must not be: set it"
    if kind == "string_too_long":
        most = context["max_length"]
        return f"has {len(value)} characters, but may have at most {most}: shorten it"
    if kind == "too_long":
        most = context["max_length"]
        return f"has {len(value)} entries, but may have at most {most}: remove some"
    if kind == DUPLICATE:
        key = f" with the `{context['key']}`" if context["key"] else ""
        return f"has two entries{key} '{context['value']}', but may have one: remove the other"
    return f"is {shown(value)}, which cannot be read: {error['msg']}"


def _wrong_type(kind: str, value: Any, node: Schema) -> str:
    wanted = "a number or a string" if INT_OR_STRING in node else _WANTED_TYPE[kind]
    if "maximum" in node:
        wanted += f" between {node['minimum']} and {node['maximum']}"
    remedy = ""
    if kind == "list_type":
        remedy = ": begin each entry with '- '"
    elif kind == "string_type" and not isinstance(value, list | dict | None):
        remedy = ": put it in quotes"
    elif isinstance(value, str) and (value in {"true", "false"} or value.lstrip("-").isdigit()):
        remedy = ": remove the quotes"
    return f"is {shown(value)}, but must be {wanted}{remedy}"
