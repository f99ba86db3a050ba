"""How SGLang's container runs a plan: arguments and environment of `sglang.launch_server`.

The offline switches are never set: SGLang fetches the vision tower from the hub by name, wherever
the weights lie.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from videollm_operator.engines import env, host, places
from videollm_operator.engines.base import Probe
from videollm_operator.engines.launching import Probes, assemble, compact_json, domains

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.engines.base import EngineLaunch, Resolved
    from videollm_operator.sizing.types import Plan

CONTEXT_MIB_SINGLE = 1024
"""CUDA context: `mem_fraction_static` is a share of what is free after it exists. Published
start-up lines: 0.5 to 0.9 GiB on one GPU ..."""

CONTEXT_MIB_MULTI = 3328
"""... and, with NCCL, 2.3 to 3.3 GiB on several."""

NEEDS = host.Needs(
    shm_single_mib=2 * host.GIB,
    # SGLang's Kubernetes example mounts 10 GiB for eight GPUs.
    shm_base_mib=2 * host.GIB,
    shm_per_gpu_mib=1 * host.GIB,
    media_cache_mib=4 * host.GIB,
    extra_download_mib=3400,  # google/siglip-so400m-patch14-384: 3.5 GB in FP32
)

PROBES = Probes(
    startup_path="/ready",
    readiness=Probe("/ready", period_seconds=5, timeout_seconds=5, failure_threshold=3),
    # /health generates a token and may take 20 s (SGLANG_HEALTH_CHECK_TIMEOUT).
    liveness=Probe("/health", period_seconds=30, timeout_seconds=25, failure_threshold=4),
)

KEY_VARIABLE = "SGLANG_API_KEY_FROM_SECRET"
"""SGLang takes the key as an argument only; Kubernetes puts it there from this variable."""

OWNED_ENV: Mapping[str, str] = {
    **env.COMMON_OWNED,
    KEY_VARIABLE: "set `spec.network.apiKeySecretRef` instead",
    "SGLANG_HEALTH_CHECK_TIMEOUT": "leave it: the liveness probe is made for 20 s",
    "XDG_CACHE_HOME": "set `spec.cache` instead",
}


def frames(spec: VideoLLMDeploymentSpec) -> int:
    """Images in one full request."""
    return spec.workload.frames_per_video * spec.workload.videos_per_request


def memory_fraction(plan: Plan) -> float:
    """`--mem-fraction-static`: (weights + KV cache) / (memory that is free before loading).

    Rounded down to a thousandth, so that what must fit beside it does
    (srt/mem_cache/kv_cache_configurator.py).
    """
    memory = plan.memory
    context = CONTEXT_MIB_SINGLE if plan.layout.gpus == 1 else CONTEXT_MIB_MULTI
    static = memory.weights + memory.kv_cache + memory.headroom
    return math.floor(1000 * static / (memory.visible - context)) / 1000


def launch(
    resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan, extras: tuple[str, ...]
) -> EngineLaunch:
    """Everything a pod template needs of SGLang for this plan."""
    variables = [
        env.value("XDG_CACHE_HOME", f"{places.CACHE_PATH}/xdg"),
        *env.hub(spec, offline=False),
    ]
    key: tuple[str, ...] = ()
    if spec.network.api_key_secret_ref is not None:
        variables.append(env.secret(KEY_VARIABLE, spec.network.api_key_secret_ref))
        key = (f"--api-key=$({KEY_VARIABLE})",)
    return assemble(
        resolved,
        spec,
        plan,
        command=("python3", "-m", "sglang.launch_server"),
        args=(*_arguments(spec, plan), *extras),
        variables=variables,
        probes=PROBES,
        needs=NEEDS,
        expanded_args=key,
    )


def _arguments(spec: VideoLLMDeploymentSpec, plan: Plan) -> list[str]:
    """The plan as arguments."""
    args = [f"--model-path={places.model_argument(spec)}"]
    if spec.model.source.on_hub:
        args.append(f"--revision={spec.model.revision}")
    args += [
        f"--served-model-name={places.served_name(spec)}",
        "--host=0.0.0.0",
        f"--port={spec.network.port}",
        "--dtype=float16",
        f"--tp-size={plan.layout.tensor}",
        f"--mem-fraction-static={memory_fraction(plan):g}",
        f"--context-length={plan.max_model_len}",
        f"--chunked-prefill-size={plan.max_num_batched_tokens}",
        f"--max-running-requests={plan.max_num_seqs}",
        f"--limit-mm-data-per-request={compact_json({'image': frames(spec)})}",
        "--chat-template=chatml-llava",
        "--enable-metrics",
    ]
    if plan.cpu_offload_gib_per_gpu:
        args.append(f"--cpu-offload-gb={plan.cpu_offload_gib_per_gpu}")
    return [*args, "--allowed-media-domains", *domains(spec)]
