"""Which pods are a deployment's own: those that its StatefulSet counts as its members.

Labels alone say little: a pod that somebody copied to look at a problem has them too. What counts
is what counts for the StatefulSet controller: the name is the set's with an ordinal, and the set
controls the pod, or nobody does; such an orphan it adopts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api import names
from videollm_operator.reconcile.ownership import Owner, owner, stateful_set

if TYPE_CHECKING:
    from videollm_operator.reconcile.world import PodFacts, World


def own_pods(world: World) -> tuple[PodFacts, ...]:
    """The pods of the StatefulSet of this deployment, and orphans that it adopts."""
    uids = _controllers(world)
    return tuple(pod for pod in _members(world) if pod.controller_uid in uids)


def pods_before(world: World) -> tuple[PodFacts, ...]:
    """Pods of a StatefulSet of the same name that is gone.

    Until they are gone too, they keep the names of those that are wanted.
    """
    uids = _controllers(world)
    return tuple(pod for pod in _members(world) if pod.controller_uid not in uids)


def _controllers(world: World) -> frozenset[str]:
    """Whose pods count; of a stranger's StatefulSet they do not."""
    facts = stateful_set(world)
    if facts is None or owner(facts, world.deployment["metadata"]) is Owner.STRANGER:
        return frozenset({""})
    return frozenset({"", facts.uid})


def _members(world: World) -> tuple[PodFacts, ...]:
    prefix = f"{names.workload_name(world.deployment['metadata']['name'])}-"
    return tuple(pod for pod in world.pods if pod.name.removeprefix(prefix).isdecimal())
