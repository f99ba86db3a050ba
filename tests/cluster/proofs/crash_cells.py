"""One place where a crash is tried: a namespace with a history, and how its end is compared."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.cluster.proofs.likeness import plain
from tests.cluster.world import condition_types, ready, settled
from videollm_operator.runtime.kinds import DEPLOYMENT, EVENT, POD, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.cluster.proofs.crash_field import Admin

Object = dict[str, Any]
Content = dict[str, Any]
News = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Step:
    """Something that a user does, and how one sees that the operator has done its part."""

    do: Callable[[Cell], object]
    until: Callable[[Cell], object]


@dataclass(frozen=True)
class History:
    """What happens to the objects of one namespace.

    Attributes:
        name: what it is called.
        acts: during these the operator is killed.
        setup: what comes before them; nobody is killed.
        down: done while no operator runs.
    """

    name: str
    acts: tuple[Step, ...]
    setup: tuple[Step, ...] = ()
    down: Step | None = None


@dataclass
class Cell:
    """One history in a namespace of its own.

    Attributes:
        admin: the user.
        history: what happens here.
        namespace: where.
        writes: after how many writes the operator dies; None: it does not.
        lost: whether the answer to the last of them is lost; else the next is on its way.
        seen: the last look at deployments and pods.
        notes: what steps remember.
        todo: the steps that are left.
        begun: whether the first of them is under way.
    """

    admin: Admin
    history: History
    namespace: str
    writes: int | None = None
    lost: bool = False
    seen: dict[Kind, dict[str, Object]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    todo: list[Step] = field(default_factory=list)
    begun: bool = False

    def __str__(self) -> str:
        if self.writes is None:
            return f"{self.history.name}, undisturbed"
        what = "its answer lost" if self.lost else "the next one on its way"
        return f"{self.history.name}, killed after write {self.writes}, {what}"

    # What the user does

    def apply(self, obj: Object) -> None:
        """Applies a deployment."""
        self.admin.apply(DEPLOYMENT.path(self.namespace, obj["metadata"]["name"]), obj)

    def patch(self, kind: Kind, name: str, body: Object) -> None:
        """An editor's save."""
        self.admin.patch(kind.path(self.namespace, name), body)

    def delete(self, kind: Kind, name: str, policy: str = "Background") -> None:
        """Deletes an object."""
        self.admin.delete(kind.path(self.namespace, name), policy)

    def get(self, kind: Kind, name: str) -> Object | None:
        """Reads an object."""
        return self.admin.get(kind.path(self.namespace, name))

    # What can be seen

    def reason(self, reason: str, name: str = "a") -> bool:
        """Whether `Ready` has this reason at the object's generation."""
        obj = self.seen[DEPLOYMENT].get(name)
        return obj is not None and settled(obj) and ready(obj)[1] == reason

    def has(self, condition: str, name: str = "a") -> bool:
        """Whether the object has a condition."""
        obj = self.seen[DEPLOYMENT].get(name)
        return obj is not None and condition in condition_types(obj)

    def pods(self) -> int:
        """How many pods there are."""
        return len(self.seen[POD])

    # How it goes on

    def go_on(self) -> None:
        """Begins the step that is next, or ends the one that is under way."""
        step = self.todo[0]
        if not self.begun:
            step.do(self)
            self.begun = True
        elif step.until(self):
            self.todo.pop(0)
            self.begun = False

    def described(self) -> str:
        """What it looks like, for people."""
        shown = {
            name: [
                f"{c['type']}={c['status']} {c['reason']}: {c['message']}"[:300]
                for c in obj.get("status", {}).get("conditions", ())
            ]
            for name, obj in self.seen[DEPLOYMENT].items()
        }
        return f"{len(self.todo)} steps left; {shown}; {self.pods()} pods"


def content(found: Mapping[Kind, Mapping[str, Object]], namespace: str) -> Content:
    """Everything in a namespace, without what is another in each object."""
    all_: dict[str, Any] = {}
    for kind, objects in found.items():
        for name, obj in objects.items():
            if kind is POD:
                all_[f"Pod/{name}"] = _pod(obj)
            elif kind is not EVENT and name != "default":
                all_[f"{kind.kind}/{name}"] = plain(obj)
    same: Content = json.loads(json.dumps(all_).replace(namespace, "NAMESPACE"))
    return same


def news(events: Iterable[Object]) -> News:
    """Events about deployments, by type, reason and note."""
    return Counter(
        (event["type"], event["reason"], event["note"])
        for event in events
        if event["regarding"]["kind"] == DEPLOYMENT.kind
    )


def _pod(pod: Object) -> Object:
    conditions = pod.get("status", {}).get("conditions", ())
    ready = [c["status"] for c in conditions if c["type"] == "Ready"]
    return {"labels": pod["metadata"]["labels"], "ready": ready}


def by_namespace(objects: Iterable[Object]) -> Mapping[str, dict[str, Object]]:
    """Objects by namespace and name."""
    found: dict[str, dict[str, Object]] = {}
    for obj in objects:
        metadata = obj["metadata"]
        found.setdefault(metadata["namespace"], {})[metadata["name"]] = obj
    return found
