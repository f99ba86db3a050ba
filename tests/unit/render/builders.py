"""Objects and plans by hand, so that rendering is tested without catalogue, planner and engines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from videollm_operator.api.architecture import (
    Architecture,
    ParameterCounts,
    TextArchitecture,
    VisionArchitecture,
)
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.v1alpha1.compute import DType, QuantizationSpec
from videollm_operator.api.v1alpha1.engine import EngineType, EnvVar
from videollm_operator.api.v1alpha1.status import MemoryPerGPU, RuleOfThumb
from videollm_operator.catalog.entries import EngineEntry, GPUEntry
from videollm_operator.engines.base import (
    DeploymentPlan,
    EngineLaunch,
    ModelFacts,
    Probe,
    Resolved,
)
from videollm_operator.sizing.types import EngineBudget, Layout, Plan, Verdict, VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.problem import Problem

UID = "4f0c2b0e-8a1d-4c5e-9f7a-2b6d1e3c4a5f"


def deployment(name: str = "llava", uid: str = UID, **spec: Any) -> VideoLLMDeployment:
    """An object as the API server gives it; `spec` in YAML's own names, merged over the least."""
    return VideoLLMDeployment.from_object(
        {
            "apiVersion": "videollm.io/v1alpha1",
            "kind": "VideoLLMDeployment",
            "metadata": {"name": name, "namespace": "video", "uid": uid},
            "spec": {"model": {"name": "org/model"}, "gpu": {"sku": "A100-80GB"}, **spec},
        }
    )


def gpu(**changes: Any) -> GPUEntry:
    """A GPU that two label families recognise."""
    return GPUEntry.model_validate(
        {
            "sku": "A100-80GB",
            "product": "NVIDIA A100 80GB",
            "nominalGB": 80,
            "nvmlMiB": 81920,
            "visibleMiB": 81038,
            "computeCapability": "8.0",
            "gpusPerNode": 8,
            "nodeLabels": [
                {
                    "nvidia.com/gpu.product": [
                        "NVIDIA-A100-SXM4-80GB",
                        "NVIDIA-A100-80GB-PCIe",
                    ]
                },
                {"cloud.google.com/gke-accelerator": ["nvidia-a100-80gb"]},
            ],
            **changes,
        }
    )


def launch(**changes: Any) -> EngineLaunch:
    """How a small engine is started; weights are downloaded."""
    probe = Probe(path="/health", period_seconds=10, timeout_seconds=5, failure_threshold=3)
    made = EngineLaunch(
        type=EngineType.VLLM,
        version="0.33.0",
        image="vllm/vllm-openai:v0.33.0",
        command=(),
        args=("org/model", "--tensor-parallel-size=4"),
        env=(
            EnvVar.model_validate({"name": "HF_HOME", "value": "/home/vllm/.cache"}),
            EnvVar.model_validate(
                {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
            ),
        ),
        port=8000,
        startup=replace(probe, failure_threshold=180),
        readiness=probe,
        liveness=replace(probe, period_seconds=15),
        shm_mib=2048,
        memory_mib=64 * 1024,
        cpu=16,
        ephemeral_mib=10 * 1024,
        load_seconds=1800,
        pre_stop_seconds=10,
        termination_grace_seconds=150,
        run_as_user=2000,
        run_as_group=0,
        fs_group=0,
        home="/home/vllm",
        cache_path="/home/vllm/.cache",
        cache_mib=160 * 1024,
    )
    return replace(made, **changes)


def planned(
    run: EngineLaunch | None = None,
    *,
    on: GPUEntry | None = None,
    not_runnable: Problem | None = None,
) -> DeploymentPlan:
    """A plan of four GPUs; `run` is how, by default `launch()`."""
    entry = on or gpu()
    return DeploymentPlan(
        resolved=_resolved(entry, not_runnable),
        plan=_plan(),
        launch=None if not_runnable else run or launch(),
    )


def _plan() -> Plan:
    return Plan(
        model_name="org/model",
        sku="A100-80GB",
        layout=Layout(tensor=4, pipeline=1),
        verdict=Verdict.FITS,
        minimum_gpus=3,
        dtype=DType.BFLOAT16,
        quantization=QuantizationSpec(),
        route=VideoRoute.WHOLE_CLIP,
        max_model_len=16384,
        tokens_per_frame=196,
        tokens_per_video=12544,
        max_num_batched_tokens=16384,
        max_num_seqs=1,
        gpu_memory_utilization=0.9,
        cpu_offload_gib_per_gpu=0,
        memory=MemoryPerGPU(),
        margin_mib=1024,
        kv_cache_tokens=32768,
        max_concurrent_requests=2,
        weights_mib=140_000,
        rule_of_thumb=RuleOfThumb(),
        alternatives=(),
        explanation="",
    )


def _resolved(entry: GPUEntry, not_runnable: Problem | None) -> Resolved:
    return Resolved(
        model=ModelFacts(
            name="org/model",
            served_name="org/model",
            architecture=_architecture(),
            checkpoint_dtype=DType.BFLOAT16,
            nominal_parameters=72_000_000_000,
            described_by="catalogue",
        ),
        gpu=entry,
        visible_mib=entry.visible_mib,
        engine=EngineEntry.model_construct(),
        flags=None,  # type: ignore[arg-type] # rendering reads no flags
        budget=_budget(),
        not_runnable=not_runnable,
    )


def _budget() -> EngineBudget:
    return EngineBudget(
        type=EngineType.VLLM,
        version="0.33.0",
        gpu_memory_utilization=0.9,
        route=VideoRoute.WHOLE_CLIP,
        supports_pipeline=True,
        supports_cpu_offload=True,
        vision_tower_sharded=True,
        projector_sharded=True,
        kv_heads_replicated=True,
        kv_block_tokens=16,
        sampler_bytes_per_logit=8,
        graphs_mib=0,
        runtime_mib_single=0,
        runtime_mib_multi=0,
    )


def _architecture() -> Architecture:
    return Architecture(
        class_name="LlavaOnevisionForConditionalGeneration",
        text=TextArchitecture(
            layers=1,
            hidden_size=64,
            intermediate_size=128,
            attention_heads=8,
            key_value_heads=8,
            head_dim=8,
            vocab_size=128,
            max_position_embeddings=32768,
        ),
        vision=VisionArchitecture(
            layers=1, hidden_size=64, intermediate_size=128, attention_heads=8, patches_per_side=27
        ),
        parameters=ParameterCounts(layers=1, embedding=1, head=1, vision=1, projector=1),
    )


def kinds(manifests: tuple[dict[str, Any], ...]) -> list[str]:
    """The kinds, in order."""
    return [manifest["kind"] for manifest in manifests]


def of_kind(manifests: tuple[dict[str, Any], ...], kind: str) -> dict[str, Any]:
    """The first object of a kind."""
    return next(manifest for manifest in manifests if manifest["kind"] == kind)


def pod_of(manifests: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """The pod's spec."""
    spec: dict[str, Any] = of_kind(manifests, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def engine_of(manifests: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """The engine's container."""
    container: dict[str, Any] = pod_of(manifests)["containers"][0]
    return container
