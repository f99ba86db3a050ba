"""Token counts, as published for LLaVA-Video and as its code has them."""

from __future__ import annotations

import pytest
from videollm_vllm.layout import Cells, Layout, LayoutError, crop_limit

SO400M = 27


@pytest.mark.parametrize(
    ("newline", "pooling", "tokens"),
    [
        ("grid", "bilinear", 64 * 14 * 15),
        ("grid", "average", 64 * 13 * 14),
        ("grid", "max", 64 * 13 * 14),
        ("frame", "bilinear", 64 * (14 * 14 + 1)),
        ("frame", "average", 64 * (13 * 13 + 1)),
        ("one_token", "bilinear", 64 * 14 * 14 + 1),
        ("one_token", "average", 64 * 13 * 13 + 1),
        ("no_token", "bilinear", 64 * 14 * 14),
        ("no_token", "average", 64 * 13 * 13),
    ],
)
def test_tokens_of_64_frames(newline: str, pooling: str, tokens: int) -> None:
    assert Layout(SO400M, newline, pooling).video_tokens(64) == tokens


@pytest.mark.parametrize(
    ("width", "height", "across", "down", "tokens"),
    [  # the first two as in vLLM's LLaVA-OneVision, whose formula differs only in rounding
        (1280, 720, 4, 2, 5967),
        (1920, 1080, 5, 3, 7269),
        (384, 384, 1, 1, 729 + 27 * 28),
    ],
)
def test_tokens_of_images(width: int, height: int, across: int, down: int, tokens: int) -> None:
    assert Layout(SO400M).image_tokens(width, height, across, down) == tokens


def test_a_wide_image_loses_padding_above_and_below() -> None:
    assert Layout(10, crops=None).image_cells(200, 50, 2, 1) == Cells(2, 0, 6, 20, 6, 20)


def test_a_tall_image_loses_padding_at_its_sides() -> None:
    assert Layout(10, crops=None).image_cells(50, 200, 1, 2) == Cells(0, 2, 20, 6, 20, 6)


def test_an_image_of_too_many_crops_is_shrunk() -> None:
    cells = Layout(10, crops=1).image_cells(100, 100, 2, 2)
    assert cells == Cells(0, 0, 20, 20, 10, 10)
    assert cells.shrunk
    assert cells.tokens == 10 * 11


def test_an_image_slightly_over_its_limit_is_not_shrunk() -> None:
    assert not Layout(10, crops=1).image_cells(100, 100, 1, 1).shrunk


@pytest.mark.parametrize("wrong", [{"newline": "row"}, {"pooling": "mean"}])
def test_an_unknown_layout_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(LayoutError, match=r"there are .*"):
        Layout(SO400M, **wrong)


def test_crop_limits() -> None:
    assert crop_limit("anyres_max_9") == 9
    assert crop_limit("anyres") is None
    with pytest.raises(LayoutError, match="'pad'"):
        crop_limit("pad")
