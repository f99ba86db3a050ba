"""Builds what vLLM makes of a model folder, on a CPU and without memory.

Models lie on torch's meta device, which has shapes and no memory: vLLM's layers divide, pad and
refuse as on a GPU. What a process group is to the layers (its size and a rank) is set by hand, so
that any rank of any layout can be built alone.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from vllm.config import set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.usage.usage_lib import UsageContext

if TYPE_CHECKING:
    from vllm.config import VllmConfig

JSON = dict[str, Any]
_KERNELS = torch.library.Library("_C", "FRAGMENT")
_KERNELS.define("gelu_quick(Tensor! out, Tensor input) -> ()")
"""CLIP's layers look their compiled activation up when they are built; it is never called."""


_CONFIGS: dict[str, VllmConfig] = {}


def config_of(config_dir: str, overrides: JSON, **arguments: Any) -> VllmConfig:
    """vLLM's configuration for a model folder."""
    key = repr((config_dir, overrides, arguments))
    if key not in _CONFIGS:
        _CONFIGS[key] = AsyncEngineArgs(
            model=config_dir,
            hf_overrides=overrides,
            block_size=16,  # the CPU platform's own default is another
            enforce_eager=True,
            distributed_executor_backend="external_launcher",
            **arguments,
        ).create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
    return _CONFIGS[key]


def build(
    config: VllmConfig, tensor: int, tensor_rank: int, pipeline: int, stage: int
) -> torch.nn.Module:
    """One rank's model, without memory."""
    parallel_state._TP = _group(tensor, tensor_rank)
    parallel_state._PP = _group(pipeline, stage)
    config.parallel_config.tensor_parallel_size = tensor
    config.parallel_config.pipeline_parallel_size = pipeline
    config.compilation_config.static_forward_context.clear()
    with set_current_vllm_config(config), torch.device("meta"):
        return initialize_model(vllm_config=config)


def _group(size: int, member: int) -> Any:
    return SimpleNamespace(
        world_size=size,
        rank_in_group=member,
        is_first_rank=member == 0,
        is_last_rank=member == size - 1,
    )


def kv_specs(config: VllmConfig) -> dict[str, Any]:
    """Each attention layer's KV cache, as the worker collects them."""
    return {
        name: spec
        for name, layer in config.compilation_config.static_forward_context.items()
        if isinstance(layer, AttentionLayerBase)
        and (spec := layer.get_kv_cache_spec(config)) is not None
    }
