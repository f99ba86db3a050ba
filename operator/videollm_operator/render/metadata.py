"""Names, labels, annotations and owners of what is rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.api.v1alpha1.deployment import API_VERSION, KIND
from videollm_operator.render.freeform import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment

_FOREIGN_PREFIXES = (
    "argocd.argoproj.io/",
    "helm.sh/",
    "helm.toolkit.fluxcd.io/",
    "kustomize.toolkit.fluxcd.io/",
    "meta.helm.sh/",
)
_FOREIGN = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
"""Keys by which delivery tools claim objects. On a pod that they do not manage they would make
such a tool prune it, or report it as changed. `kubectl.kubernetes.io/restartedAt` is none."""

MAX_ANNOTATIONS = 256 * 1024
"""Bytes of all annotations of an object together (apimachinery, validation/objectmeta.go)."""


def child_names(deployment: VideoLLMDeployment) -> dict[str, str]:
    """The names of all children, by what the templates call them."""
    name = deployment.metadata.name
    return {
        "workload": names.workload_name(name),
        "service": names.service_name(name),
        "headless_service": names.headless_service_name(name),
        "claim": names.claim_name(name),
    }


def owner_reference(deployment: VideoLLMDeployment) -> dict[str, Any] | None:
    """The reference by which Kubernetes deletes a child with its deployment; None without a uid."""
    if not deployment.metadata.uid:
        return None
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": deployment.metadata.name,
        "uid": deployment.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_labels(deployment: VideoLLMDeployment) -> dict[str, str]:
    """The user's labels and ours.

    Raises:
        Refused: for keys that belong to a delivery tool.
    """
    theirs = _allowed(deployment.spec.pod_template.labels, "spec.podTemplate.labels")
    return {**theirs, **names.child_labels(deployment.metadata.name)}


def pod_annotations(deployment: VideoLLMDeployment) -> dict[str, str]:
    """The user's annotations, and the restart token if there is one.

    Raises:
        Refused: for keys that belong to a delivery tool, and for more text than an object holds.
    """
    field = "spec.podTemplate.annotations"
    found = _allowed(deployment.spec.pod_template.annotations, field)
    size = sum(len(key.encode()) + len(value.encode()) for key, value in found.items())
    if size > MAX_ANNOTATIONS:
        raise refuse(
            field, f"must not exceed {MAX_ANNOTATIONS} bytes together, and has {size}: shorten them"
        )
    token = deployment.spec.rollout.restart_token
    return {**found, names.ANNOTATION_RESTART_TOKEN: token} if token else found


def _allowed(given: Mapping[str, str], field: str) -> dict[str, str]:
    for key in given:
        if key in _FOREIGN or key.startswith(_FOREIGN_PREFIXES):
            raise refuse(
                field,
                f"must not have '{key}': by it a delivery tool would take the pod for an object "
                "that it manages; remove it",
            )
    return dict(sorted(given.items()))
