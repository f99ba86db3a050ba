from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import (
    LLAVA_16_MISTRAL,
    ONEVISION_05B,
    VIDEO_7B,
    VIDEO_72B,
    request,
    sglang,
    tgi,
    vllm,
    workload,
)
from videollm_operator.sizing import EngineBudget, VideoRoute
from videollm_operator.sizing.activation import Activation, Peak, Phase, activation
from videollm_operator.sizing.constants import GIB, VLLM_OLD_SAMPLER_BYTES_PER_LOGIT
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.weights import Stage

WHOLE = Stage(80, first=True, last=True)


def peak(
    model: str = VIDEO_72B,
    budget: EngineBudget | None = None,
    sequences: int = 256,
    **fields: Any,
) -> Activation:
    asked = request(model, budget=budget or vllm(), workload=workload(**fields))
    judged = demand(asked)
    return activation(
        asked.architecture,
        judged.formats,
        asked.budget,
        asked.workload,
        judged.tokens,
        sequences,
    )


def sum_of(found: Peak) -> float:
    return found.phase_bytes + found.encoder_cache + found.sampler_state


def whole_clip() -> EngineBudget:
    return vllm(VideoRoute.WHOLE_CLIP)


def test_batched_tokens_stay_small_with_the_plugin_and_hold_the_video_without() -> None:
    assert peak().batched == 2048
    assert peak(budget=whole_clip()).batched == 12560 >= 64 * 196 + 1
    assert peak(budget=whole_clip(), framesPerVideo=4).batched == 2048
    assert peak(sequences=4096).batched == 4096


def test_tgi_takes_a_prompt_in_one_step() -> None:
    found = peak(LLAVA_16_MISTRAL, tgi(), framesPerVideo=1)
    assert found.batched == 2928 + 2048


def test_the_projector_of_a_whole_clip_of_the_72b() -> None:
    """2 x 64 x 729 x 8192 x 2 bytes = 1.42 GiB on every GPU, and the tower's output beside it."""
    found = peak(budget=whole_clip()).encoder(8)
    projector = 2 * 64 * 729 * 8192 * 2
    tower_output = 64 * 729 * 1152 * 2
    pixels = 64 * 729 * 588 * 2
    assert found == projector + tower_output + pixels
    assert projector / GIB == pytest.approx(1.42, abs=0.01)


def test_chunks_of_eight_frames_cost_an_eighth() -> None:
    found = peak().encoder(1) - 64 * 729 * 588 * 2
    assert found / GIB == pytest.approx((1.42 + 0.1) / 8, abs=0.01)
    few = peak(framesPerVideo=4)
    assert (few.frames_at_once, few.frames_of_step) == (8, 9)


def test_the_towers_mlp_decides_for_a_narrow_model() -> None:
    found = peak(ONEVISION_05B, whole_clip())
    tower = 64 * 729 * (2 * 1152 + 2 * 4304) * 2
    assert found.encoder(1) == tower + 64 * 729 * 588 * 2
    assert found.encoder(2) < found.encoder(1)
    copied = peak("lmms-lab/llava-onevision-qwen2-0.5b-ov", sglang())
    assert copied.encoder(2) == copied.encoder(1)


def test_the_forward_pass_agrees_with_the_one_measurement() -> None:
    """Qwen2.5-1.5B, 32768 tokens in one step: 2.02 GiB measured, 5 % below it computed."""
    asked = Activation(
        hidden=1536, intermediate=8960, rows=151936, value_bytes=2, frames_at_once=1,
        frames_of_step=1, patches=1, tower_hidden=1, tower_intermediate=1, tower_sharded=True,
        cached_tokens=0, batched=32768, sequences=1, sampler_bytes=0, sampler_state_bytes=0,
    )  # fmt: skip
    assert asked.decoder(1) / GIB == pytest.approx(2.02, rel=0.06)


