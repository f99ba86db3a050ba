"""How many tokens a video or an image has, and where its newlines stand. Arithmetic only.

The rules are those of the LLaVA-NeXT repository, by which LLaVA-Video was trained
(`llava/model/llava_arch.py`: `get_2dPool`, `add_token_per_grid`, `add_token_per_frame`,
`unpad_image`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

NEWLINES = ("grid", "frame", "one_token", "no_token")
POOLINGS = ("bilinear", "average", "max")
STRIDE = 2
"""Patches of a frame that are pooled to one token, along a side."""
_ANYRES = re.compile(r"anyres(?:_max_(\d+))?")
_SHRINK_FROM = 1.1
"""An image is shrunk to its crop limit when its side is this many times too long."""


class LayoutError(ValueError):
    """A configuration that the layout has no rule for."""


@dataclass(frozen=True)
class Cells:
    """What remains of the patches of an image's crops."""

    top: int
    left: int
    rows: int
    columns: int
    """The part that shows the image and not the padding around it, in patches."""
    shrunk_rows: int
    shrunk_columns: int
    """The same part after it was shrunk to the crop limit."""

    @property
    def shrunk(self) -> bool:
        """Whether the part has to be resized."""
        return (self.rows, self.columns) != (self.shrunk_rows, self.shrunk_columns)

    @property
    def tokens(self) -> int:
        """Tokens with a newline after each row."""
        return self.shrunk_rows * (self.shrunk_columns + 1)


@dataclass(frozen=True)
class Layout:
    """The layout of one checkpoint."""

    patches: int
    """Patches along a side of what the vision tower sees."""
    newline: str = "one_token"
    pooling: str = "bilinear"
    crops: int | None = 9
    """Crops of an image beyond which its patches are shrunk; None: never."""

    def __post_init__(self) -> None:
        for key, value, known in (
            ("mm_newline_position", self.newline, NEWLINES),
            ("mm_spatial_pool_mode", self.pooling, POOLINGS),
        ):
            if value not in known:
                raise LayoutError(f"{key} is {value!r}; there are {', '.join(known)}")

    @classmethod
    def of(cls, config: Any) -> Layout:
        """The layout that a prepared `config.json` asks for."""
        vision = config.vision_config
        return cls(
            patches=vision.image_size // vision.patch_size,
            newline=getattr(config, "mm_newline_position", "one_token"),
            pooling=getattr(config, "mm_spatial_pool_mode", "bilinear"),
            crops=crop_limit(config.vision_aspect_ratio),
        )

    @property
    def rows(self) -> int:
        """Rows (and columns) of a pooled frame."""
        if self.pooling == "bilinear":
            return math.ceil(self.patches / STRIDE)
        return self.patches // STRIDE

    def video_tokens(self, frames: int) -> int:
        """Tokens of a video."""
        frame = self.rows * self.rows
        newlines = {
            "grid": frames * self.rows,
            "frame": frames,
            "one_token": 1,
            "no_token": 0,
        }
        return frames * frame + newlines[self.newline]

    def image_tokens(self, width: int, height: int, across: int, down: int) -> int:
        """Tokens of an image: its overview and its crops.

        Args:
            width: of the image as it was sent, in pixels.
            height: likewise.
            across: crops side by side.
            down: crops one above the other.
        """
        return self.patches**2 + self.image_cells(width, height, across, down).tokens

    def image_cells(self, width: int, height: int, across: int, down: int) -> Cells:
        """What remains of the patches of an image's crops; arguments as for `image_tokens`."""
        rows, columns = down * self.patches, across * self.patches
        top = left = 0
        if width / height > columns / rows:
            top = (rows - int(height * (columns / width))) // 2
        else:
            left = (columns - int(width * (rows / height))) // 2
        rows, columns = rows - 2 * top, columns - 2 * left
        cells = Cells(top, left, rows, columns, rows, columns)
        if self.crops is None:
            return cells
        times = math.sqrt(rows * columns / (self.crops * self.patches**2))
        if times <= _SHRINK_FROM:
            return cells
        return Cells(top, left, rows, columns, int(rows // times), int(columns // times))


def crop_limit(aspect_ratio: str) -> int | None:
    """Crops of an image beyond which it is shrunk: 9 of "anyres_max_9", None of "anyres".

    Raises LayoutError for any other way to show an image.
    """
    found = _ANYRES.fullmatch(aspect_ratio)
    if found is None:
        raise LayoutError(
            f"image_aspect_ratio is {aspect_ratio!r}; this plugin has the layout of anyres and "
            "anyres_max_N, by which LLaVA-Video was trained"
        )
    return int(found[1]) if found[1] else None
