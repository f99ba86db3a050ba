from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sizing.asking import (
    LLAVA_15_7B,
    NEXT_VIDEO_7B,
    VIDEO_7B,
    parallelism,
    request,
    vllm,
    workload,
)
from tests.unit.sizing.test_properties import FEW, gpus, requests, with_workload
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.sizing import Capacity, SizingRequest, VideoRoute, capacity, plan
from videollm_operator.sizing.capacity import Limit, Most


def held(asked: SizingRequest, count: int) -> Capacity | None:
    """The capacity; None if the GPU lacks the number format."""
    try:
        return capacity(asked, count)
    except Refused:
        return None


# ---------------------------------------------------------------- both directions agree


@given(requests(), st.sampled_from([1, 2, 4, 8]))
@FEW
def test_what_comes_out_fits_and_one_more_does_not(asked: SizingRequest, count: int) -> None:
    found = held(asked, count)
    if found is None:
        return
    fixed = replace(asked, per_replica=count)
    for field, most in (
        ("frames_per_video", found.frames_per_video),
        ("concurrent_requests", found.concurrent_requests),
        ("max_model_len", found.context),
    ):
        if most.value:
            assert gpus(with_workload(fixed, **{field: most.value})) == count
        if most.limit is Limit.MEMORY and (most.value or field != "max_model_len"):
            more = with_workload(fixed, **{field: most.value + 1})
            assert gpus(more) == float("inf")


@given(requests())
@FEW
def test_the_gpus_of_a_plan_hold_at_least_what_was_asked(asked: SizingRequest) -> None:
    count = gpus(asked)
    if count == float("inf"):
        return
    found = capacity(asked, int(count))
    assert found.frames_per_video.value >= asked.workload.frames_per_video
    assert found.concurrent_requests.value >= asked.workload.concurrent_requests
    assert found.context.value >= plan(asked).tokens_per_request


@given(requests())
@FEW
def test_twice_the_gpus_hold_no_less(asked: SizingRequest) -> None:
    few, many = held(asked, 2), held(asked, 4)
    if few and many and few.concurrent_requests.value and many.concurrent_requests.value:
        assert many.concurrent_requests.value >= few.concurrent_requests.value


# ---------------------------------------------------------------- examples


def test_four_l40_and_the_72b() -> None:
    found = capacity(request(sku="L40"), 4)
    assert found.gpus == 4
    assert found.frames_per_video == Most(146, Limit.WINDOW)
    assert found.context.limit is Limit.WINDOW
    assert found.context.value == 32768
    assert found.concurrent_requests.limit is Limit.MEMORY
    assert 2 <= found.concurrent_requests.value <= 4


def test_too_few_gpus_hold_nothing() -> None:
    found = capacity(request(sku="L40"), 1)
    assert found.frames_per_video == Most(0, Limit.MEMORY)
    assert found.concurrent_requests == Most(0, Limit.MEMORY)
    assert found.context == Most(0, Limit.MEMORY)


def test_a_small_model_on_a_large_card_is_limited_by_its_window() -> None:
    found = capacity(request(VIDEO_7B, "B200"), 1)
    assert found.frames_per_video.limit is Limit.WINDOW
    tiny = workload(framesPerVideo=1, promptTokens=1, maxOutputTokens=1)
    found = capacity(request(VIDEO_7B, "B200", workload=tiny), 1)
    assert found.concurrent_requests == Most(4096, Limit.FIELD)


def test_a_field_may_be_the_limit_of_frames() -> None:
    asked = request(VIDEO_7B, "B200")
    text = asked.architecture.text.model_copy(update={"max_position_embeddings": 2_000_000})
    wide = asked.architecture.model_copy(update={"text": text})
    found = capacity(replace(asked, architecture=wide), 1)
    assert found.frames_per_video == Most(4096, Limit.FIELD)


def test_a_context_that_was_fixed_limits_the_frames() -> None:
    asked = request(VIDEO_7B, "L40", workload=workload(framesPerVideo=8, maxModelLen=8192))
    found = capacity(asked, 1)
    assert found.frames_per_video == Most((8192 - 2048) // 210, Limit.WINDOW)


def test_a_workload_beyond_the_window_has_no_context() -> None:
    found = capacity(request(NEXT_VIDEO_7B, "L40", budget=vllm(VideoRoute.WHOLE_CLIP)), 1)
    assert found.context == Most(0, Limit.WINDOW)
    assert found.frames_per_video == Most(14, Limit.WINDOW)
    assert found.concurrent_requests == Most(0, Limit.WINDOW)


def test_a_context_beyond_the_window_holds_nothing() -> None:
    found = capacity(request(VIDEO_7B, "L40", workload=workload(maxModelLen=40_000)), 1)
    assert found.frames_per_video == found.concurrent_requests == Most(0, Limit.WINDOW)
    assert found.context == Most(32768, Limit.WINDOW)


def test_a_format_that_the_gpu_lacks_is_refused() -> None:
    with pytest.raises(Refused):
        capacity(request(VIDEO_7B, "T4", dtype=DType.BFLOAT16), 1)


def test_an_image_model_counts_images() -> None:
    images = vllm(VideoRoute.IMAGES)
    one = workload(framesPerVideo=1)
    found = capacity(request(LLAVA_15_7B, "L4", budget=images, workload=one), 1)
    assert found.frames_per_video == Most((4096 - 2048) // 576, Limit.WINDOW)


def test_a_named_layout_stays_and_may_be_tight() -> None:
    named = request(parallelism=parallelism(strategy="Manual", tensor=2))
    assert capacity(named, 2).frames_per_video.value >= 64
    assert capacity(named, 4).frames_per_video == Most(0, Limit.MEMORY)
    by_count = request(per_replica=2)
    assert 0 < capacity(by_count, 2).frames_per_video.value < 64
