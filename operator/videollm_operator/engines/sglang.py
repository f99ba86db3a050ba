"""SGLang 0.5.23: serves the original checkpoints, to which clients send a video as its frames.

It registers the research code's class names, keeps the tower in FP16 on every rank, fetches it
from the hub by its own name, forces the whole model to FP16 and has no pipeline parallelism for
these classes (srt/models/llava.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType, QuantizationFormat
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines import arguments, checkpoints, env, places, sglang_launch
from videollm_operator.engines.checkpoints import Checkpoint, hub_name
from videollm_operator.engines.flag_rules import SGLANG_LEAST, SGLANG_NEEDS
from videollm_operator.engines.launching import domain_problems
from videollm_operator.engines.owned import SGLANG as OWNED
from videollm_operator.engines.quantize import quantized
from videollm_operator.sizing import constants
from videollm_operator.sizing.types import EngineBudget, VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.catalog.entries import EngineEntry, GPUEntry
    from videollm_operator.catalog.flags import FlagTable
    from videollm_operator.engines.base import EngineLaunch, ModelFacts, Resolved
    from videollm_operator.sizing.types import Plan

CHECKPOINT = Checkpoint(VideoRoute.FRAMES_AS_IMAGES, projector_sharded=False)

POOLED_FROM_FRAMES = 17
"""Fewer images in a request are not pooled: each takes all its patches as tokens, while its
features are pooled all the same (srt/models/llava.py, `pad_input_ids` and `forward`)."""

META_MIB = 512
"""Attention metadata: the constant of SGLang's own rule (srt/arg_groups/memory_hook.py)."""

EXTRA_TOWER_MIB = 96
"""SGLang loads all of SigLIP, with the last layer and the pooling head that the model drops."""

REQUESTS_PER_PREFILL = 2
"""A chunk can hold the end of one request and the beginning of the next, and encodes the frames
of both."""

FRAMES_WARNING = (
    "SGLang takes no `video_url` for this model: clients send the frames of a video as several "
    '`image_url` parts with "modalities": "video".'
)
NEWLINE_WARNING = (
    "SGLang puts one newline after a frame, not one after every row as LLaVA-Video was trained "
    "with: compare answers before relying on them."
)
FILES_WARNING = (
    "SGLang opens a picture of its own file system when a request names it (`file://`), and has no "
    "list of allowed folders: mount nothing in its pods that clients must not see."
)
TOWER_WARNING = (
    "SGLang fetches the vision tower (google/siglip-so400m-patch14-384) from the hub by itself, "
    "wherever the weights lie: its pods need the hub, or a cache that holds it."
)


