"""What vLLM's own code makes of a model and a layout: what is legal, what lies where, tokens.

Imported by `worker.py` inside the environment.
"""

from __future__ import annotations

from vllm.config import ParallelConfig
from vllm.distributed.utils import get_pp_indices
from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
from vllm.model_executor.layers.quantization.utils.fp8_utils import validate_fp8_block_shape
from vllm.model_executor.layers.quantization.utils.marlin_utils import check_marlin_supports_layer
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm_build import JSON, build, config_of, kv_specs

_CLASSES = {
    "embedding": "language_model.model.embed_tokens.",
    "head": "language_model.lm_head.",
    "layers": "language_model.model.",
    "vision": "vision_tower.",
    "projector": "multi_modal_projector.",
}
"""Tensor classes by the beginning of a parameter's name; the first that fits counts."""


def layouts(config_dir: str, overrides: JSON, tensors: list[int], pipelines: list[int]) -> JSON:
    """Which tensor- and pipeline-parallel sizes the config check and the layers allow.

    Returns:
        `tensor`: size to refusal ("" if none) of vLLM's own check of a config, and then of its
        layers; one decoder layer is enough, all are alike.
        `stages`: pipeline size to the decoder layers of each stage.
    """
    text = overrides.get("text_config", {})
    config = config_of(config_dir, {"text_config": {**text, "num_hidden_layers": 1}})
    whole = config_of(config_dir, overrides).model_config
    count = whole.get_total_num_hidden_layers()
    refusals = {}
    for tensor in tensors:
        parallel = ParallelConfig(
            tensor_parallel_size=tensor, distributed_executor_backend="external_launcher"
        )
        try:
            whole.verify_with_parallel_config(parallel)
            build(config, tensor, 0, 1, 0)
            refusals[tensor] = ""
        except (ValueError, AssertionError) as error:
            refusals[tensor] = str(error) or "an assertion without words"
    stages = {
        pipeline: [
            end - start
            for start, end in (get_pp_indices(count, rank, pipeline) for rank in range(pipeline))
        ]
        for pipeline in pipelines
    }
    return {"tensor": refusals, "stages": stages}


def groups(config_dir: str, overrides: JSON, tensors: list[int], sizes: list[int]) -> JSON:
    """Which tensor-parallel sizes the kernels allow for weights in groups.

    Returns:
        By group size and tensor-parallel size the refusals ("" if none) of `integer`, vLLM's check
        of INT4 and INT8 groups (the one that lets tiles be padded), and of `blocks`, its check of
        square FP8 blocks; both for every linear layer of a decoder layer.
    """
    text = overrides.get("text_config", {})
    config = config_of(config_dir, {"text_config": {**text, "num_hidden_layers": 1}})
    found: JSON = {str(size): {} for size in sizes}
    for tensor in tensors:
        decoder = build(config, tensor, 0, 1, 0).language_model.model.layers
        linear = [each for each in decoder.modules() if isinstance(each, LinearBase)]
        for size in sizes:
            found[str(size)][str(tensor)] = {
                "integer": _straddling(linear, size),
                "blocks": _misfit(linear, size),
            }
    return found


def _straddling(layers: list[LinearBase], size: int) -> str:
    """A layer with a group of integers on two ranks; empty if there is none."""
    for layer in layers:
        if not check_marlin_supports_layer(layer, size, allow_tile_padding=True):
            return layer.prefix
    return ""


def _misfit(layers: list[LinearBase], size: int) -> str:
    """The refusal of a layer whose share is not made of square blocks; empty if there is none."""
    for layer in layers:
        outputs = getattr(layer, "output_partition_sizes", None) or [layer.output_size]
        share = getattr(layer, "input_size_per_partition", layer.input_size)
        square = [size, size]
        try:
            validate_fp8_block_shape(
                layer, layer.input_size, layer.output_size, share, outputs, square
            )
        except ValueError as error:
            return f"{layer.prefix}: {error}"
    return ""


def unquantized(config_dir: str, overrides: JSON) -> list[str]:
    """Linear layers of decoder and tower that vLLM does not quantize, by the config's lists."""
    config = config_of(config_dir, overrides)
    model = build(config, 1, 0, 1, 0)
    return [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, LinearBase) and isinstance(layer.quant_method, UnquantizedLinearMethod)
    ]


def rank(
    config_dir: str, overrides: JSON, tensor: int, pipeline: int, stage: int, tensor_rank: int = 0
) -> JSON:
    """Parameters on one rank by tensor class, the rest's bytes, and bytes of a block of KV."""
    config = config_of(config_dir, overrides)
    model = build(config, tensor, tensor_rank, pipeline, stage)
    counts = dict.fromkeys([*_CLASSES, "other"], 0)
    for name, parameter in model.named_parameters():
        kind = next((k for k, start in _CLASSES.items() if name.startswith(start)), "other")
        counts[kind] += parameter.numel()
    buffers = sum(each.numel() * each.element_size() for each in model.buffers())
    return {
        "parameters": counts,
        "buffers": buffers,
        "pages": [spec.page_size_bytes for spec in kv_specs(config).values()],
    }


def tokens(config_dir: str, overrides: JSON, frames: list[int], sizes: list[list[int]]) -> JSON:
    """Tokens of videos of so many frames, and of images of these sizes (width, height)."""
    config = config_of(config_dir, overrides)
    info = MULTIMODAL_REGISTRY.create_processor(config.model_config).info
    found: JSON = {"video": {}, "image": [], "largest_image": 0}
    if hasattr(info, "get_num_video_tokens"):
        found["video"] = {
            count: info.get_num_video_tokens(image_width=640, image_height=480, num_frames=count)
            for count in frames
        }
    if hasattr(info, "get_num_image_tokens"):
        found["image"] = [
            info.get_num_image_tokens(image_width=width, image_height=height)
            for width, height in sizes
        ]
        found["largest_image"] = info.get_max_image_tokens()
    return found
