from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    INT4,
    NONE,
    ONEVISION_05B,
    VIDEO_7B,
    VIDEO_72B,
    request,
    sglang,
    vllm,
    workload,
)
from videollm_operator.sizing import ForbiddenLayout, SizingRequest, VideoRoute
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.forbidden import forbidden

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1.compute import QuantizationSpec


def rules(asked: SizingRequest) -> dict[tuple[int, int], str]:
    return {(each.tensor, each.pipeline): each.rule for each in forbidden(demand(asked))}


def test_each_size_has_the_rule_that_forbids_it() -> None:
    found = rules(request(VIDEO_72B, "A100-80GB"))
    assert set(found) == {(3, 1), (5, 1), (6, 1), (7, 1), (16, 1)}
    assert found[3, 1] == "64 attention heads do not divide by 3"
    assert found[16, 1] == (
        "tensor parallelism stays inside a node, and the largest with A100-80GB has 8"
    )


def test_groups_forbid_what_heads_allow() -> None:
    found = rules(request(VIDEO_72B, "A100-80GB", quantization=INT4))
    assert "no multiple of the quantization group of 128" in found[2, 1]
    assert {tensor for tensor, _ in found} == set(range(2, 9))


def test_an_engine_without_pipelines_forbids_them() -> None:
    found = rules(request(VIDEO_7B, "L4", budget=sglang()))
    assert "has no pipeline parallelism" in found[1, 2]
    assert not any(pipeline > 1 for _, pipeline in rules(request(VIDEO_7B, "L4")))


def test_a_slice_has_one_layout() -> None:
    gpu = CATALOG.gpu("A100-80GB-MIG-1g.10gb")
    assert gpu is not None
    found = rules(request(ONEVISION_05B, gpu=gpu, visible_mib=gpu.visible_mib))
    assert set(found) == {(2, 1), (1, 2)}
    assert all("one MIG slice" in rule for rule in found.values())


@pytest.mark.parametrize("model", sorted(CATALOG.models))
@pytest.mark.parametrize("quantization", [NONE, INT4], ids=["plain", "groups"])
def test_every_layout_of_a_node_is_legal_or_has_its_rule(
    model: str, quantization: QuantizationSpec
) -> None:
    video = CATALOG.models[model].architecture.video is not None
    budget = vllm(VideoRoute.CHUNKED if video else VideoRoute.IMAGES)
    short = workload(framesPerVideo=1, promptTokens=1, maxOutputTokens=1)
    asked = demand(request(model, "L4", budget=budget, quantization=quantization, workload=short))
    listed = {(each.tensor, each.pipeline) for each in forbidden(asked)}
    legal = {(layout.tensor, layout.pipeline) for layout in asked.in_node}
    for gpus in range(2, 9):
        assert ((gpus, 1) in listed) != ((gpus, 1) in legal)
        assert ((1, gpus) in listed) != ((1, gpus) in legal)
    assert not listed & legal
    assert all(isinstance(each, ForbiddenLayout) and each.rule for each in forbidden(asked))
