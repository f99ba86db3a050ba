"""What a node has to offer, by its labels: whole GPUs, slices of them, or what no replica may use.

A share of a GPU is refused: under time slicing and MPS every pod sees the memory of the whole card,
and the engine takes nearly all of it, so the second one would not start. NVIDIA/k8s-device-plugin
`internal/lm/resource.go` (labels), `api/config/v1/replicas.go` (renamed resources).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from videollm_operator.catalog.entries import GKE_PARTITION, PRODUCT
from videollm_operator.reconcile.nodes import reported_mib
from videollm_operator.render.placement import recogniser

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import GPUEntry
    from videollm_operator.reconcile.world import NodeFacts

_STRATEGY = "nvidia.com/gpu.sharing-strategy"
_GKE_STRATEGY = "cloud.google.com/gke-gpu-sharing-strategy"
_SUFFIXES = re.compile(r"(-MIG-[^-]+|-SHARED)+$")
_MIG = re.compile(r"-MIG-([^-]+)")

_STRATEGIES = {"time-slicing": "time slicing", "time-sharing": "time slicing", "mps": "MPS"}


class Use(StrEnum):
    """What a replica can do with the GPUs of a node."""

    WHOLE = "Whole"
    SLICE = "Slice"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Offer:
    """One kind of GPU that a node has."""

    sku: str
    """What `spec.gpu.sku` calls it; empty if the catalogue does not know it."""
    use: Use
    resource: str = ""
    """Extended resource that a pod asks for; empty if it cannot be used."""
    reported_mib: int | None = None
    """NVML's memory by the node's label, MiB; None if it says nothing that can be true."""
    table_mib: int = 0
    """NVML's memory by the catalogue, MiB."""
    note: str = ""
    """Why not, as a clause; empty if it can be used."""


def offers(labels: Mapping[str, str], catalog: Catalog) -> tuple[Offer, ...]:
    """What a node with these labels offers; empty if they name no GPU."""
    usable = tuple(_usable(gpu, labels) for gpu in catalog.all_gpus if recogniser(gpu)(labels))
    if usable:
        return usable
    gpu = card(labels, catalog)
    if gpu is not None:
        return (Offer(gpu.sku, Use.REFUSED, note=why_not(labels)),)
    product = labels.get(PRODUCT)
    if product is None:
        return ()
    note = f"'{product}' is not in the catalogue: add an entry with this label"
    return (Offer("", Use.UNKNOWN, note=note),)


def _usable(gpu: GPUEntry, labels: Mapping[str, str]) -> Offer:
    use = Use.SLICE if gpu.is_slice else Use.WHOLE
    return Offer(gpu.sku, use, gpu.resource_name, reported_mib(gpu, labels), gpu.nvml_mib)


def card(labels: Mapping[str, str], catalog: Catalog) -> GPUEntry | None:
    """The whole card that is in a node, however it is shared or cut."""
    plain = {key: value for key, value in labels.items() if key != GKE_PARTITION}
    if PRODUCT in plain:
        plain[PRODUCT] = _SUFFIXES.sub("", plain[PRODUCT])
    return next((gpu for gpu in catalog.gpus.values() if gpu.matches(plain)), None)


def why_not(labels: Mapping[str, str]) -> str:
    """Why no replica may use the GPUs of a node whose card is known, as a clause."""
    product = labels.get(PRODUCT, "")
    strategy = labels.get(_GKE_STRATEGY) or labels.get(_STRATEGY, "")
    if product.endswith("-SHARED") or strategy in _STRATEGIES:
        how = _STRATEGIES.get(strategy, "")
        replicas = labels.get("nvidia.com/gpu.replicas", "")
        return (
            f"shared{f' by {how}' if how else ''}{f' among {replicas} pods' if replicas else ''}: "
            "every pod sees the whole card's memory, and the engine takes nearly all of it"
        )
    profile = labels.get(GKE_PARTITION) or (_MIG.findall(product) or [""])[0]
    if profile == "INVALID":
        return (
            "its MIG devices are not all alike, so the device plugin's strategy `single` offers "
            "none: cut all GPUs of the node alike, or use strategy `mixed`"
        )
    if profile:
        return (
            f"cut in MIG slices of '{profile}', which the catalogue does not have: add it to "
            "`migProfiles` of the GPU's entry"
        )
    return "cut in MIG slices that its labels do not name"


def none_usable(gpu: GPUEntry, nodes: Iterable[NodeFacts], catalog: Catalog) -> str:
    """Why no node offers a GPU though some have it, as a sentence; empty if one does, or none has.

    Args:
        gpu: what an object asks for.
        nodes: the nodes of the cluster.
        catalog: the GPUs that are known.
    """
    everywhere = [dict(node.labels) for node in nodes]
    if any(map(recogniser(gpu), everywhere)):
        return ""
    whole = gpu.sku.partition("-MIG-")[0]
    clauses: set[str] = set()
    for labels in everywhere:
        found = card(labels, catalog)
        if found is not None and found.sku in {gpu.sku, whole}:
            clauses.update(
                each.note or f"offered as `spec.gpu.sku: {each.sku}`"
                for each in offers(labels, catalog)
            )
    if not clauses:
        return ""
    return f"Nodes with {whole} are there, but none offers {gpu.sku}: {'; '.join(sorted(clauses))}"
