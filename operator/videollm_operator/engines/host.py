"""What a replica needs besides GPU memory: host memory, /dev/shm, CPUs, disk, and time.

All computed from the plan, all on the pessimistic side: a pod that is killed for want of host
memory, or by a start-up probe while it still loads, is worse than one that asked for a little
too much. `spec.podTemplate.resources` overrides memory and CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.operations import CacheType

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.sizing.types import Plan

GIB = 1024
"""MiB in a GiB."""

SERVER_MIB = 4 * GIB
"""API and engine process: Python, tokenizer, imports. vLLM 0.32 on CPU: 0.6 + 0.5 GiB resident,
the rest for CUDA libraries and allocator slack."""

WORKER_MIB = 4 * GIB
"""Each GPU's process. vLLM 0.32 on CPU: 1.6 GiB resident; CUDA context and pinned buffers add."""

SHARD_MIB = 5 * GIB
"""One safetensors file, mapped by every worker while it loads (the 72B's are 4.5 to 5 GB)."""

FULL_HD_FRAME_BYTES = 1920 * 1080 * 3
"""A decoded frame waiting for the processor."""

CPUS_BASE = 2
"""API server and engine core; each busy-loops (vLLM docs, "CPU resources": 2 + GPUs cores)."""

CPUS_PER_GPU = 2
"""One core, counted as two hyper-threads, for each worker."""

SCRATCH_MIB = 10 * GIB
"""Logs, /tmp and compiled kernels."""

READ_MIB_PER_SECOND = 100
"""Weights from a volume; a cloud disk without provisioned throughput gives 125 MB/s."""

DOWNLOAD_MIB_PER_SECOND = 50
"""Weights from the hub to the cache volume, before they are read from it."""

START_SECONDS = 300
"""Imports, process spawns, profiling, compilation and graph capture with a cold cache."""

STARTUP_PERIOD_SECONDS = 10
"""How often the start-up probe asks."""

SECONDS_PER_TOKEN = 0.2
"""A slow decode step: a 72B in 16 bit over five pipeline stages on A100-40GB takes about 0.1 s
(146 GB / 1.56 TB/s)."""

OFFLOAD_GIB_PER_SECOND = 8
"""Offloaded weights cross PCIe in every step; half of what PCIe 4 x16 reaches."""

PREFILL_SECONDS = 30
"""Fetching, decoding and prefilling the longest video."""

PRE_STOP_SECONDS = 10
"""Sleep before SIGTERM, so that the Service has forgotten the pod when it stops answering."""

EXIT_SECONDS = 5
"""From the end of the last request to the end of the process (KServe's rule for vLLM)."""

MAX_GRACE_SECONDS = 1800
"""A node drain waits no longer than this for one pod."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one engine adds to what all have in common."""

    shm_single_mib: int
    shm_base_mib: int
    shm_per_gpu_mib: int
    media_cache_mib: int
    """Preprocessed media that the engine keeps in host memory."""
    extra_download_mib: int = 0
    """Further repositories that it fetches."""


def gpus(plan: Plan) -> int:
    """GPUs of one replica."""
    return plan.layout.gpus


def shm_mib(plan: Plan, needs: Needs) -> int:
    """Size of /dev/shm: message queues between workers, NCCL where GPUs lack peer access.

    One GPU needs little; several need a base and a share for each. It is memory-backed, so it
    counts as memory of the container.
    """
    if gpus(plan) == 1:
        return needs.shm_single_mib
    return needs.shm_base_mib + needs.shm_per_gpu_mib * gpus(plan)


def memory_mib(plan: Plan, spec: VideoLLMDeploymentSpec, needs: Needs) -> int:
    """Host memory of the container, rounded up to GiB.

    server + workers + media cache + decoded frames in flight + one mapped shard per worker (never
    more than the weights) + offloaded weights + /dev/shm.
    """
    workload = spec.workload
    frames = workload.concurrent_requests * workload.videos_per_request * workload.frames_per_video
    total = (
        SERVER_MIB
        + WORKER_MIB * gpus(plan)
        + needs.media_cache_mib
        + math.ceil(frames * FULL_HD_FRAME_BYTES / 2**20)
        + min(plan.weights_mib, SHARD_MIB * gpus(plan))
        + plan.offloaded_mib
        + shm_mib(plan, needs)
    )
    return math.ceil(total / GIB) * GIB


def cpus(plan: Plan) -> int:
    """CPU request: processes that never sleep must not share a core."""
    return CPUS_BASE + CPUS_PER_GPU * gpus(plan)


def downloads_mib(plan: Plan, spec: VideoLLMDeploymentSpec, needs: Needs) -> int:
    """What a pod fetches: weights that are on the hub, and what the engine always fetches."""
    return (plan.weights_mib if spec.model.source.on_hub else 0) + needs.extra_download_mib


def cache_mib(plan: Plan, spec: VideoLLMDeploymentSpec, needs: Needs) -> int:
    """Size of the cache volume, in whole GiB: the downloads plus a tenth, plus compiled kernels."""
    return math.ceil((downloads_mib(plan, spec, needs) * 1.1 + SCRATCH_MIB) / GIB) * GIB


def ephemeral_mib(plan: Plan, spec: VideoLLMDeploymentSpec, needs: Needs) -> int:
    """Disk of the node: scratch, and the cache where it is an emptyDir."""
    on_node = spec.cache.type == CacheType.EMPTY_DIR or (
        spec.cache.type == CacheType.AUTO and not spec.model.source.on_hub
    )
    return SCRATCH_MIB + (cache_mib(plan, spec, needs) if on_node else 0)


def load_seconds(plan: Plan, spec: VideoLLMDeploymentSpec, needs: Needs) -> int:
    """Pessimistic time from container start to the first answer."""
    seconds = START_SECONDS + plan.weights_mib / READ_MIB_PER_SECOND
    seconds += downloads_mib(plan, spec, needs) / DOWNLOAD_MIB_PER_SECOND
    return math.ceil(seconds / STARTUP_PERIOD_SECONDS) * STARTUP_PERIOD_SECONDS


def drain_seconds(plan: Plan, spec: VideoLLMDeploymentSpec) -> int:
    """How long the longest request in flight may still take after SIGTERM."""
    per_token = SECONDS_PER_TOKEN + plan.cpu_offload_gib_per_gpu / OFFLOAD_GIB_PER_SECOND
    longest = PREFILL_SECONDS + math.ceil(spec.workload.max_output_tokens * per_token)
    return min(longest, MAX_GRACE_SECONDS - PRE_STOP_SECONDS - EXIT_SECONDS)


def grace_seconds(plan: Plan, spec: VideoLLMDeploymentSpec) -> int:
    """`terminationGracePeriodSeconds`: pre-stop sleep + longest request + exit."""
    return PRE_STOP_SECONDS + drain_seconds(plan, spec) + EXIT_SECONDS
