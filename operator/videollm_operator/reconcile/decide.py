"""World in, actions out. Pure: same world, catalogue and operator, same decision.

The steps: read the object; plan it (or find that it is refused); decide what is in force, today's
plan or the record of an earlier one; compare the children that this means with the children that
exist. Nothing here depends on which event came, or on the operator's own earlier status.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api import names
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import validate
from videollm_operator.reconcile import refusals
from videollm_operator.reconcile.actions import Action, Apply, Delete, Scale
from videollm_operator.reconcile.choose import choose
from videollm_operator.reconcile.decision import Decision
from videollm_operator.reconcile.projection import content, digest
from videollm_operator.reconcile.record import Record, children_in_force, decode
from videollm_operator.reconcile.world import AppliedDigest, ChildKey, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from videollm_operator.api.problem import Problem
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.world import ChildFacts

_REMOVABLE = frozenset({"ServiceAccount", "PodDisruptionBudget"})
"""Kinds of children that a change of the spec can make superfluous. Volumes are never removed."""


def decide(world: World, catalog: Catalog) -> Decision:
    """What to do about one deployment."""
    if world.deployment["metadata"].get("deletionTimestamp"):
        return Decision(deployment=None, deleting=True)
    problems = validate(dict(world.deployment))
    deployment = None if problems else VideoLLMDeployment.from_object(dict(world.deployment))
    present = _present_record(world)
    if deployment is None:
        return _settle(world, Decision(None, refusals=tuple(problems), record=present))
    return _settle(world, choose(world, deployment, present, catalog))


def _present_record(world: World) -> Record | None:
    """The record on the StatefulSet, if that is ours."""
    uid = world.deployment["metadata"].get("uid", "")
    for facts in world.children.values():
        if facts.workload is not None and facts.controller_uid == uid:
            return decode(facts.workload.record)
    return None


def _settle(world: World, decision: Decision) -> Decision:
    """Adds the actions that bring the children to what is in force."""
    deployment = decision.deployment
    if decision.record is None or deployment is None:
        return _with_actions(decision, _scale_only(world), ())
    actions: list[Action] = []
    conflicts: list[Problem] = []
    wanted: set[ChildKey] = set()
    for manifest in children_in_force(decision.record, deployment, deployment.spec.replicas):
        key = ChildKey(manifest["kind"], manifest["metadata"]["name"])
        wanted.add(key)
        facts = world.children.get(key)
        if facts is None:
            actions.append(Apply(manifest, digest(content(manifest))))
        elif not _ours(facts, manifest, deployment):
            conflicts.append(refusals.name_conflict(facts))
        elif not facts.deleting and not _equal(manifest, facts, world):
            actions.append(Apply(manifest, digest(content(manifest)), uid=facts.uid))
    actions.extend(
        Delete(key, facts.uid)
        for key, facts in world.children.items()
        if key.kind in _REMOVABLE
        and key not in wanted
        and facts.controller_uid == deployment.metadata.uid
        and not facts.deleting
    )
    return _with_actions(decision, tuple(actions), tuple(conflicts))


def _with_actions(
    decision: Decision, actions: tuple[Action, ...], conflicts: tuple[Problem, ...]
) -> Decision:
    deployment = decision.deployment
    paused = deployment is not None and deployment.spec.paused
    return replace(
        decision,
        actions=() if paused else actions,
        withheld=paused and bool(actions),
        conflicts=conflicts,
    )


def _scale_only(world: World) -> tuple[Action, ...]:
    """Nothing is known of the layout in force, but its replicas are still honoured."""
    metadata = world.deployment["metadata"]
    replicas = world.deployment.get("spec", {}).get("replicas", 1)
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        return ()
    return tuple(
        Scale(facts.key, facts.uid, replicas)
        for facts in world.children.values()
        if facts.workload is not None
        and facts.controller_uid == metadata.get("uid", "")
        and not facts.deleting
        and facts.workload.replicas != replicas
    )


def _ours(facts: ChildFacts, manifest: Mapping[str, Any], deployment: VideoLLMDeployment) -> bool:
    if facts.controller_uid:
        return facts.controller_uid == deployment.metadata.uid
    if "ownerReferences" not in manifest["metadata"]:
        return facts.managed  # a volume that outlives its deployment has no owner
    adopts = deployment.metadata.annotations.get(names.ANNOTATION_ADOPT) == "true"
    return adopts and facts.managed


def _equal(manifest: Mapping[str, Any], facts: ChildFacts, world: World) -> bool:
    desired = digest(content(manifest))
    applied = world.applied.get(facts.key)
    return facts.owned_digest == desired or applied == AppliedDigest(desired, facts.owned_digest)
