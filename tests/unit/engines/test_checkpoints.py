from __future__ import annotations

import pytest

from tests.unit.engines.builders import (
    LLAVA_NEXT,
    NEXT_VIDEO,
    ONE_IMAGE,
    ONEVISION_7B,
    ORIGINAL_7B,
    described,
    planned,
    refusal,
)
from videollm_operator.api.reasons import Reason


@pytest.mark.parametrize("model", [ONEVISION_7B, NEXT_VIDEO])
def test_a_video_class_needs_its_video_numbers(model: str) -> None:
    problem = refusal(described(model, video=None))
    assert (problem.reason, problem.field) == (
        Reason.INVALID_SPEC,
        "spec.model.architecture.video",
    )
    assert "takes videos, but its numbers have no `video` part: add" in problem.message


def test_an_image_class_has_no_video_numbers() -> None:
    video = {"pooledSide": 12, "newlineMode": "NoToken", "defaultFrames": 8}
    problem = refusal(described(LLAVA_NEXT, video=video), workload=ONE_IMAGE)
    assert problem.field == "spec.model.architecture.video"
    assert "takes images only, but its numbers have a `video` part: remove" in problem.message


def test_an_image_class_must_know_its_images_tokens() -> None:
    problem = refusal(described(LLAVA_NEXT, vision__maxImageTokens=0), workload=ONE_IMAGE)
    assert problem.field == "spec.model.architecture.vision.maxImageTokens"
    assert problem.reason == Reason.INVALID_SPEC


def test_an_image_model_takes_no_videos_per_request() -> None:
    problem = refusal(LLAVA_NEXT, workload={"framesPerVideo": 1, "videosPerRequest": 2})
    assert (problem.reason, problem.field) == (
        Reason.FIELD_UNSUPPORTED,
        "spec.workload.videosPerRequest",
    )
    assert "set `framesPerVideo` to the images of one request" in problem.message


def test_a_class_that_adds_a_newline_cannot_be_planned_without() -> None:
    problem = refusal(described(ONEVISION_7B, video__newlineMode="NoToken"))
    assert problem.field == "spec.model.architecture.video.newlineMode"
    assert "newlineMode: OneToken" in problem.message


@pytest.mark.parametrize("mode", ["Grid", "Frame", "OneToken", "NoToken"])
def test_the_originals_keep_their_own_newlines(mode: str) -> None:
    tokens = {"Grid": 210, "Frame": 197, "OneToken": 196, "NoToken": 196}
    plan = planned(described(ORIGINAL_7B, video__newlineMode=mode)).plan
    assert plan.tokens_per_frame == tokens[mode]
