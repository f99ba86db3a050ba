"""What every API model shares: camelCase names, frozen values, no unknown fields.

Kubernetes-only schema (CEL rules, list types, free-form parts) is written next to the field with
the helpers below and read by `api.crd`; pydantic itself does not look at it.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class APIModel(BaseModel):
    """Base of all models of the API: frozen, camelCase in YAML, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="forbid",
        use_enum_values=False,
    )


def rule(expression: str, message: str, *, field_path: str = "", **extra: Any) -> dict[str, Any]:
    """One CEL rule of `x-kubernetes-validations`.

    Args:
        expression: CEL over `self`; must be true for a valid object.
        message: sentence for people; names the field in backquotes and the remedy.
        field_path: where the error is shown, relative to the rule's own schema (`.sku`).
        **extra: `reason`, `messageExpression`, `optionalOldSelf` as Kubernetes defines them.
    """
    entry: dict[str, Any] = {"rule": expression, "message": message, **extra}
    if field_path:
        entry["fieldPath"] = field_path
    return entry


def rules(*entries: dict[str, Any]) -> dict[str, Any]:
    """The `json_schema_extra` that attaches CEL rules to a model or field."""
    return {"x-kubernetes-validations": list(entries)}


def list_map(*keys: str) -> dict[str, Any]:
    """The `json_schema_extra` of a list whose items are merged by key in server-side apply."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


FREE_FORM: dict[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
"""Schema of a part that Kubernetes itself defines and checks (affinity, volumes ...)."""

INT_OR_STRING: dict[str, Any] = {"x-kubernetes-int-or-string": True}
"""Schema of a field that takes a number or a word such as `Auto`."""

Name = Annotated[str, Field(min_length=1, max_length=253)]
"""Name of another object in the same namespace."""

Quantity = Annotated[
    str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T|m)?$")
]
"""A Kubernetes quantity as a string (`200Gi`)."""
