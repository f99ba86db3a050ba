"""What must be true of a deployment at rest, from what its history did and the pure code alone.

`faults` names whatever is not so. While the cluster is still at work there are some; a history
that ends well comes to none. The children are computed anew from the last accepted spec and the
inputs that the record names, and compared in every field that the operator owns.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tests.cluster.proofs.history_steps import NOWHERE, READY
from tests.cluster.world import FAIL
from tests.scenario.kstatus import verdict
from videollm_operator.api import names
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.actions import Result, allowed
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.projection import content, digest, owned
from videollm_operator.reconcile.record import Record, decode, in_force, spec_digest
from videollm_operator.reconcile.refusals import name_conflict
from videollm_operator.reconcile.report import report
from videollm_operator.reconcile.world import ChildKey, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.proofs.history_lab import Lab
    from tests.cluster.proofs.history_space import Object, Snapshot
    from tests.cluster.proofs.history_story import Story
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import NodeFacts


_VOLUME = "PersistentVolumeClaim"


@dataclass
class Planner:
    """The pure operator, asked again and again: its answers are remembered."""

    lab: Lab
    _plans: dict[tuple[str, str, str, frozenset[NodeFacts]], Record | None] = field(
        default_factory=dict
    )

    def plan(
        self, obj: Object, spec: Object, catalog: Catalog, nodes: frozenset[NodeFacts]
    ) -> Record | None:
        """What a spec is accepted as, where nothing was accepted before; None: it is refused."""
        key = (obj["metadata"]["name"], layout_digest(obj, spec), catalog.fingerprint, nodes)
        if key not in self._plans:
            bare = {key: value for key, value in obj.items() if key != "status"}
            world = World(deployment={**bare, "spec": {**spec, "paused": False}}, nodes=nodes)
            self._plans[key] = decide(world, catalog).record
        return self._plans[key]

    def today(self, obj: Object, spec: Object) -> Record | None:
        """The same by the inputs of today."""
        return self.plan(obj, spec, self.lab.catalogs[-1], self.lab.nodes[-1])

    def made_from(self, record: Record, obj: Object, specs: list[Object]) -> bool:
        """Whether a record is what one of these specs gives by the inputs that it names."""
        spec = next((s for s in specs if layout_digest(obj, s) == record.spec_digest), None)
        catalog = next(
            (c for c in self.lab.catalogs if c.fingerprint == record.inputs.catalog), None
        )
        if spec is None or catalog is None:
            return False
        plans = (self.plan(obj, spec, catalog, nodes) for nodes in set(self.lab.nodes))
        return any(plan is not None and _ownerless(plan) == _ownerless(record) for plan in plans)


def _ownerless(record: Record) -> Record:
    """A record without the uid of the object that it was made for; an adopted one keeps that."""
    bare: list[Object] = []
    for manifest in record.manifests:
        owners = manifest["metadata"].get("ownerReferences", [])
        named = [{key: value for key, value in o.items() if key != "uid"} for o in owners]
        bare.append({**manifest, "metadata": {**manifest["metadata"], "ownerReferences": named}})
    return replace(record, manifests=tuple(bare))


def layout_digest(obj: Object, spec: Object) -> str:
    """Fingerprint of what makes a layout in a spec."""
    return spec_digest(VideoLLMDeployment.from_object({**obj, "spec": spec}).spec)


def faults(story: Story, snapshot: Snapshot, planner: Planner) -> list[str]:
    """Everything about a deployment that is not as it must be at rest."""
    if story.spec is None:
        return list(_left_behind(story, snapshot))
    if story.name not in snapshot.deployments:
        return ["the object is missing"]
    return list(_Look(story, snapshot, planner).faults())


def _left_behind(story: Story, snapshot: Snapshot) -> Iterator[str]:
    if story.name in snapshot.deployments:
        yield "the object is still there"
    children = snapshot.children_of(story.name)
    for child in children:
        key, owners = observe.child(child).key, child["metadata"].get("ownerReferences")
        kept = story.retained and key.kind == _VOLUME
        theirs = child["metadata"]["uid"] in story.strangers
        if owners or not (story.orphaned or kept or theirs):
            yield f"{key} is left behind, owners: {owners}"
    if snapshot.pods_of(story.name) and not story.orphaned:
        yield "pods are left behind"


class _Look:
    """One look at one deployment."""

    def __init__(self, story: Story, snapshot: Snapshot, planner: Planner) -> None:
        assert story.spec is not None
        self.story, self.spec, self.planner = story, story.spec, planner
        self.obj = snapshot.deployments[story.name]
        self.children = {observe.child(c).key: c for c in snapshot.children_of(story.name)}
        self.pods = snapshot.pods_of(story.name)
        uid = self.obj["metadata"]["uid"]
        seen = snapshot.world(story.name, planner.lab.nodes[-1])
        # What nobody controls and has no label of ours is not watched: it is noticed when an apply
        # finds it in the way.
        self.strangers = {
            key: child
            for key, child in seen.children.items()
            if not child.managed and child.controller_uid != uid
        }
        watched = {k: c for k, c in seen.children.items() if k not in self.strangers}
        self.world = replace(seen, children=watched)
        self.decision: Decision = decide(self.world, planner.lab.catalogs[-1])
        self.replicas: int = self.spec.get("replicas", 1)
        stateful_set = self.world.children.get(ChildKey("StatefulSet", story.name))
        self.workload = (
            stateful_set.workload if stateful_set and stateful_set.controller_uid == uid else None
        )
        found = decode(self.workload.record) if self.workload else None
        self.record = found if isinstance(found, Record) else None

    def faults(self) -> Iterator[str]:
        """What is not as it must be."""
        if layout_digest(self.obj, self.obj["spec"]) != layout_digest(self.obj, self.spec):
            yield f"the test is wrong about the spec: {self.obj['spec']}"
        for child in self.children.values():
            theirs = child["metadata"]["uid"] in self.story.strangers
            if theirs and owned(child, names.FIELD_MANAGER):
                yield f"{observe.child(child).key} of somebody else was written"
        yield from self._told()
        yield from self._in_force()
        if self.record is not None and not self.decision.withheld and not self._conflicts():
            yield from self._children(self.record)

    def _told(self) -> Iterator[str]:
        """What the operator says, by its own pure code and by what the history did."""
        if self.obj["status"]["observedGeneration"] != self.obj["metadata"]["generation"]:
            yield "status is of an older generation"
        refused = []
        possible = (allowed(each, self.strangers) for each in self.decision.actions)
        for action in (each for each in possible if each is not None):
            in_the_way = self.strangers.get(action.key)
            if in_the_way is None:
                yield f"to be done: {type(action).__name__} {action.key}"
            else:
                refused.append(Result(action, name_conflict(in_the_way)))
        told = report(self.world, self.decision, refused, datetime.now(UTC)).status
        if told is not None:
            stands = self.obj["status"]
            other = {k: (stands.get(k), v) for k, v in told.items() if stands.get(k) != v}
            yield f"status is not true: (stands, true) {other}"
        conditions = {c["type"]: c for c in self.obj["status"].get("conditions", [])}
        ready = conditions.get("Ready", {})
        found = verdict(self.obj), ready.get("reason")
        wanted, reasons = self._verdict()
        if found[0] != wanted or (reasons and found[1] not in reasons):
            yield f"verdict and reason are {found}, wanted {wanted} {reasons}: {ready}"
        yield from self._counted()

    def _counted(self) -> Iterator[str]:
        """Pods and status agree."""
        living = [pod for pod in self.pods if "deletionTimestamp" not in pod["metadata"]]
        ready = [pod for pod in living if observe.pod(pod).ready]
        status = self.obj["status"]
        if (status.get("replicas", 0), status.get("readyReplicas", 0)) != (len(living), len(ready)):
            yield f"{len(living)} pods, {len(ready)} ready, but status says otherwise: {status}"
        if self.workload is not None and not self.decision.withheld and not self._conflicts():
            if self.workload.replicas != self.replicas:
                yield f"{self.workload.replicas} replicas, {self.replicas} wanted"
            if len(self.pods) != self.workload.replicas:
                yield f"{len(self.pods)} pods, {self.workload.replicas} wanted"

    def _refused(self) -> bool:
        """Whether the spec of now is neither in force nor acceptable."""
        current = layout_digest(self.obj, self.spec)
        in_force_now = self.record is not None and self.record.spec_digest == current
        return not in_force_now and self.planner.today(self.obj, self.spec) is None

    def _conflicts(self) -> bool:
        """Whether something has a child's name that the object may not take."""
        uid = self.obj["metadata"]["uid"]
        facts = map(observe.child, self.children.values())
        others = [f for f in facts if f.controller_uid != uid and f.key.kind != _VOLUME]
        if self.decision.record is not None:  # a pod template with an account has no own one
            wanted = in_force(self.decision.record, self.obj["metadata"], self.replicas)
            children = {ChildKey(each["kind"], each["metadata"]["name"]) for each in wanted}
            others = [child for child in others if child.key in children]
        if self.decision.withheld:  # in a pause nothing is tried, so no stranger is met
            others = [child for child in others if child.managed]
        # An orphan that lost its label, too, is a stranger.
        return any(not (self.story.adopt and child.managed) for child in others)

    def _verdict(self) -> tuple[str, set[str]]:
        """kstatus' verdict, and the reasons that `Ready` may have; empty: any."""
        if self._refused():
            return "Failed", set()
        if self._conflicts():
            return "Failed", {"NameConflict"}
        if self.decision.withheld:
            return "InProgress", {"Paused"}
        if self.replicas == 0:
            return "Current", {"ScaledToZero"}
        if any({FAIL, READY} & pod["metadata"].get("annotations", {}).keys() for pod in self.pods):
            return "InProgress", set()
        if self.spec["gpu"] == NOWHERE:
            return "InProgress", {"Unschedulable"}
        return "Current", {"Serving"}

    def _in_force(self) -> Iterator[str]:
        """The record is that of the last accepted spec, and of the inputs that it names."""
        if self.record is None:
            if not (self._refused() or self.decision.withheld or self._conflicts()):
                yield "an acceptable spec has no record"
            return
        if self.story.kept not in {None, self.record.encode()}:
            yield "the layout has changed without its object"
        if self.decision.withheld or self._conflicts():
            return
        current = layout_digest(self.obj, self.spec)
        if not self._refused() and self.record.spec_digest != current:
            yield "another spec than the present one is in force"
        if not self.planner.made_from(self.record, self.obj, self.story.specs):
            yield f"the record is not that of an accepted spec: {self.record.inputs}"

    def _children(self, record: Record) -> Iterator[str]:
        """Every child is as the record says in all that the operator owns, and no more exist."""
        wanted = in_force(record, self.obj["metadata"], self.replicas)
        keys = {ChildKey(m["kind"], m["metadata"]["name"]) for m in wanted}
        others = {
            key
            for key, child in self.children.items()
            if key.kind == _VOLUME or child["metadata"]["uid"] in self.story.strangers
        }
        if keys | others != self.children.keys():
            yield f"children are {sorted(self.children)}, wanted {sorted(keys)}"
        for manifest in wanted:
            key = ChildKey(manifest["kind"], manifest["metadata"]["name"])
            live = self.children.get(key)
            if live is not None and observe.child(live).owned_digest != digest(content(manifest)):
                yield f"{key} is not as the record says"
        revisions = {pod["metadata"]["labels"].get("controller-revision-hash") for pod in self.pods}
        newest = self.workload.update_revision if self.workload else ""
        if self._verdict()[0] == "Current" and revisions - {newest}:
            yield f"pods are of revisions {revisions}, the newest is {newest}"
