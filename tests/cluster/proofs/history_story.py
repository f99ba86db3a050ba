"""One deployment's random history: carries out its steps on the API server, and keeps book."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.proofs.history_steps import HEALTHY, NOWHERE, SPEC, STRANGERS
from tests.scenario.objects import CHILDREN, NAME, STATEFUL_SET
from videollm_operator.api import names
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.record import Record, decode
from videollm_operator.reconcile.world import ChildKey
from videollm_operator.runtime import errors
from videollm_operator.runtime.kinds import CHILD_KINDS, DEPLOYMENT, POD
from videollm_operator.runtime.requests import JSON, MERGE, Request

if TYPE_CHECKING:
    from tests.cluster.proofs.history_space import Space
    from tests.scenario.histories import Step
    from videollm_operator.runtime.kinds import Kind

JSON_PATCH = "application/json-patch+json"
EVERYTHING = "everything"
"""In `Story.changes`: what may change every child."""

_NO_LAYOUT = frozenset({"replicas", "paused"})


@dataclass
class Story:
    """One deployment, as the test knows it.

    Attributes:
        space: where it lives.
        name: of the deployment.
        spec: as the API server took it last; None while there is no such object.
        specs: every spec since the last rest, and the one in force then: one of them is in force.
        adopt: whether the object asks for its orphans.
        orphaned: whether children were ever left to nobody.
        retained: whether a volume was ever to outlive the object.
        strangers: uids of objects of somebody else that have a child's name.
        hampered: whether a pod was ever kept from working.
        changes: how many things happened that the operator may answer with a write, by child.
        kept: the record at the last rest; None if something was done since that may change it.
        log: what happened, shared steps included, in order.
    """

    space: Space
    name: str
    spec: dict[str, Any] | None = None
    specs: list[dict[str, Any]] = field(default_factory=list)
    adopt: bool = False
    orphaned: bool = False
    retained: bool = False
    strangers: set[str] = field(default_factory=set)
    hampered: bool = False
    changes: Counter[ChildKey | str] = field(default_factory=Counter)
    kept: str | None = None
    log: list[Step] = field(default_factory=list)

    async def happen(self, what: str, value: Any) -> None:
        """Carries out one step."""
        self.log.append((what, value))
        match what:
            case "create":
                await self.create()
            case "recreate":
                await self.delete("Background")
                await self.create()
            case "edit":
                await self.edit(**{value[0]: value[1]})
            case "scale":
                await self._scale(value)
            case "delete":
                await self.delete(value)
            case "adopt":
                await self.set_adopt(value)
            case "hand_edit":
                label = {names.LABEL_NAME: "mine"}
                await self._patch_child(value, {"metadata": {"labels": label}})
            case "patch":
                await self._patch_child(*value)
            case "hand_scale":
                await self._patch_child(STATEFUL_SET, {"spec": {"replicas": value}})
            case "record":
                record = {names.ANNOTATION_RECORD: value}
                await self._patch_child(STATEFUL_SET, {"metadata": {"annotations": record}})
            case "hand_delete":
                await self._delete_child(value)
            case "stranger":
                await self._usurp(value)
            case "pod":
                self.hampered = self.hampered or value != HEALTHY
                await self._patch_pod(0, value)
            case "pod_delete":
                await self._send("DELETE", POD.path(self.space.namespace, f"{self.name}-0"))
            case "seen":
                await self.seen()
            case "rest":
                await self.rest()
            case _:
                raise AssertionError(f"there is no step {what}")

    async def create(self) -> None:
        """Makes the object, once an earlier one of its name is gone."""
        if self.spec is not None:
            return
        body = {
            "apiVersion": DEPLOYMENT.api_version,
            "kind": DEPLOYMENT.kind,
            "metadata": {"name": self.name, "namespace": self.space.namespace},
            "spec": SPEC,
        }
        while True:
            try:
                await self.space.ask(
                    Request("POST", DEPLOYMENT.path(self.space.namespace), body=encoded(body))
                )
                break
            except errors.AlreadyExists:
                obj = self.space.mirror.objects.get(self.name, {"metadata": {}})
                if "deletionTimestamp" not in obj["metadata"]:
                    await self.space.mirror.changed(1.0)
                    if await self._exists_unmarked():
                        break  # the answer to our own first try was lost
                else:
                    await self.space.mirror.until(self.name, lambda found: found is None)
        self.adopt = False
        self._took(dict(SPEC), layout=True)

    async def _exists_unmarked(self) -> bool:
        obj = await self.space.find(DEPLOYMENT, self.name)
        return obj is not None and "deletionTimestamp" not in obj["metadata"]

    async def edit(self, **sections: Any) -> None:
        """Sets sections of the spec; None removes one. The API server may refuse that."""
        if self.spec is None:
            return
        spec = {k: v for k, v in {**self.spec, **sections}.items() if v is not None}
        patch = [{"op": "add", "path": "/spec", "value": spec}]
        try:
            await self._send("PATCH", self._path(), patch, JSON_PATCH)
        except errors.Invalid:
            return
        self._took(spec, layout=not sections.keys() <= _NO_LAYOUT)

    def _took(self, spec: dict[str, Any], *, layout: bool) -> None:
        """The API server has this spec now."""
        self.spec = spec
        self.specs.append(spec)
        self.retained = self.retained or spec["cache"].get("retain") == "Retain"
        self.changes[EVERYTHING if layout else STATEFUL_SET] += 1
        if layout:
            self.kept = None

    async def _scale(self, replicas: int) -> None:
        if self.spec is None:
            return
        await self._send("PATCH", f"{self._path()}/scale", {"spec": {"replicas": replicas}})
        self._took({**self.spec, "replicas": replicas}, layout=False)

    async def delete(self, policy: str) -> None:
        """Deletes the object."""
        if self.spec is None:
            return
        self.spec, self.kept = None, None
        self.orphaned = self.orphaned or policy == "Orphan"
        await self._send("DELETE", self._path(), {"propagationPolicy": policy})

    async def set_adopt(self, adopt: bool) -> None:
        """Asks for orphans, or does not."""
        if self.spec is None:
            return
        annotation = {names.ANNOTATION_ADOPT: "true" if adopt else None}
        await self._send("PATCH", self._path(), {"metadata": {"annotations": annotation}})
        self.adopt, self.kept = adopt, None
        self.changes[EVERYTHING] += 1

    async def heal(self) -> None:
        """Whatever was wrong with the deployment and its pods is put right."""
        await self.create()
        for ordinal in range(6):
            await self._patch_pod(ordinal, HEALTHY)
        self.hampered = False
        for key in CHILDREN:
            kind, name = self._child(key)
            obj = await self.space.find(kind, name)
            # An orphan that lost its label, too, is a stranger, and never adopted.
            if obj is not None and not observe.child(obj).managed:
                await self._delete_child(key)
        await self.set_adopt(True)
        spec = {**dict.fromkeys(self.spec or {}), **SPEC, "replicas": 1}
        await self.edit(**spec)

    async def seen(self) -> None:
        """Waits until the operator has looked at the present generation."""
        if self.spec is not None:
            await self.space.mirror.until(self.name, lambda obj: obj is None or is_seen(obj))

    async def rest(self) -> None:
        """Waits until nothing is under way, and notes what is in force."""
        if self.spec is None:
            return
        waits = self.hampered or self.spec["gpu"] == NOWHERE
        accept = is_seen if waits else is_at_rest
        await self.space.mirror.until(self.name, lambda obj: obj is None or accept(obj))
        record = await self.record()
        if record is not None and not waits:
            self.kept = record.encode()

    async def record(self) -> Record | None:
        """What is recorded on the StatefulSet."""
        obj = await self.space.find(CHILD_KINDS["StatefulSet"], self.name)
        workload = observe.child(obj).workload if obj else None
        found = decode(workload.record) if workload else None
        assert found is None or isinstance(found, Record)
        return found

    def mine(self, key: ChildKey) -> ChildKey:
        """A child of deployment `a` as one of this deployment."""
        return ChildKey(key.kind, key.name.replace(NAME, self.name, 1))

    def _path(self) -> str:
        return DEPLOYMENT.path(self.space.namespace, self.name)

    def _child(self, key: ChildKey) -> tuple[Kind, str]:
        mine = self.mine(key)
        return CHILD_KINDS[mine.kind], mine.name

    async def _patch_child(self, key: ChildKey, body: dict[str, Any]) -> None:
        kind, name = self._child(key)
        if await self._send("PATCH", kind.path(self.space.namespace, name), body):
            self._disturbed(key, body)

    async def _delete_child(self, key: ChildKey) -> None:
        kind, name = self._child(key)
        if await self._send("DELETE", kind.path(self.space.namespace, name)):
            self._disturbed(key, None)

    async def _usurp(self, key: ChildKey) -> None:
        """Puts an object of somebody else in the place of a child, if there is time."""
        await self._delete_child(key)
        kind, name = self._child(key)
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **STRANGERS[kind.kind]}
        body["metadata"] = {"name": name}
        path = kind.path(self.space.namespace)
        try:
            made = await self.space.ask(Request("POST", path, body=encoded(body)))
        except errors.AlreadyExists:
            return
        self.strangers.add(made["metadata"]["uid"])

    def _disturbed(self, key: ChildKey, body: dict[str, Any] | None) -> None:
        """A child is not as it was; without its record the layout is planned anew."""
        annotations = (body or {}).get("metadata", {}).get("annotations", {})
        lost = key == STATEFUL_SET and (body is None or names.ANNOTATION_RECORD in annotations)
        self.changes[EVERYTHING if lost else key] += 1
        if lost:
            self.kept = None

    async def _patch_pod(self, ordinal: int, annotations: dict[str, Any]) -> None:
        path = POD.path(self.space.namespace, f"{self.name}-{ordinal}")
        await self._send("PATCH", path, {"metadata": {"annotations": annotations}})

    async def _send(self, method: str, path: str, body: Any = None, kind: str = MERGE) -> bool:
        """Whether the object was there."""
        content_type = kind if method == "PATCH" else JSON
        text = encoded(body) if body is not None else b""
        try:
            await self.space.ask(Request(method, path, body=text, content_type=content_type))
        except errors.NotFound:
            return False
        return True


def encoded(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value).encode()


def is_seen(obj: dict[str, Any]) -> bool:
    """Whether status speaks of the present generation."""
    return bool(obj["status"]["observedGeneration"] == obj["metadata"]["generation"])


def is_at_rest(obj: dict[str, Any]) -> bool:
    """Whether the operator says that nothing is under way."""
    conditions = obj["status"].get("conditions", [])
    return is_seen(obj) and not any(c["type"] == "Reconciling" for c in conditions)
