"""vLLM 0.32 and 0.33: the default engine, and the only one that takes a video.

What it loads: vLLM's registry (model_executor/models/registry.py) has the converted `-hf`
classes, not the names of the original research code. The originals are planned as the project's
plugin will run them, and not run until that plugin is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import QuantizationFormat
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines import (
    arguments,
    checkpoints,
    env,
    local_media,
    quantize,
    vllm_launch,
)
from videollm_operator.engines.checkpoints import Checkpoint, hub_name
from videollm_operator.engines.flag_rules import VLLM_LEAST, VLLM_NEEDS, VLLM_TEXTS
from videollm_operator.engines.launching import domain_problems
from videollm_operator.engines.owned import VLLM as OWNED
from videollm_operator.engines.text import listed
from videollm_operator.sizing import constants
from videollm_operator.sizing.types import EngineBudget, VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.compute import DType
    from videollm_operator.catalog.entries import EngineEntry, GPUEntry
    from videollm_operator.catalog.flags import FlagTable
    from videollm_operator.engines.base import EngineLaunch, ModelFacts, Resolved
    from videollm_operator.sizing.types import Plan

CHECKPOINTS = {
    checkpoints.LLAVA_QWEN: Checkpoint(VideoRoute.CHUNKED, projector_sharded=False),
    checkpoints.ONEVISION: Checkpoint(
        VideoRoute.WHOLE_CLIP, projector_sharded=False, adds_newline=True
    ),
    checkpoints.NEXT_VIDEO: Checkpoint(VideoRoute.WHOLE_CLIP, projector_sharded=False),
    checkpoints.NEXT: Checkpoint(VideoRoute.IMAGES, projector_sharded=True),
    checkpoints.LLAVA: Checkpoint(VideoRoute.IMAGES, projector_sharded=True),
}
"""vLLM 0.32 model_executor/models/llava*.py; the first by the project's plugin."""

DECODER_VARIABLE = "VLLM_VIDEO_LOADER_BACKEND"
DECODE_ON_GPU = frozenset({"pynvvideocodec", "deepstream"})
"""Backends that decode videos with NVDEC; the default is opencv, on the CPU (vLLM 0.32 and 0.33
`envs.py`, `multimodal/video.py`, `multimodal/video_decoders`)."""

LOADED_BY_RELEASES = tuple(name for name in CHECKPOINTS if name != checkpoints.LLAVA_QWEN)


def _decoder(spec: VideoLLMDeploymentSpec, gpu: GPUEntry) -> Problem | None:
    """Decoding on the GPU, where the user asks for it, needs a decoder (NVDEC) there."""
    if gpu.video_decoders != 0:
        return None
    for index, variable in enumerate(spec.engine.env):
        if variable.name == DECODER_VARIABLE and variable.value in DECODE_ON_GPU:
            where = f"spec.engine.env[{index}].value"
            return Problem(
                Reason.FIELD_UNSUPPORTED,
                f"`{where}` is '{variable.value}', but {gpu.sku} has no video decoder (NVDEC): "
                "remove it, since vLLM decodes on the CPU by itself, or use a slice that has one",
                where,
            )
    return None


def _bitsandbytes(
    model: ModelFacts, spec: VideoLLMDeploymentSpec, entry: EngineEntry
) -> Problem | None:
    """The package vllm-bnb-plugin has it since it left vLLM; no image of the project does."""
    if not quantize.needs_bitsandbytes(model, spec) or spec.engine.image:
        return None
    return Problem(
        Reason.QUANTIZATION_UNSUPPORTED,
        f"the image of vLLM {entry.version} has no bitsandbytes: add the packages vllm-bnb-plugin "
        "and bitsandbytes to an image of yours and name it in `spec.engine.image`, or use a "
        "checkpoint quantized with GPTQ, AWQ or CompressedTensors, or `format: FP8` with "
        "`method: Online`",
        "spec.quantization.method",
    )


