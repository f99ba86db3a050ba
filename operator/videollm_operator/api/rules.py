"""Rules beyond a plain schema, each written once for two judges: the API server and this program.

The API server knows a rule as CEL in the CRD (`x-kubernetes-validations`); pydantic knows it as a
Python function. Both sit side by side in one `Rule`, with one message, so that
`kubectl apply` and `videollm plan -f` refuse the same objects with the same sentence.

A rule stands in the metadata of a field's annotation, or in `APIModel.cel_rules` if it spans
several fields of an object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic.alias_generators import to_snake
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

T = TypeVar("T")

VALIDATIONS = "x-kubernetes-validations"

RULE_BROKEN = "rule"
"""Type of the pydantic error that a broken rule raises; `ctx["broken"]` is a list of `Rule`."""

DUPLICATE = "duplicate"
"""Type of the pydantic error for two list items with the same key; `ctx["key"]`, `ctx["value"]`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an object or field.

    Attributes:
        expression: CEL over `self`; true for a valid object.
        message: one line for people: what is wanted, in which field, what to do. It begins with
            "must" where the rule serves several fields; the path is put before it then.
        check: the same in Python; gets the field's value, or the whole model.
        field_path: where the server shows the error, relative to the rule's schema (`.method`).
    """

    expression: str
    message: str
    check: Callable[[Any], bool]
    field_path: str = ""

    def as_schema(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        entry = {"rule": self.expression, "message": self.message}
        if self.field_path:
            entry["fieldPath"] = self.field_path
        return entry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Pydantic's hook for annotations: the check runs after the type was found right."""
        return core_schema.no_info_after_validator_function(
            lambda value: enforce((self,), value), handler(source)
        )

    def __get_pydantic_json_schema__(
        self, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Pydantic's hook for the JSON schema, from which `api.crd` makes the CRD."""
        schema = handler(core)
        schema.setdefault(VALIDATIONS, []).append(self.as_schema())
        return schema


def enforce(rules: tuple[Rule, ...], value: T) -> T:
    """`value`, if it keeps all rules.

    Raises:
        PydanticCustomError: with every rule that is broken.
    """
    broken = [rule for rule in rules if not rule.check(value)]
    if broken:
        raise PydanticCustomError(
            RULE_BROKEN,
            "{text}",
            {"text": "; ".join(rule.message for rule in broken), "broken": broken},
        )
    return value


def matching(pattern: str, message: str) -> Rule:
    """The rule that a whole string matches `pattern`, written so that RE2 and Python agree."""
    compiled = re.compile(pattern)
    return Rule(
        f"self.matches(r'^({pattern})$')",
        message,
        lambda text: compiled.fullmatch(text) is not None,
    )


@dataclass(frozen=True, slots=True)
class MergedBy:
    """A list whose items are told apart by one key, also in server-side apply."""

    key: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Refuses two items of the same key, as the API server does."""
        attribute = to_snake(self.key)
        return core_schema.no_info_after_validator_function(
            lambda items: _distinct(items, self.key, lambda item: str(getattr(item, attribute))),
            handler(source),
        )

    def __get_pydantic_json_schema__(
        self, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Adds the list type."""
        return {
            **handler(core),
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": [self.key],
        }


@dataclass(frozen=True, slots=True)
class AsSet:
    """A list of distinct words, merged in server-side apply."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Refuses the same word twice, as the API server does."""
        return core_schema.no_info_after_validator_function(
            lambda items: _distinct(items, "", str), handler(source)
        )

    def __get_pydantic_json_schema__(
        self, core: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Adds the list type."""
        return {**handler(core), "x-kubernetes-list-type": "set"}


def _distinct(items: list[T], key: str, value_of: Callable[[T], str]) -> list[T]:
    """`items`, if no two have the same value."""
    seen: set[str] = set()
    for item in items:
        value = value_of(item)
        if value in seen:
            raise PydanticCustomError(DUPLICATE, "duplicate", {"key": key, "value": value})
        seen.add(value)
    return items
