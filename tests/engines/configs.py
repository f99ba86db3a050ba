"""Config-only model folders of the real sizes: what the engines' config checks read, no weights.

`vllm serve` decides from `config.json`, the tokenizer and the processor files whether an argument
fits the model (heads, positions, quantization method ...). Those files are small enough to be
written by code, so the checks run on the numbers of the real checkpoints without a download.

The numbers are those of the checkpoints on the hub (`llava-hf/*`, and the original layout of
`lmms-lab/*`); the tokenizer is a stand-in of the right kind with the special tokens at the ids that
`config.json` names.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from tests.engines.models import MODELS, ORIGINAL, Text
from tests.engines.quantized import Quantized, quantization_config
from tests.engines.tokenizer import special_tokens, tokenizer, tokenizer_config

if TYPE_CHECKING:
    from pathlib import Path

JSON = dict[str, Any]


_ARCHITECTURES = {
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
    "llava_next_video": "LlavaNextVideoForConditionalGeneration",
    "llava_next": "LlavaNextForConditionalGeneration",
    "llava": "LlavaForConditionalGeneration",
}
_TEXT_ARCHITECTURES = {
    "qwen2": "Qwen2ForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
}
_SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "image_size": 384,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 26,
    "patch_size": 14,
    "vision_use_head": False,
}
_CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
    "vocab_size": 32_000,
}
_NEXT_PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
_ONEVISION_PINPOINTS = [[384 * h, 384 * w] for h in range(1, 7) for w in range(1, 7)]


def write_model(
    root: Path,
    model: str,
    *,
    quantized: Quantized = Quantized.NONE,
    group_size: int = 128,
    intermediate_size: int | None = None,
    architecture: str | None = None,
) -> Path:
    """Write the config-only folder of a checkpoint below `root` and return it.

    Args:
        root: folder that keeps all of them; one that is there already is used as it is.
        model: hub id, one of `MODELS`.
        quantized: what its `quantization_config` says.
        group_size: weights per scale of a group-wise format; -1: one scale per channel.
        intermediate_size: other than the model's own, for padded checkpoints (29696).
        architecture: the class name, if not the model's own (`LlavaQwenForCausalLM` on a
            OneVision model stands for the overlay of an original checkpoint).
    """
    files = _files(model, quantized, group_size, intermediate_size, architecture)
    text = json.dumps(files, sort_keys=True)
    name = f"{model.rpartition('/')[2]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    folder = root / name
    if folder.is_dir():
        return folder
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=2) + "\n")
    return folder


def _files(
    model: str,
    quantized: Quantized,
    group_size: int,
    intermediate_size: int | None,
    architecture: str | None,
) -> dict[str, JSON]:
    kind, text = MODELS[model]
    special = special_tokens(kind, text)
    if kind == ORIGINAL:
        config = _original_config(model, text, intermediate_size)
        processor: dict[str, JSON] = {}  # the original repositories have none
    else:
        config = _config(kind, text, intermediate_size, special)
        processor = _processor(kind)
    if architecture:
        config["architectures"] = [architecture]
    quantization = quantization_config(quantized, group_size)
    if quantization:
        config["quantization_config"] = quantization
    return {
        "config.json": config,
        "tokenizer.json": tokenizer(special),
        "tokenizer_config.json": tokenizer_config(special, text),
        **processor,
    }


def _config(kind: str, text: Text, intermediate_size: int | None, special: dict[str, int]) -> JSON:
    config: JSON = {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        "text_config": _text_config(text, intermediate_size),
        "vision_config": _SIGLIP if kind == "llava_onevision" else _CLIP,
        "projector_hidden_act": "gelu",
        "image_token_index": special["<image>"],
        "tie_word_embeddings": text.tie_word_embeddings,
        "torch_dtype": "float16",
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }
    if kind == "llava_onevision":
        config |= {
            "image_grid_pinpoints": _ONEVISION_PINPOINTS,
            "video_token_index": special["<video>"],
            "vision_aspect_ratio": "anyres_max_9",
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        }
    elif kind != "llava":
        config |= {"image_grid_pinpoints": _NEXT_PINPOINTS, "use_image_newline_parameter": True}
    else:
        config |= {"image_seq_length": 576}
    if kind == "llava_next_video":
        config |= {
            "video_token_index": special["<video>"],
            "spatial_pool_mode": "average",
            "spatial_pool_stride": 2,
        }
    return config


def _original_config(model: str, text: Text, intermediate_size: int | None) -> JSON:
    """`config.json` of the research code: the language model's, with the rest beside it."""
    return _text_config(text, intermediate_size) | {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "image_aspect_ratio": "anyres_max_9",
        "image_grid_pinpoints": _ONEVISION_PINPOINTS,
        "mm_hidden_size": 1152,
        "mm_newline_position": "grid" if "Video" in model else "one_token",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu",
        "mm_spatial_pool_mode": "bilinear",
        "mm_spatial_pool_stride": 2,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "tokenizer_model_max_length": 32_768,
        "use_mm_proj": True,
        "vision_tower_pretrained": None,
    }


