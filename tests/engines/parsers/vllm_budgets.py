"""What vLLM's own code makes of memory: the encoder's budget, blocks of KV cache, defaults.

Imported by `worker.py` inside the environment.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from vllm.config import CacheConfig
from vllm.engine import arg_utils
from vllm.exceptions import VLLMValidationError
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.encoder_budget import MultiModalBudget
from vllm.multimodal.inputs import PlaceholderRange
from vllm.usage.usage_lib import UsageContext
from vllm.v1.attention.backends.utils import resolve_kv_cache_layout
from vllm.v1.core.kv_cache_utils import get_kv_cache_capacity
from vllm.v1.engine.input_processor import InputProcessor
from vllm_build import JSON, build, config_of, kv_specs

try:
    from vllm.v1.core import kv_cache_planning as planning  # 0.33
except ImportError:
    from vllm.v1.core import kv_cache_utils as planning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vllm.config import VllmConfig


def blocks(config_dir: str, overrides: JSON, arguments: JSON, available: list[int]) -> list[JSON]:
    """What vLLM makes of so many bytes for KV on every GPU; each entry is a case of its own.

    Returns:
        For each case its `refusal`, or the `blocks` of the smallest rank and the `tokens` that
        vLLM reports as its capacity.
    """
    config = config_of(config_dir, overrides, **arguments)
    tensor = config.parallel_config.tensor_parallel_size
    pipeline = config.parallel_config.pipeline_parallel_size
    specs = []
    for stage in range(pipeline):
        build(config, tensor, 0, pipeline, stage)
        specs.append(kv_specs(config))
    everywhere = [["LBNHC"]] * pipeline  # tokens before heads, as FlashAttention has them
    resolve_kv_cache_layout(config, everywhere, [each for spec in specs for each in spec.values()])
    answers = []
    for case in available:
        try:
            found = _kv_configs(config, specs, [case] * pipeline)
        except ValueError as error:
            answers.append({"refusal": str(error)})
            continue
        tokens, _ = get_kv_cache_capacity(config, found[0])
        answers.append({"blocks": found[0].num_blocks, "tokens": tokens})
    return answers


def _kv_configs(config: VllmConfig, specs: list[dict[str, Any]], available: list[int]) -> list[Any]:
    """vLLM's plan of the KV cache; 0.33 makes the groups in a step of their own."""
    if hasattr(planning, "get_global_kv_cache_groups"):
        groups = planning.get_global_kv_cache_groups(config, specs)
        return planning.get_kv_cache_configs(config, specs, available, groups)
    return planning.get_kv_cache_configs(config, specs, available)


def encoder(
    config_dir: str, overrides: JSON, arguments: JSON, items: Mapping[str, list[int]]
) -> JSON:
    """The encoder's budget, and which items of so many tokens its front door lets in.

    Returns:
        `cache` and `compute` in tokens; `items`: modality to [tokens of the largest profiled item,
        items of a step]; `refused`: those of `items` that the input processor refuses.
    """
    config = config_of(config_dir, overrides, **arguments)
    budget = MultiModalBudget(config, MULTIMODAL_REGISTRY, enable_cache=False)
    return {
        "cache": budget.encoder_cache_size,
        "compute": budget.encoder_compute_budget,
        "items": {
            modality: [tokens, budget.mm_max_items_per_batch[modality]]
            for modality, tokens in budget.mm_max_toks_per_item.items()
        },
        "refused": {
            modality: [each for each in sizes if _refused(config, budget, modality, each)]
            for modality, sizes in items.items()
        },
    }


def _refused(config: VllmConfig, budget: MultiModalBudget, modality: str, size: int) -> bool:
    """Whether the input processor refuses an item of so many tokens."""
    door = InputProcessor.__new__(InputProcessor)  # its constructor wants a tokenizer's renderer
    door.model_config = config.model_config
    door.skip_prompt_length_check = True
    door.supports_mm_inputs = True
    door.mm_encoder_cache_size = budget.encoder_cache_size
    door.renderer = SimpleNamespace(validate_token_ids=lambda ids: None)
    prompt = {
        "type": "multimodal",
        "prompt_token_ids": [0],
        "mm_placeholders": {modality: [PlaceholderRange(offset=0, length=size)]},
    }
    try:
        door._validate_model_input(prompt, prompt_type="decoder")
    except VLLMValidationError as error:
        if "encoder cache size" not in str(error):
            raise
        return True
    return False


def defaults(cards: list[tuple[str, int]]) -> JSON:
    """Defaults of a server: utilization, block size, and by card (name, bytes) tokens and
    sequences of a step."""
    by_card = {}
    real = arg_utils.current_platform
    for name, memory in cards:
        arg_utils.current_platform = _Card(real, name, memory)
        try:
            batched, sequences = arg_utils.AsyncEngineArgs.get_batch_defaults(1)
        finally:
            arg_utils.current_platform = real
        server = UsageContext.OPENAI_API_SERVER
        by_card[name] = [batched[server], sequences[server]]
    return {
        "utilization": arg_utils.AsyncEngineArgs.gpu_memory_utilization,
        "block": CacheConfig.DEFAULT_BLOCK_SIZE,
        "cards": by_card,
    }


class _Card:
    """The platform, as a computer with this GPU has it: the two facts that defaults ask for."""

    def __init__(self, platform: Any, name: str, memory: int) -> None:
        self._platform, self._name, self._memory = platform, name, memory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)

    def get_device_total_memory(self, device_id: int = 0) -> int:
        return self._memory

    def get_device_name(self, device_id: int = 0) -> str:
        return self._name

    def is_cpu(self) -> bool:
        return False
