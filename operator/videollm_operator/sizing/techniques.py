"""Every known way to need less GPU memory, with its effect on this model and GPU, or why not.

What a format saves is computed with the same terms as the plan; what an engine cannot do says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.compute import (
    DType,
    ParallelismSpec,
    ParallelismStrategy,
    QuantizationFormat,
    QuantizationSpec,
)
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.sizing import constants
from videollm_operator.sizing.choose import by_strategy
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.refuse import quantized
from videollm_operator.sizing.text import count, gib
from videollm_operator.sizing.types import Layout, Technique, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import SizingRequest

_ONE = Layout(1, 1)


def techniques(request: SizingRequest) -> tuple[Technique, ...]:
    """All techniques, for the workload and strategy of a request.

    Savings are against the same request in the 16-bit checkpoint without offload, counted over
    weights, KV cache and activations as on one GPU.

    Raises:
        Refused: if the workload exceeds the model's window, whatever the format.
    """
    strategy = request.parallelism.strategy
    if strategy is ParallelismStrategy.MANUAL:
        strategy = ParallelismStrategy.TENSOR_FIRST
    plain = replace(
        request,
        dtype=DType.AUTO,
        quantization=QuantizationSpec(),
        parallelism=ParallelismSpec(strategy=strategy),
        per_replica=None,
        cpu_offload_gib_per_gpu=0,
    )
    base = demand(plain)
    return (
        _format(base, "32 bit", replace(plain, dtype=DType.FLOAT32), *_words_float32()),
        _format(base, "16 bit", plain, *_words_16_bit(base)),
        _fp8(base, plain),
        _integer(base, plain, QuantizationFormat.INT8),
        _integer(base, plain, QuantizationFormat.INT4),
        _tensor(base),
        _pipeline(base),
        _offload(base, plain),
        _fewer_frames(base, plain),
        *_not_offered(base),
    )


def _needed(asked: Demand) -> int:
    """MiB of weights, KV cache and activations together, as on one GPU."""
    fit = asked.fit(_ONE)
    return fit.weights + fit.kv_cache + fit.activation


def _answer(asked: Demand) -> Fit | None:
    return by_strategy(asked, asked.request.parallelism.strategy)


def _saved(base: Demand, asked: Demand) -> float | None:
    """GiB that are saved; None if nothing is."""
    difference = _needed(base) - _needed(asked)
    return round(difference / 1024, 1) if difference > 0 else None


def _format(base: Demand, name: str, request: SizingRequest, how: str, note: str) -> Technique:
    """A number format of the weights; not offered where the GPU cannot do it."""
    try:
        asked = demand(request)
    except Refused as refused:
        return _refused(name, how, str(refused))
    fit = _answer(asked)
    return Technique(
        name=name,
        offered=True,
        weights_gib=round(asked.fit(_ONE).weights / 1024, 1),
        saves_gib=_saved(base, asked),
        gpus=fit.layout.gpus if fit else None,
        how=how,
        note=note,
    )


def _refused(name: str, how: str, note: str) -> Technique:
    return Technique(name, False, None, None, None, how, note)


def _words_float32() -> tuple[str, str]:
    return (
        "spec.dtype: Float32",
        "doubles weights, KV cache and activations; a 16-bit checkpoint gains nothing by it",
    )


def _words_16_bit(base: Demand) -> tuple[str, str]:
    return (
        "the default (spec.dtype: Auto)",
        f"the checkpoint as it is, computed in {base.formats.dtype}",
    )


def _flag(request: SizingRequest, vllm: str, sglang: str = "", tgi: str = "") -> str:
    """The engine's own flag, for people who know it."""
    engine = request.budget.type
    flag = {EngineType.SGLANG: sglang, EngineType.TGI: tgi}.get(engine, vllm)
    return f" ({engine} {flag})" if flag else ""


def _fp8(base: Demand, plain: SizingRequest) -> Technique:
    gpu = plain.gpu
    native = gpu.capability >= constants.FP8_NATIVE_CAPABILITY
    speed = (
        f"{gpu.sku} computes in FP8"
        if native
        else f"{gpu.sku} cannot compute in FP8, so it saves memory, not time"
    )
    how = "spec.quantization.format: FP8" + _flag(
        plain, "--quantization=fp8", "--quantization=fp8", "--quantize=fp8"
    )
    changed = replace(plain, quantization=QuantizationSpec(format=QuantizationFormat.FP8))
    return _format(
        base, "FP8", changed, how, f"made while loading, needs no other checkpoint; {speed}"
    )


