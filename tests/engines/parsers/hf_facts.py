"""What Hugging Face transformers makes of a model folder: parameters and tokens.

Imported by `worker.py` inside the environment.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

JSON = dict[str, Any]
_CLASSES = {
    "embedding": ("model.language_model.embed_tokens.",),
    "head": ("lm_head.",),
    "layers": ("model.language_model.",),
    "vision": ("model.vision_tower.",),
    "projector": ("model.multi_modal_projector.", "model.image_newline"),
}
"""Tensor classes by the beginnings of parameters' names; the first that fits counts."""


def parameters(config_dir: str) -> dict[str, int]:
    """Parameters by tensor class of the model, built on torch's meta device. Tied ones once."""
    config = AutoConfig.from_pretrained(config_dir)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    counts = dict.fromkeys([*_CLASSES, "other"], 0)
    for name, parameter in model.named_parameters():
        kind = next((k for k, starts in _CLASSES.items() if name.startswith(starts)), "other")
        counts[kind] += parameter.numel()
    return counts


def tokens(config_dir: str, frames: list[int], sizes: list[list[int]]) -> JSON:
    """Placeholder tokens that the processor makes of black videos and images.

    Args:
        config_dir: the model's folder.
        frames: lengths of videos; empty for a model that takes none.
        sizes: images' (width, height); empty for a model that takes none.
    """
    processor = AutoProcessor.from_pretrained(config_dir)
    config = AutoConfig.from_pretrained(config_dir)

    def count(kind: str, token: int, text: str, medium: Any) -> int:
        ids = processor(text=text, **{kind: medium}, return_tensors="pt")["input_ids"]
        return int((ids == token).sum())

    black = [numpy.zeros((length, 48, 64, 3), dtype=numpy.uint8) for length in frames]
    pictures = [numpy.zeros((height, width, 3), dtype=numpy.uint8) for width, height in sizes]
    return {
        "video": [count("videos", config.video_token_index, "<video>", [video]) for video in black],
        "image": [
            count("images", config.image_token_index, "<image>", [picture]) for picture in pictures
        ],
    }
