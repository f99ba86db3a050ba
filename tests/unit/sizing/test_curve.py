from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.sizing.asking import (
    FEWEST,
    NEXT_VIDEO_7B,
    VIDEO_7B,
    VIDEO_72B,
    parallelism,
    request,
    workload,
)
from videollm_operator.api.problem import Refused
from videollm_operator.sizing import capacity, plan
from videollm_operator.sizing.curve import Step, frames_limit, gpus_against, steps


@given(st.lists(st.integers(1, 300), max_size=6), st.integers(1, 300))
def test_of_a_rising_answer_every_change_is_found(rises: list[int], most: int) -> None:
    def answer(value: int) -> int:
        return sum(rise <= value for rise in rises)

    found = steps(answer, most)
    assert [found[0].first, found[-1].last] == [1, most]
    for step in found:
        assert all(answer(value) == step.gpus for value in range(step.first, step.last + 1))
    for before, after in pairwise(found):
        assert before.last + 1 == after.first
        assert before.gpus != after.gpus


@pytest.mark.parametrize("strategy", [FEWEST, parallelism(strategy="TensorFirst")])
def test_each_step_is_what_a_plan_says(strategy: object) -> None:
    asked = request(VIDEO_72B, "A100-40GB", parallelism=strategy)
    limit = frames_limit(asked)
    for step in gpus_against(asked, "frames_per_video", limit):
        for frames in (step.first, step.last):
            planned = plan(replace(asked, workload=workload(framesPerVideo=frames)))
            assert planned.layout.gpus == step.gpus


def test_the_window_ends_the_frames() -> None:
    asked = request(VIDEO_7B, "L4")
    limit = frames_limit(asked)
    plan(replace(asked, workload=workload(framesPerVideo=limit)))
    with pytest.raises(Refused):
        plan(replace(asked, workload=workload(framesPerVideo=limit + 1)))
    last = gpus_against(asked, "frames_per_video", limit + 5)[-1]
    assert (last.first, last.gpus) == (limit + 1, None)
    assert frames_limit(request(NEXT_VIDEO_7B, "L4", workload=workload(promptTokens=4000))) == 0


def test_concurrency_ends_where_no_node_holds_it() -> None:
    found = gpus_against(request(VIDEO_72B, "L40"), "concurrent_requests", 500)
    assert found[0].gpus == 4
    assert found[-1].gpus is None


def test_what_fixes_the_layout_does_not_count() -> None:
    free = gpus_against(request(VIDEO_7B, "A10"), "concurrent_requests", 64)
    fixed = request(
        VIDEO_7B,
        "A10",
        per_replica=4,
        parallelism=parallelism(strategy="Manual", tensor=2, pipeline=2),
        workload=workload(maxModelLen=32768),
    )
    assert gpus_against(fixed, "concurrent_requests", 64) == free


def test_one_value_is_one_step() -> None:
    assert steps(lambda _: 3, 1) == (Step(1, 1, 3),)


@pytest.mark.parametrize(("model", "sku"), [(VIDEO_72B, "A100-40GB"), (VIDEO_7B, "T4")])
def test_the_other_direction_agrees(model: str, sku: str) -> None:
    asked = request(model, sku, parallelism=FEWEST)
    found = gpus_against(asked, "concurrent_requests", 64)
    for step in found[:-1]:
        assert step.gpus is not None
        assert capacity(asked, step.gpus).concurrent_requests.value == step.last
