"""A tiny checkpoint in the layout of the original LLaVA-Video: names, files, `config.json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from tests.engines.tokenizer import tokenizer

if TYPE_CHECKING:
    from pathlib import Path

TOWER = {
    "model_type": "siglip_vision_model",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "image_size": 70,
    "patch_size": 14,
}
"""5 x 5 patches: an odd number as in the real tower, so that the poolings differ in size."""

CONFIG: dict[str, Any] = {
    "architectures": ["LlavaQwenForCausalLM"],
    "model_type": "llava",
    "vocab_size": 320,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "eos_token_id": 258,
    "torch_dtype": "float32",
    "add_faster_video": False,
    "image_aspect_ratio": "anyres_max_2",
    "image_grid_pinpoints": [[70, 70], [70, 140], [140, 70], [140, 140]],
    "mm_newline_position": "grid",
    "mm_patch_merge_type": "spatial_unpad",
    "mm_projector_type": "mlp2x_gelu",
    "mm_resampler_type": None,
    "mm_spatial_pool_mode": "bilinear",
    "mm_spatial_pool_stride": 2,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": -2,
    "mm_vision_tower": "tower",
}
SPECIAL = {"<|endoftext|>": 256, "<|im_start|>": 257, "<|im_end|>": 258}
_SCALE = 0.12  # smaller weights give answers that hardly depend on the video


def write_checkpoint(folder: Path, **changes: Any) -> Path:
    """Write the checkpoint, with these changes to its `config.json`."""
    (folder / "tower").mkdir(parents=True)
    _write(folder / "config.json", CONFIG | changes)
    _write(folder / "tower" / "config.json", TOWER)
    _write(folder / "generation_config.json", {"eos_token_id": 258, "do_sample": False})
    _write(folder / "tokenizer.json", tokenizer(SPECIAL))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "model_max_length": 4096,
        },
    )
    weights = _weights()
    names = sorted(weights)
    places = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        shard = f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / shard, {"format": "pt"})
        places |= dict.fromkeys(part, shard)
    _write(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    return folder


def _weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    weights: dict[str, np.ndarray] = {}

    def add(name: str, *shape: int, around: float = 0.0) -> None:
        drawn = around + _SCALE * random.standard_normal(shape)
        weights[name] = drawn.astype(np.float32)

    def linear(name: str, outputs: int, inputs: int, *, bias: bool = True) -> None:
        add(f"{name}.weight", outputs, inputs)
        if bias:
            add(f"{name}.bias", outputs)

    def norm(name: str, size: int, *, bias: bool = True) -> None:
        add(f"{name}.weight", size, around=1.0)
        if bias:
            add(f"{name}.bias", size)

    seen, between, patch = (TOWER[k] for k in ("hidden_size", "intermediate_size", "patch_size"))
    tower = "model.vision_tower.vision_tower.vision_model"
    add(f"{tower}.embeddings.patch_embedding.weight", seen, 3, patch, patch)
    add(f"{tower}.embeddings.patch_embedding.bias", seen)
    add(f"{tower}.embeddings.position_embedding.weight", (TOWER["image_size"] // patch) ** 2, seen)
    for number in range(TOWER["num_hidden_layers"] - 1):  # saved without its last layer
        layer = f"{tower}.encoder.layers.{number}"
        for which in ("layer_norm1", "layer_norm2"):
            norm(f"{layer}.{which}", seen)
        for which in ("q", "k", "v", "out"):
            linear(f"{layer}.self_attn.{which}_proj", seen, seen)
        linear(f"{layer}.mlp.fc1", between, seen)
        linear(f"{layer}.mlp.fc2", seen, between)
    norm(f"{tower}.post_layernorm", seen)  # there, and not used
    hidden, wide = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    pairs = hidden * CONFIG["num_key_value_heads"] // CONFIG["num_attention_heads"]
    linear("model.mm_projector.0", hidden, seen)
    linear("model.mm_projector.2", hidden, hidden)
    add("model.image_newline", hidden)
    add("model.embed_tokens.weight", CONFIG["vocab_size"], hidden)
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        norm(f"{layer}.input_layernorm", hidden, bias=False)
        norm(f"{layer}.post_attention_layernorm", hidden, bias=False)
        linear(f"{layer}.self_attn.q_proj", hidden, hidden)
        linear(f"{layer}.self_attn.k_proj", pairs, hidden)
        linear(f"{layer}.self_attn.v_proj", pairs, hidden)
        linear(f"{layer}.self_attn.o_proj", hidden, hidden, bias=False)
        linear(f"{layer}.mlp.gate_proj", wide, hidden, bias=False)
        linear(f"{layer}.mlp.up_proj", wide, hidden, bias=False)
        linear(f"{layer}.mlp.down_proj", hidden, wide, bias=False)
    norm("model.norm", hidden, bias=False)
    add("lm_head.weight", CONFIG["vocab_size"], hidden)
    return weights


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
