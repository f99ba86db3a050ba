"""What of an object is ours: the fields that our field manager owns, and digests of them.

The API server keeps in `metadata.managedFields` which fields each manager applied (fieldsV1:
`f:` a field, `k:` a list item by its keys, `v:` a set member, `.` the thing itself). The
projection of a live object by our entry is what we wrote, as it is now: a hand edit changes it, a
default of the server or another manager's list item does not. Lists keep the order of the live
object, so that order counts where Kubernetes keeps it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_IDENTITY = frozenset({"name", "namespace", "uid", "resourceVersion"})
_CLAIMS = "volumeClaimTemplates"


def canonical(value: Any) -> str:
    """`value` as JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """A short fingerprint of a JSON value."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without what identifies it: the part that managedFields speak of."""
    body = {key: value for key, value in manifest.items() if key not in {"apiVersion", "kind"}}
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _IDENTITY}
    if metadata:
        body["metadata"] = metadata
    else:
        del body["metadata"]
    return _without_filled_in(body)


def owned(obj: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """The fields of `obj` that `manager` owns by server-side apply; empty if it owns none."""
    result: dict[str, Any] = {}
    for entry in obj.get("metadata", {}).get("managedFields", ()):
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and not entry.get("subresource")
        ):
            result = _project(entry.get("fieldsV1", {}), obj)
    return _without_filled_in(result)


def dropped(manifest: Mapping[str, Any], returned: Mapping[str, Any], manager: str) -> list[str]:
    """Paths of `manifest` that the server accepted but did not keep (a gate that is off)."""
    missing: list[str] = []
    _compare(content(manifest), owned(returned, manager), "", missing)
    return missing


def _without_filled_in(body: dict[str, Any]) -> dict[str, Any]:
    """Claim templates as we write them.

    The API server fills them in, and their list is owned as a whole: what it filled in looks ours.
    Nobody can change them afterwards, so nothing is overlooked.
    """
    spec = body.get("spec")
    if not isinstance(spec, Mapping) or _CLAIMS not in spec:
        return body
    claims = [
        {
            **_without(claim, "status"),
            "metadata": _without(claim.get("metadata", {}), "creationTimestamp"),
            "spec": _without(claim.get("spec", {}), "volumeMode"),
        }
        for claim in spec[_CLAIMS]
    ]
    return {**body, "spec": {**spec, _CLAIMS: claims}}


def _without(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def _project(fields: Mapping[str, Any], value: Any) -> Any:
    members = {key: sub for key, sub in fields.items() if key != "."}
    if not members:
        return value if "." not in fields else type(value)() if _is_container(value) else value
    if isinstance(value, Mapping):
        return {
            key[2:]: _project(sub, value[key[2:]])
            for key, sub in members.items()
            if key.startswith("f:") and key[2:] in value
        }
    if isinstance(value, list):
        return _project_list(members, value)
    return value


def _project_list(members: Mapping[str, Any], value: list[Any]) -> list[Any]:
    keyed = [(json.loads(key[2:]), sub) for key, sub in members.items() if key.startswith("k:")]
    scalars = [json.loads(key[2:]) for key in members if key.startswith("v:")]
    projected = []
    for item in value:
        if isinstance(item, Mapping):
            sub = next((sub for keys, sub in keyed if _has_keys(item, keys)), None)
            if sub is not None:
                projected.append(_project(sub, item))
        elif item in scalars:
            projected.append(item)
    return projected


def _has_keys(item: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    return all(item.get(key) == wanted for key, wanted in keys.items())


def _is_container(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _compare(wanted: Any, found: Any, path: str, missing: list[str]) -> None:
    if isinstance(wanted, Mapping):
        for key, value in wanted.items():
            where = f"{path}.{key}" if path else key
            if not isinstance(found, Mapping) or key not in found:
                missing.append(where)
            else:
                _compare(value, found[key], where, missing)
    elif isinstance(wanted, list):
        for index, value in enumerate(wanted):
            where = f"{path}[{index}]"
            if not isinstance(found, list) or index >= len(found):
                missing.append(where)
            else:
                _compare(value, found[index], where, missing)
