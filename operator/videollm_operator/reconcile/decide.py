"""World in, actions out. Pure: same world, catalogue and operator, same decision.

The steps: read the object; plan it (or find that it is refused); decide what is in force, today's
plan or the record of an earlier one; compare the children that this means with the children that
exist. Nothing here depends on which event came, or on the operator's own earlier status.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.compute import NodeSelection
from videollm_operator.api.validation import parse
from videollm_operator.reconcile import refusals, updates
from videollm_operator.reconcile.actions import Action, Apply, Delete, Scale, allowed
from videollm_operator.reconcile.choose import choose
from videollm_operator.reconcile.decision import Decision
from videollm_operator.reconcile.inventory import none_usable
from videollm_operator.reconcile.ownership import (
    Owner,
    adopts,
    owner,
    recorded_workload,
)
from videollm_operator.reconcile.progress import replicas_wanted, said
from videollm_operator.reconcile.projection import content, digest
from videollm_operator.reconcile.record import Record, decode, in_force
from videollm_operator.reconcile.world import AppliedDigest, ChildKey, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from videollm_operator.api.problem import Problem
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.world import ChildFacts

_REMOVABLE = frozenset({"ServiceAccount"})
"""Kinds of children that a change of the spec can make superfluous. Volumes are never removed."""

_USED_BY_PODS = frozenset({"PersistentVolumeClaim", "ServiceAccount"})


def decide(world: World, catalog: Catalog) -> Decision:
    """What to do about one deployment."""
    if world.deployment["metadata"].get("deletionTimestamp"):
        return Decision(deployment=None, deleting=True)
    workload = recorded_workload(world)
    present = decode(workload.record) if workload else None
    last_good = present if isinstance(present, Record) else None
    try:
        deployment = parse(dict(world.deployment))
    except Refused as refused:
        decision = Decision(None, refusals=refused.problems, record=last_good)
    else:
        decision = choose(world, deployment, present, catalog)
    paused = said(world).get("paused") is True
    taking_up = ""
    if workload is not None and decision.record is last_good:
        taking_up = updates.unfinished(world, workload.taking_up)
    decision = replace(
        decision, paused=paused, taking_up=taking_up, no_node=_no_node(decision, world, catalog)
    )
    kept = _settle(world, decision, last_good)
    chosen = updates.turn(world, kept)
    return _settle(world, chosen, last_good) if chosen.takes_up else chosen


def _no_node(decision: Decision, world: World, catalog: Catalog) -> str:
    """What is known of nodes with the GPU where none of them can be used."""
    if decision.deployment is None:
        return ""
    wanted = decision.deployment.spec.gpu
    gpu = catalog.gpu(wanted.sku)
    if gpu is None or wanted.node_selection is NodeSelection.NONE:
        return ""
    return none_usable(gpu, world.nodes, catalog)


def _settle(world: World, decision: Decision, present: Record | None) -> Decision:
    """Adds the actions that bring the children to what is in force."""
    if decision.record is None:
        return _with_actions(decision, _scale_only(world))
    metadata, replicas = world.deployment["metadata"], replicas_wanted(world)
    unowned = _unowned(present)
    actions: list[Action] = []
    conflicts: dict[ChildKey, Problem] = {}
    leaving: list[ChildKey] = []
    manifests = in_force(decision.record, metadata, replicas, decision.taking_up)
    wanted = frozenset(map(_key, manifests))
    used = frozenset(key for key in wanted if key.kind in _USED_BY_PODS)
    for manifest in manifests:
        key = _key(manifest)
        needs = used if key.kind == "StatefulSet" else frozenset()
        facts = world.children.get(key)
        if facts is None:
            actions.append(Apply(manifest, digest(content(manifest)), needs=needs))
            continue
        whose = owner(facts, metadata)
        ours = whose is Owner.OURS or (
            whose is Owner.ORPHAN
            and (adopts(metadata) or key in unowned or not _has_owner(manifest))
        )
        if whose is Owner.PREDECESSOR or (ours and facts.deleting):
            leaving.append(key)
        elif not ours:
            conflicts[key] = refusals.name_conflict(facts)
        elif not _equal(manifest, facts, world):
            scale = _scale(facts, replicas) if whose is Owner.OURS else None
            actions.append(Apply(manifest, digest(content(manifest)), facts.uid, scale, needs))
    actions.extend(
        Delete(key, facts.uid)
        for key, facts in world.children.items()
        if key.kind in _REMOVABLE
        and key not in wanted
        and owner(facts, metadata) is Owner.OURS
        and not facts.deleting
    )
    found = replace(decision, conflicts=tuple(conflicts.values()), leaving=tuple(leaving))
    possible = (allowed(action, conflicts) for action in actions)
    return _with_actions(found, tuple(action for action in possible if action is not None))


def _with_actions(decision: Decision, actions: tuple[Action, ...]) -> Decision:
    if decision.paused:
        return replace(decision, withheld=bool(actions or decision.leaving))
    return replace(decision, actions=actions)


def _scale_only(world: World) -> tuple[Action, ...]:
    """No layout can be written, but the replicas of the running one are still honoured."""
    replicas = replicas_wanted(world)
    metadata = world.deployment["metadata"]
    scales = (
        _scale(facts, replicas)
        for facts in world.children.values()
        if owner(facts, metadata) is Owner.OURS and not facts.deleting
    )
    return tuple(scale for scale in scales if scale is not None)


def _scale(facts: ChildFacts, replicas: int) -> Scale | None:
    """What brings a StatefulSet of ours to these replicas; None if nothing is to be done."""
    if facts.workload is None or facts.workload.replicas == replicas:
        return None
    return Scale(facts.key, facts.uid, replicas)


def _key(manifest: Mapping[str, Any]) -> ChildKey:
    return ChildKey(manifest["kind"], manifest["metadata"]["name"])


def _has_owner(manifest: Mapping[str, Any]) -> bool:
    """False for a volume that outlives its deployment."""
    return "ownerReferences" in manifest["metadata"]


def _unowned(present: Record | None) -> frozenset[ChildKey]:
    """Children that belong to nobody because the layout so far wanted it so, not as orphans."""
    manifests = present.manifests if present else ()
    return frozenset(_key(manifest) for manifest in manifests if not _has_owner(manifest))


def _equal(manifest: Mapping[str, Any], facts: ChildFacts, world: World) -> bool:
    desired = digest(content(manifest))
    applied = world.applied.get(facts.key)
    return facts.owned_digest == desired or applied == AppliedDigest(desired, facts.owned_digest)
