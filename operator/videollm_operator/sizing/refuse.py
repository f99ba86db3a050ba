"""Why nothing fits, and what would: every remedy in the sentence was computed, not guessed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType, QuantizationFormat, QuantizationSpec
from videollm_operator.sizing import constants
from videollm_operator.sizing.fit import demand, left_to_strategy
from videollm_operator.sizing.formats import formats
from videollm_operator.sizing.layouts import tensor_rule, useful_padding
from videollm_operator.sizing.several import NOT_BUILT, nodes, over_several_nodes
from videollm_operator.sizing.text import count, gib, listing
from videollm_operator.sizing.types import Layout, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import SizingRequest


def no_layout(asked: Demand) -> Problem:
    """Not even one GPU is a legal layout: only quantization groups can do that."""
    request = asked.request
    rule = tensor_rule(request.architecture, asked.formats, request.budget, 1)
    return Problem(
        Reason.QUANTIZATION_UNSUPPORTED,
        f"{request.model_name} cannot be quantized this way: {rule}. Copy "
        "`spec.quantization.groupSize` and `intermediateSize` from the checkpoint's config.json; "
        "-1 means one scale per channel",
        "spec.quantization.groupSize",
    )


def several_nodes(asked: Demand, what: str, field: str) -> Problem:
    """A layout that is larger than a node, or than a slice."""
    gpu = asked.request.gpu
    if gpu.is_slice:
        return Problem(
            Reason.LAYOUT_ILLEGAL,
            f"{what} are more than a replica can take of {gpu.sku}: it is a MIG slice, CUDA shows "
            "a process one slice only, and NCCL connects none. Take 1, a larger slice, or whole "
            "GPUs",
            field,
        )
    return Problem(
        Reason.NEEDS_SEVERAL_NODES,
        f"{what} are more than a node with {gpu.sku} has ({gpu.gpus_per_node}), and {NOT_BUILT}."
        f"{_remedy(_within(asked.request))}",
        field,
    )


def does_not_fit(
    asked: Demand, layouts: tuple[Layout, ...], field: str = "spec.gpu.sku"
) -> Problem:
    """None of these legal layouts fits with the margin.

    Args:
        asked: the request.
        layouts: the layouts that were allowed, at least one.
        field: what fixed them.
    """
    request = asked.request
    best = min((asked.fit(layout) for layout in layouts), key=lambda fit: fit.short)
    short = best.short
    budget = asked.budget_mib(best.layout)
    needed = budget + short
    tight = (
        f" It would run by the formula, but without its safety margin of {gib(best.margin)}; "
        f"`spec.parallelism.strategy: Manual` with `tensor: {best.layout.tensor}` and `pipeline: "
        f"{best.layout.pipeline}` takes that risk."
        if best.verdict is Verdict.TIGHT
        else ""
    )
    sentence = (
        f"{request.model_name} does not fit on {best.layout.gpus} x {request.gpu.sku}: with "
        f"{best.layout}, a GPU needs {gib(needed)} (weights {gib(best.weights)}, KV cache "
        f"{gib(best.kv_cache)}, the rest with margin "
        f"{gib(needed - best.weights - best.kv_cache)}), but the engine may use "
        f"{gib(budget)} of its {gib(request.visible_mib)}, so {gib(short)} are missing."
        f"{tight}"
    )
    larger = over_several_nodes(asked) if field == "spec.gpu.sku" else None
    reason = Reason.DOES_NOT_FIT
    if larger is not None:
        reason = Reason.NEEDS_SEVERAL_NODES
        sentence += (
            f" It would fit on {count(larger.layout.gpus, 'GPU')} ({larger.layout}) of "
            f"{nodes(larger.layout, request.gpu.gpus_per_node)} nodes, with pipeline stages on "
            f"different ones, more than the {request.gpu.gpus_per_node} of a node; {NOT_BUILT}."
        )
    return Problem(reason, sentence + _remedy(remedies(request)), field)


def _remedy(helps: list[str]) -> str:
    return f" What would fit: {listing(helps, 'or')}" if helps else " Use a larger GPU"


def _within(request: SizingRequest) -> list[str]:
    """What a request that is fixed to more GPUs than a node has could ask for instead."""
    remedy = _count_remedy(request)
    return [remedy] if remedy else remedies(left_to_strategy(request))


def remedies(request: SizingRequest) -> list[str]:
    """Changes that would make the request fit, each alone; at most five."""
    found = [
        _count_remedy(request),
        _workload_remedy(request, "framesPerVideo", "frames_per_video", _fewest_frames(request)),
        _workload_remedy(request, "concurrentRequests", "concurrent_requests"),
        *_quantization_remedies(request),
        _gpu_remedy(request),
    ]
    helps = [text for text in found if text]
    return helps or [text for text in (_offload_remedy(request),) if text]


def _fitting(request: SizingRequest) -> Fit | None:
    """The smallest layout that fits a request inside a node, whatever count it asks for."""
    try:
        asked = demand(request)
    except Refused:
        return None
    for layout in asked.in_node:
        if asked.fit(layout).verdict is Verdict.FITS and (
            request.per_replica is None or layout.gpus == request.per_replica
        ):
            return asked.fit(layout)
    return None


def _fixed(request: SizingRequest) -> SizingRequest:
    """The same request with a named layout turned into its count of GPUs."""
    asked = request.parallelism
    if asked.tensor is None:
        return request
    gpus = asked.tensor * (asked.pipeline or 1)
    return replace(left_to_strategy(request), per_replica=gpus)


def _count_remedy(request: SizingRequest) -> str:
    if _fixed(request).per_replica is None:
        return ""
    fit = _fitting(left_to_strategy(request))
    return f"{count(fit.layout.gpus, 'GPU')} ({fit.layout})" if fit else ""


def _workload_remedy(request: SizingRequest, name: str, attribute: str, fewest: int = 1) -> str:
    """The largest smaller value of one workload field that fits, if it is at least `fewest`."""
    request = _fixed(request)

    def fits(value: int) -> bool:
        workload = request.workload.model_copy(update={attribute: value})
        return _fitting(replace(request, workload=workload)) is not None

    most = largest(fits, getattr(request.workload, attribute) - 1)
    return f"`spec.workload.{name}: {most}`" if most >= fewest else ""


def largest(fits: Callable[[int], bool], most: int) -> int:
    """The largest value from 1 to `most` that fits, if smaller ones always do; 0 if none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _fewest_frames(request: SizingRequest) -> int:
    """Frames per video below which the engine serves no request of so many videos."""
    return -(-request.budget.fewest_frames // request.workload.videos_per_request)


def _quantization_remedies(request: SizingRequest) -> list[str]:
    """Formats with fewer bits that would fit, and that the engine has."""
    if request.quantization.format is not QuantizationFormat.NONE:
        return _padding_remedy(request)
    found = []
    for form, words in (
        (QuantizationFormat.FP8, "`spec.quantization.format: FP8` with `method: Online`"),
        (QuantizationFormat.INT4, "a checkpoint in `INT4`"),
    ):
        if not _serves(request, form):
            continue
        changed = quantized(_fixed(request), form)
        padded = changed.quantization.intermediate_size
        fit = _fitting(changed)
        if fit is not None:
            padding = f" padded to `intermediateSize: {padded}`" if padded else ""
            found.append(f"{words}{padding} ({count(fit.layout.gpus, 'GPU')}, {fit.layout})")
    return found


def _serves(request: SizingRequest, form: QuantizationFormat) -> bool:
    """Whether the engine would take this format with everything else that is asked for."""
    budget = request.budget
    if request.dtype is DType.FLOAT32 or (budget.formats and form not in budget.formats):
        return False
    native = request.gpu.capability >= constants.FP8_NATIVE_CAPABILITY
    return form is not QuantizationFormat.FP8 or native or not budget.native_fp8_only


def quantized(request: SizingRequest, form: QuantizationFormat) -> SizingRequest:
    """The request with another format, padded where that allows more layouts."""
    plain = replace(request, quantization=QuantizationSpec(format=form))
    try:
        width = useful_padding(
            request.architecture, formats(plain), request.budget, request.gpu.gpus_per_node
        )
    except Refused:
        return plain
    padded = plain.quantization.model_copy(update={"intermediate_size": width or None})
    return replace(plain, quantization=padded)


def _padding_remedy(request: SizingRequest) -> list[str]:
    padded = useful_padding(
        request.architecture, formats(request), request.budget, request.gpu.gpus_per_node
    )
    changed = request.quantization.model_copy(update={"intermediate_size": padded})
    fit = _fitting(replace(_fixed(request), quantization=changed)) if padded else None
    if fit is None:
        return []
    words = f"a checkpoint padded to `spec.quantization.intermediateSize: {padded}`"
    return [f"{words} ({count(fit.layout.gpus, 'GPU')}, {fit.layout})"]


def _gpu_remedy(request: SizingRequest) -> str:
    """The other GPU of the catalogue that holds it with the least memory in all."""
    found: list[tuple[int, str, Fit]] = []
    for gpu in request.other_gpus:
        if gpu.visible_mib > request.visible_mib:
            fit = _fitting(replace(_fixed(request), gpu=gpu, visible_mib=gpu.visible_mib))
            if fit is not None:
                found.append((fit.layout.gpus * gpu.visible_mib, gpu.sku, fit))
    if not found:
        return ""
    _, sku, fit = min(found, key=lambda each: each[:2])
    return f"`spec.gpu.sku: {sku}` ({count(fit.layout.gpus, 'GPU')}, {fit.layout})"


def _offload_remedy(request: SizingRequest) -> str:
    if not request.budget.supports_cpu_offload:
        return ""
    request = _fixed(request)
    most = 1024

    def fits_without(step: int) -> bool:
        return _fitting(replace(request, cpu_offload_gib_per_gpu=most - step)) is not None

    if _fitting(replace(request, cpu_offload_gib_per_gpu=most)) is None:
        return ""
    least = most - largest(fits_without, most - 1)
    return f"`spec.offload.cpuGiBPerGPU: {least}` (slow)"
