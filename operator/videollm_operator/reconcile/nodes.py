"""What nodes say about a GPU, where it differs from the table: less memory wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.render import placement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import GPUEntry
    from videollm_operator.reconcile.world import NodeFacts

MEMORY_LABEL = "nvidia.com/gpu.memory"
"""NVML's memory in MiB, written by NVIDIA GPU Feature Discovery."""


def label_keys(catalog: Catalog) -> frozenset[str]:
    """The node labels that say anything about a GPU of the catalogue."""
    keys = {key for gpu in catalog.gpus.values() for key in placement.label_keys(gpu)}
    return frozenset(keys | {MEMORY_LABEL})


def least_visible_mib(gpu: GPUEntry, nodes: Iterable[NodeFacts]) -> int | None:
    """CUDA-visible MiB of the smallest matching node; None unless one reports less than the table.

    Nodes whose GPUs are shared or cut in slices do not count: they report a slice's memory. Nodes
    that pods may not go to for another reason do (a taint, a cordon, the object's own selector):
    only labels that say something about GPUs are known here.
    A node reports NVML's figure; what CUDA shows is less by the same reserve as in the table. A
    figure of 0 counts as none: no card has that.
    """
    recognised = placement.recogniser(gpu)
    reported = [
        int(labels[MEMORY_LABEL])
        for labels in (dict(node.labels) for node in nodes)
        if labels.get(MEMORY_LABEL, "").isdecimal() and recognised(labels)
    ]
    least = min(filter(None, reported), default=gpu.nvml_mib)
    if least >= gpu.nvml_mib:
        return None
    return max(1, gpu.visible_mib - (gpu.nvml_mib - least))
