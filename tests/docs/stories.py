"""For each reason, a world in which the operator gives it; the message is what it then says.

Nothing is imitated but the cluster: worlds are made of API objects through `observe`, decisions
and conditions are the operator's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from videollm_operator.api.conditions import ConditionType
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.loader import builtin, extended
from videollm_operator.reconcile import observe, refusals
from videollm_operator.reconcile.actions import Apply, Result
from videollm_operator.reconcile.decide import decide
from videollm_operator.reconcile.report import report
from videollm_operator.reconcile.world import AppliedDigest, ChildFacts, ChildKey, World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from videollm_operator.api.base import APIModel
    from videollm_operator.catalog.catalog import Catalog

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
LARGE = "llava-hf/llava-onevision-qwen2-72b-ov-hf"
NAME = "video"
REVISION = f"{NAME}-5d8f"
POD = f"{NAME}-0"


def deployment(**spec: Any) -> dict[str, Any]:
    """The 7B on an L4 with 8 frames, as the API server gives it; `spec` replaces sections."""
    return {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": NAME, "namespace": "demo", "uid": "u-1", "generation": 1},
        "spec": {
            "model": {"name": SMALL},
            "gpu": {"sku": "L4"},
            "workload": {"framesPerVideo": 8},
            **spec,
        },
    }


def world(
    obj: dict[str, Any], *pods: dict[str, Any], catalog: Catalog | None = None, replicas: int = 1
) -> World:
    """The object with its children as the operator makes them, and these pods."""
    children: dict[ChildKey, ChildFacts] = {}
    applied = {}
    for action in decide(World(obj), catalog or builtin()).actions:
        assert isinstance(action, Apply)
        made = {**action.manifest}
        made["metadata"] = {**made["metadata"], "uid": f"u-{action.key}", "generation": 1}
        if made["kind"] == "StatefulSet":
            made["status"] = {"observedGeneration": 1, "updateRevision": REVISION}
            made["spec"] = {**made["spec"], "replicas": replicas}
        facts = observe.child(made)
        children[action.key] = facts
        applied[action.key] = AppliedDigest(action.digest, facts.owned_digest)
    facts_of_pods = observe.in_order(observe.pod(pod) for pod in pods)
    return World(obj, children, facts_of_pods, applied=applied)


def pod(name: str = POD, *, revision: str = REVISION, **status: Any) -> dict[str, Any]:
    """A pod with this status."""
    labels = {"controller-revision-hash": revision}
    return {"metadata": {"name": name, "uid": name, "labels": labels}, "status": status}


def conditions(*true: str) -> list[dict[str, str]]:
    """Pod conditions that are true."""
    return [{"type": kind, "status": "True"} for kind in true]


def container(**fields: Any) -> dict[str, Any]:
    """The status of a scheduled pod whose engine container is in this state."""
    return {
        "conditions": conditions("PodScheduled"),
        "containerStatuses": [{"name": observe.ENGINE_CONTAINER, **fields}],
    }


def ready_pod(name: str = POD, **changes: Any) -> dict[str, Any]:
    """A pod that answers."""
    return pod(name, conditions=conditions("PodScheduled", "Ready"), **changes)


@dataclass(frozen=True)
class Story:
    """A world, and where its reason is to be found."""

    world: World
    condition: ConditionType = ConditionType.READY
    catalog: Catalog = field(default_factory=builtin)
    results: tuple[Result, ...] = ()
    late: timedelta = timedelta()
    """How long after its first look the operator looks again."""

    def found(self) -> tuple[str, str]:
        """Reason and message of the condition that the operator gives."""
        seen = self.world
        if self.late:
            obj = {**seen.deployment, "status": self._status(seen, NOW)}
            seen = replace(seen, deployment=obj)
        by_type = {each["type"]: each for each in self._status(seen, NOW + self.late)["conditions"]}
        condition = by_type[self.condition]
        return condition["reason"], condition["message"]

    def _status(self, seen: World, now: datetime) -> Mapping[str, Any]:
        told = report(seen, decide(seen, self.catalog), self.results, now)
        assert told.status is not None
        return told.status


def refused(**spec: Any) -> Story:
    """An object that is refused from the beginning."""
    return Story(World(deployment(**spec)))


def waiting(*pods: dict[str, Any], **spec: Any) -> Story:
    """An object with its children and these pods."""
    return Story(world(deployment(**spec), *pods))


def _server_says(status: int, message: str, kind: str) -> Story:
    made = world(deployment())
    action = Apply({"kind": kind, "metadata": {"name": NAME}}, "")
    problem = refusals.problem_of(action, status, "", message)
    return Story(made, results=(Result(action, problem),))


def _dropped() -> Story:
    made = world(deployment())
    action = Apply({"kind": "StatefulSet", "metadata": {"name": NAME}}, "")
    path = "spec.template.spec.volumes[0].image"
    problem = refusals.fields_dropped(action.key, [path])
    return Story(made, results=(Result(action, problem),))


def _contested() -> Story:
    made = world(deployment())
    action = Apply({"kind": "StatefulSet", "metadata": {"name": NAME}}, "")
    said = (
        'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: '
        ".spec.template.spec.terminationGracePeriodSeconds"
    )
    problem = refusals.contested(action.key, said)
    return Story(made, results=(Result(action, problem),))


def _conflict() -> Story:
    theirs = observe.child({"kind": "Service", "metadata": {"name": NAME, "uid": "theirs"}})
    return Story(World(deployment(), {theirs.key: theirs}))


def _learnt(condition: ConditionType, section: str, entry: APIModel, **changes: Any) -> Story:
    """The layout was accepted, and the catalogue has another entry since."""
    fields = entry.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps({section: [{**fields, **changes}]})
    today = extended(builtin(), text, "catalog.yaml")
    assert not today.problems, today.problems
    return Story(world(deployment(), ready_pod()), condition, today)


def _newer_default() -> Story:
    entry = builtin().engine(EngineType.VLLM, "0.33.0")
    assert entry is not None
    return _learnt(ConditionType.UPDATE_AVAILABLE, "engines", entry, default=True)


def _smaller_gpu() -> Story:
    entry = builtin().gpus["L4"]
    return _learnt(
        ConditionType.DEGRADED, "gpus", entry, nominalGB=16, nvmlMiB=16384, visibleMiB=16000
    )


def _pulling() -> dict[str, Any]:
    said = 'Back-off pulling image "registry.example.com/vllm:none"'
    return pod(**container(state={"waiting": {"reason": "ImagePullBackOff", "message": said}}))


def _unschedulable() -> dict[str, Any]:
    return pod(
        conditions=[
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
            }
        ]
    )


def _secret_missing() -> dict[str, Any]:
    said = {"reason": "CreateContainerConfigError", "message": 'secret "hf" not found'}
    return pod(**container(state={"waiting": said}))


def _crashing(name: str = POD) -> dict[str, Any]:
    return pod(
        name,
        **container(
            restartCount=3,
            state={"waiting": {"reason": "CrashLoopBackOff"}},
            lastState={
                "terminated": {
                    "exitCode": 1,
                    "message": "ValueError: No supported config format found in /model",
                }
            },
        ),
    )


def _killed() -> dict[str, Any]:
    ended = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    return pod(**container(restartCount=1, state={"running": {}}, lastState=ended))


STORIES: Mapping[Reason, Callable[[], Story]] = {
    Reason.SERVING: lambda: waiting(ready_pod()),
    Reason.SCALED_TO_ZERO: lambda: Story(world(deployment(replicas=0), replicas=0)),
    Reason.SIZED: lambda: Story(World(deployment()), ConditionType.SIZED),
    Reason.PAUSED: lambda: Story(world(deployment(paused=True), ready_pod()), ConditionType.PAUSED),
    Reason.CREATING: lambda: Story(World(deployment())),
    Reason.SCHEDULING: lambda: waiting(pod()),
    Reason.LOADING: lambda: waiting(pod(**container(state={"running": {}}))),
    Reason.ROLLING_OUT: lambda: waiting(ready_pod(revision="video-old")),
    Reason.REPLICAS_UNAVAILABLE: lambda: Story(
        world(deployment(replicas=2), ready_pod(), _crashing("video-1"), replicas=2),
        ConditionType.DEGRADED,
    ),
    Reason.UPDATE_AVAILABLE: _newer_default,
    Reason.RUNNING_PLAN_UNSAFE: _smaller_gpu,
    Reason.ENGINE_VERSION_UNKNOWN: lambda: Story(
        World(deployment(engine={"type": "VLLM", "version": "0.34.0"})),
        ConditionType.ENGINE_UNVERIFIED,
    ),
    Reason.ENGINE_IMAGE_UNKNOWN: lambda: Story(
        World(deployment(engine={"type": "VLLM", "image": "registry.example.com/vllm:ours"})),
        ConditionType.ENGINE_UNVERIFIED,
    ),
    Reason.INVALID_SPEC: lambda: refused(workload={"framesPerVideo": 0}),
    Reason.MODEL_UNKNOWN: lambda: refused(model={"name": "my-org/LLaVA-Video-72B-tuned"}),
    Reason.GPU_UNKNOWN: lambda: refused(gpu={"sku": "A100-80"}),
    Reason.CONTEXT_TOO_LONG: lambda: refused(workload={"framesPerVideo": 512}),
    Reason.LAYOUT_ILLEGAL: lambda: refused(
        parallelism={"strategy": "Manual", "tensor": 3, "pipeline": 1}
    ),
    Reason.DOES_NOT_FIT: lambda: refused(model={"name": LARGE}, gpu={"sku": "L4", "perReplica": 1}),
    Reason.NEEDS_SEVERAL_NODES: lambda: refused(model={"name": LARGE}, gpu={"sku": "T4"}),
    Reason.QUANTIZATION_UNSUPPORTED: lambda: refused(
        quantization={"format": "INT4", "method": "BitsAndBytes"}
    ),
    Reason.DTYPE_UNSUPPORTED: lambda: refused(gpu={"sku": "T4"}, dtype="BFloat16"),
    Reason.ENGINE_UNSUPPORTED: lambda: refused(
        model={"name": "lmms-lab/LLaVA-Video-72B-Qwen2"}, gpu={"sku": "A100-80GB"}
    ),
    Reason.ARGUMENT_REFUSED: lambda: refused(engine={"extraArgs": ["--tensor-parallel-size=2"]}),
    Reason.ENV_REFUSED: lambda: refused(
        engine={"env": [{"name": "CUDA_VISIBLE_DEVICES", "value": "0"}]}
    ),
    Reason.FIELD_UNSUPPORTED: lambda: refused(
        model={"name": "llava-hf/llava-v1.6-mistral-7b-hf"}, workload={"videosPerRequest": 2}
    ),
    Reason.NAME_CONFLICT: _conflict,
    Reason.IMMUTABLE_FIELD: lambda: _server_says(
        422,
        'StatefulSet.apps "video" is invalid: spec: Forbidden: updates to statefulset spec for '
        "fields other than 'replicas', 'template' are forbidden",
        "StatefulSet",
    ),
    Reason.FIELD_NOT_SUPPORTED: _dropped,
    Reason.CONTESTED: _contested,
    Reason.CHILD_REFUSED: lambda: _server_says(
        403,
        'persistentvolumeclaims "video" is forbidden: exceeded quota: storage, requested: '
        "requests.storage=32Gi, used: requests.storage=90Gi, limited: requests.storage=100Gi",
        "PersistentVolumeClaim",
    ),
    Reason.UNSCHEDULABLE: lambda: waiting(_unschedulable()),
    Reason.IMAGE_PULL_FAILED: lambda: waiting(_pulling()),
    Reason.CONFIG_MISSING: lambda: waiting(_secret_missing()),
    Reason.POD_CREATION_FAILED: lambda: replace(waiting(), late=timedelta(minutes=5)),
    Reason.CRASH_LOOP: lambda: waiting(_crashing()),
    Reason.OUT_OF_MEMORY: lambda: waiting(_killed()),
    Reason.PROGRESS_DEADLINE_EXCEEDED: lambda: replace(
        waiting(pod(**container(state={"running": {}}))), late=timedelta(hours=2)
    ),
}
"""A world for every reason."""
