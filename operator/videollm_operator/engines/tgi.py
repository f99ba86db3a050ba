"""TGI 3.3.7: legacy, for LLaVA 1.6 image models only.

The project is in maintenance mode. It loads `llava_next` with a Llama, Mistral or Gemma text
model, splits it by tensor parallelism within one pod, and takes no video at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType, QuantizationFormat
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines import arguments, checkpoints, env, quantize, tgi_launch
from videollm_operator.engines.checkpoints import Checkpoint, hub_name
from videollm_operator.engines.owned import TGI as OWNED
from videollm_operator.engines.text import listed
from videollm_operator.sizing import constants
from videollm_operator.sizing.types import EngineBudget, VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.catalog.entries import EngineEntry, GPUEntry
    from videollm_operator.catalog.flags import FlagTable
    from videollm_operator.engines.base import EngineLaunch, ModelFacts, Resolved
    from videollm_operator.sizing.types import Plan

CHECKPOINT = Checkpoint(VideoRoute.IMAGES, projector_sharded=True)

QWEN2_VOCABULARY = range(151_000, 153_000)
"""Vocabularies of Qwen1.5 and Qwen2: LLaVA 1.6 on such a text model has the same class name, but
TGI has no backbone for it ("Unsupported model type"). Llama, Mistral and Gemma have none this
size."""

CAPABILITIES = ((8, 0), (9, 0))
"""Least and greatest compute capability that its kernels are built for: flash attention needs 8.0,
and the last release is older than Blackwell's support in them."""

BLOCK_TOKENS = 256
"""The largest of its block sizes (flash decoding)."""

CONTEXT_MIB_SINGLE = 1024
"""The CUDA context lies within that share, unlike vLLM's: TGI measures what is free of the card."""
CONTEXT_MIB_MULTI = 3328

WARNINGS = (
    "TGI is in maintenance mode: prefer vLLM, which serves the same models.",
    "TGI fetches images from any URL in a request: guard its pods with a NetworkPolicy.",
)


