"""Which tensor- and pipeline-parallel sizes exist for a model, and the rule that forbids others.

Rules as the engines enforce them while loading (vLLM 0.32 `config/model.py`
`verify_with_parallel_config`, `layers/linear.py` `QKVParallelLinear`, `models/siglip.py`,
`quantization/utils/fp8_utils.py`; AWQ and GPTQ kernels; vllm-bnb-plugin 0.0.3
`bitsandbytes_loader.py` `_verify_model_compatibility`); several of them fail only after the
weights were read, so the plan must know them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import Projection
from videollm_operator.sizing.constants import VOCABULARY_STEP
from videollm_operator.sizing.types import Layout

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture
    from videollm_operator.sizing.formats import Formats
    from videollm_operator.sizing.types import EngineBudget

MOST_TENSOR = 64
"""Larger tensor-parallel sizes are not looked at; no LLaVA model divides by more."""

_PADDED_FOR = 8
"""GPUs that a padded checkpoint is made for: those of a usual server."""


def tensor_rule(
    architecture: Architecture, formats: Formats, budget: EngineBudget, tensor: int
) -> str:
    """The rule that forbids this tensor-parallel size, as a clause; empty if it is legal."""
    text, vision = architecture.text, architecture.vision
    heads, kv = text.attention_heads, text.key_value_heads
    if formats.unsplittable and tensor > 1:
        return "a matrix that bitsandbytes has quantized cannot be split"
    if heads % tensor:
        return f"{heads} attention heads do not divide by {tensor}"
    if tensor > kv and not budget.kv_heads_replicated:
        return f"{budget.type} does not copy {kv} key/value heads to {tensor} GPUs"
    if max(kv, tensor) % min(kv, tensor):
        return f"{kv} key/value heads cannot be shared by {tensor} GPUs"
    bound = [(formats.intermediate_size, "MLP width"), (_padded(text.vocab_size), "vocabulary")]
    if budget.vision_tower_sharded:
        bound.append((vision.attention_heads, "attention heads of the vision tower"))
        bound.append((vision.intermediate_size, "MLP width of the vision tower"))
    if budget.projector_sharded:
        bound.append((text.hidden_size, "projector width"))
    for size, what in bound:
        if size % tensor:
            return f"the {what} ({size}) does not divide by {tensor}"
    return _group_rule(architecture, formats, budget, tensor)


def _padded(rows: int) -> int:
    return -(-rows // VOCABULARY_STEP) * VOCABULARY_STEP


def _group_rule(
    architecture: Architecture, formats: Formats, budget: EngineBudget, tensor: int
) -> str:
    """Groups of quantized weights may not straddle GPUs.

    Inputs of row-parallel layers (o, down) are split, so each share must hold whole groups;
    inputs of the others must hold whole groups too. Square FP8 blocks bind split outputs as well.
    Matrices that stay in the plain format in every layer bind nothing.
    """
    group = formats.group_size
    if not group:
        return ""
    text, vision = architecture.text, architecture.vision
    attention = text.attention_heads * text.head_dim
    held = frozenset(Projection) - formats.plain_projections
    square = held if formats.square_blocks else frozenset()
    bound = []
    if held & {Projection.QKV_PROJ, Projection.GATE_UP_PROJ}:
        bound.append((text.hidden_size, 1, "hidden size"))
    if Projection.O_PROJ in held or Projection.QKV_PROJ in square:
        bound.append((attention, tensor, "attention width"))
    if Projection.DOWN_PROJ in held or Projection.GATE_UP_PROJ in square:
        bound.append((formats.intermediate_size, tensor, "MLP width"))
    if Projection.QKV_PROJ in square:
        kv_width = max(1, text.key_value_heads // tensor) * text.head_dim
        bound.append((kv_width, 1, "key/value width per GPU"))
    if formats.tower_quantized:
        share = tensor if budget.vision_tower_sharded else 1
        bound.append((vision.hidden_size, share, "width of the tower"))
        bound.append((vision.intermediate_size, share, "MLP width of the tower"))
    for width, share, what in bound:
        if width % (share * group):
            each = f"{width} / {share}" if share > 1 else str(width)
            return f"the {what} ({each}) is no multiple of the quantization group of {group}"
    return ""


def pipeline_rule(architecture: Architecture, budget: EngineBudget, pipeline: int) -> str:
    """The rule that forbids this pipeline-parallel size, as a clause; empty if it is legal."""
    if pipeline == 1:
        return ""
    if not budget.supports_pipeline:
        return f"{budget.type} has no pipeline parallelism for {architecture.class_name}"
    if pipeline > architecture.text.layers:
        return f"{architecture.text.layers} layers cannot make {pipeline} pipeline stages"
    return ""


def legal_tensor(
    architecture: Architecture, formats: Formats, budget: EngineBudget, most: int = MOST_TENSOR
) -> tuple[int, ...]:
    """All legal tensor-parallel sizes up to `most`, ascending."""
    heads = architecture.text.attention_heads
    return tuple(
        tensor
        for tensor in range(1, most + 1)
        if heads % tensor == 0 and not tensor_rule(architecture, formats, budget, tensor)
    )


def useful_padding(
    architecture: Architecture, formats: Formats, budget: EngineBudget, most: int
) -> int:
    """MLP width of a padded checkpoint that allows more tensor-parallel sizes; 0 if none does.

    Padding to whole groups for 8 GPUs makes 29568 (231 groups of 128) 29696 (232 groups), as Qwen
    does for its 72B checkpoints (QwenLM/Qwen3-VL#231).
    """
    if not formats.group_size or formats.quantization.intermediate_size:
        return 0
    step = formats.group_size * _PADDED_FOR
    width = -(-formats.intermediate_size // step) * step
    padded = replace(formats, intermediate_size=width)
    more = len(legal_tensor(architecture, padded, budget, most))
    return width if more > len(legal_tensor(architecture, formats, budget, most)) else 0


def layouts(
    architecture: Architecture, formats: Formats, budget: EngineBudget, most_tensor: int, most: int
) -> tuple[Layout, ...]:
    """All legal layouts of up to `most` GPUs: fewest GPUs first, then most tensor parallelism.

    Args:
        architecture: the model.
        formats: effective number formats.
        budget: the engine.
        most_tensor: largest tensor-parallel size (GPUs of a node).
        most: most GPUs in all.
    """
    found = [
        Layout(tensor, pipeline)
        for tensor in legal_tensor(architecture, formats, budget, most_tensor)
        for pipeline in range(1, most // tensor + 1)
        if not pipeline_rule(architecture, budget, pipeline)
    ]
    return tuple(sorted(found, key=lambda layout: (layout.gpus, -layout.tensor)))
