"""The registry of reasons: declared once, documented, tested. Reasons are an API.

Each reason fixes whether it stalls the deployment: at once, only after the progress deadline, or
never. `docs/troubleshooting.md` has a section per reason; a test asserts that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stall(StrEnum):
    """When a reason makes the deployment `Stalled`."""

    NEVER = "Never"
    AT_ONCE = "AtOnce"
    AFTER_DEADLINE = "AfterDeadline"


class Reason(StrEnum):
    """One word for programs. The sentence for people is in the message beside it."""

    # It works.
    SERVING = "Serving"
    SCALED_TO_ZERO = "ScaledToZero"
    SIZED = "Sized"
    PAUSED = "Paused"
    # It is on its way.
    CREATING = "Creating"
    SCHEDULING = "Scheduling"
    LOADING = "Loading"
    ROLLING_OUT = "RollingOut"
    # It serves, but not as it should.
    REPLICAS_UNAVAILABLE = "ReplicasUnavailable"
    UPDATE_AVAILABLE = "UpdateAvailable"
    RUNNING_PLAN_UNSAFE = "RunningPlanUnsafe"
    ENGINE_VERSION_UNKNOWN = "EngineVersionUnknown"
    ENGINE_IMAGE_UNKNOWN = "EngineImageUnknown"
    # Refused: nothing changes until the object (or the catalogue) does.
    INVALID_SPEC = "InvalidSpec"
    MODEL_UNKNOWN = "ModelUnknown"
    GPU_UNKNOWN = "GPUUnknown"
    CONTEXT_TOO_LONG = "ContextTooLong"
    LAYOUT_ILLEGAL = "LayoutIllegal"
    DOES_NOT_FIT = "DoesNotFit"
    NEEDS_SEVERAL_NODES = "NeedsSeveralNodes"
    QUANTIZATION_UNSUPPORTED = "QuantizationUnsupported"
    DTYPE_UNSUPPORTED = "DTypeUnsupported"
    ENGINE_UNSUPPORTED = "EngineUnsupported"
    ARGUMENT_REFUSED = "ArgumentRefused"
    ENV_REFUSED = "EnvRefused"
    FIELD_UNSUPPORTED = "FieldUnsupported"
    # Between the operator and the API server.
    NAME_CONFLICT = "NameConflict"
    IMMUTABLE_FIELD = "ImmutableField"
    FIELD_NOT_SUPPORTED = "FieldNotSupported"
    CONTESTED = "Contested"
    CHILD_REFUSED = "ChildRefused"
    # Waiting for the cluster; stalled only after the progress deadline.
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CONFIG_MISSING = "ConfigMissing"
    POD_CREATION_FAILED = "PodCreationFailed"
    CRASH_LOOP = "CrashLoop"
    OUT_OF_MEMORY = "OutOfMemory"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What is fixed about a reason."""

    stall: Stall
    meaning: str
    remedy: str


_ON_ITS_WAY = "Wait; the message says for what."