@dataclass(frozen=True, slots=True)
class SGLang:
    """The SGLang engine."""

    type: EngineType = EngineType.SGLANG

    def supports(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, gpu: GPUEntry, entry: EngineEntry
    ) -> Problem | None:
        """Serves the original Qwen2 classes in FP16, and nothing else."""
        if model.architecture.class_name != checkpoints.LLAVA_QWEN:
            return Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"SGLang {entry.version} has no class of its own for {hub_name(model)}; the "
                f"operator runs it for {checkpoints.LLAVA_QWEN}, the original lmms-lab "
                f"checkpoints: {checkpoints.way_out(model)}, or name an original checkpoint",
                "spec.engine.type",
            )
        return (
            checkpoints.media_problem(model, spec, CHECKPOINT)
            or self._format(spec)
            or self._fields(spec)
        )

    def _format(self, spec: VideoLLMDeploymentSpec) -> Problem | None:
        if quantized(spec):
            return Problem(
                Reason.QUANTIZATION_UNSUPPORTED,
                "SGLang runs this class in FP16 only, but `spec.quantization.format` is "
                f"'{spec.quantization.format}': remove `spec.quantization`, or use a converted "
                "'-hf' checkpoint on vLLM",
                "spec.quantization.format",
            )
        if spec.dtype not in {DType.AUTO, DType.FLOAT16}:
            return Problem(
                Reason.DTYPE_UNSUPPORTED,
                f"SGLang runs this class in FP16 only, but `spec.dtype` is '{spec.dtype}': leave "
                "it at 'Auto'",
                "spec.dtype",
            )
        return None

    def _fields(self, spec: VideoLLMDeploymentSpec) -> Problem | None:
        if (spec.parallelism.pipeline or 1) > 1:
            return Problem(
                Reason.FIELD_UNSUPPORTED,
                "SGLang has no pipeline parallelism for this class, but "
                f"`spec.parallelism.pipeline` is {spec.parallelism.pipeline}: set it to 1 and "
                "raise `tensor`",
                "spec.parallelism.pipeline",
            )
        frames = sglang_launch.frames(spec)
        if frames < POOLED_FROM_FRAMES:
            return Problem(
                Reason.FIELD_UNSUPPORTED,
                f"SGLang lays out requests of fewer than {POOLED_FROM_FRAMES} frames wrongly "
                f"(without pooling), but `spec.workload` asks for {frames}: set `framesPerVideo` "
                f"to {POOLED_FROM_FRAMES} or more, or use a converted '-hf' checkpoint on vLLM",
                "spec.workload.framesPerVideo",
            )
        if ":" in places.served_name(spec):
            return Problem(
                Reason.FIELD_UNSUPPORTED,
                f"`spec.model.servedName` is '{spec.model.served_name}', but SGLang keeps the "
                "colon for adapters: use a name without one",
                "spec.model.servedName",
            )
        return None

    def not_runnable(self, model: ModelFacts, spec: VideoLLMDeploymentSpec) -> Problem | None:
        """What SGLang supports, it runs."""
        return None

    def dtype(self, spec: VideoLLMDeploymentSpec) -> DType:
        """Always FP16."""
        return DType.FLOAT16

    def budget(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, entry: EngineEntry
    ) -> EngineBudget:
        """SGLang's memory in the planner's terms.

        Weights and KV cache are one share of what is free after the CUDA context exists; all else
        must fit beside it. So context and the tower's peak count as runtime.
        """
        runtime = META_MIB + EXTRA_TOWER_MIB + vision_peak_mib(model, spec)
        return EngineBudget(
            type=self.type,
            version=entry.version,
            gpu_memory_utilization=entry.gpu_memory_utilization,
            route=CHECKPOINT.route,
            supports_pipeline=False,
            supports_cpu_offload=True,
            vision_tower_sharded=False,
            projector_sharded=CHECKPOINT.projector_sharded,
            kv_heads_replicated=True,
            kv_block_tokens=1,
            sampler_bytes_per_logit=constants.OTHER_SAMPLER_BYTES_PER_LOGIT,
            graphs_mib=constants.GRAPHS_MIB,
            graphs_shared_mib=constants.GRAPHS_MIB,
            runtime_holds="the CUDA context, and the vision tower's outputs of every layer, which "
            "SGLang keeps while it encodes",
            runtime_mib_single=runtime + sglang_launch.CONTEXT_MIB_SINGLE,
            runtime_mib_multi=runtime + sglang_launch.CONTEXT_MIB_MULTI,
            formats=frozenset({QuantizationFormat.NONE}),
            fewest_frames=POOLED_FROM_FRAMES,
        )

    def check_extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> tuple[Problem, ...]:
        """Extra arguments against the flags of this version, extra variables against ours."""
        return (
            *domain_problems(spec),
            *self._extras(spec, flags).problems,
            *env.problems(spec, sglang_launch.OWNED_ENV),
        )

    def _extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> arguments.Checked:
        return arguments.check(
            spec.engine.extra_args,
            flags,
            arguments.Grammar(f"SGLang {flags.version}", OWNED, SGLANG_NEEDS, SGLANG_LEAST),
            unchecked=spec.engine.allow_unchecked_args,
        )

    def warnings(self, resolved: Resolved, spec: VideoLLMDeploymentSpec) -> tuple[str, ...]:
        """What clients must do, and what it fetches."""
        return (FRAMES_WARNING, NEWLINE_WARNING, TOWER_WARNING, FILES_WARNING)

    def launch(self, resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> EngineLaunch:
        """Arguments, environment and the rest; extra arguments must have been checked."""
        extras = self._extras(spec, resolved.flags).args
        return sglang_launch.launch(resolved, spec, plan, extras)


def vision_peak_mib(model: ModelFacts, spec: VideoLLMDeploymentSpec) -> int:
    """What encoding the frames of a prefill takes beyond the planner's activation, MiB per GPU.

    SGLang asks the tower for the hidden states of every layer and keeps them (srt/models/llava.py,
    `encode_images`); to them come the MLP's inner tensor before and after its activation, and the
    projector's two tensors, unpooled, all in 16 bit. The planner counts one request's projector
    and the tower's output by itself.
    """
    vision, hidden = model.architecture.vision, model.architecture.text.hidden_size
    states = (vision.layers + 2) * vision.hidden_size
    widths = states + 2 * vision.intermediate_size + 2 * hidden
    beyond = REQUESTS_PER_PREFILL * widths - (2 * hidden + vision.hidden_size)
    patches = vision.patches_per_side**2
    return math.ceil(sglang_launch.frames(spec) * patches * beyond * 2 / 2**20)
