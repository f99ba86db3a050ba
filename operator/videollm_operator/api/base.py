"""What every API model shares: camelCase names, frozen values, nothing unknown, nothing guessed.

Reading an object gives the same verdict as the API server: a word is not a number, a field that
is null is a field that is absent, and the rules of `api.rules` hold.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from videollm_operator.api.rules import VALIDATIONS, Rule, enforce

if TYPE_CHECKING:
    from typing import Self

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


class APIModel(BaseModel):
    """Base of all models of the API: frozen, camelCase in YAML, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
    )

    cel_rules: ClassVar[tuple[Rule, ...]] = ()
    """Rules that span several fields; part of the CRD, and checked on every construction."""

    @classmethod
    def read(cls, obj: Any) -> Self:
        """Reads an object as YAML or the API server gives it: camelCase names only.

        Raises:
            pydantic.ValidationError: if it does not match.
        """
        return cls.model_validate(as_json(obj), by_alias=True, by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        """Drops nulls of known fields, as the API server does before it fills in defaults."""
        if not isinstance(data, dict):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {k: v for k, v in data.items() if v is not None or k not in known}

    @model_validator(mode="after")
    def _keep_rules(self) -> Self:
        return enforce(self.cel_rules, self)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Adds `cel_rules` to the JSON schema, from which `api.crd` makes the CRD."""
        schema = handler(core_schema)
        if cls.cel_rules:
            target = handler.resolve_ref_schema(schema)
            target[VALIDATIONS] = [rule.as_schema() for rule in cls.cel_rules]
        return schema


def as_json(value: Any) -> Any:
    """A value read from YAML as the JSON that kubectl makes of it.

    Keys become strings, dates become the text they were, 4.0 becomes 4.
    """
    if isinstance(value, dict):
        return {_key(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _key(key: Any) -> str:
    """`true: x` has the key 'true', `1: x` the key '1'."""
    if key is None:
        return "null"
    return str(key).lower() if isinstance(key, bool) else str(key)
