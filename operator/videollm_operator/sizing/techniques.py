"""Every known way to need less GPU memory, with its effect on this model and GPU, or why not.

What a format saves is computed with the same terms as the plan; what an engine cannot do says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.compute import (
    DType,
    QuantizationFormat,
    QuantizationMethod,
    QuantizationSpec,
)
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.sizing import constants
from videollm_operator.sizing.fit import demand, left_to_strategy
from videollm_operator.sizing.refuse import quantized
from videollm_operator.sizing.techniques_base import ONE, answer, flag, refused, saved, with_flag
from videollm_operator.sizing.techniques_memory import fewer_tokens, offloads, training
from videollm_operator.sizing.techniques_parallel import parallel
from videollm_operator.sizing.types import Technique

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand
    from videollm_operator.sizing.types import SizingRequest


def techniques(request: SizingRequest) -> tuple[Technique, ...]:
    """All techniques, for the workload and strategy of a request.

    Savings are against the same request in the 16-bit checkpoint without offload, counted over
    weights, KV cache and activations as on one GPU.

    Raises:
        Refused: if the workload exceeds the model's window, whatever the format.
    """
    plain = replace(
        left_to_strategy(request),
        dtype=DType.AUTO,
        quantization=QuantizationSpec(),
        cpu_offload_gib_per_gpu=0,
    )
    base = demand(plain)
    return (
        _format(base, "32 bit", replace(plain, dtype=DType.FLOAT32), *_words_float32()),
        _format(base, "16 bit", plain, *_words_16_bit(base)),
        _fp8(base, plain),
        _integer(base, plain, QuantizationFormat.INT8),
        _integer(base, plain, QuantizationFormat.INT4),
        _bitsandbytes(base, plain),
        *offloads(base, plain),
        *parallel(base),
        *fewer_tokens(base, plain),
        training(),
    )


def _format(base: Demand, name: str, request: SizingRequest, how: str, note: str) -> Technique:
    """A number format of the weights; not offered where the GPU cannot do it."""
    try:
        asked = demand(request)
    except Refused as problem:
        return refused(name, how, str(problem))
    fit = answer(asked)
    return Technique(
        name=name,
        offered=True,
        weights_gib=round(asked.fit(ONE).weights / 1024, 1),
        saves_gib=saved(base, asked),
        gpus=fit.layout.gpus if fit else None,
        how=how,
        note=note,
    )


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


def _fp8(base: Demand, plain: SizingRequest) -> Technique:
    gpu = plain.gpu
    native = gpu.capability >= constants.FP8_NATIVE_CAPABILITY
    speed = (
        f"{gpu.sku} computes in FP8"
        if native
        else f"{gpu.sku} cannot compute in FP8, so it saves memory, not time"
    )
    how = with_flag(
        "spec.quantization.format: FP8",
        flag(plain, "--quantization=fp8_per_tensor", "--quantization=fp8", "--quantize=fp8"),
    )
    changed = replace(plain, quantization=QuantizationSpec(format=QuantizationFormat.FP8))
    return _format(
        base, "FP8", changed, how, f"made while loading, needs no other checkpoint; {speed}"
    )


def _bitsandbytes(base: Demand, plain: SizingRequest) -> Technique:
    """INT4 that needs no other checkpoint, but vLLM's plugin in the image."""
    name, field = "INT4 made while loading", "spec.quantization.format: INT4, method: Online"
    if plain.budget.type is not EngineType.VLLM:
        return refused(name, field, "bitsandbytes makes it, which the operator runs on vLLM only")
    changed = replace(
        plain,
        quantization=QuantizationSpec(
            format=QuantizationFormat.INT4, method=QuantizationMethod.ONLINE
        ),
    )
    return _format(
        base,
        name,
        changed,
        with_flag(field, flag(plain, "--quantization=bitsandbytes")),
        "made by bitsandbytes, needs no other checkpoint, but an image of yours with the package "
        "vllm-bnb-plugin; slower than a checkpoint in INT4",
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
