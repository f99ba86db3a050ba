"""A decoder of which not all is quantized, in the words of `spec.quantization`.

Layers that are left in 16 bit, and matrices that are left so in every layer, cover what is not
quantized: exactly where checkpoints leave out either, and else by as little more as possible.
Engines join q, k and v, and gate and up, so each of these groups is in one format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import Projection

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

MOST_LAYERS = 64
"""Entries that `spec.quantization.unquantizedLayers` holds."""

MATRICES = {
    "q_proj": Projection.QKV_PROJ,
    "k_proj": Projection.QKV_PROJ,
    "v_proj": Projection.QKV_PROJ,
    "o_proj": Projection.O_PROJ,
    "gate_proj": Projection.GATE_UP_PROJ,
    "up_proj": Projection.GATE_UP_PROJ,
    "down_proj": Projection.DOWN_PROJ,
}
"""Names of the linear layers of a decoder layer."""

_PLACE = re.compile(r"(?:^|\.)layers\.(\d{1,7})\.(?:.*\.)?([a-z]+_proj)$")

Place = tuple[int, Projection]
"""One group of matrices of one decoder layer."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What is not quantized."""

    layers: tuple[int, ...] = ()
    projections: tuple[Projection, ...] = ()


NOTHING = Plain()
"""All of the decoder is quantized, or none of it."""


def place_of(name: str) -> Place | None:
    """Where a module of the decoder belongs; None for others."""
    match = _PLACE.search(name)
    group = MATRICES.get(match[2]) if match else None
    return (int(match[1]), group) if match and group else None


def covered(plain: Plain, place: Place) -> bool:
    """Whether a group of matrices is in 16 bit by these words."""
    return place[0] in plain.layers or place[1] in plain.projections


def cover(sizes: Mapping[Place, int], left: Set[Place]) -> Plain:
    """The words with the fewest parameters that cover all of `left`.

    Args:
        sizes: parameters of every group of matrices.
        left: those that are not quantized.
    """
    found: list[tuple[int, int, Plain]] = []
    for count in range(len(Projection) + 1):
        for projections in combinations(Projection, count):
            layers = sorted({layer for layer, group in left if group not in projections})
            if len(layers) > MOST_LAYERS:
                continue
            words = Plain(tuple(layers), projections)
            size = sum(size for place, size in sizes.items() if covered(words, place))
            found.append((size, count + len(layers), words))
    return min(found, key=lambda each: each[:2])[2]
