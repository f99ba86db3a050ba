"""What stands on the page, as values: bars, curves and tables; drawing and HTML come later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Refused
from videollm_operator.cli.sweep import cell, on_gpu, plan_alone
from videollm_operator.engines.deployment import request_for
from videollm_operator.sizing.curve import frames_limit, gpus_against

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.cli.answer import Answer
    from videollm_operator.sizing import SizingRequest
    from videollm_operator.sizing.curve import Quantity, Step

TERMS = (
    ("weights", "weights"),
    ("kv_cache", "KV cache"),
    ("activation", "activations"),
    ("buffers", "graphs, buffers"),
    ("headroom", "headroom"),
)
"""Parts of a bar, from the left: `status.sizing.memoryPerGPU`, graphs and runtime together."""

MOST_CURVES = 5
MOST_REQUESTS = 128
"""Right end of the plot against concurrency."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One GPU of the plot of memory."""

    label: str
    shares: tuple[float, ...]
    """Percent of what CUDA shows, term by term; empty if nothing fits."""
    words: str
    """What stands behind the bar, or why there is none."""


@dataclass(frozen=True, slots=True)
class Curve:
    """GPUs of one replica against one number of the workload."""

    sku: str
    asked: bool
    steps: tuple[Step, ...]


def skus(deployment: VideoLLMDeployment, catalog: Catalog) -> tuple[str, ...]:
    """All whole GPUs of the catalogue, and the MIG slice if one is asked for."""
    return tuple(dict.fromkeys((*catalog.gpus, deployment.spec.gpu.sku)))


def answers_by_gpu(deployment: VideoLLMDeployment, catalog: Catalog) -> tuple[Answer, ...]:
    """The same question for every GPU of the page."""
    return tuple(plan_alone(on_gpu(deployment, sku), catalog) for sku in skus(deployment, catalog))


def parts(found: Answer) -> tuple[int, ...]:
    """MiB of the fullest GPU in the order of `TERMS`; empty if there is no plan."""
    if found.planned is None:
        return ()
    memory = found.planned.plan.memory
    buffers = memory.graphs + memory.runtime
    return (memory.weights, memory.kv_cache, memory.activation, buffers, memory.headroom)


def bar(found: Answer) -> Bar:
    """The bar of one GPU."""
    sku = found.deployment.spec.gpu.sku
    if found.planned is None:
        return Bar(sku, (), cell(found))
    plan = found.planned.plan
    visible = plan.memory.visible
    used = (plan.memory.budget - plan.memory.headroom) / 1024
    return Bar(
        f"{plan.layout.gpus} x {sku}",
        tuple(100 * size / visible for size in parts(found)),
        f"{used:.0f} of {plan.memory.budget / 1024:.0f} GiB",
    )


def neighbours(sku: str, catalog: Catalog) -> tuple[str, ...]:
    """A GPU and up to four others, the nearest in memory on both sides, one of each size.

    None if the catalogue does not have the GPU.
    """
    asked = catalog.gpu(sku)
    if asked is None:
        return ()
    sizes: dict[int, str] = {asked.nominal_gb: sku}
    for other in catalog.gpus.values():
        sizes.setdefault(other.nominal_gb, other.sku)
    ordered = sorted(sizes)
    place = ordered.index(asked.nominal_gb)
    first = max(0, min(place - MOST_CURVES // 2, len(ordered) - MOST_CURVES))
    return tuple(sizes[size] for size in ordered[first : first + MOST_CURVES])


def requests_for(
    deployment: VideoLLMDeployment, skus: Sequence[str], catalog: Catalog
) -> dict[str, SizingRequest]:
    """The planner's own question for each GPU; those that no engine can serve are left out."""
    found = {}
    for sku in skus:
        try:
            found[sku] = request_for(on_gpu(deployment, sku).spec, catalog)
        except Refused:
            continue
    return found


def curves(
    requests: dict[str, SizingRequest], quantity: Quantity, most: int, asked: str
) -> tuple[Curve, ...]:
    """One curve for each request that has an answer somewhere."""
    found = (
        Curve(sku, sku == asked, gpus_against(request, quantity, most))
        for sku, request in requests.items()
    )
    return tuple(curve for curve in found if any(step.gpus for step in curve.steps))


def most_frames(requests: dict[str, SizingRequest]) -> int:
    """Right end of the plot against frames: what the model's window takes; 0 if nothing."""
    return max((frames_limit(request) for request in requests.values()), default=0)


def thresholds(curve: Curve) -> str:
    """A curve in words: `4 GPUs up to 87, 8 up to 143; not beyond`."""
    words: list[str] = []
    for step in curve.steps:
        if step.gpus is None:
            words.append("not beyond" if words else f"nothing up to {step.last}")
            continue
        unit = "" if words else " GPUs" if step.gpus > 1 else " GPU"
        words.append(f"{step.gpus}{unit} up to {step.last}")
    return ", ".join(words)
