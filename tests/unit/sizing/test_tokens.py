from __future__ import annotations

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    LLAVA_15_7B,
    LLAVA_16_MISTRAL,
    NEXT_VIDEO_7B,
    ONEVISION_05B,
    VIDEO_7B,
    VIDEO_72B,
    workload,
)
from videollm_operator.api.architecture import NewlineMode
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.sizing import VideoRoute
from videollm_operator.sizing.tokens import Tokens, most_frames, per_frame, per_video, tokens

CHUNKED, WHOLE = VideoRoute.CHUNKED, VideoRoute.WHOLE_CLIP
FRAMES, IMAGES = VideoRoute.FRAMES_AS_IMAGES, VideoRoute.IMAGES


def lengths(model: str, route: VideoRoute, **fields: int) -> Tokens:
    return tokens(model, CATALOG.models[model].architecture, route, workload(**fields))


def too_long(model: str, route: VideoRoute, **fields: int) -> Problem:
    with pytest.raises(Refused) as refused:
        lengths(model, route, **fields)
    return refused.value.problems[0]


@pytest.mark.parametrize(
    ("model", "route", "frame", "video_of_64"),
    [
        (VIDEO_72B, CHUNKED, 210, 13440),
        (VIDEO_72B, WHOLE, 196, 12545),
        (VIDEO_72B, FRAMES, 197, 64 * 197),
        (ONEVISION_05B, WHOLE, 196, 12545),
        (ONEVISION_05B, CHUNKED, 196, 12545),
        (NEXT_VIDEO_7B, WHOLE, 144, 9216),
        (LLAVA_16_MISTRAL, IMAGES, 2928, 64 * 2928),
        (LLAVA_15_7B, IMAGES, 576, 64 * 576),
        (ONEVISION_05B, IMAGES, 8748, 64 * 8748),
    ],
)
def test_tokens_of_a_frame_and_a_video(
    model: str, route: VideoRoute, frame: int, video_of_64: int
) -> None:
    architecture = CATALOG.models[model].architecture
    assert per_frame(architecture, route) == frame
    assert per_video(architecture, route, 64) == video_of_64


def test_published_lengths() -> None:
    """OneVision with 32 frames: 6,273; NeXT-Video with 32: 4,608 = 4,670 less a prompt of 62."""
    assert per_video(CATALOG.models[ONEVISION_05B].architecture, WHOLE, 32) == 6273
    assert per_video(CATALOG.models[NEXT_VIDEO_7B].architecture, WHOLE, 32) + 62 == 4670


def test_a_newline_after_each_frame() -> None:
    architecture = CATALOG.models[VIDEO_72B].architecture
    assert architecture.video is not None
    by_frame = architecture.model_copy(
        update={"video": architecture.video.model_copy(update={"newline_mode": NewlineMode.FRAME})}
    )
    assert per_frame(by_frame, CHUNKED) == 197


def test_an_image_of_unknown_size_has_the_tokens_of_its_patches() -> None:
    architecture = CATALOG.models[LLAVA_15_7B].architecture
    vision = architecture.vision.model_copy(update={"max_image_tokens": 0})
    assert per_frame(architecture.model_copy(update={"vision": vision}), IMAGES) == 576


def test_the_derived_context_holds_the_workload_in_steps_of_16() -> None:
    found = lengths(VIDEO_72B, CHUNKED)
    assert found.per_request == 13440 + 1024 + 1024 == 15488
    assert found.context == 15488
    found = lengths(VIDEO_72B, WHOLE)
    assert found.per_request == 14593
    assert found.context == 14608


def test_the_derived_context_never_exceeds_the_window() -> None:
    found = lengths(LLAVA_15_7B, IMAGES, framesPerVideo=1, promptTokens=3000, maxOutputTokens=520)
    assert found.per_request == 4096 == found.context
    found = lengths(LLAVA_15_7B, IMAGES, framesPerVideo=1, promptTokens=3000, maxOutputTokens=515)
    assert found.per_request == 4091
    assert found.context == 4096


def test_several_videos_share_the_context_but_each_is_an_item() -> None:
    found = lengths(VIDEO_72B, CHUNKED, videosPerRequest=2)
    assert found.per_request == 2 * 13440 + 2048
    assert found.largest_item == 13440


