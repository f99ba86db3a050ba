"""The part of an API server that reconciling can tell: who owns which field, and what changed.

Objects are plain dictionaries. Server-side apply by the operator's manager keeps `managedFields`
as a real server does, with one simplification: every list is atomic. What somebody else edits
is not the operator's field any more.
"""

from __future__ import annotations

import copy
from typing import Any

from videollm_operator.api import names
from videollm_operator.reconcile.projection import content

Object = dict[str, Any]
Path = tuple[str | int, ...]

IMMUTABLE = ("serviceName", "selector", "podManagementPolicy", "volumeClaimTemplates")
"""Fields of a StatefulSet's spec that cannot be changed."""


class ServerError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def applied(live: Object | None, manifest: Object, uid: str) -> Object:
    """What `manifest` makes of `live`, by server-side apply of the operator's manager.

    Args:
        live: the object as it is; None if there is none.
        manifest: what is applied.
        uid: of the object, if it is made now.

    Raises:
        ServerError: for a change of an immutable field.
    """
    body = content(manifest)
    if live is None:
        result: Object = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "metadata": {"name": manifest["metadata"]["name"], "uid": uid},
            **_defaults(manifest),
        }
    else:
        result = copy.deepcopy(live)
        _take_away(result, _fields(result), _fields_of(body))
    _merge(result, copy.deepcopy(body))
    result["metadata"]["managedFields"] = [
        {"manager": names.FIELD_MANAGER, "operation": "Apply", "fieldsV1": _fields_of(body)}
    ]
    if live is not None:
        _keep_immutable(live, result)
    return changed(live, result)


def changed(live: Object | None, result: Object) -> Object:
    """`result` with a higher generation, if its spec is another one."""
    before = live["metadata"].get("generation", 0) if live else 0
    other = live is None or live.get("spec") != result.get("spec")
    result["metadata"]["generation"] = before + 1 if other else before
    return result


def edited(live: Object, path: Path, value: Any) -> Object:
    """`live` after somebody else set a field; None removes it."""
    result = copy.deepcopy(live)
    target: Any = result
    for part in path[:-1]:
        target = target[part] if isinstance(part, int) else target.setdefault(part, {})
    if value is None:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    _disown(result, path)
    return changed(live, result)


def _disown(obj: Object, path: Path) -> None:
    """The operator's manager loses a field, or the whole list that it is in."""
    fields = _fields(obj)
    for index, part in enumerate(path):
        key = f"f:{part}"
        last = index == len(path) - 1 or isinstance(path[index + 1], int)
        if key not in fields:
            return
        if last:
            del fields[key]
            return
        fields = fields[key]


def _fields(obj: Object) -> dict[str, Any]:
    """The operator's own fields, as `managedFields` has them."""
    for entry in obj["metadata"].get("managedFields", ()):
        if entry["manager"] == names.FIELD_MANAGER:
            found: dict[str, Any] = entry["fieldsV1"]
            return found
    return {}


def _fields_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {f"f:{key}": _fields_of(each) for key, each in value.items()}
    return {}


def _take_away(obj: Any, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Removes what the operator owned and does not apply any more."""
    for key, below in old.items():
        name = key[2:]
        if name not in obj:
            continue
        if below and isinstance(obj[name], dict):
            _take_away(obj[name], below, new.get(key, {}))
            if not obj[name]:
                del obj[name]
        elif key not in new:
            del obj[name]


def _merge(target: Object, body: Object) -> None:
    for key, value in body.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _defaults(manifest: Object) -> Object:
    """Fields that the server fills in, and that are nobody's."""
    if manifest["kind"] == "Service":
        return {"spec": {"clusterIP": "10.0.0.1", "sessionAffinity": "None"}}
    if manifest["kind"] == "StatefulSet":
        return {"spec": {"revisionHistoryLimit": 10}}
    return {}


def _keep_immutable(live: Object, result: Object) -> None:
    if live["kind"] != "StatefulSet":
        return
    if any(live["spec"].get(field) != result["spec"].get(field) for field in IMMUTABLE):
        name = live["metadata"]["name"]
        raise ServerError(
            422,
            "Invalid",
            f'StatefulSet.apps "{name}" is invalid: spec: Forbidden: updates to statefulset spec '
            "for fields other than 'replicas' and 'template' are forbidden",
        )