@pytest.mark.parametrize(
    ("sequences", "vocab", "measured"),
    [(256, 152064, 1.42), (1024, 128256, 4.76), (1024, 151936, 5.6)],
)
def test_the_old_sampler_agrees_with_measurements(
    sequences: int, vocab: int, measured: float
) -> None:
    found = sequences * vocab * VLLM_OLD_SAMPLER_BYTES_PER_LOGIT / GIB
    assert found == pytest.approx(measured, rel=0.02)


def test_the_largest_phase_counts_and_buffers_are_added() -> None:
    found = peak()
    row = 8192 * 2
    state = 256 * 152064 * 4.125
    kept = (2048 + 13440) * row + state
    phases = (found.decoder(4), found.encoder(4), found.sampler())
    peak_of_gpu = found.rank(4, WHOLE)
    assert sum_of(peak_of_gpu) == max(phases) + kept
    assert peak_of_gpu.phase is Phase.ENCODER


def test_encoder_belongs_to_the_first_stage_and_sampler_to_the_last() -> None:
    found = peak(budget=vllm(sampler_bytes_per_logit=39))
    first = found.rank(8, Stage(40, first=True, last=False))
    middle = found.rank(8, Stage(40, first=False, last=False))
    last = found.rank(8, Stage(40, first=False, last=True))
    assert sum_of(middle) == found.decoder(8) + 2 * 2048 * 8192 * 2
    assert middle.phase is Phase.DECODER
    assert sum_of(first) == max(found.decoder(8), found.encoder(8)) + (2048 + 13440) * 8192 * 2
    assert first.encoder_cache == 13440 * 8192 * 2
    assert last.phase is Phase.SAMPLER
    assert last.sampler_state == 256 * 152064 * 4.125
    assert sum_of(last) == found.sampler() + 2 * 2048 * 8192 * 2 + last.sampler_state


def test_the_bound_is_of_whichever_phase_could_be_the_largest() -> None:
    found = peak(budget=vllm(sampler_bytes_per_logit=39))
    middle = found.rank(8, Stage(40, first=False, last=False))
    assert middle.bound_bytes == pytest.approx(found.decoder(8) * 0.125)
    last = found.rank(8, Stage(40, first=False, last=True))
    assert last.bound_bytes == 256 * 152064 * 4
    close = peak().rank(4, WHOLE)
    most = max(peak().encoder(4) * 1.125, peak().decoder(4) * 1.125, 256 * 152064 * (6 + 4))
    assert close.bound_bytes == pytest.approx(most - peak().encoder(4))


def test_the_encoder_cache_holds_the_largest_item_or_a_step() -> None:
    assert peak(ONEVISION_05B, whole_clip()).cached_tokens == 12560
    assert peak(ONEVISION_05B, whole_clip(), framesPerVideo=8).cached_tokens == 2048
    assert peak(VIDEO_7B).cached_tokens == 13440
    assert peak(VIDEO_7B, framesPerVideo=8).cached_tokens == 2048


def test_a_step_of_short_videos_holds_several() -> None:
    assert peak(ONEVISION_05B, whole_clip(), framesPerVideo=4).frames_at_once == 2048 // 196


def test_an_image_model_encodes_the_crops_of_an_image() -> None:
    found = peak(LLAVA_16_MISTRAL, vllm(VideoRoute.IMAGES), framesPerVideo=1)
    assert found.frames_at_once == 7
    assert found.cached_tokens == 2928
    small = peak("llava-hf/llava-1.5-7b-hf", vllm(VideoRoute.IMAGES), framesPerVideo=1)
    assert small.frames_at_once == 2 * (2048 // 576)


def test_an_image_of_unknown_size_is_one_crop() -> None:
    asked = request("llava-hf/llava-1.5-7b-hf")
    vision = asked.architecture.vision.model_copy(update={"max_image_tokens": 0})
    unknown = asked.architecture.model_copy(update={"vision": vision})
    judged = demand(
        request(
            "llava-hf/llava-1.5-7b-hf",
            architecture=unknown,
            budget=vllm(VideoRoute.IMAGES),
            workload=workload(framesPerVideo=1),
        )
    )
    found = activation(
        unknown, judged.formats, judged.request.budget, judged.request.workload, judged.tokens, 32
    )
    assert found.frames_at_once == 2048 // 576
