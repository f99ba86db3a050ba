"""What the columns of a row say, as values of the product; None where they cannot be read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from hack.accuracy.models import Model, models
from videollm_operator.api.v1alpha1.compute import QuantizationFormat, QuantizationMethod
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from hack.accuracy.table import Row
    from videollm_operator.catalog.entries import GPUEntry


@dataclass(frozen=True, slots=True)
class Quantization:
    """What the column `dtype_or_quant` says."""

    format: QuantizationFormat
    method: QuantizationMethod
    group: int
    mxfp4: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the columns of a row say, as far as they can be read; None where not."""

    engine: EngineType | None
    version: tuple[int, int] | None
    v0: bool
    """vLLM's first engine, which 0.8 replaced."""
    model: Model | None
    quantization: Quantization | None
    half: bool
    """16-bit values are float16, not bfloat16."""
    tensor: int | None
    pipeline: int | None
    gpu: GPUEntry | None
    """The catalogue's, if it has it."""
    visible_gib: float | None
    utilization: float | None
    context: int | None
    frames: int | None
    """Of a video, where the name of the model says so."""


def read_facts(row: Row, total_gib: float | None = None) -> Facts:
    """What the columns of a row say.

    Args:
        row: the row.
        total_gib: visible memory that another row of the same source states for this GPU.
    """
    numbers = re.search(r"\b0\.(\d+)", row.version)
    frames = re.search(r"\((\d+) frames", row.model)
    version = (0, int(numbers[1])) if numbers else None
    gpu = _catalogue(row.gpu)
    return Facts(
        engine=_ENGINES.get(row.engine),
        version=version,
        v0=version is not None and version < (0, 8),
        model=models().get(row.model),
        quantization=_quantization(row.dtype_or_quant),
        half=row.dtype_or_quant == "fp16",
        tensor=_integer(row.tp),
        pipeline=_integer(row.pp),
        gpu=gpu,
        visible_gib=_visible(row.gpu, total_gib, gpu),
        utilization=number(row.gpu_mem_utilization),
        context=_integer(row.max_model_len),
        frames=int(frames[1]) if frames else None,
    )


_ENGINES = {"vllm": EngineType.VLLM, "sglang": EngineType.SGLANG, "tgi": EngineType.TGI}


def number(text: str) -> float | None:
    """A decimal number; None if the text is none."""
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\d+", text) else None


def _visible(text: str, total_gib: float | None, gpu: GPUEntry | None) -> float | None:
    """Memory that CUDA sees, GiB: what the row says, else its source elsewhere, else the catalogue.

    A card that the catalogue lacks counts with the size in its name, of which it sees no more.
    """
    told = re.search(r"([\d.]+) GiB", text)
    if told:
        return float(told[1])
    if total_gib is not None:
        return total_gib
    if gpu is not None:
        return gpu.visible_mib / 1024
    nominal = re.search(r"(\d+)GB\b", text)
    return float(nominal[1]) if nominal else None


@cache
def _catalogue(text: str) -> GPUEntry | None:
    """The SKU that a text names: 'A100 80GB x2' is A100-80GB, 'T4 (14.56 GiB visible)' is T4."""
    name = re.sub(r" x\d+$| \(.*", "", text).replace(" ", "-")
    return builtin().gpus.get(name)


def _quantization(text: str) -> Quantization | None:
    """'bf16', 'fp8 w8a8 per-channel', 'gptq int4', 'awq int4 g128', 'mxfp4' and the like.

    Without a group, FP8 has a scale per channel, and INT8 and INT4 have groups of 128, the
    methods' usual one.
    """
    words = text.split()
    if not words:
        return None
    method = {"gptq": QuantizationMethod.GPTQ, "awq": QuantizationMethod.AWQ}.get(words[0])
    auto = method or QuantizationMethod.COMPRESSED_TENSORS
    group = re.search(r"\bg(\d+)\b", text)
    size = int(group[1]) if group else 128
    if words[0] in {"bf16", "fp16"}:
        return Quantization(QuantizationFormat.NONE, QuantizationMethod.AUTO, 128)
    if words[0] == "fp8":
        return Quantization(QuantizationFormat.FP8, auto, int(group[1]) if group else -1)
    if words[0] == "mxfp4":
        return Quantization(QuantizationFormat.INT4, auto, 32, mxfp4=True)
    if "int8" in words:
        return Quantization(QuantizationFormat.INT8, auto, size)
    if "int4" in words:
        return Quantization(QuantizationFormat.INT4, auto, size)
    return None
