"""Which model folder stands for each catalogue model when real software is asked about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.engines.models import MODELS, ORIGINAL
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from videollm_operator.catalog.entries import ModelEntry

CATALOG = builtin()
_LARGEST = "llava-hf/llava-onevision-qwen2-72b-ov-hf"


@dataclass(frozen=True)
class Standing:
    """A folder of `configs.write_model`, and what to change in its configuration."""

    folder: str
    """Hub id of the folder."""
    overrides: dict[str, Any]


def standing(entry: ModelEntry) -> Standing:
    """For converted copies their own folder.

    The original checkpoints have the same tensors in other files, and released software loads none
    of them; so the converted class of the same tower and projector stands for them, with the
    original's numbers.
    """
    kind = MODELS.get(entry.name, (ORIGINAL,))[0]
    if kind != ORIGINAL:
        return Standing(entry.name, {})
    text = entry.architecture.text
    copies = (
        name
        for name, (other, numbers) in MODELS.items()
        if other == "llava_onevision" and numbers.hidden_size == text.hidden_size
    )
    numbers = {
        "num_hidden_layers": text.layers,
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_attention_heads": text.attention_heads,
        "num_key_value_heads": text.key_value_heads,
        "vocab_size": text.vocab_size,
    }
    return Standing(next(copies, _LARGEST), {"text_config": numbers})
