"""A model of 1.4 million parameters with all that a real one has; for tests that break it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.checkpoints import generator
from tests.unit.checkpoints.configs import GRIDS
from videollm_operator.checkpoints.describe import describe

if TYPE_CHECKING:
    from pathlib import Path

    from videollm_operator.checkpoints.safetensors import Tensor


def config(**changes: Any) -> dict[str, Any]:
    """Its config.json in the nested form."""
    made: dict[str, Any] = {
        "architectures": ["LlavaOnevisionForConditionalGeneration"],
        "model_type": "llava_onevision",
        "image_grid_pinpoints": GRIDS,
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "vocab_size": 4096,
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "vision_use_head": False,
        },
        "torch_dtype": "float16",
    }
    return {**made, **changes}


def tensors() -> list[Tensor]:
    """Its tensors."""
    entry = describe("tiny", json_of(config()), None).entry
    made = generator.tensors(entry.architecture, generator.NESTED, dtype="F16", biases=True)
    return list(made)


def json_of(value: Any) -> bytes:
    """As it lies in a file."""
    import json

    return json.dumps(value).encode()


def write(folder: Path) -> None:
    """Its folder."""
    generator.write(folder, config(), tensors())
