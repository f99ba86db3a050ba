"""Sizes that config.json leaves out: defaults of transformers, towers known by name.

transformers writes only what differs from a class's default, so a real config.json of LLaVA 1.5
says nothing of the language model's width. Defaults: transformers 5.23, `models/{llama,mistral,
qwen2,qwen3,clip,siglip}/configuration_*.py`. Towers: LLaVA-NeXT,
`llava/model/multimodal_encoder/{siglip,clip}_encoder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class TextFamily:
    """A decoder: transformers' defaults, and what its layers have besides matrices."""

    name: str
    """transformers' configuration class."""
    defaults: MappingProxyType[str, int]
    qkv_bias: bool = False
    """Biases on q, k and v whatever the config says (Qwen2)."""
    qk_norm: bool = False
    """A norm over each head of q and k (Qwen3)."""


_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
    "head_dim",
)


def _text(name: str, sizes: tuple[int, ...], **more: bool) -> TextFamily:
    defaults = {key: size for key, size in zip(_SIZES, sizes, strict=False) if size}
    return TextFamily(name, MappingProxyType(defaults), **more)


TEXT = {
    "llama": _text("LlamaConfig", (32000, 4096, 11008, 32, 32, 0, 2048)),
    "mistral": _text("MistralConfig", (32000, 4096, 14336, 32, 32, 8, 131072)),
    "qwen2": _text("Qwen2Config", (151936, 4096, 22016, 32, 32, 32, 32768), qkv_bias=True),
    "qwen3": _text("Qwen3Config", (151936, 4096, 22016, 32, 32, 32, 32768, 128), qk_norm=True),
}
"""By `text_config.model_type`. Llama's key/value heads default to its query heads."""


class TowerKind(StrEnum):
    """What a tower has besides its layers."""

    CLIP = "CLIP"
    """A class token, no bias of the patches, norms before and after."""
    SIGLIP = "SigLIP"
    """A bias of the patches, a norm after; a pooling head unless it was dropped."""


@dataclass(frozen=True, slots=True)
class Tower:
    """A vision tower."""

    kind: TowerKind
    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    image_size: int
    patch_size: int

    @property
    def side(self) -> int:
        """Patches along one side of an image."""
        return self.image_size // self.patch_size


TOWER_DEFAULTS = {
    "clip_vision_model": Tower(TowerKind.CLIP, 12, 768, 3072, 12, 224, 32),
    "siglip_vision_model": Tower(TowerKind.SIGLIP, 12, 768, 3072, 12, 224, 16),
}
"""By `vision_config.model_type`."""

TOWERS = {
    "siglip-so400m-patch14-384": Tower(TowerKind.SIGLIP, 26, 1152, 4304, 16, 384, 14),
    "clip-vit-large-patch14-336": Tower(TowerKind.CLIP, 24, 1024, 4096, 16, 336, 14),
    "clip-vit-large-patch14": Tower(TowerKind.CLIP, 24, 1024, 4096, 16, 224, 14),
}
"""By the last part of `mm_vision_tower`. LLaVA-NeXT drops SigLIP's last layer and pooling head."""

FLAT_CLASSES = {
    "LlavaQwenForCausalLM": "qwen2",
    "LlavaLlamaForCausalLM": "llama",
    "LlavaMistralForCausalLM": "mistral",
}
"""Classes of the original code, and their language model."""

NESTED_CLASSES = {
    "llava": "LlavaForConditionalGeneration",
    "llava_next": "LlavaNextForConditionalGeneration",
    "llava_next_video": "LlavaNextVideoForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
}
"""Classes of transformers by `model_type`."""
