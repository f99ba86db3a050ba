"""Frames to tokens, tokens to context length.

How many tokens a frame becomes depends on the model (pooling, newlines) and on the code that runs
it: the project's plugin keeps the model's own newlines, vLLM's OneVision class always adds one at
the end, SGLang takes frames as single images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.architecture import NewlineMode
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.sizing.constants import CONTEXT_STEP
from videollm_operator.sizing.types import VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture
    from videollm_operator.api.v1alpha1.compute import WorkloadSpec


@dataclass(frozen=True, slots=True)
class Tokens:
    """Lengths of one workload, in tokens."""

    per_frame: int
    per_video: int
    largest_item: int
    """What the encoder cache must hold at once: a video, or one image where frames are images."""
    per_request: int
    """Videos, prompt and answer."""
    context: int
    """`--max-model-len`."""


def newline_mode(architecture: Architecture, route: VideoRoute) -> NewlineMode:
    """Where newline embeddings go on this route.

    vLLM's own classes know only "after the video" (OneVision) and "never" (NeXT-Video): a converted
    LLaVA-Video runs with one newline. vLLM 0.32 `llava_onevision.py` (`get_num_video_tokens`).
    """
    video = architecture.video
    if video is None or route is VideoRoute.IMAGES:
        return NewlineMode.NO_TOKEN
    if route is VideoRoute.FRAMES_AS_IMAGES:
        return NewlineMode.FRAME
    if route is VideoRoute.WHOLE_CLIP and video.newline_mode is not NewlineMode.NO_TOKEN:
        return NewlineMode.ONE_TOKEN
    return video.newline_mode


def per_frame(architecture: Architecture, route: VideoRoute) -> int:
    """Tokens of one frame, or of the largest image for models that take images only.

    `side * (side + 1)` with a newline after each row (LLaVA-NeXT `llava_arch.py`,
    `add_token_per_grid`: 14 x 15 = 210), `side^2 + 1` with one per frame, else `side^2`
    (14 x 14 = 196 for OneVision, 12 x 12 = 144 for NeXT-Video).
    """
    vision, video = architecture.vision, architecture.video
    if video is None or route is VideoRoute.IMAGES:
        return vision.max_image_tokens or vision.patches_per_side**2
    side = video.pooled_side
    mode = newline_mode(architecture, route)
    if mode is NewlineMode.GRID:
        return side * (side + 1)
    return side * side + (1 if mode is NewlineMode.FRAME else 0)


def per_video(architecture: Architecture, route: VideoRoute, frames: int) -> int:
    """Tokens of one video of so many frames (of so many images for image-only models)."""
    extra = 1 if newline_mode(architecture, route) is NewlineMode.ONE_TOKEN else 0
    return frames * per_frame(architecture, route) + extra


def most_frames(
    architecture: Architecture, route: VideoRoute, workload: WorkloadSpec, limit: int
) -> int:
    """Most frames per video with which a request has at most `limit` tokens; 0 if none do."""
    room = limit - workload.prompt_tokens - workload.max_output_tokens
    extra = per_video(architecture, route, 0)
    return max(0, room // workload.videos_per_request - extra) // per_frame(architecture, route)


def tokens(
    model_name: str, architecture: Architecture, route: VideoRoute, workload: WorkloadSpec
) -> Tokens:
    """The lengths of a workload.

    Raises:
        Refused: if a request is longer than the model's window or than `maxModelLen`.
    """
    frame = per_frame(architecture, route)
    video = per_video(architecture, route, workload.frames_per_video)
    request = (
        workload.videos_per_request * video + workload.prompt_tokens + workload.max_output_tokens
    )
    window = architecture.text.max_position_embeddings
    chosen = workload.max_model_len
    if chosen is not None and chosen > window:
        raise Refused(
            Problem(
                Reason.CONTEXT_TOO_LONG,
                f"`spec.workload.maxModelLen` is {chosen} tokens, but {model_name} has a window of "
                f"{window}: lower it, or remove it for the smallest that holds the workload",
                "spec.workload.maxModelLen",
            )
        )
    limit = window if chosen is None else chosen
    if request > limit:
        raise Refused(_too_long(model_name, architecture, route, workload, request, limit))
    derived = min(window, -(-request // CONTEXT_STEP) * CONTEXT_STEP)
    whole = route in (VideoRoute.CHUNKED, VideoRoute.WHOLE_CLIP) and architecture.video is not None
    return Tokens(
        per_frame=frame,
        per_video=video,
        largest_item=video if whole else frame,
        per_request=request,
        context=derived if chosen is None else chosen,
    )


def _too_long(
    model_name: str,
    architecture: Architecture,
    route: VideoRoute,
    workload: WorkloadSpec,
    request: int,
    limit: int,
) -> Problem:
    images = architecture.video is None
    thing, things = ("image", "images") if images else ("frame", "frames")
    videos = workload.videos_per_request
    visual = (
        f"{workload.frames_per_video} {thing if workload.frames_per_video == 1 else things} x "
        f"{per_frame(architecture, route)} tokens"
    )
    if per_video(architecture, route, 0):
        visual += " + 1"
    if videos > 1:
        visual = f"{videos} videos x ({visual})"
    whose = (
        f"the {limit}-token window of {model_name}"
        if workload.max_model_len is None
        else f"`spec.workload.maxModelLen` of {limit}"
    )
    frames = most_frames(architecture, route, workload, limit)
    text = workload.prompt_tokens + workload.max_output_tokens
    if frames >= 1:
        remedy = (
            f"lower `spec.workload.framesPerVideo` to {frames} or less"
            f"{' (it counts the images of a request)' if images else ''}, or ask for fewer "
            f"{'' if images else 'videos, '}prompt or output tokens"
        )
        field = "spec.workload.framesPerVideo"
    elif videos > 1 and most_frames(
        architecture, route, workload.model_copy(update={"videos_per_request": 1}), limit
    ):
        remedy = f"ask for fewer videos than {videos} in one request"
        field = "spec.workload.videosPerRequest"
    else:
        one = per_video(architecture, route, 1)
        left = limit - one
        remedy = f"one {thing} alone takes {one} tokens, and prompt and output {text}: "
        if left > 1:
            fewer = "" if workload.frames_per_video == 1 else "`framesPerVideo: 1` and "
            remedy += f"set {fewer}`promptTokens` + `maxOutputTokens` to {left} or less, or "
        remedy += "use a model with a longer window"
        field = "spec.workload.maxOutputTokens"
    if workload.max_model_len is not None:
        window = architecture.text.max_position_embeddings
        field = "spec.workload.maxModelLen"
        if request <= window:
            remedy = f"raise it to {request} or more, remove it, or " + remedy
    return Problem(
        Reason.CONTEXT_TOO_LONG,
        f"a request of {visual}, {workload.prompt_tokens} prompt and {workload.max_output_tokens} "
        f"output tokens has {request} tokens, more than {whose}: {remedy}",
        field,
    )