@dataclass(frozen=True, slots=True)
class TGI:
    """The TGI engine."""

    type: EngineType = EngineType.TGI

    def supports(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, gpu: GPUEntry, entry: EngineEntry
    ) -> Problem | None:
        """LLaVA 1.6 with images, and only what its launcher can be told."""
        architecture = model.architecture
        if architecture.class_name != checkpoints.NEXT:
            return Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"TGI {entry.version} cannot load {hub_name(model)} and takes no video; it loads "
                f"{checkpoints.NEXT} (LLaVA 1.6) for images: {checkpoints.way_out(model)}",
                "spec.engine.type",
            )
        if architecture.text.vocab_size in QWEN2_VOCABULARY:
            return Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"TGI {entry.version} cannot load {hub_name(model)}: its vocabulary of "
                f"{architecture.text.vocab_size} is that of a Qwen2 text model, and TGI has "
                "LLaVA 1.6 with Llama, Mistral and Gemma only: set `spec.engine.type: VLLM`",
                "spec.engine.type",
            )
        least, greatest = CAPABILITIES
        if not least <= gpu.capability <= greatest:
            return Problem(
                Reason.ENGINE_UNSUPPORTED,
                f"TGI {entry.version} is built for compute capability 8.0 to 9.0, but '{gpu.sku}' "
                f"has {gpu.compute_capability}: set `spec.engine.type: VLLM`, or use another GPU",
                "spec.engine.type",
            )
        return (
            checkpoints.media_problem(model, spec, CHECKPOINT)
            or quantize.contradiction(model, spec)
            or _formats(model, spec, gpu)
            or _fields(spec)
        )

    def not_runnable(self, model: ModelFacts, spec: VideoLLMDeploymentSpec) -> Problem | None:
        """Refuses to run unquantized hub files as quantized."""
        return quantize.not_quantized_checkpoint(model, spec)

    def dtype(self, spec: VideoLLMDeploymentSpec) -> DType:
        """TGI computes in FP16 with quantized weights, and takes no `--dtype` beside them."""
        return DType.FLOAT16 if quantize.quantized(spec) else spec.dtype

    def budget(
        self, model: ModelFacts, spec: VideoLLMDeploymentSpec, entry: EngineEntry
    ) -> EngineBudget:
        """TGI's memory in the planner's terms."""
        return EngineBudget(
            type=self.type,
            version=entry.version,
            gpu_memory_utilization=min(entry.gpu_memory_utilization, tgi_launch.WIGGLE_ROOM),
            route=CHECKPOINT.route,
            supports_pipeline=False,
            supports_cpu_offload=False,
            vision_tower_sharded=True,
            projector_sharded=CHECKPOINT.projector_sharded,
            kv_heads_replicated=False,
            kv_block_tokens=BLOCK_TOKENS,
            sampler_bytes_per_logit=constants.OTHER_SAMPLER_BYTES_PER_LOGIT,
            graphs_mib=constants.GRAPHS_MIB,
            graphs_shared_mib=constants.GRAPHS_MIB,
            runtime_holds="the CUDA context",
            runtime_mib_single=constants.SMALL_BUFFERS_MIB + CONTEXT_MIB_SINGLE,
            runtime_mib_multi=constants.SMALL_BUFFERS_MIB + CONTEXT_MIB_MULTI,
            native_fp8_only=True,
        )

    def check_extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> tuple[Problem, ...]:
        """Extra arguments against the flags of this version, extra variables against ours."""
        return (*self._extras(spec, flags).problems, *env.problems(spec, tgi_launch.OWNED_ENV))

    def _extras(self, spec: VideoLLMDeploymentSpec, flags: FlagTable) -> arguments.Checked:
        return arguments.check(
            spec.engine.extra_args,
            flags,
            arguments.Grammar(f"TGI {flags.version}", OWNED, shell_split=True),
            unchecked=spec.engine.allow_unchecked_args,
        )

    def warnings(self, resolved: Resolved, spec: VideoLLMDeploymentSpec) -> tuple[str, ...]:
        """What its users should know before they rely on it."""
        return WARNINGS

    def launch(self, resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> EngineLaunch:
        """Arguments, environment and the rest; extra arguments must have been checked."""
        extras = self._extras(spec, resolved.flags).args
        return tgi_launch.launch(resolved, spec, plan, extras)


def _formats(model: ModelFacts, spec: VideoLLMDeploymentSpec, gpu: GPUEntry) -> Problem | None:
    """Number formats that TGI has no kernels for."""
    if spec.dtype == DType.FLOAT32:
        return Problem(
            Reason.DTYPE_UNSUPPORTED,
            "`spec.dtype` is 'Float32', but TGI computes in 16 bit only: leave it at 'Auto'",
            "spec.dtype",
        )
    if not quantize.quantized(spec):
        return None
    if spec.dtype == DType.BFLOAT16:
        return Problem(
            Reason.DTYPE_UNSUPPORTED,
            "`spec.dtype` is 'BFloat16', but TGI computes in FP16 with quantized weights: leave it "
            "at 'Auto'",
            "spec.dtype",
        )
    wanted = quantize.effective(model, spec)
    if quantize.needs_bitsandbytes(model, spec):
        return Problem(
            Reason.QUANTIZATION_UNSUPPORTED,
            "the operator does not plan bitsandbytes on TGI: use a checkpoint quantized with GPTQ "
            "or AWQ",
            "spec.quantization.method",
        )
    native = gpu.capability >= constants.FP8_NATIVE_CAPABILITY
    if wanted.format == QuantizationFormat.FP8 and not native:
        return Problem(
            Reason.QUANTIZATION_UNSUPPORTED,
            f"FP8 on TGI needs compute capability 8.9 or newer, but '{gpu.sku}' has "
            f"{gpu.compute_capability}: use a checkpoint quantized with GPTQ or AWQ, or "
            "`spec.engine.type: VLLM`",
            "spec.quantization.format",
        )
    return None


def _fields(spec: VideoLLMDeploymentSpec) -> Problem | None:
    """Fields that TGI's launcher has no flag for."""
    unsupported = {
        "spec.network.allowedMediaDomains": bool(spec.network.allowed_media_domains),
        "spec.offload.cpuGiBPerGPU": spec.offload.cpu_gib_per_gpu > 0,
        "spec.parallelism.pipeline": (spec.parallelism.pipeline or 1) > 1,
        "spec.model.servedName": spec.model.served_name not in {"", spec.model.name},
    }
    fields = [field for field, given in unsupported.items() if given]
    if not fields:
        return None
    return Problem(
        Reason.FIELD_UNSUPPORTED,
        f"TGI cannot honour {listed([f'`{field}`' for field in fields], 'and')}: remove "
        f"{'them' if len(fields) > 1 else 'it'}, or set `spec.engine.type: VLLM`",
        fields[0],
    )