def _integer(base: Demand, plain: SizingRequest, form: QuantizationFormat) -> Technique:
    """INT8 or INT4 in groups of 128, padded where that allows more layouts."""
    changed = quantized(plain, form)
    padded = changed.quantization.intermediate_size
    how = f"spec.quantization.format: {form}"
    note = "needs a checkpoint that is quantized already; embeddings, head and tower stay 16 bit"
    if padded:
        width = plain.architecture.text.intermediate_size
        how += f", intermediateSize: {padded}"
        note += f"; padded, because groups of 128 in {width} cannot be split among as many GPUs"
    return _format(base, str(form), changed, how, note)


def _tensor(base: Demand) -> Technique:
    name, request = "Tensor parallelism", base.request
    how = "spec.parallelism.strategy: TensorFirst" + _flag(
        request, "--tensor-parallel-size", "--tp-size", "--num-shard"
    )
    sizes = [size for size in base.legal_tensor if size <= request.gpu.gpus_per_node]
    if len(sizes) == 1:
        return _refused(name, how, f"a node with {request.gpu.sku} has one GPU")
    fit = by_strategy(base, ParallelismStrategy.TENSOR_FIRST)
    each = ", ".join(f"TP{size} {gib(base.fit(Layout(size, 1)).weights)}" for size in sizes)
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=None,
        gpus=fit.layout.gpus if fit and fit.layout.pipeline == 1 else None,
        how=how,
        note=f"splits weights and KV cache over the GPUs of a node; weights per GPU: {each}",
    )


def _pipeline(base: Demand) -> Technique:
    name, how = "Pipeline parallelism", "spec.parallelism.strategy: FewestGPUs"
    if not base.request.budget.supports_pipeline:
        engine = base.request.budget.type
        return _refused(name, how, f"{engine} has none for {base.request.architecture.class_name}")
    how += _flag(base.request, "--pipeline-parallel-size")
    fits = [
        layout
        for layout in base.in_node
        if layout.pipeline > 1 and base.fit(layout).verdict is Verdict.FITS
    ]
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=None,
        gpus=fits[0].gpus if fits else None,
        how=how,
        note="splits by layers, so any number of GPUs works; stages wait for each other, and each "
        "holds the whole vision tower",
    )


def _offload(base: Demand, plain: SizingRequest) -> Technique:
    """What offload would have to move for the next smaller layout."""
    name, how = "CPU offload", "spec.offload.cpuGiBPerGPU"
    engine = plain.budget.type
    if not plain.budget.supports_cpu_offload:
        return _refused(name, how, f"{engine} cannot keep weights in host memory")
    how += _flag(plain, "--cpu-offload-gb", "--cpu-offload-gb")
    chosen = _answer(base)
    smaller = [
        layout
        for layout in base.in_node
        if base.fit(layout).verdict is not Verdict.FITS
        and (chosen is None or layout.gpus < chosen.layout.gpus)
    ]
    if not smaller:
        return _refused(name, how, "nothing to gain: it fits on one GPU already")
    best = max(smaller, key=lambda layout: base.fit(layout).headroom)
    short = -(-base.fit(best).short // 1024)
    with_offload = demand(replace(plain, cpu_offload_gib_per_gpu=short))
    if with_offload.fit(best).verdict is not Verdict.FITS:
        return _refused(name, how, "even with all layers in host memory the rest does not fit")
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=float(short * best.gpus),
        gpus=best.gpus,
        how=f"{how}: {short}",
        note=f"{short} GiB per GPU cross the bus at every step, which makes it many times slower",
    )


def _fewer_frames(base: Demand, plain: SizingRequest) -> Technique:
    name, field = "Fewer frames", "spec.workload.framesPerVideo"
    half = plain.workload.frames_per_video // 2
    if not half:
        return _refused(name, field, "nothing to gain: a video has one frame already")
    fewer = plain.workload.model_copy(update={"frames_per_video": half, "max_model_len": None})
    asked = demand(replace(plain, workload=fewer))
    fit = _answer(asked)
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=_saved(base, asked),
        gpus=fit.layout.gpus if fit else None,
        how=f"{field}: {half}",
        note=f"{base.tokens.per_frame} tokens per frame; a request then has "
        f"{count(asked.tokens.per_request, 'token')} instead of {base.tokens.per_request}",
    )


def _not_offered(base: Demand) -> tuple[Technique, ...]:
    """What papers and training guides name, and why it is not here."""
    model = base.request.architecture.class_name
    return (
        _refused(
            "Video-token pruning",
            "(vLLM --video-pruning-rate)",
            f"would shorten the context, but vLLM prunes for Qwen2.5-VL, Qwen3-VL and a few "
            f"others, not for {model}; ask for fewer frames instead",
        ),
        _refused(
            "Sparse attention",
            "",
            f"saves time on long contexts, not memory: the KV cache stays; no engine has it for "
            f"{model}",
        ),
        _refused(
            "Activation checkpointing",
            "",
            "for training only: serving keeps no activations for a backward pass",
        ),
        _refused(
            "Disk offload",
            "",
            "serving engines have none: every token would read the weights from disk",
        ),
    )
