"""Original `config.json` to the one that vLLM reads, and the checks that this needs.

Raises PrepareError where the plugin would not serve the checkpoint as it was trained.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videollm_vllm import ARCHITECTURE
from videollm_vllm.checkpoint import PrepareError, read_json
from videollm_vllm.layout import NEWLINES, POOLINGS, STRIDE, LayoutError, crop_limit

if TYPE_CHECKING:
    from videollm_vllm.checkpoint import Checkpoint

JSON = dict[str, Any]
TOWERS: dict[str, JSON] = {
    "google/siglip-so400m-patch14-384": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    }
}
"""Vision towers by their name in `mm_vision_tower`, whole, as their own `config.json` has them."""

TEXT_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_TEXT_OPTIONS = (
    "hidden_act",
    "initializer_range",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_theta",
    "rope_scaling",
    "use_sliding_window",
    "sliding_window",
    "max_window_layers",
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
_PINPOINT_RANGE = re.compile(r"\((\d+)x(\d+)\)")
_TOWER = "model.vision_tower.vision_tower.vision_model"


def vllm_config(checkpoint: Checkpoint, image_token: int, video_token: int) -> JSON:
    """`config.json` for vLLM.

    Args:
        checkpoint: the original.
        image_token: id of the token that stands for an image in a prompt.
        video_token: likewise for a video.
    """
    original = checkpoint.config
    _check(original)
    tower = _tower(original, checkpoint.folder)
    text = {key: original[key] for key in TEXT_KEYS}
    text |= {key: original[key] for key in _TEXT_OPTIONS if original.get(key) is not None}
    _check_weights(checkpoint, text, tower)
    config: JSON = {
        "architectures": [ARCHITECTURE],
        "model_type": "llava_onevision",
        "text_config": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], **text},
        "vision_config": {"model_type": "siglip_vision_model", "vision_use_head": False, **tower},
        "projector_hidden_act": "gelu",
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "vision_aspect_ratio": original["image_aspect_ratio"],
        "image_grid_pinpoints": _pinpoints(original["image_grid_pinpoints"], tower["image_size"]),
        "image_token_index": image_token,
        "video_token_index": video_token,
        "tie_word_embeddings": bool(original.get("tie_word_embeddings", False)),
        "mm_newline_position": original.get("mm_newline_position") or "one_token",
        "mm_spatial_pool_mode": original.get("mm_spatial_pool_mode") or "bilinear",
    }
    for key in ("torch_dtype", "quantization_config"):
        if original.get(key) is not None:
            config[key] = original[key]
    return config


def _check(original: JSON) -> None:
    """Refuse what the plugin has no rule for."""
    if ARCHITECTURE not in (original.get("architectures") or ()):
        raise PrepareError(
            f"config.json says architectures {original.get('architectures')}; this plugin serves "
            f"{ARCHITECTURE}. A converted checkpoint (`-hf`) needs no preparation"
        )
    needed = (*TEXT_KEYS, "mm_vision_tower", "image_aspect_ratio", "image_grid_pinpoints")
    missing = [key for key in needed if original.get(key) is None]
    if missing:
        raise PrepareError(f"config.json lacks {', '.join(missing)}")
    for key, allowed in (
        ("mm_projector_type", ("mlp2x_gelu",)),
        ("mm_patch_merge_type", ("spatial_unpad",)),
        ("mm_newline_position", (*NEWLINES, None)),
        ("mm_spatial_pool_mode", (*POOLINGS, None)),
        ("mm_spatial_pool_stride", (STRIDE, None)),
        ("mm_resampler_type", (None,)),
        ("add_faster_video", (False, None)),
    ):
        if original.get(key) not in allowed:
            known = " or ".join(str(value) for value in allowed if value is not None) or "no value"
            raise PrepareError(
                f"config.json says {key}: {original.get(key)!r}; this plugin serves only {known} "
                "there, anything else would be another model than was trained"
            )
    try:
        crop_limit(original["image_aspect_ratio"])
    except LayoutError as error:
        raise PrepareError(f"config.json: {error}") from None


def _tower(original: JSON, folder: Path) -> JSON:
    """The vision tower without its last layer, which LLaVA's own code removes."""
    name = str(original["mm_vision_tower"])
    whole = TOWERS.get(name)
    if whole is None:
        place = Path(name) if Path(name).is_absolute() else folder / name
        if not (place / "config.json").is_file():
            raise PrepareError(
                f"config.json says mm_vision_tower: {name!r}; known are {', '.join(TOWERS)} and "
                "folders with a SigLIP config.json"
            )
        found = read_json(place / "config.json")
        found = found.get("vision_config", found)
        whole = {key: found[key] for key in TOWERS[next(iter(TOWERS))]}
    return {**whole, "num_hidden_layers": whole["num_hidden_layers"] - 1}


def _pinpoints(value: Any, size: int) -> list[list[int]]:
    """Sizes for an image's crops, (height, width), in the order of the original, (width, height).

    The original may be a list or, from the training script, text: "(1x1),...,(6x6)" in crops.
    """
    if isinstance(value, str):
        corners = [(int(w), int(h)) for w, h in _PINPOINT_RANGE.findall(value)]
        if corners:
            (left, top), (right, bottom) = corners[0], corners[-1]
            value = [
                [across * size, down * size]
                for across in range(left, right + 1)
                for down in range(top, bottom + 1)
            ]
        else:
            value = ast.literal_eval(value)
    return [[height, width] for width, height in value]


def _check_weights(checkpoint: Checkpoint, text: JSON, tower: JSON) -> None:
    """See that the weights are those of the config; else vLLM fails late, after minutes."""
    hidden, seen, patch = text["hidden_size"], tower["hidden_size"], tower["patch_size"]
    last = tower["num_hidden_layers"] - 1
    wanted = {
        "model.embed_tokens.weight": [text["vocab_size"], hidden],
        "model.image_newline": [hidden],
        "model.mm_projector.0.weight": [hidden, seen],
        "model.mm_projector.2.weight": [hidden, hidden],
        f"{_TOWER}.embeddings.patch_embedding.weight": [seen, 3, patch, patch],
        f"{_TOWER}.embeddings.position_embedding.weight": [
            (tower["image_size"] // patch) ** 2,
            seen,
        ],
        f"{_TOWER}.encoder.layers.{last}.mlp.fc2.bias": [seen],
    }
    for name, shape in checkpoint.shapes(*wanted).items():
        if shape is None:
            raise PrepareError(
                f"the weights lack {name}; is this the whole checkpoint, with its vision tower?"
            )
        if shape != wanted[name]:
            raise PrepareError(
                f"{name} has shape {shape}, config.json means {wanted[name]}; the two files are "
                "not of one checkpoint"
            )
