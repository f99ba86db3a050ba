"""Which nodes a pod may run on: the GPU's own requirement combined with the user's.

Node selector terms are alternatives (ORed). The GPU is recognised by any of several label families,
and the user may have given alternatives too, so the result is their cross product. Each term also
excludes nodes on which a "GPU" is only a part of one. What nodes report counts for a plan only if
pods may go there, so `recogniser` judges nodes by the same terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from videollm_operator.api.v1alpha1.compute import NodeSelection
from videollm_operator.catalog.entries import GKE_PARTITION, PRODUCT
from videollm_operator.render.freeform import canonical, mapping, refuse, sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.catalog.entries import GPUEntry

Expression = dict[str, Any]
"""One condition on a node label."""

WHOLE_GPU = "nvidia.com/gpu"
"""Resource that stands for a whole NVIDIA GPU, or, on a shared or MIG node, for a part of one."""

TAINT = "nvidia.com/gpu"
"""Key of the taint that keeps other pods off nodes with NVIDIA GPUs."""

LONGEST_LABEL = 63
"""Characters of a label's value; a term with a longer one would match no node at all."""

_SHARED: Expression = {
    "key": "nvidia.com/gpu.sharing-strategy",
    "operator": "NotIn",
    "values": ["mps", "time-slicing"],
}
"""GPU Feature Discovery: shared by time slicing or MPS. Without the label nothing is excluded."""

_SLICED: Expression = {"key": "nvidia.com/gpu.slices.gi", "operator": "DoesNotExist"}
"""GPU Feature Discovery: `nvidia.com/gpu` is a MIG slice (strategy `single`). The label
`nvidia.com/mig.strategy` would not do: it is also on nodes whose GPUs are whole."""

_GKE = "cloud.google.com/"
_GKE_SHARED: Expression = {"key": f"{_GKE}gke-gpu-sharing-strategy", "operator": "DoesNotExist"}
_GKE_SLICED: Expression = {"key": GKE_PARTITION, "operator": "DoesNotExist"}

_AFFINITY = "spec.scheduling.affinity"
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_TERMS = f"{_AFFINITY}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"


def affinity(spec: VideoLLMDeploymentSpec, gpu: GPUEntry) -> dict[str, Any]:
    """The pod's affinity; empty if there is none.

    Raises:
        Refused: if `spec.scheduling.affinity` is not the affinity of a pod.
    """
    wanted: dict[str, Any] = canonical(spec.scheduling.affinity, _AFFINITY)
    if spec.gpu.node_selection is NodeSelection.NONE:
        return wanted
    node = mapping(wanted.get("nodeAffinity"), f"{_AFFINITY}.nodeAffinity")
    theirs = _user_terms(node)
    terms = [_combined(expressions, term) for expressions in _families(gpu) for term in theirs]
    node = {**node, _REQUIRED: {"nodeSelectorTerms": terms}}
    return {**wanted, "nodeAffinity": node}


def tolerations(spec: VideoLLMDeploymentSpec, gpu: GPUEntry) -> list[dict[str, Any]]:
    """The GPU's own toleration, then the user's.

    Raises:
        Refused: if `spec.scheduling.tolerations` holds something that no pod can have.
    """
    key = TAINT if gpu.resource_name.startswith("nvidia.com/") else gpu.resource_name
    own = {"key": key, "operator": "Exists", "effect": "NoSchedule"}
    theirs = canonical(spec.scheduling.tolerations, "spec.scheduling.tolerations")
    return [own, *(toleration for toleration in theirs if toleration != own)]


def recogniser(gpu: GPUEntry) -> Callable[[Mapping[str, str]], bool]:
    """Tells whether a node with such labels has this GPU, whole unless a part is the SKU."""
    families = _families(gpu)
    return lambda labels: any(all(_holds(each, labels) for each in family) for family in families)


def label_keys(gpu: GPUEntry) -> frozenset[str]:
    """The node labels by which `recogniser` judges."""
    return frozenset(each["key"] for family in _families(gpu) for each in family)


def _holds(expression: Expression, labels: Mapping[str, str]) -> bool:
    """Whether the labels meet an expression of those made here, as the scheduler judges it."""
    value = labels.get(expression["key"])
    if expression["operator"] == "DoesNotExist":
        return value is None
    return bool(value in expression["values"]) is (expression["operator"] == "In")


def _user_terms(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The user's alternatives; one without any condition if there are none."""
    if _REQUIRED not in node:
        return [{}]
    required = mapping(node[_REQUIRED], f"{_AFFINITY}.nodeAffinity.{_REQUIRED}")
    terms = sequence(required.get("nodeSelectorTerms"), _TERMS)
    if not terms:
        raise refuse(_TERMS, "must not be empty: name the node labels, or remove it")
    for index, term in enumerate(terms):
        if not mapping(term, f"{_TERMS}[{index}]"):
            raise refuse(
                f"{_TERMS}[{index}]",
                "is empty, and an empty term matches no node: name node labels, or remove it",
            )
    return terms


def _combined(ours: list[Expression], theirs: Mapping[str, Any]) -> dict[str, Any]:
    where = f"{_TERMS}[].matchExpressions"
    return {
        **theirs,
        "matchExpressions": [*ours, *sequence(theirs.get("matchExpressions"), where)],
    }


def _families(gpu: GPUEntry) -> list[list[Expression]]:
    """What a node must have, and must not have, by each label family."""
    products = {value for labels in gpu.node_labels for value in labels.get(PRODUCT, ())}
    return [
        [
            *(_one_of(key, values) for key, values in sorted(labels.items())),
            *_exclusions(labels, products, gpu.resource_name),
        ]
        for labels in gpu.node_labels
    ]


def _one_of(key: str, values: Iterable[str], operator: str = "In") -> Expression:
    return {"key": key, "operator": operator, "values": sorted(set(values))}


def _exclusions(
    labels: Mapping[str, Sequence[str]], products: Iterable[str], resource: str
) -> list[Expression]:
    """Nodes whose GPUs are shared or cut in slices; none where that is what the entry means.

    Product labels name shared and MIG nodes differently (`-SHARED`, `-MIG-1g.5gb`), but the label
    families of clouds do not, and a node can have both. GPU Feature Discovery before 0.15 tells
    sharing by the product label alone.
    """
    if resource != WHOLE_GPU:
        return []
    values = [value for alternatives in labels.values() for value in alternatives]
    gke = any(key.startswith(_GKE) for key in labels)
    excluded: list[Expression] = []
    shared = [f"{product}-SHARED" for product in products]
    shared = [value for value in shared if len(value) <= LONGEST_LABEL]  # no node has a longer one
    excluded += [_SHARED, *([_one_of(PRODUCT, shared, "NotIn")] if shared else [])]
    excluded += [_GKE_SHARED] if gke else []
    if not any("-MIG-" in value for value in values) and GKE_PARTITION not in labels:
        excluded += [_SLICED, *([_GKE_SLICED] if gke else [])]
    return [dict(expression) for expression in excluded if expression["key"] not in labels]
