from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    FEWEST,
    INT4,
    INT8_PADDED,
    LLAVA_16_MISTRAL,
    VIDEO_7B,
    VIDEO_72B,
    parallelism,
    refusal,
    request,
    sglang,
    tgi,
    workload,
)
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import QuantizationSpec
from videollm_operator.sizing import Layout, Plan, Verdict, plan


def manual(tensor: int, pipeline: int | None = None, sku: str = "L40", **changes: Any) -> Any:
    fields: dict[str, Any] = {"strategy": "Manual", "tensor": tensor}
    if pipeline:
        fields["pipeline"] = pipeline
    return request(sku=sku, parallelism=parallelism(**fields), **changes)


def chosen(**changes: Any) -> Plan:
    return plan(request(**changes))


# ---------------------------------------------------------------- strategies


def test_tensor_first_goes_to_pipelines_only_when_no_tensor_size_fits() -> None:
    assert chosen(sku="L40", quantization=INT4).layout == Layout(1, 2)
    assert chosen(sku="L40").layout == Layout(4, 1)


def test_fewest_gpus_prefers_tensor_parallelism_among_equals() -> None:
    assert chosen(sku="L40", parallelism=FEWEST).layout == Layout(4, 1)
    assert chosen(sku="A100-80GB", quantization=INT8_PADDED, parallelism=FEWEST).layout == Layout(
        2, 1
    )


def test_a_tight_layout_is_never_chosen_by_itself() -> None:
    fewest = chosen(sku="A100-40GB", parallelism=FEWEST)
    assert fewest.verdict is Verdict.FITS
    problem = refusal(request(sku="A100-80GB", per_replica=2))
    assert "without its safety margin" in problem.message
    assert "`tensor: 2` and `pipeline: 1`" in problem.message


# ---------------------------------------------------------------- a fixed count


@pytest.mark.parametrize(
    ("count", "layout"),
    [(4, Layout(4, 1)), (5, Layout(1, 5)), (6, Layout(2, 3)), (7, Layout(1, 7)), (8, Layout(8, 1))],
)
def test_a_fixed_count_is_split_with_the_most_tensor_parallelism(
    count: int, layout: Layout
) -> None:
    assert chosen(sku="L40", per_replica=count).layout == layout


def test_a_fixed_count_that_is_too_small_says_what_would_fit() -> None:
    problem = refusal(request(sku="L40", per_replica=2, other_gpus=tuple(CATALOG.gpus.values())))
    assert problem.reason is Reason.DOES_NOT_FIT
    assert problem.field == "spec.gpu.perReplica"
    assert "does not fit on 2 x L40: with TP2, a GPU needs 73.3 GiB" in problem.message
    assert "What would fit: 4 GPUs (TP4)" in problem.message


def test_a_fixed_count_beyond_the_node() -> None:
    problem = refusal(request(sku="L40", per_replica=16))
    assert problem.reason is Reason.NEEDS_SEVERAL_NODES
    assert problem.field == "spec.gpu.perReplica"
    assert "16 GPUs are more than a node with L40 has (8)" in problem.message


def test_a_fixed_count_without_a_legal_layout() -> None:
    problem = refusal(
        request(
            LLAVA_16_MISTRAL, "L4", per_replica=3, budget=tgi(), workload=workload(framesPerVideo=1)
        )
    )
    assert problem.reason is Reason.LAYOUT_ILLEGAL
    assert problem.field == "spec.gpu.perReplica"
    assert "32 attention heads do not divide by 3. Possible are 1, 2, 4 or 8" in problem.message


# ---------------------------------------------------------------- a named layout


def test_a_named_layout_is_taken() -> None:
    found = plan(manual(2, 3, "A100-40GB"))
    assert (found.layout, found.verdict) == (Layout(2, 3), Verdict.FITS)
    assert found.minimum_gpus == 5


def test_a_named_layout_may_be_tight_and_says_the_risk() -> None:
    found = plan(manual(2, sku="A100-80GB"))
    assert found.verdict is Verdict.TIGHT
    assert "This layout is tight: 542 MiB of headroom" in found.explanation
    assert "Least certain is the term CUDAGraphs, which may be 600 MiB larger" in found.explanation
    assert found.minimum_gpus == 3


def test_where_only_a_tight_layout_exists_it_is_the_minimum() -> None:
    two = CATALOG.gpus["A100-80GB"].model_copy(update={"gpus_per_node": 2})
    found = plan(manual(2, sku="A100-80GB", gpu=two))
    assert (found.verdict, found.minimum_gpus) == (Verdict.TIGHT, 2)


def test_an_illegal_tensor_size_lists_the_legal_ones() -> None:
    problem = refusal(manual(3))
    assert problem.reason is Reason.LAYOUT_ILLEGAL
    assert problem.field == "spec.parallelism.tensor"
    assert problem.message == (
        f"`spec.parallelism.tensor` cannot be 3 for {VIDEO_72B}: 64 attention heads do not divide "
        "by 3. Possible are 1, 2, 4, 8 or 16"
    )


def test_an_illegal_pipeline() -> None:
    problem = refusal(manual(1, 2, budget=sglang()))
    assert problem.reason is Reason.LAYOUT_ILLEGAL
    assert problem.field == "spec.parallelism.pipeline"
    assert "SGLang has no pipeline parallelism" in problem.message
    problem = refusal(manual(1, 60, model=VIDEO_7B))
    assert "28 layers cannot make 60 pipeline stages" in problem.message


def test_a_named_layout_beyond_the_node() -> None:
    problem = refusal(manual(16))
    assert problem.reason is Reason.NEEDS_SEVERAL_NODES
    assert "TP16 on 16 GPUs are more than a node" in problem.message


def test_a_named_layout_that_does_not_fit() -> None:
    problem = refusal(manual(2))
    assert problem.reason is Reason.DOES_NOT_FIT
    assert problem.field == "spec.parallelism.tensor"
    assert "with TP2" in problem.message
    assert "What would fit: 4 GPUs (TP4)" in problem.message


# ---------------------------------------------------------------- nothing is legal


def test_groups_that_divide_nothing() -> None:
    problem = refusal(
        request(quantization=QuantizationSpec.read({"format": "INT4", "intermediateSize": 29600}))
    )
    assert problem.reason is Reason.QUANTIZATION_UNSUPPORTED
    assert problem.field == "spec.quantization.groupSize"
    assert (
        "the MLP width (29600) is no multiple of the quantization group of 128" in problem.message
    )
