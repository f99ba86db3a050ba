"""Requests and engine budgets that the sizing tests share."""

from __future__ import annotations

from typing import Any

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.v1alpha1.compute import (
    DType,
    ParallelismSpec,
    QuantizationSpec,
    WorkloadSpec,
)
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.loader import builtin
from videollm_operator.sizing import EngineBudget, SizingRequest, VideoRoute, constants, plan

CATALOG = builtin()

VIDEO_72B = "lmms-lab/LLaVA-Video-72B-Qwen2"
VIDEO_7B = "lmms-lab/LLaVA-Video-7B-Qwen2"
NEXT_VIDEO_7B = "llava-hf/LLaVA-NeXT-Video-7B-hf"
ONEVISION_05B = "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
LLAVA_16_MISTRAL = "llava-hf/llava-v1.6-mistral-7b-hf"
LLAVA_15_7B = "llava-hf/llava-1.5-7b-hf"

PADDED = 29696
"""MLP width of a padded 72B: 232 groups of 128, which 2, 4 and 8 GPUs share."""

NONE = QuantizationSpec()
FP8 = QuantizationSpec.read({"format": "FP8"})
INT8_PADDED = QuantizationSpec.read({"format": "INT8", "intermediateSize": PADDED})
INT4_PADDED = QuantizationSpec.read({"format": "INT4", "intermediateSize": PADDED})
INT4 = QuantizationSpec.read({"format": "INT4"})


def vllm(route: VideoRoute = VideoRoute.CHUNKED, **changes: Any) -> EngineBudget:
    """vLLM 0.32 as sizing's constants describe it."""
    fields: dict[str, Any] = {
        "type": EngineType.VLLM,
        "version": "0.32.0",
        "gpu_memory_utilization": constants.VLLM_GPU_MEMORY_UTILIZATION,
        "route": route,
        "supports_pipeline": True,
        "supports_cpu_offload": True,
        "vision_tower_sharded": True,
        "projector_sharded": False,
        "kv_heads_replicated": True,
        "kv_block_tokens": constants.KV_BLOCK_TOKENS,
        "sampler_bytes_per_logit": constants.VLLM_SAMPLER_BYTES_PER_LOGIT,
        "graphs_mib": constants.GRAPHS_MIB,
        "runtime_mib_single": constants.RUNTIME_MIB_SINGLE,
        "runtime_mib_multi": constants.RUNTIME_MIB_MULTI,
        "attention_workspace_mib": constants.ATTENTION_WORKSPACE_MIB,
        "sampler_state_bytes_per_logit": constants.VLLM_SAMPLER_STATE_BYTES_PER_LOGIT,
    }
    return EngineBudget(**{**fields, **changes})


def sglang(**changes: Any) -> EngineBudget:
    """SGLang's own ways: tower on every GPU, no pipeline, frames as images."""
    return vllm(
        VideoRoute.FRAMES_AS_IMAGES,
        **{
            "type": EngineType.SGLANG,
            "version": "0.5.23",
            "gpu_memory_utilization": 0.85,
            "supports_pipeline": False,
            "vision_tower_sharded": False,
            "graphs_shared_mib": constants.GRAPHS_MIB,
            "attention_workspace_mib": 0,
            **changes,
        },
    )


def tgi(**changes: Any) -> EngineBudget:
    """TGI's: no pipeline, no copies of K/V heads, no offload, images only."""
    return vllm(
        VideoRoute.IMAGES,
        **{
            "type": EngineType.TGI,
            "version": "3.3.7",
            "supports_pipeline": False,
            "supports_cpu_offload": False,
            "kv_heads_replicated": False,
            "graphs_shared_mib": constants.GRAPHS_MIB,
            "attention_workspace_mib": 0,
            **changes,
        },
    )


def workload(**fields: Any) -> WorkloadSpec:
    """A workload by YAML's own names."""
    return WorkloadSpec.read(fields)


def parallelism(**fields: Any) -> ParallelismSpec:
    """A parallelism by YAML's own names."""
    return ParallelismSpec.read(fields)


FEWEST = parallelism(strategy="FewestGPUs")


def request(
    model: str = VIDEO_72B,
    sku: str = "A100-80GB",
    *,
    budget: EngineBudget | None = None,
    quantization: QuantizationSpec = NONE,
    **changes: Any,
) -> SizingRequest:
    """A request for a catalogue model on a catalogue GPU; everything else is a default."""
    entry, gpu = CATALOG.models[model], CATALOG.gpus[sku]
    fields: dict[str, Any] = {
        "model_name": model,
        "architecture": entry.architecture,
        "checkpoint_dtype": entry.dtype,
        "nominal_parameters": entry.nominal_parameters,
        "gpu": gpu,
        "visible_mib": gpu.visible_mib,
        "budget": budget or vllm(),
        "dtype": DType.AUTO,
        "quantization": quantization,
        "workload": WorkloadSpec(),
        "parallelism": ParallelismSpec(),
    }
    return SizingRequest(**{**fields, **changes})


def refusal(asked: SizingRequest) -> Problem:
    """Why a request is refused; its first problem."""
    try:
        plan(asked)
    except Refused as refused:
        return refused.problems[0]
    raise AssertionError("was not refused")