REGISTRY: dict[Reason, ReasonInfo] = {
    Reason.SERVING: ReasonInfo(
        Stall.NEVER, "All replicas of the current generation answer.", "Nothing to do."
    ),
    Reason.SCALED_TO_ZERO: ReasonInfo(
        Stall.NEVER,
        "`spec.replicas` is 0; no GPU is held.",
        "Scale up with `kubectl scale` when you need it.",
    ),
    Reason.SIZED: ReasonInfo(
        Stall.NEVER, "The plan fits; `status.sizing` has every term.", "Nothing to do."
    ),
    Reason.PAUSED: ReasonInfo(
        Stall.NEVER,
        "`spec.paused` is true: nothing but status is written, replicas included.",
        "Set `spec.paused: false`.",
    ),
    Reason.CREATING: ReasonInfo(Stall.NEVER, "Children are being created.", _ON_ITS_WAY),
    Reason.SCHEDULING: ReasonInfo(Stall.NEVER, "Pods wait for a node.", _ON_ITS_WAY),
    Reason.LOADING: ReasonInfo(
        Stall.NEVER, "Pods run, and the engine loads the model.", "Wait; a 72B takes many minutes."
    ),
    Reason.ROLLING_OUT: ReasonInfo(
        Stall.NEVER, "Pods are being replaced by ones of the new layout.", _ON_ITS_WAY
    ),
    Reason.REPLICAS_UNAVAILABLE: ReasonInfo(
        Stall.NEVER,
        "Some replicas answer, others do not.",
        "Look at the pod that the message names.",
    ),
    Reason.UPDATE_AVAILABLE: ReasonInfo(
        Stall.NEVER,
        "Today's catalogue, engine default or operator would give another layout; the running one "
        "stays.",
        "Set a new `spec.rollout.restartToken` to take it up. With `spec.rollout.updates: "
        "Automatic` the message says when that happens by itself.",
    ),
    Reason.RUNNING_PLAN_UNSAFE: ReasonInfo(
        Stall.NEVER,
        "By what is known today, the running layout may run out of memory.",
        "Set a new `spec.rollout.restartToken` to take up today's plan, or change the spec.",
    ),
    Reason.ENGINE_VERSION_UNKNOWN: ReasonInfo(
        Stall.NEVER,
        "The catalogue has no table for this engine version; it is run like the nearest one.",
        "Use a version that `videollm models --engines` lists, or add it to the catalogue.",
    ),
    Reason.ENGINE_IMAGE_UNKNOWN: ReasonInfo(
        Stall.NEVER,
        "Nothing says which engine version is in this image; it is run like the default one.",
        "Say it in `spec.engine.version`.",
    ),
    Reason.INVALID_SPEC: ReasonInfo(
        Stall.AT_ONCE,
        "The object does not match the schema that this operator knows.",
        "Correct the field that the message names; CRD and operator must have the same version.",
    ),
    Reason.MODEL_UNKNOWN: ReasonInfo(
        Stall.AT_ONCE,
        "No catalogue entry has this model.",
        "Set `spec.model.base` to a catalogue model of the same architecture, give the numbers in "
        "`spec.model.architecture`, or add the model to the catalogue.",
    ),
    Reason.GPU_UNKNOWN: ReasonInfo(
        Stall.AT_ONCE,
        "No catalogue entry has this GPU.",
        "Use a name that `videollm gpus` lists, or add the GPU to the catalogue.",
    ),
    Reason.CONTEXT_TOO_LONG: ReasonInfo(
        Stall.AT_ONCE,
        "The workload needs more tokens than the model or `maxModelLen` allows.",
        "Lower `framesPerVideo`, `videosPerRequest`, `promptTokens` or `maxOutputTokens`.",
    ),
    Reason.LAYOUT_ILLEGAL: ReasonInfo(
        Stall.AT_ONCE,
        "This tensor- or pipeline-parallel size is not possible for the model.",
        "Use a layout that the message lists.",
    ),
    Reason.DOES_NOT_FIT: ReasonInfo(
        Stall.AT_ONCE,
        "No legal layout of this GPU holds the model and the workload.",
        "Use a larger GPU, a quantized checkpoint, fewer frames or fewer concurrent requests, as "
        "the message says.",
    ),
    Reason.NEEDS_SEVERAL_NODES: ReasonInfo(
        Stall.AT_ONCE,
        "The model fits only on more GPUs than one node has.",
        "Use a larger GPU or a quantized checkpoint; replicas across nodes are not built yet.",
    ),
    Reason.QUANTIZATION_UNSUPPORTED: ReasonInfo(
        Stall.AT_ONCE,
        "Engine, GPU or checkpoint cannot do this quantization.",
        "Use a format and method that the message names.",
    ),
    Reason.DTYPE_UNSUPPORTED: ReasonInfo(
        Stall.AT_ONCE,
        "This GPU or engine cannot compute in this number format.",
        "Leave `spec.dtype` at 'Auto'.",
    ),
    Reason.ENGINE_UNSUPPORTED: ReasonInfo(
        Stall.AT_ONCE,
        "This engine cannot load this checkpoint, or cannot take its video.",
        "Use the engine or the checkpoint that the message names.",
    ),
    Reason.ARGUMENT_REFUSED: ReasonInfo(
        Stall.AT_ONCE,
        "An entry of `spec.engine.extraArgs` is unknown, malformed, or owned by the plan.",
        "Remove it, or set the field of the spec that the message names.",
    ),
    Reason.ENV_REFUSED: ReasonInfo(
        Stall.AT_ONCE,
        "An entry of `spec.engine.env` is owned by the plan.",
        "Remove it, or set the field of the spec that the message names.",
    ),
    Reason.FIELD_UNSUPPORTED: ReasonInfo(
        Stall.AT_ONCE,
        "The engine cannot honour a field that is set.",
        "Remove the field, or use an engine that can.",
    ),
    Reason.NAME_CONFLICT: ReasonInfo(
        Stall.AT_ONCE,
        "An object of a child's name exists and belongs to somebody else; it is not touched.",
        'Rename or delete that object, or annotate the deployment with `videollm.io/adopt: "true"` '
        "if it is an orphan of the operator.",
    ),
    Reason.IMMUTABLE_FIELD: ReasonInfo(
        Stall.AT_ONCE,
        "Kubernetes does not allow this change in place.",
        "Undo the change, or delete the child that the message names; it is made anew.",
    ),
    Reason.FIELD_NOT_SUPPORTED: ReasonInfo(
        Stall.AT_ONCE,
        "The API server dropped a field that the operator wrote.",
        "Upgrade the cluster, switch on the feature gate, or remove the field.",
    ),
    Reason.CONTESTED: ReasonInfo(
        Stall.AT_ONCE,
        "Another program undoes again and again what the operator writes to a child.",
        "Find the program that the message names, and stop it or let it leave that field alone.",
    ),
    Reason.CHILD_REFUSED: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "The API server, a quota or an admission policy refuses a child, or gives no answer to it.",
        "The message is the server's own; change what it names.",
    ),
    Reason.UNSCHEDULABLE: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "The scheduler finds no node for a pod.",
        "Free or add nodes with this GPU; the message is the scheduler's own.",
    ),
    Reason.IMAGE_PULL_FAILED: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "A node cannot pull the engine image.",
        "Check `spec.engine.image` and `spec.podTemplate.imagePullSecrets`.",
    ),
    Reason.CONFIG_MISSING: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "A Secret, ConfigMap or volume claim that the pod names does not exist.",
        "Create it; nothing else is needed.",
    ),
    Reason.POD_CREATION_FAILED: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "The StatefulSet controller cannot create pods.",
        "Look at the Events of the StatefulSet: quota, admission policy or service account.",
    ),
    Reason.CRASH_LOOP: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "The engine ends soon after its start, again and again.",
        "Read the container's last log: `kubectl logs --previous`.",
    ),
    Reason.OUT_OF_MEMORY: ReasonInfo(
        Stall.AFTER_DEADLINE,
        "The engine was killed for want of host memory.",
        "Raise `spec.podTemplate.resources.memory`.",
    ),
    Reason.PROGRESS_DEADLINE_EXCEEDED: ReasonInfo(
        Stall.AT_ONCE,
        "Nothing has got further for longer than `spec.rollout.progressDeadlineSeconds`.",
        "The message says what it waits for; it clears by itself when that comes.",
    ),
}
"""What is known of every reason; a test asserts that none is missing."""


def documentation_anchor(reason: Reason) -> str:
    """Anchor of the reason's section in docs/troubleshooting.md."""
    return reason.lower()
