"""Which checkpoint classes take videos or images, and what every engine asks of their numbers.

The class name (`architectures[0]` of config.json) decides what an engine can load. It is also
where a hand-written `spec.model.architecture` can contradict itself, so the checks that are the
same for all engines stand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.architecture import NewlineMode
from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.sizing.types import VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.engines.base import ModelFacts

LLAVA_QWEN = "LlavaQwenForCausalLM"
"""The original LLaVA-Video, LLaVA-OneVision and LLaVA-NeXT-Video-32B checkpoints of lmms-lab."""
ONEVISION = "LlavaOnevisionForConditionalGeneration"
NEXT_VIDEO = "LlavaNextVideoForConditionalGeneration"
NEXT = "LlavaNextForConditionalGeneration"
LLAVA = "LlavaForConditionalGeneration"
CONVERTED = frozenset({ONEVISION, NEXT_VIDEO, NEXT, LLAVA})
"""What released vLLM loads."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How an engine runs one checkpoint class."""

    route: VideoRoute
    projector_sharded: bool
    """Whether tensor parallelism splits the projector (column + row parallel) or copies it."""
    adds_newline: bool = False
    """Whether it puts a newline embedding after a video, whatever the checkpoint says."""

    @property
    def takes_video(self) -> bool:
        """False for classes that take images only."""
        return self.route != VideoRoute.IMAGES


def hub_name(model: ModelFacts) -> str:
    """The model as messages name it: with its class, since the class decides."""
    return f"'{model.name}' ({model.architecture.class_name})"


def way_out(model: ModelFacts) -> str:
    """What to do about a checkpoint on an engine that cannot load its class."""
    if model.architecture.class_name == LLAVA_QWEN:
        return (
            "set `spec.engine.type: SGLang`, to which clients send the frames as images, or name a "
            "converted copy in `spec.model.name`, its catalogue '-hf' model in `spec.model.base` "
            "and `spec.engine.type: VLLM`"
        )
    if model.architecture.class_name in CONVERTED:
        return "set `spec.engine.type: VLLM`"
    return "use a checkpoint that was converted to a class of vLLM (names often end in '-hf')"


def media_problem(
    model: ModelFacts, spec: VideoLLMDeploymentSpec, checkpoint: Checkpoint
) -> Problem | None:
    """What is wrong between the class, the numbers and the workload, or None.

    An image model counts the images of a request in `framesPerVideo`: it has no other unit, and
    one field that means "how many pictures" is easier to explain than two.
    """
    architecture = model.architecture
    if checkpoint.takes_video:
        if architecture.video is None:
            return Problem(
                Reason.INVALID_SPEC,
                f"{hub_name(model)} takes videos, but its numbers have no `video` part: add "
                "`spec.model.architecture.video`, or name the class of an image model",
                "spec.model.architecture.video",
            )
        if checkpoint.adds_newline and architecture.video.newline_mode == NewlineMode.NO_TOKEN:
            return Problem(
                Reason.INVALID_SPEC,
                f"the engine's {architecture.class_name} always puts a newline after a video, but "
                f"the numbers of '{model.name}' say newline mode 'NoToken': set "
                "`spec.model.architecture.video.newlineMode: OneToken`, or name another class",
                "spec.model.architecture.video.newlineMode",
            )
        return None
    if architecture.video is not None:
        return Problem(
            Reason.INVALID_SPEC,
            f"{hub_name(model)} takes images only, but its numbers have a `video` part: remove "
            "`spec.model.architecture.video`, or name the class of a video model",
            "spec.model.architecture.video",
        )
    if architecture.vision.max_image_tokens == 0:
        return Problem(
            Reason.INVALID_SPEC,
            f"the tokens of an image of {hub_name(model)} are not known: set "
            "`spec.model.architecture.vision.maxImageTokens` to those of the largest image",
            "spec.model.architecture.vision.maxImageTokens",
        )
    if spec.workload.videos_per_request > 1:
        return Problem(
            Reason.FIELD_UNSUPPORTED,
            f"`spec.workload.videosPerRequest` is {spec.workload.videos_per_request}, but "
            f"{hub_name(model)} takes images only: leave it at 1 and set `framesPerVideo` to the "
            "images of one request",
            "spec.workload.videosPerRequest",
        )
    return None
