"""What is sent to the API server: built here, without any I/O, and sent by `runtime.client`."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from videollm_operator.api import names
from videollm_operator.render.literal import literal
from videollm_operator.runtime import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.runtime.kinds import Kind

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"
NEVER = "1"
"""A resource version that no object has: etcd's first write makes 2.

The API server compares it only where there is an object to be updated (`Store.Update` in
apiserver/pkg/registry/generic/registry/store.go), so an apply with it creates or is refused.
"""
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        method: HTTP method.
        path: path of the URL.
        params: its query.
        body: JSON text; empty for none.
        content_type: of the body.
        accept: what answer is asked for.
        write: whether it changes anything.
        repeatable: whether sending it twice does what sending it once does.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content_type: str = JSON
    accept: str = JSON
    write: bool = False
    repeatable: bool = True


def get(kind: Kind, namespace: str, name: str) -> Request:
    """Reads one object."""
    return Request("GET", kind.path(namespace, name))


def list_page(
    kind: Kind,
    namespace: str = "",
    *,
    selector: str = "",
    limit: int = 100,
    token: str = "",
    metadata_only: bool = False,
) -> Request:
    """Reads one page of a list; consistent, since no resource version is named.

    Args:
        kind: of the objects.
        namespace: where; "" for everywhere.
        selector: label selector.
        limit: most objects of a page.
        token: `continue` of the page before.
        metadata_only: leaves spec and status out of the answer.
    """
    params = {"limit": str(limit)}
    if selector:
        params["labelSelector"] = selector
    if token:
        params["continue"] = token
    accept = METADATA_LIST if metadata_only else JSON
    return Request("GET", kind.path(namespace), params, accept=accept)


def watch_one(kind: Kind, namespace: str, name: str, timeout_seconds: int) -> Request:
    """Follows one object by name; begins with what is there."""
    params = {
        "watch": "true",
        "fieldSelector": f"metadata.name={name}",
        "timeoutSeconds": str(timeout_seconds),
    }
    return Request("GET", kind.path(namespace), params)


def create(
    kind: Kind, namespace: str, obj: Mapping[str, Any], *, repeatable: bool = False
) -> Request:
    """Creates an object.

    Args:
        kind: of the object.
        namespace: where.
        obj: the object.
        repeatable: whether it is all the same who created an object of that name.
    """
    return Request("POST", kind.path(namespace), body=_json(obj), write=True, repeatable=repeatable)


def replace(kind: Kind, namespace: str, name: str, obj: Mapping[str, Any]) -> Request:
    """Replaces an object; refused if its `metadata.resourceVersion` is not the current one."""
    return Request("PUT", kind.path(namespace, name), body=_json(obj), write=True)


def apply(kind: Kind, manifest: Mapping[str, Any], *, uid: str = "") -> Request:
    """Server-side apply to the one object with this uid, or to none: then it only creates.

    Only what carries a uid overrides other field managers: whoever we did not see keeps what is
    theirs, and an object of the same name is a conflict (409).

    Args:
        kind: of the object.
        manifest: the fields that we want to own.
        uid: of the object as it was seen; empty if there was none.
    """
    metadata = {**manifest["metadata"], **({"uid": uid} if uid else {"resourceVersion": NEVER})}
    return Request(
        "PATCH",
        kind.path(metadata.get("namespace", ""), metadata["name"]),
        {"fieldManager": names.FIELD_MANAGER, **({"force": "true"} if uid else {})},
        # The server reads this body as YAML, where escaped surrogates and bare controls are errors.
        literal({**manifest, "metadata": metadata}).encode(),
        content_type=APPLY,
        write=True,
    )


def contenders(kind: Kind, manifest: Mapping[str, Any], *, uid: str) -> Request:
    """Asks which other field managers own what `apply` would overwrite; changes nothing.

    The answer is an error that names them and the fields, or the object if there are none.
    """
    return dataclasses.replace(
        apply(kind, manifest, uid=uid),
        params={"fieldManager": names.FIELD_MANAGER, "dryRun": "All"},
        write=False,
    )


def patch_status(
    kind: Kind,
    namespace: str,
    name: str,
    status: Mapping[str, Any],
    *,
    uid: str,
    resource_version: str,
) -> Request:
    """Merge patch of `/status`; refused if the object is not the one that was read."""
    body = {"metadata": {"uid": uid, "resourceVersion": resource_version}, "status": status}
    return Request(
        "PATCH",
        kind.path(namespace, name, "status"),
        {"fieldManager": names.FIELD_MANAGER},
        _json(body),
        content_type=MERGE,
        write=True,
    )


def scale(kind: Kind, namespace: str, name: str, replicas: int, *, uid: str) -> Request:
    """Sets the number of replicas through `/scale`; refused if the uid is another one."""
    body = {"metadata": {"uid": uid}, "spec": {"replicas": replicas}}
    return Request(
        "PATCH",
        kind.path(namespace, name, "scale"),
        {"fieldManager": names.FIELD_MANAGER},
        _json(body),
        content_type=MERGE,
        write=True,
    )


def delete(kind: Kind, namespace: str, name: str, *, uid: str) -> Request:
    """Deletes an object; refused if the uid is another one."""
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid},
    }
    return Request("DELETE", kind.path(namespace, name), body=_json(body), write=True)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_KINDS = {
    (kind.group, kind.plural)
    for kind in (
        kinds.DEPLOYMENT,
        *kinds.CHILDREN,
        kinds.POD,
        kinds.NODE,
        kinds.CONFIG_MAP,
        kinds.LEASE,
        kinds.EVENT,
    )
}
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def describe(method: str, url: str) -> tuple[str, str]:
    """Verb and resource of a request, as in rules; `other` for what is no known object.

    Args:
        method: HTTP method.
        url: URL or path, with its query.

    Returns:
        For example ("list", "pods") or ("patch", "videollmdeployments/status").
    """
    split = urlsplit(url)
    parts = [part for part in split.path.split("/") if part]
    group, rest = "", parts[2:]
    if parts[:1] == ["apis"]:
        group, rest = parts[1] if len(parts) > 1 else "", parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    if not rest or parts[0] not in {"api", "apis"} or (group, rest[0]) not in _KINDS:
        return method.lower(), "other"
    resource = "/".join([rest[0], *rest[2:3]])
    if method != "GET":
        return _VERBS.get(method, method.lower()), resource
    if len(rest) > 1:
        return "get", resource
    return ("watch" if "watch" in parse_qs(split.query) else "list"), resource
