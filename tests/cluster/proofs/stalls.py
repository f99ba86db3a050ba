"""How each reason that can stall a deployment comes up on a real cluster, and how its cause goes.

Whatever is done here to make the cause go is done to the cause, never to the status.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devcluster import nodes
from devcluster.contents import storage_class
from tests.cluster.proofs.states import BACKOFF_SECONDS, CRASHES, DEADLINE_S, FUTURE_FIELD, good
from tests.cluster.world import FAIL, LOAD_SECONDS, SMALL
from videollm_operator.api.reasons import REGISTRY, Reason, Stall

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.cluster.world import Namespace

Object = dict[str, Any]

SCARCE = "fast-and-scarce"
NODE_LABEL = "example.com/stalls"
NODES = next(group for group in nodes.load() if group.name == "a100-80gb")
LATE_NODE = replace(NODES, name="late", count=1, labels=((NODE_LABEL, "there"),))


@dataclass(frozen=True)
class Cause:
    """What makes one reason come up.

    Attributes:
        spec: sections of the object.
        before: objects that are there before it.
        goes: takes the cause away where that is not a change of the object.
        first: the reason that is told before the deadline; the same one, as a rule.
    """

    spec: Mapping[str, Any]
    before: Callable[[str], list[Object]] = field(default=lambda _name: [])
    goes: Callable[[Namespace, str], object] | None = None
    first: Reason | None = None


def name_of(reason: Reason) -> str:
    """Name of the deployment that shows a reason."""
    return f"stalls-{reason.lower()}"


def made(reason: Reason) -> Object:
    """The deployment that shows it."""
    cause = CAUSES[reason]
    spec = dict(cause.spec)
    if REGISTRY[reason].stall is Stall.AFTER_DEADLINE or cause.first is not None:
        spec["rollout"] = {"progressDeadlineSeconds": DEADLINE_S}
    return good(name_of(reason), **spec)


def mended(reason: Reason) -> Object | None:
    """The deployment with its fault corrected; None if the cause lies elsewhere."""
    return None if CAUSES[reason].goes is not None else good(name_of(reason))


def _annotated(**annotations: str) -> dict[str, Any]:
    return {"podTemplate": {"annotations": annotations}}


def stranger(name: str, kind: str = "Service") -> Object:
    """An object of somebody else, with the name of a child."""
    if kind == "Service":
        spec: Object = {"ports": [{"port": 80}], "selector": {"app": "theirs"}}
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    labels = {"app": name}
    container = {"name": "c", "image": "example.com/theirs"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "serviceName": "theirs", "selector": {"matchLabels": labels}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {**spec, "template": template},
    }


def _pod_recovers(space: Namespace, name: str) -> None:
    """What the kubelet complains of is there now; kwok plays that by an annotation of the pod."""
    space.kubectl("annotate", "pod", f"{name}-0", f"{FAIL}-", f"{BACKOFF_SECONDS}=1", "--overwrite")


def _account_comes(space: Namespace, name: str) -> None:
    """The service account that pods lack. The controller's next try is minutes away, so it is woken
    by a look at the StatefulSet, as any event would do it.
    """
    space.kubectl("create", "serviceaccount", f"{name}-theirs")
    space.kubectl("annotate", "statefulset", name, "example.com/look=again")


def _quota_goes(space: Namespace, name: str) -> None:
    space.kubectl("delete", "resourcequota", name)


def _quota(name: str) -> list[Object]:
    """A storage class of which there is nothing left: a shared cache cannot be made."""
    hard = {f"{SCARCE}.storageclass.storage.k8s.io/persistentvolumeclaims": "0"}
    return [
        storage_class(SCARCE, default=False),
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": name},
            "spec": {"hard": hard},
        },
    ]


CAUSES: dict[Reason, Cause] = {
    # Refused: the object is corrected.
    Reason.INVALID_SPEC: Cause({FUTURE_FIELD: "x"}),
    Reason.MODEL_UNKNOWN: Cause({"model": {"name": "no/such-model"}}),
    Reason.GPU_UNKNOWN: Cause({"gpu": {"sku": "A100"}}),
    Reason.CONTEXT_TOO_LONG: Cause({"workload": {"framesPerVideo": 2000}}),
    Reason.LAYOUT_ILLEGAL: Cause({"parallelism": {"strategy": "Manual", "tensor": 3}}),
    Reason.DOES_NOT_FIT: Cause(
        {
            "model": {"name": "llava-hf/llava-onevision-qwen2-72b-ov-hf"},
            "gpu": {"sku": "L4", "perReplica": 1},
        }
    ),
    Reason.NEEDS_SEVERAL_NODES: Cause({"gpu": {"sku": "A100-80GB", "perReplica": 64}}),
    Reason.QUANTIZATION_UNSUPPORTED: Cause(
        {"quantization": {"format": "INT4", "method": "BitsAndBytes"}}
    ),
    Reason.DTYPE_UNSUPPORTED: Cause({"gpu": {"sku": "T4"}, "dtype": "BFloat16"}),
    Reason.ENGINE_UNSUPPORTED: Cause({"engine": {"type": "TGI"}}),
    Reason.ARGUMENT_REFUSED: Cause({"engine": {"extraArgs": ["--tensor-parallel-size=2"]}}),
    Reason.ENV_REFUSED: Cause(
        {"engine": {"env": [{"name": "CUDA_VISIBLE_DEVICES", "value": "0"}]}}
    ),
    Reason.FIELD_UNSUPPORTED: Cause(
        {
            "model": {"name": "llava-hf/llava-v1.6-mistral-7b-hf"},
            "workload": {"videosPerRequest": 2},
        }
    ),
    # Between the operator and the API server.
    Reason.NAME_CONFLICT: Cause(
        {},
        before=lambda name: [stranger(name)],
        goes=lambda space, name: space.kubectl("delete", "service", name),
    ),
    Reason.IMMUTABLE_FIELD: Cause(
        {"cache": {"type": "PersistentVolumeClaim", "size": "200Gi"}},
        before=lambda name: [good(name, cache={"type": "PersistentVolumeClaim", "size": "100Gi"})],
        goes=lambda space, name: space.kubectl("delete", "statefulset", name, "--wait=false"),
    ),
    Reason.FIELD_NOT_SUPPORTED: Cause(
        {"scheduling": {"affinity": {"nodeAffinity": {"ofTheFuture": {"key": "value"}}}}}
    ),
    Reason.CHILD_REFUSED: Cause(
        {
            "cache": {
                "type": "PersistentVolumeClaim",
                "accessMode": "ReadWriteMany",
                "storageClassName": SCARCE,
            }
        },
        before=_quota,
        goes=_quota_goes,
    ),
    # Waiting for the cluster.
    Reason.UNSCHEDULABLE: Cause(
        {"scheduling": {"nodeSelector": {NODE_LABEL: "there"}}},
        goes=lambda space, _name: space.cluster.add_nodes([LATE_NODE]),
    ),
    Reason.IMAGE_PULL_FAILED: Cause(_annotated(**{FAIL: "ImagePullBackOff"}), goes=_pod_recovers),
    Reason.CONFIG_MISSING: Cause(
        _annotated(**{FAIL: "CreateContainerConfigError"}), goes=_pod_recovers
    ),
    Reason.POD_CREATION_FAILED: Cause(
        {"podTemplate": {"serviceAccountName": f"{name_of(Reason.POD_CREATION_FAILED)}-theirs"}},
        goes=_account_comes,
        first=Reason.CREATING,
    ),
    Reason.CRASH_LOOP: Cause(_annotated(**CRASHES), goes=_pod_recovers),
    Reason.OUT_OF_MEMORY: Cause(_annotated(**{**CRASHES, FAIL: "OOMKilled"}), goes=_pod_recovers),
    Reason.PROGRESS_DEADLINE_EXCEEDED: Cause(
        _annotated(**{LOAD_SECONDS: "100000"}),
        goes=lambda space, name: space.kubectl(
            "annotate", "pod", f"{name}-0", f"{LOAD_SECONDS}=0", "--overwrite"
        ),
        first=Reason.LOADING,
    ),
}

ELSEWHERE = {Reason.CONTESTED: "tests/cluster/proofs/test_fights.py"}
"""Reasons that take more than a cause: a program that fights for a field. See its test."""

STALLING = [
    reason
    for reason in Reason
    if REGISTRY[reason].stall is not Stall.NEVER and reason not in ELSEWHERE
]


def before_deadline(reason: Reason) -> Reason:
    """What is told before the deadline, of a deployment that this reason will stall."""
    return CAUSES[reason].first or reason


def stalls_at_once(reason: Reason) -> bool:
    """Whether the deadline does not matter."""
    return REGISTRY[reason].stall is Stall.AT_ONCE and CAUSES[reason].first is None


LATE = {
    "late-secret": good(
        "late-secret",
        model={
            "name": SMALL,
            "source": {"huggingFace": {"tokenSecretRef": {"name": "late", "key": "token"}}},
        },
        **_annotated(**{FAIL: "CreateContainerConfigError"}),
    ),
    "late-claim": good(
        "late-claim",
        model={
            "name": SMALL,
            "source": {"persistentVolumeClaim": {"claimName": "late", "path": "/llava"}},
        },
    ),
}
"""Deployments whose Secret or volume claim comes a minute after them."""


def arrive(space: Namespace) -> None:
    """The Secret and the claim come. The real scheduler misses the claim. The kubelet that misses
    the Secret is played by kwok, which is told that it is there.
    """
    space.kubectl("create", "secret", "generic", "late", "--from-literal=token=none")
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "late"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "100Gi"}},
            },
        }
    )
    _pod_recovers(space, "late-secret")
