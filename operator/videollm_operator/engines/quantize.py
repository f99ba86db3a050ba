"""What `spec.quantization` means for a checkpoint: the method in force, and what contradicts it.

`method: Auto` is settled here, before sizing, because only here it is known whether the
checkpoint is one that the catalogue knows to be unquantized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import (
    PER_CHANNEL,
    DType,
    QuantizationFormat,
    QuantizationMethod,
    VisionTowerFormat,
)
from videollm_operator.engines.base import CATALOGUE

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.compute import QuantizationSpec
    from videollm_operator.engines.base import ModelFacts


def quantized(spec: VideoLLMDeploymentSpec) -> bool:
    """Whether any quantization is asked for."""
    return spec.quantization.format != QuantizationFormat.NONE


def _known_unquantized(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> bool:
    """Whether the weights are a checkpoint that the catalogue knows to hold 16-bit numbers."""
    return model.described_by == CATALOGUE and spec.model.source.on_hub


def effective(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> QuantizationSpec:
    """`spec.quantization` with `method` settled; `Auto` stays only for format None.

    FP8 of a checkpoint that is known to be unquantized is made while loading. INT8 and INT4 can
    only come with the checkpoint; which of the group-wise methods it is makes no difference to
    its size, so GPTQ stands for all. Online FP8 has one scale per tensor, hence no groups.
    """
    wanted = spec.quantization
    method = wanted.method
    if quantized(spec) and method == QuantizationMethod.AUTO:
        if wanted.format != QuantizationFormat.FP8:
            method = QuantizationMethod.GPTQ
        elif _known_unquantized(model, spec):
            method = QuantizationMethod.ONLINE
    update: dict[str, object] = {"method": method}
    if method == QuantizationMethod.ONLINE:
        update["group_size"] = PER_CHANNEL
    return wanted.model_copy(update=update)


def made_while_loading(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> bool:
    """Whether the engine itself quantizes, and so needs a flag."""
    return effective(model, spec).method == QuantizationMethod.ONLINE


def needs_bitsandbytes(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> bool:
    """Whether bitsandbytes must load or make the weights: its own files, or INT4 while loading."""
    wanted = effective(model, spec)
    online = wanted.method == QuantizationMethod.ONLINE
    made = online and wanted.format == QuantizationFormat.INT4
    return made or wanted.method == QuantizationMethod.BITS_AND_BYTES


def not_quantized_checkpoint(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> Problem | None:
    """Refuses to run a hub checkpoint as quantized that the catalogue knows is not.

    It can be planned: the numbers hold for a quantized copy.
    """
    wanted = effective(model, spec)
    if not quantized(spec) or not _known_unquantized(model, spec):
        return None
    if wanted.method == QuantizationMethod.ONLINE:
        return None
    otherwise = "or use `format: FP8`, which the engine makes while loading"
    if wanted.format == QuantizationFormat.FP8:
        otherwise = "or set `method: Online` to quantize while loading"
    return Problem(
        Reason.QUANTIZATION_UNSUPPORTED,
        f"`spec.quantization.format` is '{wanted.format}', but the files of '{model.name}' are not "
        f"quantized and '{wanted.method}' means files that are quantized already: put the name of "
        f"a quantized copy in `spec.model.name` and `{model.name}` in `spec.model.base`, "
        f"{otherwise}",
        "spec.quantization.format",
    )


def contradiction(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> Problem | None:
    """What no engine could make of the quantization, or None.

    INT8 that is made while loading the schema refuses: vLLM makes it for experts only.
    """
    wanted = effective(model, spec)
    if not quantized(spec):
        return None
    if wanted.method == QuantizationMethod.AUTO:
        return Problem(
            Reason.QUANTIZATION_UNSUPPORTED,
            f"it is not known whether the files of '{model.name}' hold FP8 already: set "
            "`spec.quantization.method: CompressedTensors` if they do, or `method: Online` if they "
            "hold 16-bit numbers that the engine shall quantize while loading",
            "spec.quantization.method",
        )
    if spec.dtype == DType.FLOAT32:
        return Problem(
            Reason.DTYPE_UNSUPPORTED,
            "`spec.dtype` is 'Float32', but the kernels for quantized weights compute in 16 bit: "
            "leave it at 'Auto'",
            "spec.dtype",
        )
    if wanted.method == QuantizationMethod.ONLINE:
        return _files_of_others(wanted)
    return _tower(model, wanted)


def _files_of_others(wanted: QuantizationSpec) -> Problem | None:
    """What describes quantized files has no meaning for those that are quantized while loading."""
    for name, given in (
        ("intermediateSize", wanted.intermediate_size is not None),
        ("unquantizedLayers", bool(wanted.unquantized_layers)),
        ("unquantizedProjections", bool(wanted.unquantized_projections)),
    ):
        if given:
            return Problem(
                Reason.FIELD_UNSUPPORTED,
                f"`spec.quantization.{name}` describes a checkpoint that is quantized already, but "
                "with `method: Online` the checkpoint is the unquantized one: remove it",
                f"spec.quantization.{name}",
            )
    return None


TOWER_STEP = 64
"""vLLM 0.32 and 0.33 quantize a SigLIP tower's MLP only if its widths are multiples of this, or if
bitsandbytes does it (model_executor/models/siglip.py)."""


def _tower(model: ModelFacts, wanted: QuantizationSpec) -> Problem | None:
    """A tower that is quantized must be one that engines quantize, and consist of whole groups.

    SigLIP so400m's MLP is 4304 = 16 x 269 wide, so no usual group divides it.
    """
    if (
        wanted.vision_tower == VisionTowerFormat.UNQUANTIZED
        or wanted.method == QuantizationMethod.BITS_AND_BYTES
    ):
        return None
    vision = model.architecture.vision
    groups = wanted.group_size > 0
    step = wanted.group_size if groups else TOWER_STEP
    for name, width in (("MLP", vision.intermediate_size), ("width", vision.hidden_size)):
        if width % step:
            why = f"is not made of whole groups of {step}"
            if not groups:
                why = f"is no multiple of {step}, so that engines look for it in 16 bit"
            return Problem(
                Reason.QUANTIZATION_UNSUPPORTED,
                f"`spec.quantization.visionTower` is 'Quantized', but the vision tower's {name} of "
                f"{width} {why}: use a checkpoint whose tower was left unquantized "
                "(`modules_to_not_convert`, or `ignore`) and remove the field",
                "spec.quantization.visionTower",
            )
    return None
