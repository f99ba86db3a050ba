"""Whose a child is. What is not ours is never touched, whatever its name."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.api.v1alpha1.deployment import KIND
from videollm_operator.reconcile.world import ChildKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.reconcile.world import ChildFacts, WorkloadFacts, World


class Owner(Enum):
    """Whose an existing object with a child's name is."""

    OURS = auto()
    """Controlled by this deployment."""
    ORPHAN = auto()
    """Made by the operator, but controlled by nobody."""
    PREDECESSOR = auto()
    """Controlled by a deleted deployment of the same name; the garbage collector removes it."""
    STRANGER = auto()


def owner(facts: ChildFacts, metadata: Mapping[str, Any]) -> Owner:
    """Whose it is.

    Args:
        facts: the child.
        metadata: of the deployment.
    """
    if facts.controller_uid:
        if facts.controller_uid == metadata.get("uid"):
            return Owner.OURS
        ours_before = facts.controller == f"{KIND} '{metadata['name']}'"
        return Owner.PREDECESSOR if ours_before else Owner.STRANGER
    return Owner.ORPHAN if facts.managed else Owner.STRANGER


def adopts(metadata: Mapping[str, Any]) -> bool:
    """Whether the deployment takes over orphans."""
    annotations: Mapping[str, str] = metadata.get("annotations", {})
    return annotations.get(names.ANNOTATION_ADOPT) == "true"


def own_workload(world: World) -> WorkloadFacts | None:
    """What the StatefulSet of this deployment does; None if it has none."""
    facts = stateful_set(world)
    if facts is None or owner(facts, world.deployment["metadata"]) is not Owner.OURS:
        return None
    return facts.workload


def recorded_workload(world: World) -> WorkloadFacts | None:
    """The StatefulSet whose record counts: our own, or an orphan that is to be adopted."""
    facts, metadata = stateful_set(world), world.deployment["metadata"]
    if facts is None:
        return None
    whose = owner(facts, metadata)
    counts = whose is Owner.OURS or (whose is Owner.ORPHAN and adopts(metadata))
    return facts.workload if counts else None


def stateful_set(world: World) -> ChildFacts | None:
    """Whatever has the name of this deployment's StatefulSet."""
    name = names.workload_name(world.deployment["metadata"]["name"])
    return world.children.get(ChildKey("StatefulSet", name))
