"""Parameters by tensor class from widths and layers, where no headers tell them.

transformers 5.23 `models/{llama,qwen2,qwen3,clip,siglip,llava,llava_onevision}/modeling_*.py`, and
for the projector of the originals LLaVA-NeXT `multimodal_projector/builder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.checkpoints.facts import Facts, Source
from videollm_operator.checkpoints.families import TowerKind

if TYPE_CHECKING:
    from videollm_operator.checkpoints.families import Tower
    from videollm_operator.checkpoints.text import Biases


@dataclass(frozen=True, slots=True)
class Parts:
    """What counts follow from besides the numbers of the architecture."""

    biases: Biases
    tower: Tower
    pooling_head: bool
    projector_layers: int
    """Linear layers."""
    projector_bias: bool
    projector_inputs: int
    """Tower layers whose features are joined."""
    newline: bool


def put_parameters(facts: Facts, parts: Parts) -> None:
    """Puts the facts of `architecture.parameters`, computed from what is known so far."""
    text = {name: int(facts[f"architecture.text.{name}"]) for name in _TEXT}
    vision = {name: int(facts[f"architecture.vision.{name}"]) for name in _VISION}
    embedding = text["vocabSize"] * text["hiddenSize"]
    tied = facts["architecture.text.tieWordEmbeddings"]
    for name, count, detail in (
        ("layers", _layers(text, parts.biases), "text.*"),
        ("embedding", embedding, "text.vocabSize x text.hiddenSize"),
        ("head", 0 if tied else embedding, "tied" if tied else "as the embedding"),
        ("vision", _vision(vision, parts), "vision.*"),
        ("projector", _projector(text, vision, parts), "text.hiddenSize, vision.hiddenSize"),
    ):
        facts.put(f"architecture.parameters.{name}", count, Source.COMPUTED, detail)


_TEXT = ("layers", "hiddenSize", "intermediateSize", "attentionHeads", "keyValueHeads", "headDim",
         "vocabSize")  # fmt: skip
_VISION = ("layers", "hiddenSize", "intermediateSize", "patchesPerSide")


def _layers(text: dict[str, int], biases: Biases) -> int:
    """Decoder layers, and the norm after them."""
    h, inter, head = text["hiddenSize"], text["intermediateSize"], text["headDim"]
    q, kv = text["attentionHeads"] * head, text["keyValueHeads"] * head
    layer = 2 * h * q + 2 * h * kv + 3 * h * inter + 2 * h
    layer += q + 2 * kv if biases.qkv else 0
    layer += h if biases.out else 0
    layer += 2 * inter + h if biases.mlp else 0
    layer += 2 * head if biases.qk_norm else 0
    return text["layers"] * layer + h


def _vision(vision: dict[str, int], parts: Parts) -> int:
    h, inter, side = vision["hiddenSize"], vision["intermediateSize"], vision["patchesPerSide"]
    layer = 4 * (h * h + h) + 2 * h * inter + inter + h + 4 * h
    around = parts.tower.patch_size**2 * 3 * h
    if parts.tower.kind is TowerKind.CLIP:  # class token, its position, norms before and after
        around += h + (side * side + 1) * h + 4 * h
    else:  # bias of the patches, norm after
        around += h + side * side * h + 2 * h
    if parts.pooling_head:  # probe, attention, norm, MLP
        around += h + 4 * h * h + 4 * h + 2 * h + 2 * h * inter + inter + h
    return vision["layers"] * layer + around


def _projector(text: dict[str, int], vision: dict[str, int], parts: Parts) -> int:
    h, bias = text["hiddenSize"], text["hiddenSize"] if parts.projector_bias else 0
    first = vision["hiddenSize"] * parts.projector_inputs * h + bias
    return first + (parts.projector_layers - 1) * (h * h + bias) + (h if parts.newline else 0)
