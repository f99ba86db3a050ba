"""The numbers of the real checkpoints, as their `config.json` on the hub has them."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Text:
    """The language model of a checkpoint, by the names of its `text_config`."""

    model_type: str
    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    max_position_embeddings: int
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = False


ORIGINAL = "original"
_QWEN2_05B = Text("qwen2", 24, 896, 4864, 14, 2, 152_000, 32_768, 1e6, tie_word_embeddings=True)
_QWEN2_7B = Text("qwen2", 28, 3584, 18_944, 28, 4, 152_128, 32_768, 1e6)
_QWEN2_72B = Text("qwen2", 80, 8192, 29_568, 64, 8, 152_128, 32_768, 1e6)
_VICUNA_7B = Text("llama", 32, 4096, 11_008, 32, 32, 32_064, 4096)
_VICUNA_13B = Text("llama", 40, 5120, 13_824, 40, 40, 32_064, 4096)
_MISTRAL_7B = Text("mistral", 32, 4096, 14_336, 32, 8, 32_064, 32_768, 1e6)
_YI_34B = Text("llama", 60, 7168, 20_480, 56, 8, 64_064, 4096, 5e6)

MODELS: dict[str, tuple[str, Text]] = {
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": ("llava_onevision", _QWEN2_05B),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": ("llava_onevision", _QWEN2_7B),
    "llava-hf/llava-onevision-qwen2-72b-ov-hf": ("llava_onevision", _QWEN2_72B),
    "llava-hf/LLaVA-NeXT-Video-7B-hf": ("llava_next_video", _VICUNA_7B),
    "llava-hf/LLaVA-NeXT-Video-34B-hf": ("llava_next_video", _YI_34B),
    "llava-hf/llava-v1.6-mistral-7b-hf": ("llava_next", _MISTRAL_7B),
    "llava-hf/llava-v1.6-vicuna-7b-hf": ("llava_next", _VICUNA_7B),
    "llava-hf/llava-v1.6-vicuna-13b-hf": ("llava_next", _VICUNA_13B),
    "llava-hf/llava-v1.6-34b-hf": ("llava_next", _YI_34B),
    "llava-hf/llava-1.5-7b-hf": ("llava", _VICUNA_7B),
    "llava-hf/llava-1.5-13b-hf": ("llava", _VICUNA_13B),
    "lmms-lab/LLaVA-Video-7B-Qwen2": (ORIGINAL, replace(_QWEN2_7B, vocab_size=152_064)),
    "lmms-lab/LLaVA-Video-72B-Qwen2": (ORIGINAL, replace(_QWEN2_72B, vocab_size=152_064)),
    "lmms-lab/llava-onevision-qwen2-0.5b-ov": (ORIGINAL, replace(_QWEN2_05B, vocab_size=151_936)),
    "lmms-lab/llava-onevision-qwen2-7b-ov": (ORIGINAL, replace(_QWEN2_7B, vocab_size=152_064)),
    "lmms-lab/llava-onevision-qwen2-72b-ov": (ORIGINAL, replace(_QWEN2_72B, vocab_size=152_064)),
}
"""Hub id to (HF `model_type` or, for the research code's layout, ORIGINAL; language model)."""
