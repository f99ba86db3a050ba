"""What must hold for every request, whatever the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.sizing.asking import CATALOG, request, sglang, tgi, vllm, workload
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import (
    DType,
    ParallelismSpec,
    ParallelismStrategy,
    QuantizationSpec,
)
from videollm_operator.sizing import (
    Layout,
    Plan,
    SizingRequest,
    Verdict,
    VideoRoute,
    plan,
    sizing_status,
    techniques,
)
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.layouts import layouts, legal_tensor, pipeline_rule, tensor_rule

if TYPE_CHECKING:
    from videollm_operator.catalog.entries import GPUEntry

FEW = settings(max_examples=30)

BUDGETS = (vllm(), vllm(VideoRoute.WHOLE_CLIP), sglang(), vllm(sampler_bytes_per_logit=39))
IMAGE_BUDGETS = (vllm(VideoRoute.IMAGES, projector_sharded=True), tgi())

QUANTIZATIONS = tuple(
    QuantizationSpec.read(fields)
    for fields in (
        {},
        {"format": "FP8"},
        {"format": "FP8", "method": "CompressedTensors", "groupSize": -1},
        {"format": "INT8"},
        {"format": "INT8", "method": "CompressedTensors", "groupSize": -1},
        {"format": "INT4"},
        {"format": "INT4", "method": "AWQ", "groupSize": 64},
        {"format": "INT4", "method": "BitsAndBytes"},
    )
)


@st.composite
def requests(draw: st.DrawFn) -> SizingRequest:
    """Requests with everything drawn but a fixed layout."""
    model = draw(st.sampled_from(sorted(CATALOG.models)))
    images = CATALOG.models[model].architecture.video is None
    return request(
        model,
        draw(st.sampled_from(sorted(CATALOG.gpus))),
        budget=draw(st.sampled_from(IMAGE_BUDGETS if images else BUDGETS)),
        quantization=draw(st.sampled_from(QUANTIZATIONS)),
        dtype=draw(st.sampled_from(DType)),
        parallelism=ParallelismSpec(
            strategy=draw(
                st.sampled_from([ParallelismStrategy.TENSOR_FIRST, ParallelismStrategy.FEWEST_GPUS])
            )
        ),
        workload=workload(
            framesPerVideo=draw(st.integers(1, 80)),
            videosPerRequest=draw(st.integers(1, 2)),
            promptTokens=draw(st.integers(1, 2048)),
            maxOutputTokens=draw(st.integers(1, 2048)),
            concurrentRequests=draw(st.sampled_from([1, 2, 7, 33, 300])),
        ),
    )


def planned(asked: SizingRequest) -> Plan | None:
    """The plan, or None if it is refused."""
    try:
        return plan(asked)
    except Refused:
        return None


def gpus(asked: SizingRequest) -> float:
    """GPUs of one replica; infinitely many if it is refused."""
    found = planned(asked)
    return found.layout.gpus if found else float("inf")


def with_workload(asked: SizingRequest, **changes: Any) -> SizingRequest:
    return replace(asked, workload=asked.workload.model_copy(update=changes))


@given(requests())
def test_the_terms_add_up_and_the_verdict_follows_from_them(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    memory = found.memory
    terms = memory.weights + memory.kv_cache + memory.activation + memory.graphs + memory.runtime
    assert terms + memory.headroom == memory.budget <= memory.visible
    assert found.verdict is Verdict.FITS
    assert memory.headroom >= found.margin_mib
    assert found.kv_cache_tokens >= found.max_model_len
    assert found.max_concurrent_requests >= asked.workload.concurrent_requests
    assert found.max_num_seqs >= asked.workload.concurrent_requests
    assert found.max_num_batched_tokens >= found.max_num_seqs
    assert found.minimum_gpus <= found.layout.gpus <= asked.gpu.gpus_per_node


@given(requests())
def test_every_layout_offered_is_legal(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    effective = demand(asked).formats
    for layout in (found.layout, *(other.layout for other in found.alternatives)):
        assert not tensor_rule(asked.architecture, effective, asked.budget, layout.tensor)
        assert not pipeline_rule(asked.architecture, asked.budget, layout.pipeline)
        assert layout.gpus <= asked.gpu.gpus_per_node


@given(requests(), st.integers(1, 40))
def test_more_frames_never_need_fewer_gpus(asked: SizingRequest, more: int) -> None:
    frames = asked.workload.frames_per_video
    assert gpus(asked) <= gpus(with_workload(asked, frames_per_video=frames + more))


@given(requests(), st.integers(1, 400))
def test_more_requests_never_need_fewer_gpus(asked: SizingRequest, more: int) -> None:
    wanted = asked.workload.concurrent_requests
    assert gpus(asked) <= gpus(with_workload(asked, concurrent_requests=wanted + more))


@given(requests(), st.integers(0, 8000))
def test_more_context_never_needs_fewer_gpus(asked: SizingRequest, more: int) -> None:
    try:
        context = demand(asked).tokens.context
    except Refused:
        return
    chosen = with_workload(asked, max_model_len=context)
    longer = with_workload(asked, max_model_len=context + more)
    assert gpus(asked) == gpus(chosen) <= gpus(longer)


@given(requests(), st.integers(200, 200_000))
def test_a_larger_card_never_needs_more_gpus(asked: SizingRequest, more: int) -> None:
    larger = replace(asked, visible_mib=asked.visible_mib + more)
    assert gpus(larger) <= gpus(asked)


@given(requests(), st.data())
def test_a_larger_card_of_the_catalogue_never_needs_more_gpus(
    asked: SizingRequest, data: st.DataObject
) -> None:
    """Among cards of one capability and node: those compute with the same kernels."""

    def alike(gpu: GPUEntry) -> tuple[object, ...]:
        return gpu.compute_capability, gpu.gpus_per_node

    others = [
        gpu
        for gpu in CATALOG.gpus.values()
        if alike(gpu) == alike(asked.gpu) and gpu.visible_mib >= asked.visible_mib
    ]
    larger = data.draw(st.sampled_from(others))
    assert gpus(replace(asked, gpu=larger, visible_mib=larger.visible_mib)) <= gpus(asked)


@given(requests(), st.integers(1, 24), st.integers(1, 64))
def test_a_layout_is_offered_or_a_rule_forbids_it(
    asked: SizingRequest, tensor: int, pipeline: int
) -> None:
    try:
        effective = demand(asked).formats
    except Refused:
        return
    rule = tensor_rule(asked.architecture, effective, asked.budget, tensor) or pipeline_rule(
        asked.architecture, asked.budget, pipeline
    )
    most = tensor * pipeline
    offered = layouts(asked.architecture, effective, asked.budget, tensor, most)
    assert (Layout(tensor, pipeline) in offered) == (not rule)
    if not rule or not legal_tensor(asked.architecture, effective, asked.budget):
        return
    named = ParallelismSpec(strategy=ParallelismStrategy.MANUAL, tensor=tensor, pipeline=pipeline)
    with pytest.raises(Refused) as refused:
        plan(replace(asked, parallelism=named))
    problem = refused.value.problems[0]
    assert problem.reason is Reason.LAYOUT_ILLEGAL
    assert rule in problem.message


@given(requests())
def test_fewest_gpus_never_needs_more_than_tensor_first(asked: SizingRequest) -> None:
    tensor, fewest = (
        gpus(replace(asked, parallelism=ParallelismSpec(strategy=strategy)))
        for strategy in (ParallelismStrategy.TENSOR_FIRST, ParallelismStrategy.FEWEST_GPUS)
    )
    assert fewest <= tensor
    found = planned(asked)
    if found is not None:
        assert found.minimum_gpus == fewest


@given(requests())
def test_a_plans_own_count_and_layout_are_accepted_when_fixed(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    by_count = planned(replace(asked, per_replica=found.layout.gpus))
    assert by_count is not None
    assert by_count.layout.gpus == found.layout.gpus
    named = ParallelismSpec(
        strategy=ParallelismStrategy.MANUAL,
        tensor=found.layout.tensor,
        pipeline=found.layout.pipeline,
    )
    by_name = planned(replace(asked, parallelism=named))
    assert by_name is not None
    assert by_name.memory == found.memory


@given(
    requests(),
    st.one_of(st.none(), st.integers(1, 64)),
    st.one_of(st.none(), st.tuples(st.integers(1, 64), st.integers(1, 64))),
    st.integers(0, 1024),
    st.one_of(st.none(), st.integers(16, 100_000)),
    st.integers(1, 300_000),
    st.booleans(),
)
def test_nothing_but_a_refusal_comes_out(
    asked: SizingRequest,
    per_replica: int | None,
    layout: tuple[int, int] | None,
    offload: int,
    context: int | None,
    visible: int,
    others: bool,
) -> None:
    changed = replace(
        with_workload(asked, max_model_len=context),
        visible_mib=visible,
        per_replica=None if layout else per_replica,
        cpu_offload_gib_per_gpu=offload,
        other_gpus=tuple(CATALOG.gpus.values()) if others else (),
    )
    if layout:
        named = ParallelismSpec(
            strategy=ParallelismStrategy.MANUAL, tensor=layout[0], pipeline=layout[1]
        )
        changed = replace(changed, parallelism=named)
    try:
        found = plan(changed)
    except Refused as refused:
        for problem in refused.problems:
            assert problem.message
            assert "\n" not in problem.message
            assert problem.field.startswith("spec.")
        return
    status = sizing_status(found, 2)
    assert status.memory_per_gpu.headroom >= 0
    assert len(status.alternatives) <= 8
    assert len(status.explanation) <= 4096


@given(requests())
@FEW
def test_techniques_come_for_whatever_has_a_window(asked: SizingRequest) -> None:
    try:
        found = techniques(asked)
    except Refused:
        return
    assert all(each.how or not each.offered for each in found)
    assert all(each.gpus is None for each in found if not each.offered)
