"""Number formats: what the weights are stored in, and what the GPU can compute with.

Bits per weight count scales and zero points. Embeddings, head, norms, projector and (unless said
otherwise) the vision tower stay in the plain format: no quantization method of the engines touches
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import (
    DType,
    Projection,
    QuantizationFormat,
    QuantizationMethod,
    VisionTowerFormat,
)
from videollm_operator.sizing import constants
from videollm_operator.sizing.text import listing

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1.compute import QuantizationSpec
    from videollm_operator.sizing.types import SizingRequest

PLAIN_BYTES = {DType.BFLOAT16: 2, DType.FLOAT16: 2, DType.FLOAT32: 4}
"""Bytes of an unquantized weight, of an activation and of a KV entry."""


@dataclass(frozen=True, slots=True)
class Formats:
    """Effective number formats of a request."""

    dtype: DType
    quantization: QuantizationSpec
    """Effective: method never Auto unless format is None."""
    plain_bytes: int
    linear_bits: float
    """Bits of a weight of the decoder's linear layers, scales and zero points included."""
    intermediate_size: int
    """MLP width of the checkpoint, padding included."""
    group_size: int
    """Weights in a row that must stay on one GPU; 0: no such rule."""
    square_blocks: bool
    """Whether groups are square blocks, which bind outputs too (FP8 blocks)."""
    plain_layers: tuple[int, ...] = ()
    """Decoder layers that stay in the plain format, ascending."""
    plain_projections: frozenset[Projection] = frozenset()
    """Matrices that stay in the plain format in every decoder layer."""

    @property
    def quantized(self) -> bool:
        """Whether the linear layers are quantized."""
        return self.quantization.format is not QuantizationFormat.NONE

    @property
    def ready_made(self) -> bool:
        """Whether the checkpoint is quantized already, not while it is loaded."""
        return self.quantized and self.quantization.method is not QuantizationMethod.ONLINE

    @property
    def tower_quantized(self) -> bool:
        """Whether the vision tower is quantized too."""
        return self.quantized and self.quantization.vision_tower is VisionTowerFormat.QUANTIZED

    @property
    def unsplittable(self) -> bool:
        """Whether a matrix must stay on one GPU: files that bitsandbytes has quantized."""
        return self.quantization.method is QuantizationMethod.BITS_AND_BYTES

    @property
    def linear_bytes(self) -> float:
        """Bytes of a weight of the decoder's linear layers."""
        return self.linear_bits / 8


def formats(request: SizingRequest) -> Formats:
    """The effective number formats of a request.

    Raises:
        Refused: if the GPU or the engines cannot do what is asked.
    """
    dtype = _dtype(request)
    quantization = _quantization(request)
    text = request.architecture.text
    plain = PLAIN_BYTES[dtype]
    intermediate = quantization.intermediate_size or text.intermediate_size
    grouped = _grouped(quantization, quantization.method)
    return Formats(
        dtype=dtype,
        quantization=quantization,
        plain_bytes=plain,
        linear_bits=_bits(quantization, plain, text.hidden_size),
        intermediate_size=intermediate,
        group_size=quantization.group_size if grouped else 0,
        square_blocks=grouped and quantization.format is QuantizationFormat.FP8,
        plain_layers=tuple(sorted(set(quantization.unquantized_layers))),
        plain_projections=frozenset(quantization.unquantized_projections),
    )


def _dtype(request: SizingRequest) -> DType:
    """Auto keeps the checkpoint's 16-bit format where the GPU can compute in it.

    vLLM 0.32 `config/model.py` does the same for `--dtype auto` (float32 becomes 16 bit).
    """
    gpu = request.gpu
    has_bfloat16 = gpu.capability >= constants.BFLOAT16_CAPABILITY
    if request.dtype is not DType.AUTO:
        if request.dtype is DType.BFLOAT16 and not has_bfloat16:
            raise Refused(
                Problem(
                    Reason.DTYPE_UNSUPPORTED,
                    f"`spec.dtype` is 'BFloat16', but {gpu.sku} has compute capability "
                    f"{gpu.compute_capability} and BFloat16 needs 8.0: set 'Float16' or 'Auto'",
                    "spec.dtype",
                )
            )
        return request.dtype
    if not has_bfloat16 or request.checkpoint_dtype is DType.FLOAT16:
        return DType.FLOAT16
    return DType.BFLOAT16