def _text_config(text: Text, intermediate_size: int | None) -> JSON:
    # Mistral's second version has no sliding window; a config that says nothing has one.
    window = {"sliding_window": None} if text.model_type == "mistral" else {}
    return window | {
        "architectures": [_TEXT_ARCHITECTURES[text.model_type]],
        "model_type": text.model_type,
        "num_hidden_layers": text.num_hidden_layers,
        "hidden_size": text.hidden_size,
        "intermediate_size": intermediate_size or text.intermediate_size,
        "num_attention_heads": text.num_attention_heads,
        "num_key_value_heads": text.num_key_value_heads,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_position_embeddings,
        "rope_theta": text.rope_theta,
        "tie_word_embeddings": text.tie_word_embeddings,
        "torch_dtype": "float16",
    }


def _processor(kind: str) -> dict[str, JSON]:
    """Processor files: which classes, and the sizes that token counts come from."""
    siglip = kind == "llava_onevision"
    side = 384 if siglip else 336
    size = {"height": side, "width": side} if siglip else {"shortest_edge": side}
    image: JSON = {
        "image_processor_type": {
            "llava_onevision": "LlavaOnevisionImageProcessor",
            "llava_next_video": "LlavaNextImageProcessor",
            "llava_next": "LlavaNextImageProcessor",
            "llava": "CLIPImageProcessor",
        }[kind],
        "size": size,
        "crop_size": {"height": side, "width": side},
    }
    if kind != "llava":
        pinpoints = _ONEVISION_PINPOINTS if siglip else _NEXT_PINPOINTS
        image["image_grid_pinpoints"] = pinpoints
    processor: JSON = {
        "processor_class": {
            "llava_onevision": "LlavaOnevisionProcessor",
            "llava_next_video": "LlavaNextVideoProcessor",
            "llava_next": "LlavaNextProcessor",
            "llava": "LlavaProcessor",
        }[kind],
        "image_token": "<image>",
        "patch_size": 14,
        "vision_feature_select_strategy": "full" if siglip else "default",
    }
    files = {"preprocessor_config.json": image, "processor_config.json": processor}
    if siglip:
        processor |= {"video_token": "<video>", "num_image_tokens": 729}
        processor["vision_aspect_ratio"] = "anyres_max_9"
        del processor["patch_size"]
        video: JSON = {"video_processor_type": "LlavaOnevisionVideoProcessor", "size": size}
        files["video_preprocessor_config.json"] = video
    elif kind == "llava_next_video":
        processor["video_token"] = "<video>"
        video = {"video_processor_type": "LlavaNextVideoVideoProcessor", "size": size}
        video["crop_size"] = image["crop_size"]
        files["video_preprocessor_config.json"] = video
    if kind != "llava_onevision":
        processor["num_additional_image_tokens"] = 1
    return files
