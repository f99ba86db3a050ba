"""Tokens of the largest image that a model's processor makes.

An image is cut into crops by the best of some grids, each crop becomes side x side tokens, each row
of the whole gets a newline, and the whole image shrunk to one crop comes on top. vLLM 0.32,
`llava_next.py` and `llava_onevision.py` (`_get_num_unpadded_features`).
"""

from __future__ import annotations

import math
import re
from typing import Any

LARGEST_ONEVISION = 8748
"""vLLM's own worst case for SigLIP 384/14 with grids up to 6 x 6 and `anyres_max_9`: 1153 x 944."""

ONEVISION_GRIDS = frozenset((rows, columns) for rows in range(1, 7) for columns in range(1, 7))
"""transformers' default of LLaVA-OneVision's `image_grid_pinpoints`."""

NEXT_GRIDS = frozenset({(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)})
"""transformers' default of LLaVA-NeXT's."""

_MOST_GRIDS = 1000


def most_crops(ratio: str) -> int:
    """Crops that `anyres_max_n` allows; 0 where there is no such limit."""
    match = re.fullmatch(r"anyres_max_(\d{1,3})", ratio)
    return int(match[1]) if match else 0


def grids(pinpoints: Any, crop: int) -> frozenset[tuple[int, int]]:
    """Grids (rows, columns) of `image_grid_pinpoints`; empty where they cannot be read.

    Args:
        pinpoints: list of [height, width] in pixels, or the text "(1x1),...,(6x6)".
        crop: pixels along one side of a crop.
    """
    if isinstance(pinpoints, str):
        sizes = [(int(a), int(b)) for a, b in re.findall(r"\((\d{1,3})x(\d{1,3})\)", pinpoints)]
        if not sizes:
            return frozenset()
        rows, columns = (min(30, max(side)) for side in zip(*sizes, strict=True))
        return frozenset((r, c) for r in range(1, rows + 1) for c in range(1, columns + 1))
    if not isinstance(pinpoints, list) or len(pinpoints) > _MOST_GRIDS:
        return frozenset()
    found = set()
    for each in pinpoints:
        pair = isinstance(each, list) and len(each) == 2
        if not pair or any(type(side) is not int or not crop <= side <= 100_000 for side in each):
            return frozenset()
        found.add((each[0] // crop, each[1] // crop))
    return frozenset(found)


def largest_image(known: frozenset[tuple[int, int]], side: int, most_crops: int) -> tuple[int, str]:
    """Tokens of the largest image, and by which rule.

    Args:
        known: grids; empty: every image is one crop.
        side: patches along one side of a crop.
        most_crops: n of `anyres_max_n`, beyond which features are shrunk; 0: never.
    """
    base = side * side
    if not known:
        return base, f"{side} x {side} patches"
    if most_crops == 9 and side == 27 and known == ONEVISION_GRIDS:
        return LARGEST_ONEVISION, "vLLM's worst case, 1153 x 944"
    largest = 0
    for rows, columns in known:
        height, features = rows * side, rows * columns * base
        if most_crops:  # beyond 1.1 times the limit, features are shrunk to the limit
            features = min(features, math.floor(1.21 * most_crops * base))
        largest = max(largest, features + height)
    return largest + base, "largest grid, newlines and the whole image"
