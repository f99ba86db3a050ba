"""The API server without kubectl: one connection, any field manager, answers as objects.

For tests that write a hundred times; a kubectl process for each write would be most of their time.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode, urlsplit

import yaml

from videollm_operator.runtime.kinds import CHILD_KINDS, DEPLOYMENT

if TYPE_CHECKING:
    from devcluster.target import Target
    from videollm_operator.runtime.kinds import Kind

KINDS = {**CHILD_KINDS, DEPLOYMENT.kind: DEPLOYMENT}

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


class Rest:
    """An administrator's connection to the objects of one namespace.

    Args:
        cluster: one of our own: its kubeconfig has a token.
        namespace: where.
    """

    def __init__(self, cluster: Target, namespace: str) -> None:
        config = yaml.safe_load(cluster.kubeconfig.read_text())
        where = config["clusters"][0]["cluster"]
        self._server = urlsplit(where["server"])
        self._trust = ssl.create_default_context()
        authority = base64.b64decode(where["certificate-authority-data"]).decode()
        self._trust.load_verify_locations(cadata=authority)
        self._token = config["users"][0]["user"]["token"]
        self._namespace = namespace
        self._connection: http.client.HTTPSConnection | None = None

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self,
        method: str,
        kind: str,
        name: str = "",
        body: Any = None,
        *,
        subresource: str = "",
        content_type: str = "application/json",
        **params: str,
    ) -> tuple[int, dict[str, Any]]:
        """HTTP status and answer of one request about objects of the namespace."""
        path = _kind(kind).path(self._namespace, name, subresource)
        return self.request(method, path, body, content_type=content_type, **params)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        **params: str,
    ) -> tuple[int, dict[str, Any]]:
        """HTTP status and answer of one request."""
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(
                self._server.netloc, context=self._trust, timeout=60
            )
        try:
            self._connection.request(
                method,
                f"{path}?{urlencode(params)}",
                None if body is None else json.dumps(body),
                {"Authorization": f"Bearer {self._token}", "Content-Type": content_type},
            )
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (http.client.HTTPException, OSError):
            self.close()
            raise

    def done(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """The answer of a request that must succeed."""
        status, answer = self.send(*arguments, **options)
        assert status < 300, f"{arguments[:3]}: {answer}"
        return answer

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object; None if there is none."""
        status, answer = self.send("GET", kind, name)
        return answer if status == http.client.OK else None

    def items(self, kind: str, selector: str = "") -> dict[str, dict[str, Any]]:
        """All objects of a kind by name."""
        params = {"labelSelector": selector} if selector else {}
        items = self.done("GET", kind, **params)["items"]
        return {item["metadata"]["name"]: {"kind": kind, **item} for item in items}

    def merge(
        self, kind: str, name: str, patch: dict[str, Any], subresource: str = ""
    ) -> dict[str, Any]:
        """A merge patch, as an editor's save."""
        return self.done("PATCH", kind, name, patch, subresource=subresource, content_type=MERGE)

    def replace_item(self, kind: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """A strategic merge patch, which knows lists by the keys of their items."""
        return self.done("PATCH", kind, name, patch, content_type=STRATEGIC)

    def remove(self, kind: str, name: str, path: str) -> dict[str, Any]:
        """Removes one field, by its JSON pointer."""
        operations = [{"op": "remove", "path": path}]
        return self.done("PATCH", kind, name, operations, content_type=JSON_PATCH)

    def apply(
        self, kind: str, name: str, fields: dict[str, Any], manager: str, **params: str
    ) -> dict[str, Any]:
        """Server-side apply of some fields by another field manager."""
        of = _kind(kind)
        metadata = {**fields.get("metadata", {}), "name": name}
        body = {**fields, "apiVersion": of.api_version, "kind": kind, "metadata": metadata}
        return self.done(
            "PATCH", kind, name, body, content_type=APPLY, fieldManager=manager, **params
        )

    def create(self, kind: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Creates an object."""
        metadata = {**fields.get("metadata", {}), "name": name}
        body = {**fields, "apiVersion": _kind(kind).api_version, "kind": kind, "metadata": metadata}
        return self.done("POST", kind, "", body)

    def delete(self, kind: str, name: str, policy: str = "Background") -> dict[str, Any]:
        """Deletes an object."""
        return self.done("DELETE", kind, name, {"propagationPolicy": policy})


def _kind(kind: str) -> Kind:
    return KINDS[kind]
