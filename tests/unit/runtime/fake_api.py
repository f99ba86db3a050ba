"""An API server in memory, for faults that a real one cannot be made to show at will.

It keeps objects by path, counts resource versions, and does server-side apply as far as one
manager of ours is concerned. It writes down every request.
"""

from __future__ import annotations

import copy
import itertools
import json

from videollm_operator.api import names
from videollm_operator.runtime import errors, requests
from videollm_operator.runtime.kinds import CHILD_KINDS, CHILDREN, DEPLOYMENT

OURS = names.FIELD_MANAGER


class FakeAPI:
    """Has the methods of `runtime.client.Client`."""

    def __init__(self):
        self.objects = {}
        self.requests = []
        self.conflicts = []
        self.faults = []
        self.dropped = set()
        self.versions = itertools.count(10)
        self.uids = itertools.count(1)
        self.before_write = None
        self.posted = {}

    # What tests do to it

    def put(self, obj, kind=None):
        """Creates or replaces an object, as somebody else would."""
        obj = copy.deepcopy(obj)
        path = self.path_of(obj, kind)
        old = self.objects.get(path)
        metadata = obj["metadata"]
        metadata.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{next(self.uids)}")
        metadata.setdefault("generation", 1)
        metadata["resourceVersion"] = str(next(self.versions))
        self.objects[path] = obj
        return copy.deepcopy(obj)

    def path_of(self, obj, kind=None):
        kind = kind or CHILD_KINDS.get(obj["kind"]) or DEPLOYMENT
        return kind.path(obj["metadata"]["namespace"], obj["metadata"]["name"])

    def fail(self, method, path, *problems):
        """The next matching requests end in these errors."""
        self.faults.append([method, path, list(problems)])

    def children(self):
        kinds = {kind.kind for kind in CHILDREN}
        return [obj for obj in self.objects.values() if obj["kind"] in kinds]

    @property
    def writes(self):
        """Writes in order, but for those that were refused because the object is another one."""
        return [
            requests.describe(request.method, request.path)
            for request in self.requests
            if request.write and not any(request is refused for refused in self.conflicts)
        ]

    # What the client can do

    async def get(self, kind, namespace, name):
        return await self.send(requests.get(kind, namespace, name))

    async def apply(self, kind, manifest, *, uid=""):
        return await self.send(requests.apply(kind, manifest, uid=uid))

    async def send(self, request, *, seconds=None):
        self.requests.append(request)
        for fault in self.faults:
            method, path, problems = fault
            if request.method == method and path in request.path and problems:
                raise problems.pop(0)
        if request.write and self.before_write is not None:
            change, self.before_write = self.before_write, None
            change()
        try:
            return copy.deepcopy(self.answer(request))
        except errors.Conflict:
            self.conflicts.append(request)
            raise

    def answer(self, request):
        path, _, subresource = request.path.partition("/status")
        if request.path.endswith("/scale"):
            path, subresource = request.path.removesuffix("/scale"), "scale"
        elif request.path.endswith("/status"):
            subresource = "status"
        body = json.loads(request.body) if request.body else None
        if request.method == "POST":
            if body["metadata"]["name"] in self.posted:
                raise errors.AlreadyExists("it exists", status=409, reason="AlreadyExists")
            self.posted[body["metadata"]["name"]] = body
            return body
        found = self.objects.get(path)
        if found is None and not (request.method == "PATCH" and not subresource):
            raise errors.NotFound(f"{path} not found", status=404, reason="NotFound")
        if request.method == "GET":
            return found
        if request.method == "DELETE":
            self.same_uid(found, body["preconditions"]["uid"])
            del self.objects[path]
            return {"kind": "Status"}
        if subresource:
            return self.patch(path, found, body, subresource)
        return self.server_side_apply(path, found, body, force=request.params.get("force"))

    def patch(self, path, found, body, subresource):
        self.same_uid(found, body["metadata"]["uid"])
        wanted = body["metadata"].get("resourceVersion")
        if wanted not in (None, found["metadata"]["resourceVersion"]):
            raise errors.Conflict("the object has been modified", status=409)
        part = "status" if subresource == "status" else "spec"
        found[part] = merged(found.get(part, {}), body[part])
        found["metadata"]["resourceVersion"] = str(next(self.versions))
        return found

    def same_uid(self, found, uid):
        if found["metadata"]["uid"] != uid:
            raise errors.Conflict("Precondition failed: UID in precondition", status=409)

    def server_side_apply(self, path, found, manifest, *, force):
        manifest = copy.deepcopy(manifest)
        uid = manifest["metadata"].pop("uid", None)
        version = manifest["metadata"].pop("resourceVersion", None)
        if found is not None and version not in (None, found["metadata"]["resourceVersion"]):
            raise errors.Conflict("the object has been modified", status=409)
        if uid is not None and found is None:
            raise errors.Conflict("uid mismatch", status=409)
        if uid is not None and found["metadata"]["uid"] != uid:
            causes = {"causes": [{"field": "metadata.uid", "message": "field is immutable"}]}
            raise errors.error_of(422, {"reason": "Invalid", "details": causes})
        if found is not None and not force and found["metadata"].get("managedFields"):
            message = 'Apply failed with 1 conflict: conflict with "mesh" using v1:\n- .spec.ports'
            causes = {"causes": [{"reason": "FieldManagerConflict", "field": ".spec.ports"}]}
            status = {"reason": "Conflict", "message": message, "details": causes}
            raise errors.error_of(409, status)
        for field in self.dropped:
            manifest.get("spec", {}).pop(field, None)
        made = copy.deepcopy(found) if found else {"metadata": {"uid": f"uid-{next(self.uids)}"}}
        metadata = {
            **merged(made["metadata"], manifest["metadata"]),
            "annotations": manifest["metadata"].get("annotations", {}),
        }
        made = {**merged(made, manifest), "metadata": metadata}
        fields = fields_of({k: v for k, v in manifest.items() if k not in ("apiVersion", "kind")})
        for name in ("f:name", "f:namespace"):
            fields["f:metadata"].pop(name)
        metadata["managedFields"] = [{"manager": OURS, "operation": "Apply", "fieldsV1": fields}]
        if found is None or found.get("spec") != made.get("spec"):
            metadata["generation"] = metadata.get("generation", 0) + 1
        metadata["resourceVersion"] = str(next(self.versions))
        self.objects[path] = made
        return made


def merged(old, new):
    """`new` laid over `old`, maps merged; nulls remove."""
    result = dict(old)
    for key, value in new.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def fields_of(value):
    """`fieldsV1` of a value; lists are atomic here."""
    if isinstance(value, dict) and value:
        return {f"f:{key}": fields_of(inner) for key, inner in value.items()}
    return {}
