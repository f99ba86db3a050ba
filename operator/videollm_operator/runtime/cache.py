"""What the operator remembers of the cluster, thin enough for thousands of deployments.

Deployments are kept as deflated JSON, children, pods and nodes as facts. From these, `world` puts
together what one reconcile looks at, without asking the API server.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.updates import holds_place
from videollm_operator.reconcile.world import (
    AppliedDigest,
    ChildFacts,
    ChildKey,
    Key,
    NodeFacts,
    PodFacts,
    World,
)
from videollm_operator.runtime.kept import keep, ready_reason, restore
from videollm_operator.runtime.kinds import CHILD_KINDS
from videollm_operator.runtime.store import Group, Store, Stored, version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from videollm_operator.reconcile.actions import Result

ChildId = tuple[str, ChildKey]
PodId = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Unsupported:
    """That the server dropped fields of a manifest: digest, what was told, and when."""

    desired: str
    result: Result
    at: float


class Caches:
    """Everything that is remembered. Feeding it says which deployments are to be looked at."""

    def __init__(self, node_keys: Collection[str] = ()) -> None:
        self.deployments: Store[Key, bytes] = Store(lambda old, new: old == new)
        self.children: Store[ChildId, ChildFacts] = Store(lambda old, new: old == new)
        self.pods: Store[PodId, PodFacts] = Store(lambda old, new: old == new)
        self.nodes: Store[str, NodeFacts | None] = Store(lambda old, new: old == new)
        self.node_keys = frozenset(node_keys)
        self._node_kinds: Counter[NodeFacts] = Counter()
        self._applied: dict[ChildId, AppliedDigest] = {}
        self._unsupported: dict[ChildId, Unsupported] = {}
        self._reasons: dict[Key, str] = {}
        self._marked: set[ChildId] = set()

    # Feeding

    def put_deployment(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes in a VideoLLMDeployment; returns its key if something about it changed."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if self.deployments.knows(key, *_identity(metadata)):
            return set()
        instance = names.selector_labels(key.name)[names.LABEL_INSTANCE]
        groups = (metadata["uid"], (key.namespace, instance))
        changed = self.deployments.put(key, Stored(keep(obj), *_identity(metadata), groups))
        self._reasons[key] = sys.intern(ready_reason(obj))
        return {key} if changed else set()

    def remove_deployment(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes note that a VideoLLMDeployment went; returns its key."""
        metadata = obj["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        self.deployments.remove(key, *_identity(metadata))
        if key not in self.deployments:
            self._reasons.pop(key, None)
        return {key}

    def put_child(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes in a child; returns the deployments that are to look at it."""
        metadata = obj["metadata"]
        namespace = metadata["namespace"]
        identity = (namespace, ChildKey(obj["kind"], metadata["name"]))
        if self.children.knows(identity, *_identity(metadata)):
            return set()  # most often the echo of our own write
        facts = observe.child(obj)
        groups: list[Group] = [(namespace, observe.instance_of(obj))]
        if facts.controller_uid:
            groups.append(sys.intern(facts.controller_uid))
        stored = Stored(facts, *_identity(metadata), tuple(groups))
        changed = self.children.put(identity, stored)
        self._mark(identity)
        return self._owners(changed)

    def read_child(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes in a child that was just read by its name, with or without its label.

        One that lost the label by which we watch looks like one that went, at this very version.
        """
        self.children.exists_after_all(obj["metadata"]["uid"])
        return self.put_child(obj)

    def remove_child(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes note that a child went; returns the deployments that are to look."""
        metadata = obj["metadata"]
        identity = (metadata["namespace"], ChildKey(obj["kind"], metadata["name"]))
        return self._remove_child(identity, *_identity(metadata))

    def _remove_child(self, identity: ChildId, uid: str, version: int) -> set[Key]:
        changed = self.children.remove(identity, uid, version)
        self._mark(identity)
        if identity not in self.children:
            self._applied.pop(identity, None)
            self._unsupported.pop(identity, None)
        return self._owners(changed)

    def _mark(self, identity: ChildId) -> None:
        """Keeps note of the few StatefulSets that take an update up by themselves."""
        stored = self.children.get(identity)
        if stored is not None and stored.facts.workload and stored.facts.workload.taking_up:
            self._marked.add(identity)
        else:
            self._marked.discard(identity)

    def put_pod(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes in a pod; returns the deployment that is to look at it."""
        metadata = obj["metadata"]
        identity = (metadata["namespace"], metadata["name"])
        if self.pods.knows(identity, *_identity(metadata)):
            return set()
        groups = ((metadata["namespace"], observe.instance_of(obj)),)
        stored = Stored(observe.pod(obj), *_identity(metadata), groups)
        return self._owners(self.pods.put(identity, stored))

    def remove_pod(self, obj: Mapping[str, Any]) -> set[Key]:
        """Takes note that a pod went; returns the deployment that is to look."""
        metadata = obj["metadata"]
        identity = (metadata["namespace"], metadata["name"])
        return self._owners(self.pods.remove(identity, *_identity(metadata)))

    def put_node(self, obj: Mapping[str, Any]) -> bool:
        """Takes in a node; returns whether a kind of node came or went by it."""
        metadata = obj["metadata"]
        old = self.nodes.get(metadata["name"])
        facts = observe.node(obj, self.node_keys)
        self.nodes.put(metadata["name"], Stored(facts, *_identity(metadata), ()))
        new = self.nodes.get(metadata["name"])
        return self._count(old.facts if old else None, new.facts if new else None)

    def remove_node(self, obj: Mapping[str, Any]) -> bool:
        """Takes note that a node went; returns whether it was the last of its kind."""
        metadata = obj["metadata"]
        old = self.nodes.get(metadata["name"])
        self.nodes.remove(metadata["name"], *_identity(metadata))
        new = self.nodes.get(metadata["name"])
        return self._count(old.facts if old else None, new.facts if new else None)

    def _count(self, old: NodeFacts | None, new: NodeFacts | None) -> bool:
        if old == new:
            return False
        before = set(self._node_kinds)
        if old is not None:
            self._node_kinds[old] -= 1
        if new is not None:
            self._node_kinds[new] += 1
        self._node_kinds = +self._node_kinds
        return before != set(self._node_kinds)

    def _owners(self, groups: Iterable[Group]) -> set[Key]:
        return {key for group in groups for key in self.deployments.group(group)}

    # Memory of our own writes

    def remember_applied(self, namespace: str, key: ChildKey, applied: AppliedDigest) -> None:
        """Remembers what the fields that we own looked like after our apply."""
        if (namespace, key) in self.children:  # else it went meanwhile
            self._applied[namespace, key] = applied

    def remember_unsupported(self, namespace: str, key: ChildKey, told: Unsupported | None) -> None:
        """Remembers that the server dropped fields of a manifest, or, with None, that it did not.

        The apply is not repeated, so this is what keeps the problem told.
        """
        if told is None:
            self._unsupported.pop((namespace, key), None)
        else:
            self._unsupported[namespace, key] = told

    def unsupported(self, key: Key, world: World) -> list[Result]:
        """Results that still hold though nothing was applied again: fields that were dropped."""
        found = []
        for child in world.children:
            told = self._unsupported.get((key.namespace, child))
            applied = world.applied.get(child)
            if told is not None and applied is not None and applied.desired == told.desired:
                found.append(told.result)
        return found

    def expire_unsupported(self, before: float) -> set[Key]:
        """Lets applies be tried again whose fields were dropped before that moment.

        Returns:
            The deployments that are to try.
        """
        expired = [child for child, told in self._unsupported.items() if told.at < before]
        for identity in expired:
            del self._unsupported[identity]
            self._applied.pop(identity, None)
        found = filter(None, map(self.children.get, expired))
        return {key for stored in found for key in self._owners(stored.groups)}

    def child_is_gone(self, namespace: str, key: ChildKey) -> set[Key]:
        """Takes note that the API server has no such child now."""
        stored = self.children.get((namespace, key))
        if stored is None:
            return set()
        return self._remove_child((namespace, key), stored.uid, stored.version)

    def deployment_is_gone(self, key: Key) -> None:
        """Takes note that the API server has no such deployment now."""
        stored = self.deployments.get(key)
        if stored is not None:
            self.deployments.remove(key, stored.uid, stored.version)
            self._reasons.pop(key, None)

    # Looking

    def known(self) -> list[Key]:
        """All deployments."""
        return [key for key, _ in self.deployments.items()]

    def reasons(self) -> Counter[str]:
        """Number of deployments by the reason of their Ready condition."""
        return Counter(self._reasons.values())

    def taking_up(self) -> set[Key]:
        """Deployments that hold a place among those that take an update up by themselves."""
        stored = filter(None, map(self.children.get, self._marked))
        keys = {key for child in stored for key in self._owners(child.groups)}
        return {key for key in keys if (world := self.world(key)) and holds_place(world)}

    def world(self, key: Key) -> World | None:
        """What a reconcile of a deployment looks at; None if there is no such deployment."""
        stored = self.deployments.get(key)
        if stored is None:
            return None
        children: dict[ChildKey, ChildFacts] = {}
        applied: dict[ChildKey, AppliedDigest] = {}
        for identity in self._children_of(key, stored):
            child = self.children.get(identity)
            if child is not None:
                children[identity[1]] = child.facts
                if identity in self._applied:
                    applied[identity[1]] = self._applied[identity]
        pods = (self.pods.get(identity) for identity in self.pods.group(stored.groups[1]))
        return World(
            deployment=restore(stored.facts, stored.version),
            children=children,
            pods=observe.in_order(pod.facts for pod in pods if pod is not None),
            nodes=frozenset(self._node_kinds),
            applied=applied,
        )

    def _children_of(self, key: Key, stored: Stored[bytes]) -> set[ChildId]:
        """Children by owner and by label, and whatever has the name that a child would have."""
        found = {member for group in stored.groups for member in self.children.group(group)}
        for name in names.child_names(key.name):
            found |= {(key.namespace, ChildKey(kind, name)) for kind in CHILD_KINDS}
        return found

    def refocus_nodes(
        self, node_keys: Collection[str], listed: Iterable[Mapping[str, Any]]
    ) -> None:
        """Takes other node labels as telling, and all nodes anew, as they were just listed."""
        self.node_keys = frozenset(node_keys)
        self.nodes = Store(lambda old, new: old == new)
        self._node_kinds = Counter()
        for obj in listed:
            self.put_node(obj)


def _identity(metadata: Mapping[str, Any]) -> tuple[str, int]:
    return metadata["uid"], version(metadata["resourceVersion"])
