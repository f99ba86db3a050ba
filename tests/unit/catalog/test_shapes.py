from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from videollm_operator.catalog.loader import builtin
from videollm_operator.catalog.shapes import (
    attention_parameters,
    contradictions,
    mlp_matrices,
    mlp_matrix,
    vision_matrices,
)

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture

ENTRY = builtin().models["lmms-lab/LLaVA-Video-72B-Qwen2"].architecture


def changed(part: str, **fields: Any) -> Architecture:
    inner = getattr(ENTRY, part).model_copy(update=fields)
    return ENTRY.model_copy(update={part: inner})


def test_sizes_of_the_72b() -> None:
    assert attention_parameters(ENTRY.text) == 2 * 8192 * (64 + 8) * 128
    assert mlp_matrix(ENTRY.text) == 8192 * 29568
    assert mlp_matrices(ENTRY) == 3
    assert vision_matrices(ENTRY) == 26 * (4 * 1152**2 + 2 * 1152 * 4304)


def test_an_mlp_without_a_gate_has_two_matrices() -> None:
    text = ENTRY.text
    ungated = 80 * (attention_parameters(text) + 2 * mlp_matrix(text) + 2 * 8192)
    architecture = changed("parameters", layers=ungated)
    assert mlp_matrices(architecture) == 2
    assert contradictions(architecture) == ()


@pytest.mark.parametrize("model", builtin().models.values(), ids=lambda model: model.name)
def test_the_catalogue_has_no_contradictions(model: Any) -> None:
    assert contradictions(model.architecture) == ()


@pytest.mark.parametrize(
    ("part", "fields", "path"),
    [
        ("parameters", {"embedding": 1}, "parameters.embedding"),
        ("parameters", {"head": 1}, "parameters.head"),
        ("parameters", {"layers": 1}, "parameters.layers"),
        ("parameters", {"layers": 702_147_870_720}, "parameters.layers"),
        ("parameters", {"vision": 39_774_774}, "parameters.vision"),
        ("parameters", {"vision": 3_977_477_440}, "parameters.vision"),
        ("parameters", {"projector": 7}, "parameters.projector"),
        ("parameters", {"projector": 76_570_624_000}, "parameters.projector"),
        ("video", {"pooled_side": 28}, "video.pooledSide"),
        ("text", {"layers": 8}, "parameters.layers"),
        ("text", {"attention_heads": 640}, "parameters.layers"),
        ("vision", {"layers": 260}, "parameters.vision"),
    ],
)
def test_a_number_that_cannot_belong(part: str, fields: dict[str, int], path: str) -> None:
    ((found, sentence),) = contradictions(changed(part, **fields))
    assert found == path
    assert sentence.startswith(f"`{path}` is ")
    assert "\n" not in sentence


def test_a_tied_head_is_no_contradiction() -> None:
    assert contradictions(changed("parameters", head=0)) == ()


def test_an_image_model_has_no_pooling_to_check() -> None:
    assert contradictions(ENTRY.model_copy(update={"video": None})) == ()
