"""A namespace in miniature: API server, StatefulSet controller, kubelet, and the pure operator.

Nothing here runs by itself. A scenario says what happens, one step after the other, and looks at
what the operator did and said. Everything that the operator sees passes through the real
`observe`; what it wants passes through the real `decide`, planner and rendering.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.scenario import apiserver, pods
from tests.scenario.apiserver import Object, Path, ServerError
from videollm_operator.api import names
from videollm_operator.catalog.loader import builtin
from videollm_operator.reconcile import observe, projection, refusals
from videollm_operator.reconcile.actions import Apply, Delete, Result, Scale, allowed, taken
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.report import report
from videollm_operator.reconcile.updates import holds_place
from videollm_operator.reconcile.world import AppliedDigest, ChildKey, Key, World
from videollm_operator.runtime.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.actions import Action, EventDraft, Report
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import NodeFacts

NAMESPACE = "video"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Turn:
    """One reconcile: what was decided, done and told."""

    decision: Decision
    results: tuple[Result, ...]
    report: Report

    @property
    def deeds(self) -> list[str]:
        """The actions, as "Apply Service 'a'"."""
        return [f"{type(action).__name__} {action.key}" for action in self.decision.actions]

    @property
    def quiet(self) -> bool:
        """Whether nothing was written or said."""
        return not self.deeds and self.report.status is None and not self.report.events


class Cluster:
    """One namespace, its clock, and one operator."""

    def __init__(self, catalog: Catalog | None = None) -> None:
        self.catalog = catalog or builtin()
        self.now = START
        self.deployments: dict[str, Object] = {}
        self.children: dict[ChildKey, Object] = {}
        self.pods: dict[str, Object] = {}
        self.nodes: frozenset[NodeFacts] = frozenset()
        self.refusing: dict[str, ServerError] = {}
        """By kind: the answer to every write."""
        self.contested: dict[str, str] = {}
        """By kind: who undoes again and again what is written, so that it is not written now."""
        self.respells: Callable[[Object], None] | None = None
        """Changes how the server stores what was applied."""
        self.creates_pods = True
        """False: a quota is used up."""
        self.failure = ""
        """What happens to pods instead of getting on: one of `pods.FAILURES`."""
        self.events: list[EventDraft] = []
        self.writes: list[str] = []
        """Everything that was asked of the API server, Events left out."""
        self.max_concurrent_updates = 2
        self._numbers = 0
        self.restart_operator()

    def restart_operator(self) -> None:
        """Another operator process: what it remembered of its own writes is lost."""
        self._applied: dict[ChildKey, AppliedDigest] = {}
        self._unsupported: dict[ChildKey, tuple[str, Result]] = {}
        self._turns = Turns(self.max_concurrent_updates, self.taking_up, lambda _key: None)

    # What people do

    def create(self, name: str, spec: Object, **metadata: Any) -> None:
        """A new deployment."""
        self.deployments[name] = {
            "apiVersion": "videollm.io/v1alpha1",
            "kind": "VideoLLMDeployment",
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "uid": self._number("vld"),
                "generation": 1,
                **metadata,
            },
            "spec": copy.deepcopy(spec),
            "status": {"observedGeneration": -1},
        }

    def edit(self, name: str, **sections: Any) -> None:
        """Changes sections of a deployment's spec; None removes one."""
        obj = self.deployments[name]
        spec = {k: v for k, v in {**obj["spec"], **sections}.items() if v is not None}
        if spec != obj["spec"]:
            obj["spec"] = copy.deepcopy(spec)
            obj["metadata"]["generation"] += 1

    def annotate(self, name: str, key: str, value: str) -> None:
        """Annotates a deployment."""
        self.deployments[name]["metadata"].setdefault("annotations", {})[key] = value

    def delete(self, name: str, *, how: str = "background") -> None:
        """Deletes a deployment: "background", "foreground" (it waits for children) or "orphan"."""
        if how == "foreground":
            self.deployments[name]["metadata"]["deletionTimestamp"] = pods.written(self.now)
            return
        uid = self.deployments.pop(name)["metadata"]["uid"]
        self._turns.gone(Key(NAMESPACE, name))
        if how == "orphan":
            for obj in self.children.values():
                owners = obj["metadata"].get("ownerReferences", [])
                if any(owner["uid"] == uid for owner in owners):
                    del obj["metadata"]["ownerReferences"]

    def hand_edit(self, key: ChildKey, path: Path, value: Any) -> None:
        """Somebody edits a child; None removes the field."""
        self.children[key] = apiserver.edited(self.children[key], path, value)

    def hand_delete(self, key: ChildKey, *, lingers: bool = False) -> None:
        """Somebody deletes a child; with `lingers` a finalizer holds it."""
        if lingers:
            self.children[key]["metadata"]["deletionTimestamp"] = pods.written(self.now)
        else:
            del self.children[key]

    def stranger(self, kind: str, name: str, **metadata: Any) -> None:
        """An object that the operator did not make."""
        self.children[ChildKey(kind, name)] = {
            "kind": kind,
            "metadata": {"name": name, "uid": self._number("foreign"), **metadata},
            "spec": {},
        }

    # What the operator sees and does

    def world(self, name: str) -> World:
        """What a reconcile looks at; unlabelled objects are not watched."""
        seen = (observe.child(obj) for obj in self.children.values())
        labels = names.selector_labels(name)
        return World(
            deployment=json.loads(json.dumps(self.deployments[name])),
            children={facts.key: facts for facts in seen if facts.managed},
            pods=observe.in_order(
                observe.pod(pod)
                for pod in self.pods.values()
                if labels.items() <= pod["metadata"]["labels"].items()
            ),
            nodes=self.nodes,
            applied=dict(self._applied),
        )

    def taking_up(self) -> set[Key]:
        """Deployments that take an update up by themselves, and do not serve yet."""
        return {
            Key(NAMESPACE, name)
            for name in self.deployments
            if self._marked(name) and holds_place(self.world(name))
        }

    def _marked(self, name: str) -> bool:
        """Whether it may hold a place: cheap to ask."""
        obj = self.children.get(ChildKey("StatefulSet", names.workload_name(name)), {})
        found: bool = names.ANNOTATION_TAKING_UP in obj.get("metadata", {}).get("annotations", {})
        return found

    def reconcile(self, name: str) -> Turn:
        """One look of the operator at one deployment."""
        key = Key(NAMESPACE, name)
        world = replace(self.world(name), turn=self._turns.turn(key))
        decision = decide(world, self.catalog)
        self._turns.decided(key, decision)
        results: list[Result] = []
        for decided in decision.actions:
            action = allowed(decided, taken(results))
            if action is not None:
                results.append(self._carry_out(action, world))
        if all(result.problem is None for result in results):
            self._turns.written(key)
        after = replace(self.world(name), deployment=world.deployment)
        told = report(after, decision, [*results, *self._still_unsupported()], self.now)
        if told.status is not None:
            self.writes.append(f"status {name}")
            status = dict(told.status)
            self.deployments[name]["status"] = status
        self.events.extend(told.events)
        return Turn(decision, tuple(results), told)

    def _carry_out(self, action: Action, world: World) -> Result:
        self.writes.append(f"{type(action).__name__} {action.key}")
        try:
            match action:
                case Apply():
                    return self._apply(action, world.deployment["metadata"]["uid"])
                case Delete():
                    assert self.children.pop(action.key)["metadata"]["uid"] == action.uid
                case Scale():
                    live = self.children[action.key]
                    assert live["metadata"]["uid"] == action.uid
                    scaled = copy.deepcopy(live)
                    scaled["spec"]["replicas"] = action.replicas
                    self.children[action.key] = apiserver.changed(live, scaled)
        except ServerError as error:
            problem = refusals.problem_of(action, error.status, error.reason, error.message)
            if isinstance(action, Apply) and action.otherwise is not None:
                self._carry_out(action.otherwise, world)
            return Result(action, problem)
        return Result(action)

    def _apply(self, action: Apply, owner: str) -> Result:
        live = self.children.get(action.key)
        if live is not None and not action.uid:
            facts = observe.child(live)
            if facts.controller_uid != owner:
                return Result(action, refusals.name_conflict(facts))
        if action.uid:
            assert live is not None
            assert live["metadata"]["uid"] == action.uid
        if action.key.kind in self.refusing:
            raise self.refusing[action.key.kind]
        if action.key.kind in self.contested:
            who = self.contested[action.key.kind]
            return Result(action, refusals.contested(action.key, who))
        made = apiserver.applied(live, dict(action.manifest), self._number("child"))
        if self.respells is not None:
            self.respells(made)
        self.children[action.key] = made
        facts = observe.child(made)
        self._applied[action.key] = AppliedDigest(action.digest, facts.owned_digest)
        missing = projection.dropped(action.manifest, made, names.FIELD_MANAGER)
        self._unsupported.pop(action.key, None)
        if not missing:
            return Result(action)
        result = Result(action, refusals.fields_dropped(action.key, missing))
        self._unsupported[action.key] = (action.digest, result)
        return result

    def _still_unsupported(self) -> list[Result]:
        return [
            result
            for key, (desired, result) in self._unsupported.items()
            if key in self._applied and self._applied[key].desired == desired
        ]

    # What the cluster does

    def passes(self, **time: float) -> None:
        """Lets time pass: `seconds=`, `minutes=`, `hours=`."""
        self.now += timedelta(**time)

    def controllers(self) -> None:
        """Garbage collector and StatefulSet controller do all that they can do now."""
        living = {obj["metadata"]["uid"] for obj in self.deployments.values()}
        for key, obj in list(self.children.items()):
            owners = obj["metadata"].get("ownerReferences", [])
            ours = [owner for owner in owners if owner["kind"] == "VideoLLMDeployment"]
            if ours and not any(owner["uid"] in living for owner in ours):
                del self.children[key]
        sets = [obj for key, obj in self.children.items() if key.kind == "StatefulSet"]
        uids = {obj["metadata"]["uid"] for obj in sets}
        for pod in self.pods.values():
            if pod["metadata"]["ownerReferences"][0]["uid"] not in uids:
                self._end(pod)
        for obj in sets:
            if "template" in obj["spec"] and "deletionTimestamp" not in obj["metadata"]:
                self._run_stateful_set(obj)

    def _run_stateful_set(self, obj: Object) -> None:
        name, spec = obj["metadata"]["name"], obj["spec"]
        revision = f"{name}-{projection.digest(spec['template'])[:10]}"
        wanted = [f"{name}-{ordinal}" for ordinal in range(spec["replicas"])]
        if self.creates_pods:
            for pod in wanted:
                if pod not in self.pods:
                    self.pods[pod] = pods.new(pod, self._number("pod"), obj, revision, self.now)
        mine = self._pods_of(obj)
        for pod_name, pod in mine.items():
            if pod_name not in wanted:
                self._end(pod)
        self._replace_one(mine, [pod for pod in reversed(wanted) if pod in mine], revision)
        obj["status"] = {
            "observedGeneration": obj["metadata"]["generation"],
            "replicas": len(mine),
            "updateRevision": revision,
        }

    def _replace_one(self, mine: dict[str, Object], order: list[str], revision: str) -> None:
        """A rolling update: the highest old pod ends, if all above it are ready."""
        for name in order:
            pod = mine[name]
            ending = "deletionTimestamp" in pod["metadata"]
            if pod["metadata"]["labels"]["controller-revision-hash"] != revision and not ending:
                self._end(pod)
                return
            if ending or not pods.is_ready(pod):
                return

    def _pods_of(self, obj: Object) -> dict[str, Object]:
        uid = obj["metadata"]["uid"]
        return {
            name: pod
            for name, pod in self.pods.items()
            if pod["metadata"]["ownerReferences"][0]["uid"] == uid
        }

    def _end(self, pod: Object) -> None:
        until = self.now + timedelta(seconds=pods.GRACE_SECONDS)
        pod["metadata"].setdefault("deletionTimestamp", pods.written(until))

    def ended(self) -> None:
        """Pods that are ending are gone."""
        self.pods = {
            name: pod
            for name, pod in self.pods.items()
            if "deletionTimestamp" not in pod["metadata"]
        }

    def pods_step(self) -> None:
        """Every pod gets one step on, or fails as `failure` says."""
        for pod in self.pods.values():
            if "deletionTimestamp" in pod["metadata"] or pods.is_ready(pod):
                continue
            if not self.failure:
                pods.step(pod, self.now)
            elif observe.pod(pod).problem is None:
                pods.fail(pod, self.failure, self.now)

    def pod_fails(self, name: str, failure: str) -> None:
        """Something goes wrong with one pod."""
        pods.fail(self.pods[name], failure, self.now)

    def settle(self, seconds: float = 1.0) -> None:
        """Everything happens that can happen, until nothing does any more."""
        for _ in range(80):
            before = self._everything()
            for name in list(self.deployments):
                self.reconcile(name)
            self.controllers()
            self.ended()
            self.controllers()
            self.pods_step()
            if before == self._everything():
                return
            self.passes(seconds=seconds)
        raise AssertionError("it never comes to rest")

    def _everything(self) -> str:
        """All objects, as text: cheaper to keep than a copy."""
        return json.dumps([self.deployments, list(self.children.values()), self.pods])

    # Looking

    def status(self, name: str) -> Object:
        """A deployment's status."""
        found: Object = self.deployments[name]["status"]
        return found

    def condition(self, name: str, kind: str) -> Object:
        """One condition; empty if it has none such."""
        conditions = self.status(name).get("conditions", [])
        found: Object = next((c for c in conditions if c["type"] == kind), {})
        return found

    def told(self, name: str) -> str:
        """The `Ready` condition as "True Serving" or "False Loading"."""
        ready = self.condition(name, "Ready")
        return f"{ready['status']} {ready['reason']}" if ready else "nothing"

    def conditions(self, name: str) -> set[str]:
        """Types of the conditions that are true."""
        conditions = self.status(name).get("conditions", [])
        return {c["type"] for c in conditions if c["status"] == "True"}

    def child(self, kind: str, name: str) -> Object:
        """One child."""
        return self.children[ChildKey(kind, name)]

    def _number(self, what: str) -> str:
        self._numbers += 1
        return f"{what}-{self._numbers}"