def test_frames_and_images_are_items_of_their_own() -> None:
    assert lengths(VIDEO_7B, FRAMES).largest_item == 197
    assert lengths(LLAVA_16_MISTRAL, IMAGES, framesPerVideo=2).largest_item == 2928


def test_a_chosen_context_is_kept() -> None:
    found = lengths(VIDEO_72B, CHUNKED, maxModelLen=32768)
    assert (found.context, found.per_request) == (32768, 15488)


# ---------------------------------------------------------------- refusals


def test_a_workload_beyond_the_window_names_the_frames_that_would_pass() -> None:
    problem = too_long(NEXT_VIDEO_7B, WHOLE)
    assert problem.reason is Reason.CONTEXT_TOO_LONG
    assert problem.field == "spec.workload.framesPerVideo"
    assert "64 frames x 144 tokens" in problem.message
    assert "11264 tokens" in problem.message
    assert "4096-token window" in problem.message
    assert "framesPerVideo` to 14 or less" in problem.message
    assert lengths(NEXT_VIDEO_7B, WHOLE, framesPerVideo=14).per_request <= 4096
    assert "to 14" in too_long(NEXT_VIDEO_7B, WHOLE, framesPerVideo=15).message


def test_images_are_called_images() -> None:
    problem = too_long(LLAVA_16_MISTRAL, IMAGES, framesPerVideo=20)
    assert "20 images x 2928 tokens" in problem.message
    problem = too_long(LLAVA_16_MISTRAL, IMAGES, framesPerVideo=1, promptTokens=100_000)
    assert "1 image x 2928 tokens" in problem.message


def test_too_many_videos_are_named() -> None:
    problem = too_long(VIDEO_72B, CHUNKED, videosPerRequest=3)
    assert "3 videos x (64 frames x 210 tokens)" in problem.message
    assert "framesPerVideo` to 48 or less" in problem.message
    problem = too_long(VIDEO_72B, CHUNKED, videosPerRequest=64, promptTokens=30_000)
    assert problem.field == "spec.workload.videosPerRequest"
    assert "fewer videos than 64" in problem.message
    problem = too_long(VIDEO_72B, WHOLE, videosPerRequest=2, framesPerVideo=100)
    assert "2 videos x (100 frames x 196 tokens + 1)" in problem.message


def test_a_prompt_that_leaves_no_room_for_a_frame() -> None:
    problem = too_long(VIDEO_72B, CHUNKED, promptTokens=40_000)
    assert problem.field == "spec.workload.maxOutputTokens"
    assert "one frame alone takes 210 tokens" in problem.message
    assert "prompt and output 41024" in problem.message


def test_a_context_beyond_the_window_is_refused() -> None:
    problem = too_long(VIDEO_72B, CHUNKED, maxModelLen=65536)
    assert problem.field == "spec.workload.maxModelLen"
    assert "window of 32768" in problem.message


def test_a_context_too_short_for_the_workload_names_the_length_needed() -> None:
    problem = too_long(VIDEO_72B, CHUNKED, maxModelLen=4096)
    assert problem.field == "spec.workload.maxModelLen"
    assert "raise it to 15488 or more, remove it" in problem.message
    assert "framesPerVideo` to 9 or less" in problem.message


def test_a_context_too_short_for_a_workload_beyond_the_window() -> None:
    problem = too_long(NEXT_VIDEO_7B, WHOLE, maxModelLen=4000)
    assert "raise" not in problem.message
    assert "framesPerVideo` to 13 or less" in problem.message


def test_most_frames_is_the_inverse_of_the_length() -> None:
    architecture = CATALOG.models[VIDEO_72B].architecture
    for route in (CHUNKED, WHOLE):
        frames = most_frames(architecture, route, workload(), 32768)
        assert lengths(VIDEO_72B, route, framesPerVideo=frames).per_request <= 32768
        too_long(VIDEO_72B, route, framesPerVideo=frames + 1)
    assert most_frames(architecture, CHUNKED, workload(), 2048) == 0
    assert most_frames(architecture, CHUNKED, workload(), 100) == 0
