"""config.json of the catalogue's models, as their files on the hub have it.

Written from what is published about them: the flat keys as the original code saves them, the nested
form as transformers saves it, which leaves out what equals a class's default.
"""

from __future__ import annotations

import copy
import json
from typing import Any

GRIDS = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
NEXT_GRIDS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]

QWEN2_72B = {
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}
QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
QWEN2_05B = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
}
YI_34B = {
    "hidden_size": 7168,
    "intermediate_size": 20480,
    "num_hidden_layers": 60,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
}
VICUNA_13B = {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
}


def flat(text: dict[str, int], *, newline: str, **more: Any) -> dict[str, Any]:
    """A LLaVA-Video or LLaVA-OneVision original; `model_type` is the trap."""
    return {
        "architectures": ["LlavaQwenForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "hidden_act": "silu",
        **text,
        "image_aspect_ratio": "anyres_max_9",
        "image_crop_resolution": None,
        "image_grid_pinpoints": GRIDS,
        "image_split_resolution": None,
        "initializer_range": 0.02,
        "max_position_embeddings": 32768,
        "max_window_layers": 28,
        "mm_hidden_size": 1152,
        "mm_newline_position": newline,
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_lr": None,
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_spatial_pool_mode": "bilinear",
        "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_vision_tower_lr": 2e-06,
        "model_type": "llava",
        "pos_skipping_range": 4096,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "tie_word_embeddings": False,
        "tokenizer_model_max_length": 32768,
        "tokenizer_padding_side": "right",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.0.dev0",
        "use_cache": True,
        "use_mm_proj": True,
        "use_pos_skipping": False,
        "use_sliding_window": False,
        "vision_tower_pretrained": None,
        "vocab_size": 152064,
        **more,
    }


def onevision_hf(text: dict[str, int], vocabulary: int, **more: Any) -> dict[str, Any]:
    """A converted LLaVA-OneVision."""
    return {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "ignore_index": -100,
        "image_grid_pinpoints": GRIDS,
        "image_token_index": 151646,
        "model_type": "llava_onevision",
        "projector_hidden_act": "gelu",
        "text_config": {
            "_name_or_path": "Qwen/Qwen2-Instruct",
            "architectures": ["Qwen2ForCausalLM"],
            "bos_token_id": 151643,
            "eos_token_id": 151645,
            **text,
            "model_type": "qwen2",
            "rope_theta": 1000000.0,
            "sliding_window": 131072,
            "torch_dtype": "bfloat16",
            "vocab_size": vocabulary,
            **more,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.45.0.dev0",
        "use_image_newline_parameter": True,
        "video_token_index": 151647,
        "vision_aspect_ratio": "anyres_max_9",
        "vision_config": {
            "hidden_size": 1152,
            "image_size": 384,
            "intermediate_size": 4304,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 26,
            "patch_size": 14,
            "vision_use_head": False,
        },
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
    }


CLIP = {
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "model_type": "clip_vision_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
    "vocab_size": 32000,
}


def clip_hf(kind: str, text: dict[str, Any], **more: Any) -> dict[str, Any]:
    """LLaVA 1.5, LLaVA 1.6 or LLaVA-NeXT-Video; what equals Llama's defaults is left out."""
    classes = {
        "llava": "LlavaForConditionalGeneration",
        "llava_next": "LlavaNextForConditionalGeneration",
        "llava_next_video": "LlavaNextVideoForConditionalGeneration",
    }
    return {
        "architectures": [classes[kind]],
        "ignore_index": -100,
        "image_token_index": 32000,
        "model_type": kind,
        "pad_token_id": 32001,
        "projector_hidden_act": "gelu",
        "text_config": {"max_position_embeddings": 4096, "model_type": "llama", **text},
        "torch_dtype": "float16",
        "vision_config": dict(CLIP),
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        **more,
    }


VICUNA_7B = {"vocab_size": 32064, "torch_dtype": "float16"}
MISTRAL_7B = {
    "model_type": "mistral",
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "vocab_size": 32064,
}
POOLED = {"spatial_pool_mode": "average", "spatial_pool_stride": 2}

CONFIGS: dict[str, dict[str, Any]] = {
    "lmms-lab/LLaVA-Video-72B-Qwen2": flat(
        QWEN2_72B, newline="grid", mm_spatial_pool_stride=2, add_time_instruction=True
    ),
    "lmms-lab/LLaVA-Video-7B-Qwen2": flat(
        QWEN2_7B, newline="grid", mm_spatial_pool_stride=2, model_type="llava_qwen"
    ),
    "lmms-lab/llava-onevision-qwen2-72b-ov": flat(QWEN2_72B, newline="one_token"),
    "lmms-lab/llava-onevision-qwen2-7b-ov": flat(QWEN2_7B, newline="one_token"),
    "lmms-lab/llava-onevision-qwen2-0.5b-ov": flat(
        QWEN2_05B, newline="one_token", tie_word_embeddings=True, vocab_size=151936
    ),
    "llava-hf/llava-onevision-qwen2-72b-ov-hf": onevision_hf(QWEN2_72B, 152128),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": onevision_hf(QWEN2_7B, 152128),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": onevision_hf(
        QWEN2_05B, 152000, tie_word_embeddings=True
    ),
    "llava-hf/LLaVA-NeXT-Video-34B-hf": clip_hf(
        "llava_next_video", {**YI_34B, "vocab_size": 64064}, **POOLED
    ),
    "llava-hf/LLaVA-NeXT-Video-7B-hf": clip_hf("llava_next_video", VICUNA_7B, **POOLED),
    "llava-hf/llava-v1.6-34b-hf": clip_hf(
        "llava_next", {**YI_34B, "vocab_size": 64064}, image_grid_pinpoints=NEXT_GRIDS
    ),
    "llava-hf/llava-v1.6-vicuna-13b-hf": clip_hf(
        "llava_next", {**VICUNA_13B, "vocab_size": 32064}, image_grid_pinpoints=NEXT_GRIDS
    ),
    "llava-hf/llava-v1.6-vicuna-7b-hf": clip_hf(
        "llava_next", VICUNA_7B, image_grid_pinpoints=NEXT_GRIDS
    ),
    "llava-hf/llava-v1.6-mistral-7b-hf": clip_hf(
        "llava_next", MISTRAL_7B, image_grid_pinpoints=NEXT_GRIDS
    ),
    "llava-hf/llava-1.5-13b-hf": clip_hf("llava", {**VICUNA_13B, "vocab_size": 32064}),
    "llava-hf/llava-1.5-7b-hf": clip_hf("llava", VICUNA_7B),
}
"""By hub id. LLaVA-NeXT-Video-32B-Qwen is not among them: its config.json was not seen."""


def config(name: str, **changes: Any) -> dict[str, Any]:
    """A copy of one of them; a change to None removes the key, a dotted key reaches inside."""
    result = copy.deepcopy(CONFIGS[name])
    for path, value in changes.items():
        place: Any = result
        *parents, last = path.split("__")
        for parent in parents:
            place = place[parent]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return result


def text_of(value: Any) -> bytes:
    """As it lies in a file."""
    return json.dumps(value, indent=2).encode()