def _quantization(request: SizingRequest) -> QuantizationSpec:
    asked = request.quantization
    if asked.format is QuantizationFormat.NONE:
        return asked
    method = asked.method
    if method is QuantizationMethod.AUTO:
        online = asked.format is QuantizationFormat.FP8
        method = QuantizationMethod.ONLINE if online else QuantizationMethod.GPTQ
    gpu = request.gpu
    if asked.format is QuantizationFormat.FP8:
        needed = constants.FP8_CAPABILITY
    else:
        needed = constants.INTEGER_CAPABILITY.get(str(method), (7, 5))
    if gpu.capability < needed:
        raise Refused(
            Problem(
                Reason.QUANTIZATION_UNSUPPORTED,
                f"{gpu.sku} has compute capability {gpu.compute_capability}, but {asked.format} "
                f"weights ({method}) need {needed[0]}.{needed[1]}: use a newer GPU, or "
                "`spec.quantization.format: None`",
                "spec.quantization.format",
            )
        )
    groups = (
        constants.FP8_BLOCKS if asked.format is QuantizationFormat.FP8 else constants.INTEGER_GROUPS
    )
    if _grouped(asked, method) and asked.group_size not in groups:
        known = listing(groups, "or")
        raise Refused(
            Problem(
                Reason.QUANTIZATION_UNSUPPORTED,
                f"`spec.quantization.groupSize` is {asked.group_size}, but the engines' kernels "
                f"take {asked.format} weights in groups of {known}, or with one scale per channel "
                "(-1): copy it from the checkpoint's config.json, or use another checkpoint",
                "spec.quantization.groupSize",
            )
        )
    width = request.architecture.text.intermediate_size
    if asked.intermediate_size is not None and asked.intermediate_size < width:
        raise Refused(
            Problem(
                Reason.QUANTIZATION_UNSUPPORTED,
                f"`spec.quantization.intermediateSize` is {asked.intermediate_size}, but the model "
                f"has an MLP of {width} and padding only adds to it: copy `intermediate_size` from "
                "the checkpoint's config.json, or remove the field",
                "spec.quantization.intermediateSize",
            )
        )
    layers = request.architecture.text.layers
    beyond = [layer for layer in asked.unquantized_layers if layer >= layers]
    if beyond:
        raise Refused(
            Problem(
                Reason.QUANTIZATION_UNSUPPORTED,
                f"`spec.quantization.unquantizedLayers` names layer {beyond[0]}, but the model has "
                f"{layers} decoder layers, counted from 0: copy the numbers from the module names "
                "that the checkpoint's config.json leaves out",
                "spec.quantization.unquantizedLayers",
            )
        )
    return asked.model_copy(update={"method": method})


def _grouped(quantization: QuantizationSpec, method: QuantizationMethod) -> bool:
    """Whether weights share scales in groups that must stay on one GPU."""
    return (
        quantization.format is not QuantizationFormat.NONE
        and quantization.group_size > 0
        and method not in (QuantizationMethod.ONLINE, QuantizationMethod.BITS_AND_BYTES)
    )


def _bits(quantization: QuantizationSpec, plain_bytes: int, hidden_size: int) -> float:
    """Bits of a weight of the decoder's linear layers.

    GPTQ, AWQ and compressed-tensors: the weight, and per group a scale of 16 bits and a zero point
    as wide as a weight: 4 + 16/128 + 4/128 = 4.156 for INT4 in groups of 128. Per channel, the
    group is a whole row, of at least `hidden_size` weights. FP8: a float32 scale per row, or per
    square block. bitsandbytes: a float32 scale per 64 weights (INT4) or per row (INT8), and less
    for INT4 that it makes while loading.
    """
    if quantization.format is QuantizationFormat.NONE:
        return plain_bytes * 8
    group = quantization.group_size
    if quantization.format is QuantizationFormat.FP8:
        by_row = quantization.method is QuantizationMethod.ONLINE or group < 0
        return 8 + constants.WIDE_SCALE_BITS / (hidden_size if by_row else group * group)
    if quantization.method is QuantizationMethod.ONLINE:
        return constants.BITSANDBYTES_ONLINE_BITS
    width = 8 if quantization.format is QuantizationFormat.INT8 else 4
    if quantization.method is QuantizationMethod.BITS_AND_BYTES:
        block = hidden_size if width == 8 else constants.BITSANDBYTES_BLOCK
        return width + constants.WIDE_SCALE_BITS / block
    return width + (constants.SCALE_BITS + width) / (group if group > 0 else hidden_size)
