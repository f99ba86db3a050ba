"""A small API server for structural schemas: fills in defaults, finds faults. No CEL.

Written from the Kubernetes documentation and not from the operator's code, so that the two can be
held against each other; tests/cluster holds both against a real API server.
"""

from __future__ import annotations

import copy
from typing import Any

INT_OR_STRING = "x-kubernetes-int-or-string"
FREE = "x-kubernetes-preserve-unknown-fields"
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
}


def child_of(node: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Schema of one entry of an object."""
    found = node.get("properties", {}).get(key, node.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def filled(node: dict[str, Any], value: Any) -> Any:
    """`value` without nulls of known fields and with defaults."""
    if isinstance(value, list) and "items" in node:
        return [filled(node["items"], each) for each in value]
    if not isinstance(value, dict):
        return value
    result = {k: v for k, v in value.items() if v is not None or child_of(node, k) is None}
    for key, child in node.get("properties", {}).items():
        if key not in result and "default" in child:
            result[key] = copy.deepcopy(child["default"])
    return {
        key: filled(child, each) if (child := child_of(node, key)) else each
        for key, each in result.items()
    }


def faults(node: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """Paths at which a filled value breaks the schema."""
    if node.get(INT_OR_STRING):
        right = isinstance(value, int | str) and not isinstance(value, bool)
        short = not isinstance(value, str) or len(value) <= node.get("maxLength", len(value))
        return [] if right and short else [path]
    if "type" not in node:
        return []
    if not isinstance(value, TYPES[node["type"]]) or (
        node["type"] == "integer" and isinstance(value, bool)
    ):
        return [path]
    if "enum" in node and value not in node["enum"]:
        return [path]
    if isinstance(value, int) and not node.get("minimum", value) <= value <= node.get(
        "maximum", value
    ):
        return [path]
    if isinstance(value, str) and not (
        node.get("minLength", 0) <= len(value) <= node.get("maxLength", len(value))
    ):
        return [path]
    if isinstance(value, list):
        return _faults_of_list(node, value, path)
    return _faults_of_object(node, value, path) if isinstance(value, dict) else []


def _faults_of_list(node: dict[str, Any], value: list[Any], path: str) -> list[str]:
    found = [path] if len(value) > node.get("maxItems", len(value)) else []
    for number, each in enumerate(value):
        found += faults(node["items"], each, f"{path}[{number}]")
    if found:
        return found
    keys = node.get("x-kubernetes-list-map-keys", [])
    same = [str([each[key] for key in keys] if keys else each) for each in value]
    distinct = node["x-kubernetes-list-type"] == "atomic" or len(set(same)) == len(same)
    return [] if distinct else [path]


def _faults_of_object(node: dict[str, Any], value: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}.{key}" for key in node.get("required", []) if key not in value]
    if len(value) > node.get("maxProperties", len(value)):
        found.append(path)
    for key, each in value.items():
        child = child_of(node, key)
        if child is not None:
            found += faults(child, each, f"{path}.{key}")
        elif "properties" in node and not node.get(FREE):
            found.append(f"{path}.{key}")
    return found
