"""How vLLM's container runs a plan: arguments and environment of `vllm serve`.

The image's entry point is `vllm serve`, so the arguments begin with the model. Every single value
is joined to its flag by `=`: it can then never be read as a flag. Negatives would be spelled
`--no-x`, which 0.32 and 0.33 both accept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import DType, QuantizationFormat
from videollm_operator.engines import env, host, places, quantize
from videollm_operator.engines.base import Probe
from videollm_operator.engines.checkpoints import NEXT_VIDEO, ONEVISION
from videollm_operator.engines.launching import Probes, assemble, compact_json, domains
from videollm_operator.sizing.types import VideoRoute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.engine import EnvVar
    from videollm_operator.engines.base import EngineLaunch, Resolved
    from videollm_operator.sizing.types import Plan

DTYPES = {
    DType.BFLOAT16: "bfloat16",
    DType.FLOAT16: "float16",
    DType.FLOAT32: "float32",
}

ONLINE = {
    QuantizationFormat.FP8: "fp8_per_tensor",
    QuantizationFormat.INT4: "bitsandbytes",
}
"""What vLLM 0.32 and 0.33 call the formats that they make while loading: `fp8` alone is deprecated
for that (model_loader/weight_utils.py), and `bitsandbytes` comes with the package
vllm-bnb-plugin, which sets the load format too."""

NEEDS = host.Needs(
    shm_single_mib=1 * host.GIB,
    # vLLM's docs (deployment/k8s.md) mount 2 GiB for tensor parallelism of 2; queues and NCCL's
    # buffers grow with the number of workers.
    shm_base_mib=1 * host.GIB,
    shm_per_gpu_mib=512,
    # --mm-processor-cache-gb is 4, in the API process and in the engine (config/multimodal.py).
    media_cache_mib=8 * host.GIB,
)

PROBES = Probes(
    # Refused until the engine is ready, 200 while it serves, 503 once it is dead.
    startup_path="/health",
    readiness=Probe("/health", period_seconds=5, timeout_seconds=5, failure_threshold=3),
    liveness=Probe("/health", period_seconds=10, timeout_seconds=10, failure_threshold=6),
)

ONEVISION_PROFILE_FRAMES = 16
"""`_MAX_FRAMES_PER_VIDEO` of model_executor/models/llava_onevision.py."""

_NO_TELEMETRY = "leave it to the operator, which switches telemetry off"

OWNED_ENV: Mapping[str, str] = {
    **env.COMMON_OWNED,
    "VLLM_CACHE_ROOT": "set `spec.cache` instead",
    "VLLM_API_KEY": "set `spec.network.apiKeySecretRef` instead",
    "VLLM_PORT": "set `spec.network.port` instead",
    "VLLM_HOST_IP": "leave it: a replica across nodes is not built yet",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "leave it: a redirect would leave the allowed domains",
    "VLLM_NO_USAGE_STATS": _NO_TELEMETRY,
    "VLLM_DO_NOT_TRACK": _NO_TELEMETRY,
    "VLLM_ENGINE_READY_TIMEOUT_S": "leave it: it follows from the size of the weights",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "set `spec.workload.maxModelLen` within the model's length",
    "VLLM_PP_LAYER_PARTITION": "set `spec.parallelism` instead",
    "VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS": "leave it: the plan counts CUDA graphs",
    "VLLM_PLUGINS": "leave it to the operator",
}


def launch(
    resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan, extras: tuple[str, ...]
) -> EngineLaunch:
    """Everything a pod template needs of vLLM for this plan."""
    return assemble(
        resolved,
        spec,
        plan,
        command=(),
        args=(*_arguments(resolved, spec, plan), *extras),
        variables=_environment(spec, host.load_seconds(plan, spec, NEEDS)),
        probes=PROBES,
        needs=NEEDS,
    )


def _arguments(resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> list[str]:
    """The plan as arguments."""
    args = [places.model_argument(spec)]
    if spec.model.source.on_hub:
        args.append(f"--revision={spec.model.revision}")
    args += [
        f"--served-model-name={places.served_name(spec)}",
        "--host=0.0.0.0",
        f"--port={spec.network.port}",
        f"--dtype={DTYPES[plan.dtype]}",
        f"--tensor-parallel-size={plan.layout.tensor}",
        f"--pipeline-parallel-size={plan.layout.pipeline}",
    ]
    if plan.layout.gpus > 1:
        args.append("--distributed-executor-backend=mp")
    if quantize.made_while_loading(resolved.model, spec):
        args.append(f"--quantization={ONLINE[plan.quantization.format]}")
    args += [
        f"--gpu-memory-utilization={plan.gpu_memory_utilization:g}",
        f"--max-model-len={plan.max_model_len}",
        f"--max-num-batched-tokens={plan.max_num_batched_tokens}",
        f"--max-num-seqs={plan.max_num_seqs}",
        *_media(resolved, spec, plan),
    ]
    if plan.cpu_offload_gib_per_gpu:
        args.append(f"--cpu-offload-gb={plan.cpu_offload_gib_per_gpu}")
    args += ["--allowed-media-domains", *domains(spec)]
    args.append(f"--shutdown-timeout={host.drain_seconds(plan, spec)}")
    return args


def _media(resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> list[str]:
    """How many items a request may hold, and how many frames are sampled from a video.

    A video model's images are switched off: the workload has none, and the plan counts none. That
    also keeps the largest item, and with it the encoder cache, at the video's size.
    """
    workload = spec.workload
    if plan.route == VideoRoute.IMAGES:
        return [f"--limit-mm-per-prompt={compact_json({'image': workload.frames_per_video})}"]
    limits: dict[str, object] = {
        "video": {
            "count": workload.videos_per_request,
            "num_frames": profiled_frames(resolved, spec, plan),
        }
    }
    if resolved.model.architecture.class_name != NEXT_VIDEO:  # that class has no images
        limits = {"image": 0, **limits}
    frames = {"video": {"num_frames": workload.frames_per_video}}
    return [
        f"--limit-mm-per-prompt={compact_json(limits)}",
        f"--media-io-kwargs={compact_json(frames)}",
    ]


def profiled_frames(resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> int:
    """Frames of each dummy video with which vLLM measures its memory before it sizes the KV cache.

    `num_frames` of `--limit-mm-per-prompt` shapes that input and nothing else. vLLM encodes as
    many dummies at once as the step's tokens hold, and makes OneVision's no longer than 16 frames;
    the length taken is the one with which most frames are measured (vLLM 0.32
    multimodal/encoder_budget.py, model_executor/models/llava_onevision.py).
    """
    workload = spec.workload
    longest = workload.frames_per_video
    if resolved.model.architecture.class_name == ONEVISION:
        longest = min(longest, ONEVISION_PROFILE_FRAMES)
    newline = plan.tokens_per_video - workload.frames_per_video * plan.tokens_per_frame
    most = plan.max_num_seqs * workload.videos_per_request

    def measured(frames: int) -> int:
        tokens = frames * plan.tokens_per_frame + newline
        return frames * min(most, max(1, plan.max_num_batched_tokens // tokens))

    return max(range(1, longest + 1), key=lambda frames: (measured(frames), frames))


def _environment(spec: VideoLLMDeploymentSpec, load_seconds: int) -> list[EnvVar]:
    """The variables that are vLLM's own."""
    variables = [
        env.value("VLLM_CACHE_ROOT", f"{places.CACHE_PATH}/vllm"),
        env.value("VLLM_ENGINE_READY_TIMEOUT_S", str(load_seconds)),
        env.value("VLLM_MEDIA_URL_ALLOW_REDIRECTS", "0"),
        env.value("VLLM_NO_USAGE_STATS", "1"),
        *env.hub(spec, offline=not spec.model.source.on_hub),
    ]
    if spec.network.api_key_secret_ref is not None:
        variables.append(env.secret("VLLM_API_KEY", spec.network.api_key_secret_ref))
    return variables
