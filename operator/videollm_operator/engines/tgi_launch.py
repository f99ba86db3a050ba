"""How TGI's container runs a plan: arguments and environment of `text-generation-launcher`.

The image's entry script expands its arguments unquoted, so none of ours holds a space, and what a
user wrote (model, revision) goes by environment: every flag is a variable too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.engines import env, host, places, quantize
from videollm_operator.engines.base import Probe
from videollm_operator.engines.launching import Probes, assemble
from videollm_operator.engines.owned import TGI as OWNED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.engine import EnvVar
    from videollm_operator.engines.base import EngineLaunch, Resolved
    from videollm_operator.sizing.types import Plan

WIGGLE_ROOM = 0.9
"""TGI fills only this share of `--cuda-memory-fraction` (`TGI_WIGGLE_ROOM`,
server/text_generation_server/models/flash_causal_lm.py, `warmup`)."""

PROMETHEUS_PORT = 9000
MASTER_PORT = 29500
"""Defaults of `--prometheus-port` and `--master-port`."""

MAX_CONCURRENT = 128
"""Default of `--max-concurrent-requests`: requests beyond it get 429."""

TEXT_PAYLOAD_BYTES = 2_000_000
IMAGE_PAYLOAD_BYTES = 16_000_000
"""Room in a request's body for its text (TGI's own default) and for each image in base64."""

DTYPES = {DType.BFLOAT16: "bfloat16", DType.FLOAT16: "float16"}

NEEDS = host.Needs(
    shm_single_mib=1 * host.GIB,  # TGI's docs: 1 GiB
    shm_base_mib=1 * host.GIB,
    shm_per_gpu_mib=512,
    media_cache_mib=0,
)

PROBES = Probes(
    startup_path="/health",
    readiness=Probe("/health", period_seconds=5, timeout_seconds=5, failure_threshold=3),
    liveness=Probe("/health", period_seconds=10, timeout_seconds=10, failure_threshold=6),
)


def variable(flag: str) -> str:
    """The environment variable that TGI's launcher reads for a flag."""
    return flag.removeprefix("--").replace("-", "_").upper()


OWNED_ENV: Mapping[str, str] = {
    **{variable(flag): remedy for flag, remedy in OWNED.items()},
    **env.COMMON_OWNED,
    "TGI_WIGGLE_ROOM": "leave it: the plan counts it",
    "ATTENTION": "leave it: the plan counts its block size",
}


def launch(
    resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan, extras: tuple[str, ...]
) -> EngineLaunch:
    """Everything a pod template needs of TGI for this plan."""
    return assemble(
        resolved,
        spec,
        plan,
        command=(),
        args=(*_arguments(resolved, spec, plan), *extras),
        variables=_environment(spec),
        probes=PROBES,
        needs=NEEDS,
    )


def _environment(spec: VideoLLMDeploymentSpec) -> list[EnvVar]:
    """The variables that are TGI's own."""
    on_hub = spec.model.source.on_hub
    variables = [env.value("MODEL_ID", places.model_argument(spec))]
    if on_hub:
        variables.append(env.value("REVISION", spec.model.revision))
    variables += env.hub(spec, offline=not on_hub)
    if spec.network.api_key_secret_ref is not None:
        variables.append(env.secret("API_KEY", spec.network.api_key_secret_ref))
    return variables


def _arguments(resolved: Resolved, spec: VideoLLMDeploymentSpec, plan: Plan) -> list[str]:
    """The plan as arguments.

    `--hostname` must be said, because Kubernetes sets HOSTNAME, which the launcher would read.
    """
    port = spec.network.port
    longest_input = plan.max_model_len - spec.workload.max_output_tokens
    payload = TEXT_PAYLOAD_BYTES + IMAGE_PAYLOAD_BYTES * spec.workload.frames_per_video
    args = [
        "--hostname=0.0.0.0",
        f"--port={port}",
        f"--prometheus-port={_beside(port, PROMETHEUS_PORT)}",
        f"--master-port={_beside(port, MASTER_PORT)}",
        f"--num-shard={plan.layout.tensor}",
        f"--cuda-memory-fraction={memory_fraction(plan):g}",
        f"--max-input-tokens={longest_input}",
        f"--max-total-tokens={plan.max_model_len}",
        f"--max-batch-prefill-tokens={max(longest_input, plan.max_num_batched_tokens)}",
        f"--max-concurrent-requests={max(MAX_CONCURRENT, plan.max_num_seqs)}",
        f"--payload-limit={payload}",
        f"--graceful-termination-timeout={host.drain_seconds(plan, spec)}",
        "--usage-stats=off",
        "--json-output",
    ]
    if quantize.made_while_loading(resolved.model, spec):
        args.append("--quantize=fp8")
    elif not quantize.quantized(spec):  # the launcher refuses --dtype beside quantized weights
        args.append(f"--dtype={DTYPES[plan.dtype]}")
    return args


def memory_fraction(plan: Plan) -> float:
    """`--cuda-memory-fraction`, of which TGI leaves a tenth; rounded to a thousandth."""
    return min(1.0, round(plan.gpu_memory_utilization / WIGGLE_ROOM, 3))


def _beside(port: int, default: int) -> int:
    """`default`, or its neighbour if the API itself listens there."""
    return default + 1 if port == default else default
