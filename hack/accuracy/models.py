"""The models of `measurements.csv`, described as the product describes models.

A text model gets a vision tower and a projector of one weight each (4 bytes together), because an
`Architecture` has both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from videollm_operator.api.architecture import (
    Architecture,
    ParameterCounts,
    TextArchitecture,
    VisionArchitecture,
)
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = Path(__file__).resolve().parent / "models.yaml"

_NO_TOWER: Mapping[str, int] = MappingProxyType(
    {
        "layers": 1,
        "hidden": 1,
        "mlp": 1,
        "heads": 1,
        "side": 1,
        "imageTokens": 1,
        "parameters": 1,
        "projector": 1,
    }
)


@dataclass(frozen=True, slots=True)
class Model:
    """What sizing needs of one model, and what of it sizing cannot say by itself."""

    architecture: Architecture
    source: str
    text_only: bool
    quantized_mlp: int | None
    """MLP width of INT8 and INT4 copies, if they are padded."""
    plain_attention: bool
    """Whether quantized copies keep attention in 16 bit."""
    plain_layers: int
    """Decoder layers whose MLP they keep in 16 bit."""
    experts: int
    """1: a dense model."""
    names: tuple[str, ...]

    @property
    def dense(self) -> bool:
        """Whether every token passes all weights."""
        return self.experts == 1


@cache
def models() -> Mapping[str, Model]:
    """The models by each of the names that `measurements.csv` uses."""
    return {
        name: _model(entry)
        for entry in _entries()
        if not entry.get("latentAttention")
        for name in entry["names"]
    }


@cache
def latent_attention() -> frozenset[str]:
    """Names of models whose KV cache is of a kind that sizing cannot express."""
    return frozenset(
        name for entry in _entries() if entry.get("latentAttention") for name in entry["names"]
    )


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    return tuple(yaml.safe_load(TABLE.read_text(encoding="utf-8"))["models"])


def _model(entry: dict[str, Any]) -> Model:
    experts = entry.get("experts", 1)
    return Model(
        architecture=_of_catalogue(entry) or _architecture(entry, experts),
        source=entry["source"],
        text_only="tower" not in entry and "catalogue" not in entry,
        quantized_mlp=entry.get("quantizedMLP"),
        plain_attention=entry.get("plainAttention", False),
        plain_layers=entry.get("plainLayers", 0),
        experts=experts,
        names=tuple(entry["names"]),
    )


def _of_catalogue(entry: dict[str, Any]) -> Architecture | None:
    name = entry.get("catalogue")
    return builtin().models[name].architecture if name else None


def _architecture(entry: dict[str, Any], experts: int) -> Architecture:
    """Parameters follow from the shapes of the tensors (transformers `models/llama`, `qwen2`)."""
    h, mlp, head = entry["hidden"], entry["mlp"], entry["headDim"]
    q, kv = entry["heads"] * head, entry["kvHeads"] * head
    layer = 2 * h * q + 2 * h * kv + experts * 3 * h * mlp + 2 * h
    layer += q + 2 * kv if entry.get("biases") else 0
    layer += 2 * head if entry.get("qkNorm") else 0
    if experts > 1:  # the router; biases of the experts' two matrices and of the attention's output
        layer += experts * (h + 1) + experts * (2 * mlp + h) + h
    tied = entry.get("tied", False)
    embedding = entry["vocabulary"] * h
    tower = entry.get("tower", _NO_TOWER)
    return Architecture(
        class_name="Published",
        text=TextArchitecture(
            layers=entry["layers"],
            hidden_size=h,
            intermediate_size=mlp,
            attention_heads=entry["heads"],
            key_value_heads=entry["kvHeads"],
            head_dim=head,
            vocab_size=entry["vocabulary"],
            max_position_embeddings=entry["window"],
            tie_word_embeddings=tied,
        ),
        vision=VisionArchitecture(
            layers=tower["layers"],
            hidden_size=tower["hidden"],
            intermediate_size=tower["mlp"],
            attention_heads=tower["heads"],
            patches_per_side=tower["side"],
            max_image_tokens=tower["imageTokens"],
        ),
        parameters=ParameterCounts(
            layers=entry["layers"] * layer + h,
            embedding=embedding,
            head=0 if tied else embedding,
            vision=tower["parameters"],
            projector=tower["projector"],
        ),
    )
