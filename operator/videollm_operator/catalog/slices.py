"""MIG slices as SKUs of their own, made from the profiles of the GPU that is cut.

There are two ways in which NVIDIA's device plugin offers slices, and they are asked for under
different names. Strategy `single` (and GKE): all GPUs of a node are cut alike, slices have the
resource of whole GPUs, and the product label ends in `-MIG-PROFILE`. Strategy `mixed`: each profile
has a resource and labels of its own. NVIDIA/k8s-device-plugin `internal/lm/mig-strategy.go`,
`internal/lm/resource.go`.

The driver reports a slice's memory without what it keeps for itself, so CUDA shows all of it, but
of a slice that is the whole card no more than of the card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.catalog.entries import GKE_PARTITION, PRODUCT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from videollm_operator.catalog.entries import GPUEntry, MIGProfile

MIXED = "-mixed"
"""Ends the name of a slice that has a resource of its own."""

_GKE_ACCELERATOR = "cloud.google.com/gke-accelerator"

_Labels = list[dict[str, list[str]]]


def slices(gpu: GPUEntry) -> Iterator[GPUEntry]:
    """The slices of a GPU, those that nodes can tell by the labels of its entry."""
    for profile in gpu.mig_profiles:
        name = f"{gpu.sku}-MIG-{profile.profile}"
        if alike := _cut_alike(gpu, profile.profile):
            yield _slice(gpu, profile, name, "nvidia.com/gpu", alike)
        resource = f"nvidia.com/mig-{profile.profile}"
        if own := _with_its_own_labels(gpu, profile.profile, resource):
            yield _slice(gpu, profile, name + MIXED, resource, own)


def _slice(
    gpu: GPUEntry, profile: MIGProfile, sku: str, resource: str, labels: _Labels
) -> GPUEntry:
    return gpu.model_copy(
        update={
            "sku": sku,
            "product": f"{profile.profile} slice of {gpu.product}",
            "nominal_gb": profile.nominal_gb,
            "nvml_mib": profile.memory_mib,
            "visible_mib": min(profile.memory_mib, gpu.visible_mib),
            "gpus_per_node": 1,
            "resource_name": resource,
            "node_labels": labels,
            "interconnect": None,
            "mig_profiles": [],
            "video_decoders": profile.video_decoders,
        }
    )


def _products(gpu: GPUEntry, profile: str) -> list[str]:
    """Product labels of the slice; `+` became `.`, or nothing, by the version of the labeller."""
    spellings = dict.fromkeys((profile, profile.replace(".me", "me")))
    return [
        f"{product}-MIG-{spelling}"
        for labels in gpu.node_labels
        for product in labels.get(PRODUCT, ())
        for spelling in spellings
    ]


def _cut_alike(gpu: GPUEntry, profile: str) -> _Labels:
    """Strategy `single`, and GKE, which says the profile in a label of its own."""
    products = _products(gpu, profile)
    return [
        *([{PRODUCT: products}] if products else []),
        *(
            {**labels, GKE_PARTITION: [profile]}
            for labels in gpu.node_labels
            if _GKE_ACCELERATOR in labels
        ),
    ]


def _with_its_own_labels(gpu: GPUEntry, profile: str, resource: str) -> _Labels:
    products = _products(gpu, profile)
    return [{f"{resource}.product": products}] if products else []
