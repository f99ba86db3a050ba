"""`status`: what the operator found out and decided. Written only by the operator."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from videollm_operator.api.base import APIModel
from videollm_operator.api.rules import MergedBy

MAX_MESSAGE = 32768
"""Characters of a condition's message (metav1.Condition)."""

ConditionStatus = Literal["True", "False", "Unknown"]


class StatusModel(APIModel):
    """Base of what the operator writes itself; a newer operator's fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusModel):
    """A Kubernetes condition (metav1.Condition)."""

    type: Annotated[str, Field(max_length=316)] = Field(description="Kind of condition.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int = Field(
        default=0, description="Generation of the object that this was found at."
    )
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When `status` last changed."
    )
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="One word for programs; docs/troubleshooting.md has a section for each."
    )
    message: Annotated[str, Field(max_length=MAX_MESSAGE)] = Field(
        default="", description="The sentence for people."
    )


class EngineStatus(StatusModel):
    """The engine in force."""

    type: str = Field(default="", description="VLLM, SGLang or TGI.")
    version: str = Field(default="", description="Its version.")
    image: str = Field(default="", description="Its container image.")


class MemoryPerGPU(StatusModel):
    """Where the memory of the fullest GPU goes, in MiB. The terms add up to `budget`."""

    visible: int = Field(default=0, description="What CUDA shows of the card.")
    budget: int = Field(default=0, description="What the engine may use of it.")
    weights: int = Field(default=0, description="Weights.")
    kv_cache: int = Field(default=0, description="KV cache that the workload needs.")
    activation: int = Field(
        default=0, description="Peak of intermediate tensors, encoder cache included."
    )
    graphs: int = Field(default=0, description="CUDA graphs.")
    runtime: int = Field(default=0, description="Communication buffers and workspaces.")
    headroom: int = Field(default=0, description="What is left; the engine fills it with KV cache.")


class MemoryTerm(StatusModel):
    """One part of the budget, what it rests on, and how wrong it may be."""

    name: str = Field(description="Name of the term: Weights, KVCache, EncoderCache ...")
    mib: int = Field(description="As predicted, in MiB.")
    basis: Literal["Exact", "Source", "Measured", "Estimated"] = Field(
        default="Estimated",
        description="Exact: counted from the model's numbers. Source: read in the engine's "
        "source. Measured: from published start-up logs. Estimated: chosen on the safe side.",
    )
    bound_mib: int = Field(
        default=0,
        alias="boundMiB",
        description="How much larger it may be, in MiB; the margin follows from these.",
    )
    why: str = Field(default="", description="The formula in words.")


class RuleOfThumb(StatusModel):
    """Parameters x bytes, plus a quarter, divided by the card's nominal memory."""

    weights_gb: int = Field(default=0, alias="weightsGB", description="Weights in 10^9 bytes.")
    total_gb: int = Field(default=0, alias="totalGB", description="Plus a quarter.")
    gpus: int = Field(default=0, description="Divided by the card, rounded up.")
    note: str = Field(default="", description="Why the plan differs, where it does.")


class Alternative(StatusModel):
    """Another layout that would work, or nearly."""

    gpus: int = Field(description="GPUs of one replica.")
    tensor: int = Field(description="Tensor-parallel size.")
    pipeline: int = Field(description="Pipeline-parallel size.")
    verdict: Literal["Fits", "Tight"] = Field(
        default="Fits", description="Tight: fits by the formula, but not with the safety margin."
    )
    note: str = Field(default="", description="What it gains or costs.")


class SizingStatus(StatusModel):
    """The plan in force, term by term; the same object as `videollm plan -o json`."""

    gpus_per_replica: int = Field(default=0, description="GPUs of one replica.")
    total_gpus: int = Field(default=0, alias="totalGPUs", description="GPUs of all replicas.")
    minimum_gpus: int = Field(
        default=0, alias="minimumGPUs", description="Fewest GPUs of this SKU by any legal layout."
    )
    tensor_parallel_size: int = Field(default=0, description="Tensor-parallel size.")
    pipeline_parallel_size: int = Field(default=0, description="Pipeline-parallel size.")
    dtype: str = Field(default="", description="Number format of unquantized weights.")
    quantization: str = Field(default="", description="Quantization, such as 'INT8 (GPTQ, g128)'.")
    max_model_len: int = Field(default=0, description="Context length in tokens.")
    max_num_batched_tokens: int = Field(default=0, description="Tokens of one engine step.")
    max_num_seqs: int = Field(default=0, description="Sequences of one engine step.")
    tokens_per_video: int = Field(default=0, description="Tokens of one video.")
    kv_cache_tokens: int = Field(
        default=0, description="Tokens that the KV cache holds with what is left of the budget."
    )
    max_concurrent_requests: int = Field(
        default=0, description="Full-length requests that fit at the same time."
    )
    memory_per_gpu: MemoryPerGPU = Field(
        default_factory=MemoryPerGPU, alias="memoryPerGPU", description="Terms, in MiB."
    )
    terms: Annotated[list[MemoryTerm], Field(max_length=12), MergedBy("name")] = Field(
        default_factory=list,
        description="The same memory, term by term; with the headroom they add up to `budget`.",
    )
    margin: int = Field(
        default=0, description="Headroom in MiB from which a layout fits; less of it is tight."
    )
    deciding_term: str = Field(
        default="",
        description="The term that decides: the largest, or the least certain of a tight layout.",
    )
    rule_of_thumb: RuleOfThumb = Field(
        default_factory=RuleOfThumb, description="What the usual rule would say."
    )
    alternatives: Annotated[list[Alternative], Field(max_length=8)] = Field(
        default_factory=list,
        description="Other layouts.",
    )
    explanation: Annotated[str, Field(max_length=4096)] = Field(
        default="", description="Two or three sentences on why it is this many."
    )


class VideoLLMDeploymentStatus(StatusModel):
    """What is, in the operator's words."""

    observed_generation: int = Field(
        default=-1, description="Generation of the object that this status describes; -1: none yet."
    )
    replicas: int = Field(default=0, description="Pods that exist.")
    ready_replicas: int = Field(default=0, description="Pods that answer.")
    updated_replicas: int = Field(default=0, description="Pods of the current layout.")
    selector: str = Field(default="", description="Label selector of the pods, for autoscalers.")
    url: str = Field(default="", description="Base URL of the OpenAI-compatible API.")
    engine: EngineStatus = Field(default_factory=EngineStatus, description="The engine in force.")
    sizing: SizingStatus | None = Field(default=None, description="The plan in force.")
    observed: dict[str, Any] | None = Field(
        default=None,
        description="What the engine itself reported. Not filled yet.",
    )
    conditions: Annotated[list[Condition], Field(max_length=16), MergedBy("type")] = Field(
        default_factory=list, description="Conditions."
    )