@dataclass(frozen=True, slots=True)
class VLLM:
    """The vLLM engine."""

    type: EngineType = EngineType.VLLM

    def supports(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, gpu: GPUEntry, entry: EngineEntry
    ) -> Problem | None:
        """Refuses classes and quantization methods that vLLM lacks."""
        checkpoint = CHECKPOINTS.get(model.architecture.class_name)
        if checkpoint is None:
            return Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"vLLM {entry.version} cannot load {hub_name(model)}; it loads "
                f"{listed(LOADED_BY_RELEASES)}: use a checkpoint that was converted to one of them "
                "(names often end in '-hf')",
                "spec.model.name",
            )
        return (
            checkpoints.media_problem(model, spec, checkpoint)
            or quantize.contradiction(model, spec)
            or _bitsandbytes(model, spec, entry)
            or _decoder(spec, gpu)
        )

    def not_runnable(self, model: ModelFacts, spec: VideoLLMDeploymentSpec) -> Problem | None:
        """Refuses to run the originals, and unquantized hub files as quantized."""
        if model.architecture.class_name == checkpoints.LLAVA_QWEN:
            return Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"no released vLLM loads {hub_name(model)}: name a copy that was converted to "
                f"{checkpoints.ONEVISION} in `spec.model.name` and the catalogue's '-hf' model of "
                "the same size in `spec.model.base`, or set `spec.engine.type: SGLang`, to which "
                "clients send the frames as images",
                "spec.model.name",
            )
        return quantize.not_quantized_checkpoint(model, spec)

    def dtype(self, spec: VideoLLMDeploymentSpec) -> DType:
        """The spec's: vLLM computes in all of them."""
        return spec.dtype

    def budget(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, entry: EngineEntry
    ) -> EngineBudget:
        """Memory as vLLM's worker spends it (v1/worker/gpu_worker.py)."""
        checkpoint = CHECKPOINTS[model.architecture.class_name]
        return EngineBudget(
            type=self.type,
            version=entry.version,
            gpu_memory_utilization=entry.gpu_memory_utilization,
            route=checkpoint.route,
            supports_pipeline=True,
            supports_cpu_offload=True,
            vision_tower_sharded=True,
            projector_sharded=checkpoint.projector_sharded,
            kv_heads_replicated=True,
            kv_block_tokens=constants.KV_BLOCK_TOKENS,
            sampler_bytes_per_logit=constants.VLLM_SAMPLER_BYTES_PER_LOGIT,
            graphs_mib=constants.GRAPHS_MIB,
            runtime_mib_single=constants.RUNTIME_MIB_SINGLE,
            runtime_mib_multi=constants.RUNTIME_MIB_MULTI,
            attention_workspace_mib=constants.ATTENTION_WORKSPACE_MIB,
            sampler_state_bytes_per_logit=constants.VLLM_SAMPLER_STATE_BYTES_PER_LOGIT,
        )

    def check_extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> tuple[Problem, ...]:
        """Extra arguments against the flags of this version, extra variables against ours."""
        extras = self._extras(spec, flags)
        return (
            *domain_problems(spec),
            *extras.problems,
            *local_media.problems(spec, extras.args),
            *env.problems(spec, vllm_launch.OWNED_ENV),
        )

    def _extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> arguments.Checked:
        return arguments.check(
            spec.engine.extra_args,
            flags,
            arguments.Grammar(
                f"vLLM {flags.version}", OWNED, VLLM_NEEDS, VLLM_LEAST, VLLM_TEXTS, dotted=True
            ),
            unchecked=spec.engine.allow_unchecked_args,
        )

    def warnings(self, resolved: Resolved, spec: VideoLLMDeploymentSpec) -> tuple[str, ...]:
        """FP8 on GPUs that cannot multiply in it; what bitsandbytes needs and costs."""
        found = []
        gpu = resolved.gpu
        if (
            spec.quantization.format == QuantizationFormat.FP8
            and gpu.capability < constants.FP8_NATIVE_CAPABILITY
        ):
            found.append(
                f"'{gpu.sku}' cannot multiply in FP8 (compute capability "
                f"{gpu.compute_capability}, 8.9 needed): FP8 saves memory there, but the "
                "computation stays in 16 bit."
            )
        if quantize.needs_bitsandbytes(resolved.model, spec):
            found.append(
                f"The image '{spec.engine.image}' must have the packages vllm-bnb-plugin and "
                "bitsandbytes: without them vLLM ends with 'Unknown quantization method'."
            )
            if spec.quantization.format == QuantizationFormat.INT8:
                found.append(
                    "bitsandbytes runs INT8 without CUDA graphs, so every token takes longer."
                )
        return tuple(found)

    def launch(self, resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> EngineLaunch:
        """Arguments, environment and the rest; extra arguments must have been checked."""
        extras = self._extras(spec, resolved.flags).args
        return vllm_launch.launch(resolved, spec, plan, extras)
