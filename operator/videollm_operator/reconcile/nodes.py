"""What nodes say about a GPU, where it differs from the table: what they report wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.render import placement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import GPUEntry
    from videollm_operator.reconcile.world import NodeFacts

MEMORY_LABEL = "nvidia.com/gpu.memory"
"""The label of whole GPUs, and of slices that have their resource."""

MOST_OF_NOMINAL = 1.1
"""No card reports more than this share of the memory in its data sheet: more is another unit, or
another card. The catalogue's own entries are held to the same."""


def label_keys(catalog: Catalog) -> frozenset[str]:
    """The node labels that say anything about a GPU of the catalogue, or a slice of one."""
    return frozenset(
        key for gpu in catalog.all_gpus for key in (*placement.label_keys(gpu), gpu.memory_label)
    )


def reported_mib(gpu: GPUEntry, labels: Mapping[str, str]) -> int | None:
    """NVML's MiB that a node reports for this GPU; None if it says nothing that can be true."""
    said = labels.get(gpu.memory_label, "")
    if not said.isdecimal():
        return None
    return int(said) if 0 < int(said) <= MOST_OF_NOMINAL * gpu.nominal_gb * 1024 else None


def visible_of(gpu: GPUEntry, nvml_mib: int) -> int:
    """CUDA-visible MiB of a card that reports so much: less by the same reserve as in the table."""
    return max(1, gpu.visible_mib - (gpu.nvml_mib - nvml_mib))


def least_visible_mib(gpu: GPUEntry, nodes: Iterable[NodeFacts]) -> int | None:
    """CUDA-visible MiB of the smallest matching node; None unless that differs from the table.

    Nodes whose GPUs are shared or cut in slices do not count: they report a slice's memory. Nodes
    that pods may not go to for another reason do (a taint, a cordon, the object's own selector):
    only labels that say something about GPUs are known here.
    A node that reports nothing counts as the table, so more than that needs all nodes to say so.
    """
    recognised = placement.recogniser(gpu)
    least = min(
        (
            reported_mib(gpu, labels) or gpu.nvml_mib
            for labels in (dict(node.labels) for node in nodes)
            if recognised(labels)
        ),
        default=gpu.nvml_mib,
    )
    return None if least == gpu.nvml_mib else visible_of(gpu, least)
