"""What there is to know about card and links: memory that differs, slices, PCIe, the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.entries import Interconnect
from videollm_operator.sizing.several import NOT_BUILT, nodes
from videollm_operator.sizing.text import count, mib
from videollm_operator.sizing.types import VideoRoute

if TYPE_CHECKING:
    from videollm_operator.sizing.types import Layout, SizingRequest


def notes(request: SizingRequest, layout: Layout) -> tuple[str, ...]:
    """Sentences on the card that a plan rests on; none is a refusal."""
    card = (_memory(request), _slice(request), _decoders(request))
    found = (*card, _link(request, layout), _network(request, layout))
    return tuple(sentence for sentence in found if sentence)


def _memory(request: SizingRequest) -> str:
    """What nodes report wins over the table, and is told."""
    gpu, visible = request.gpu, request.visible_mib
    if visible == gpu.visible_mib:
        return ""
    reported = gpu.nvml_mib + visible - gpu.visible_mib
    return (
        f"Nodes with {gpu.sku} report {mib(reported)} of memory instead of the table's "
        f"{mib(gpu.nvml_mib)}, and that counts: CUDA shows {mib(visible)} of it."
    )


def _slice(request: SizingRequest) -> str:
    if not request.gpu.is_slice:
        return ""
    return (
        f"{request.gpu.sku} is a MIG slice, and a replica takes one: CUDA shows a process one "
        "slice only, and NCCL connects none."
    )


def _decoders(request: SizingRequest) -> str:
    """A slice without NVDEC. No engine uses it as the operator starts it."""
    if request.gpu.video_decoders != 0 or request.budget.route is VideoRoute.IMAGES:
        return ""
    if request.budget.type is EngineType.SGLANG:
        return (
            "It has no video decoder (NVDEC), and needs none: clients decode the video and send "
            "its frames."
        )
    return (
        "It has no video decoder (NVDEC), and needs none: the engine decodes videos on the CPU "
        "(OpenCV)."
    )


def _link(request: SizingRequest, layout: Layout) -> str:
    """Tensor parallelism exchanges activations twice in every decoder layer."""
    if layout.tensor == 1 or request.gpu.interconnect is not Interconnect.PCIE:
        return ""
    return (
        f"{request.gpu.sku} has no NVLink between all GPUs of a node: with tensor parallelism each "
        "layer waits for PCIe twice, so it is slower than the same memory with NVLink."
    )


def _network(request: SizingRequest, layout: Layout) -> str:
    """Pipeline stages hand hidden states on in every step."""
    taken = nodes(layout, request.gpu.gpus_per_node)
    if taken == 1:
        return ""
    return (
        f"It takes {taken} nodes with {count(layout.gpus // taken, 'GPU')} each: pipeline stages "
        f"on different nodes wait for the network, and {NOT_BUILT}."
    )
