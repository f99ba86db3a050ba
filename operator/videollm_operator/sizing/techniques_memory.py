"""Ways to need less memory that are neither a number format nor parallelism."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.techniques_base import ONE, answer, flag, refused, saved, with_flag
from videollm_operator.sizing.text import count, gib
from videollm_operator.sizing.types import Technique, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand
    from videollm_operator.sizing.types import SizingRequest

PRUNED = 2
"""A pruning rate of one half, to give a number: half of the video tokens go."""


def offloads(base: Demand, plain: SizingRequest) -> tuple[Technique, ...]:
    """Layers elsewhere than on the GPU."""
    return (
        _offload(base, plain),
        refused(
            "Disk offload",
            "",
            f"{plain.budget.type} has none, nor has any other serving engine: every token would "
            "read the offloaded layers from disk",
        ),
    )


def fewer_tokens(base: Demand, plain: SizingRequest) -> tuple[Technique, ...]:
    """Less to remember of a video, or less of it to look at."""
    return (_fewer_frames(base, plain), _pruning(base), _sparse(base), _kv_format(base))


def training() -> Technique:
    """What guides for training name first."""
    return refused(
        "Activation checkpointing",
        "",
        "for training only: it computes activations again for the backward pass, and serving "
        "keeps none, so it saves 0 GiB",
    )


def _offload(base: Demand, plain: SizingRequest) -> Technique:
    """What offload would have to move for the next smaller layout."""
    name, how = "CPU offload", "spec.offload.cpuGiBPerGPU"
    engine = plain.budget.type
    if not plain.budget.supports_cpu_offload:
        return refused(name, how, f"{engine} cannot keep weights in host memory")
    how = with_flag(how, flag(plain, "--cpu-offload-gb", "--cpu-offload-gb"))
    chosen = answer(base)
    smaller = [
        layout
        for layout in base.in_node
        if base.fit(layout).verdict is not Verdict.FITS
        and (chosen is None or layout.gpus < chosen.layout.gpus)
    ]
    if not smaller:
        return refused(name, how, "nothing to gain: it fits on one GPU already")
    best = max(smaller, key=lambda layout: base.fit(layout).headroom)
    short = -(-base.fit(best).short // 1024)
    with_offload = demand(replace(plain, cpu_offload_gib_per_gpu=short))
    if with_offload.fit(best).verdict is not Verdict.FITS:
        return refused(name, how, "even with all layers in host memory the rest does not fit")
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
        return refused(name, field, "nothing to gain: a video has one frame already")
    fewer = plain.workload.model_copy(update={"frames_per_video": half, "max_model_len": None})
    asked = demand(replace(plain, workload=fewer))
    fit = answer(asked)
    return Technique(
        name=name,
        offered=True,
        weights_gib=None,
        saves_gib=saved(base, asked),
        gpus=fit.layout.gpus if fit else None,
        how=f"{field}: {half}",
        note=f"{base.tokens.per_frame} tokens per frame; a request then has "
        f"{count(asked.tokens.per_request, 'token')} instead of {base.tokens.per_request}",
    )


def _pruning(base: Demand) -> Technique:
    """VLLM 0.32: only classes with `SupportsMultiModalPruning` drop tokens after the encoder."""
    request = base.request
    workload = request.workload
    tokens = workload.videos_per_request * base.tokens.per_video * workload.concurrent_requests
    kv = base.fit(ONE).kv_cache / base.kv_tokens_needed * tokens / PRUNED
    return refused(
        "Video-token pruning",
        "vLLM --video-pruning-rate",
        f"at a rate of one half it would save {gib(kv)} of KV cache, but vLLM prunes for "
        "Qwen2.5-VL, Qwen3-VL and a few others, not for "
        f"{request.architecture.class_name}; ask for fewer frames instead",
    )


def _sparse(base: Demand) -> Technique:
    return refused(
        "Sparse attention",
        "",
        f"saves time on long contexts, not memory: all {gib(base.fit(ONE).kv_cache)} of KV cache "
        "stay, since every token may still be attended to; no engine has it for "
        f"{base.request.architecture.class_name}",
    )


def _kv_format(base: Demand) -> Technique:
    half = gib(base.fit(ONE).kv_cache / 2)
    return refused(
        "8-bit KV cache",
        flag(base.request, "--kv-cache-dtype=fp8", "--kv-cache-dtype=fp8_e4m3", "--kv-cache-dtype"),
        f"would save half of the KV cache, {half}; there is no field for it yet, the plan counts "
        "the KV cache in the model's own format",
    )
