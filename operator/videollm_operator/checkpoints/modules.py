"""Tensors grouped into modules: what part of the model each belongs to, and how it is stored.

A quantized linear layer is several tensors: packed weights, scales, zero points. Names and packing:
AutoGPTQ and AutoAWQ (`qweight`, `qzeros`, `scales`), compressed-tensors (`weight_packed`,
`weight_scale`), FP8 (`weight` with `weight_scale` or `weight_scale_inv`), bitsandbytes (`weight`
with `weight.absmax`, or `SCB`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from videollm_operator.api.sentences import shown
from videollm_operator.api.v1alpha1.compute import (
    PER_CHANNEL,
    QuantizationFormat,
    QuantizationMethod,
)
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.safetensors import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from videollm_operator.checkpoints.safetensors import Tensor


class TensorClass(StrEnum):
    """The parts that parallelism splits in different ways; `architecture.parameters`."""

    LAYERS = "layers"
    EMBEDDING = "embedding"
    HEAD = "head"
    VISION = "vision"
    PROJECTOR = "projector"
    OTHER = "other"
    """Belongs to no part that is known."""


_CLASSES = (
    (TensorClass.VISION, re.compile(r"(^|\.)vision_(tower|model)\.")),
    (
        TensorClass.PROJECTOR,
        re.compile(r"(^|\.)(multi_modal_projector|mm_projector)\.|(^|\.)image_newline$"),
    ),
    (TensorClass.EMBEDDING, re.compile(r"(^|\.)embed_tokens\.")),
    (TensorClass.HEAD, re.compile(r"(^|\.)lm_head\.")),
    (TensorClass.LAYERS, re.compile(r"(^|\.)layers\.\d+\.|(^|\.)norm\.weight$")),
)


def class_of(name: str) -> TensorClass:
    """The part of the model that a tensor belongs to; the first pattern decides."""
    return next((kind for kind, pattern in _CLASSES if pattern.search(name)), TensorClass.OTHER)


@dataclass(frozen=True, slots=True)
class Stored:
    """How the weights of a linear layer are stored."""

    format: QuantizationFormat
    """None for 16 and 32 bit."""
    method: QuantizationMethod
    dtype: str
    parameters: int
    outputs: int
    """0 where packing hides the shape."""
    inputs: int
    group_size: int
    """Weights that share a scale; `PER_CHANNEL`: a channel or more."""


@dataclass(frozen=True, slots=True)
class Module:
    """A layer of the model with its tensors."""

    name: str
    kind: TensorClass
    weight: Stored | None
    """None for norms and whatever has no matrix."""
    parameters: int
    """Weights and biases; scales, zero points and the like are none."""
    tensors: tuple[Tensor, ...]


_BITSANDBYTES = re.compile(
    r"(.*)\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+)"
)
_NO_PARAMETERS = frozenset(
    {
        *("qzeros", "scales", "g_idx", "k_scale", "v_scale", "SCB", "weight_format"),
        *("weight_scale", "weight_scale_inv", "weight_scale_2", "weight_global_scale"),
        *("weight_zero_point", "weight_shape", "weight_g_idx", "output_scale"),
        *("input_scale", "input_zero_point", "input_global_scale"),
        *("absmax", "quant_map", "nested_absmax", "nested_quant_map", "quant_state"),
        *("qweight", "weight_packed"),
    }
)
"""Tensors of a module that are scales and the like, or packed weights that are counted apart."""


def modules(tensors: Iterable[Tensor], bits: int | None) -> tuple[Module, ...]:
    """The tensors as modules.

    Args:
        tensors: all tensors of the checkpoint.
        bits: bits of a packed weight as config.json says, for formats whose files do not tell.

    Raises:
        CheckpointProblem: for a packed weight that lacks its scales, or whose shape cannot be.
    """
    held: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        base, last = _split(tensor.name)
        held.setdefault(base, {})[last] = tensor
    return tuple(_module(name, parts, bits) for name, parts in held.items())


def _split(name: str) -> tuple[str, str]:
    match = _BITSANDBYTES.fullmatch(name)
    if match:
        return match[1], match[2].partition(".")[0]
    base, _, last = name.rpartition(".")
    return base, last


def _module(name: str, parts: Mapping[str, Tensor], bits: int | None) -> Module:
    weight = _stored(name, parts, bits)
    others = sum(
        tensor.elements
        for last, tensor in parts.items()
        if last not in _NO_PARAMETERS and not (weight and last == "weight")
    )
    any_tensor = next(iter(parts.values()))
    return Module(
        name=name,
        kind=class_of(any_tensor.name),
        weight=weight,
        parameters=others + (weight.parameters if weight else 0),
        tensors=tuple(parts.values()),
    )


def _stored(name: str, parts: Mapping[str, Tensor], bits: int | None) -> Stored | None:
    if "qweight" in parts:
        return _gptq_or_awq(name, parts, bits)
    if "weight_packed" in parts:
        return _packed(name, parts, bits)
    weight = parts.get("weight")
    if weight is None or len(weight.shape) < 2:
        return None
    scale = parts.get("weight_scale_inv") or parts.get("weight_scale")
    if weight.dtype.startswith("F8"):
        method = QuantizationMethod.COMPRESSED_TENSORS
        return _whole(weight, QuantizationFormat.FP8, method, scale)
    if weight.dtype == "I8":
        method = QuantizationMethod.COMPRESSED_TENSORS
        if "SCB" in parts:
            method = QuantizationMethod.BITS_AND_BYTES
        return _whole(weight, QuantizationFormat.INT8, method, scale)
    if "absmax" in parts:  # two weights in a byte, the matrix flattened
        four, method = QuantizationFormat.INT4, QuantizationMethod.BITS_AND_BYTES
        return Stored(four, method, weight.dtype, 2 * weight.elements, 0, 0, PER_CHANNEL)
    return _whole(weight, QuantizationFormat.NONE, QuantizationMethod.AUTO, None)


def _whole(
    weight: Tensor, form: QuantizationFormat, method: QuantizationMethod, scale: Tensor | None
) -> Stored:
    """A matrix of one element for each weight."""
    outputs, inputs = weight.shape[:2]
    group = PER_CHANNEL
    if scale is not None and len(scale.shape) == 2 and scale.shape[1] > 1:
        group = -(-inputs // scale.shape[1])
    return Stored(form, method, weight.dtype, weight.elements, outputs, inputs, group)


def _gptq_or_awq(name: str, parts: Mapping[str, Tensor], bits: int | None) -> Stored:
    """GPTQ packs along the inputs, AWQ along the outputs; both pack zeros along the latter."""
    packed, scales = parts["qweight"], parts.get("scales")
    zeros = parts.get("qzeros")
    if scales is None or not _matrices(packed, scales, *([zeros] if zeros else [])):
        problem = (
            f"{shown(name)} has packed weights (`qweight`), but no matrix of `scales` beside them: "
            "the checkpoint is not whole; download it again"
        )
        raise CheckpointProblem(problem)
    outputs = scales.shape[1]
    width = 32 * zeros.shape[1] // outputs if zeros else bits or 4
    parameters = packed.elements * 32 // max(1, width)
    inputs = parameters // outputs
    form = _integers(name, width)
    along_inputs = packed.shape[1] == outputs
    method = QuantizationMethod.GPTQ if along_inputs else QuantizationMethod.AWQ
    group = -(-inputs // scales.shape[0])
    return Stored(form, method, packed.dtype, parameters, outputs, inputs, group)


def _packed(name: str, parts: Mapping[str, Tensor], bits: int | None) -> Stored:
    packed, scale = parts["weight_packed"], parts.get("weight_scale")
    if not _matrices(packed):
        shape = list(packed.shape)
        raise CheckpointProblem(f"{shown(name)} has packed weights of the shape {shape}: no matrix")
    width = bits or 4
    form = _integers(name, width)
    parameters = packed.elements * DTYPE_BITS[packed.dtype] // width
    outputs = packed.shape[0]
    inputs = parameters // outputs
    group = PER_CHANNEL
    if scale is not None and _matrices(scale) and scale.shape[1] > 1:
        group = -(-inputs // scale.shape[1])
    method = QuantizationMethod.COMPRESSED_TENSORS
    return Stored(form, method, packed.dtype, parameters, outputs, inputs, group)


def _matrices(*tensors: Tensor) -> bool:
    return all(len(tensor.shape) == 2 and min(tensor.shape) > 0 for tensor in tensors)


def _integers(name: str, bits: int) -> QuantizationFormat:
    if bits not in {4, 8}:
        problem = (
            f"{shown(name)} has weights in {bits} bit, but engines take packed weights in 4 or 8 "
            "bit: use another checkpoint"
        )
        raise CheckpointProblem(problem)
    return QuantizationFormat.INT4 if bits == 4 else QuantizationFormat.INT8
