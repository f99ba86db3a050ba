"""What sizing takes and gives: frozen values, all memory in MiB, all lengths in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from videollm_operator.sizing import constants

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture
    from videollm_operator.api.v1alpha1.compute import (
        DType,
        ParallelismSpec,
        QuantizationFormat,
        QuantizationSpec,
        WorkloadSpec,
    )
    from videollm_operator.api.v1alpha1.engine import EngineType
    from videollm_operator.api.v1alpha1.status import MemoryPerGPU, RuleOfThumb
    from videollm_operator.catalog.entries import GPUEntry


class VideoRoute(StrEnum):
    """How a video passes through the engine; decides tokens, encoder cache and activation."""

    CHUNKED = "Chunked"
    """The project's vLLM plugin: encodes, projects and pools at most 8 frames at a time; the
    encoder cache takes its largest item from the plan, so batched tokens stay small."""
    WHOLE_CLIP = "WholeClip"
    """vLLM's own classes: the whole clip is projected before pooling, and
    `--max-num-batched-tokens` must be raised to the whole video."""
    FRAMES_AS_IMAGES = "FramesAsImages"
    """SGLang: the client sends frames as images; each is an item of its own."""
    IMAGES = "Images"
    """Image-only models: `framesPerVideo` counts images."""


class Basis(StrEnum):
    """What a term rests on, from firm to soft."""

    EXACT = "Exact"
    """Counted from the model's own numbers; published start-up logs agree."""
    SOURCE = "Source"
    """Read in the engine's source; no published log shows it by itself."""
    MEASURED = "Measured"
    """A constant or formula from published start-up logs."""
    ESTIMATED = "Estimated"
    """Chosen on the safe side, for want of source and logs."""


class TermName(StrEnum):
    """Names of terms; stable, for programs."""

    WEIGHTS = "Weights"
    KV_CACHE = "KVCache"
    ENCODER_CACHE = "EncoderCache"
    ACTIVATION = "Activation"
    SAMPLER_STATE = "SamplerState"
    CUDA_GRAPHS = "CUDAGraphs"
    RUNTIME = "Runtime"


@dataclass(frozen=True, slots=True)
class Term:
    """One part of the budget of the fullest GPU."""

    name: TermName
    mib: int
    """As predicted, rounded up."""
    basis: Basis
    bound_mib: int
    """How much larger than predicted it may be, MiB; the safety margin follows from these."""
    why: str
    """The formula in words, in one sentence."""


@dataclass(frozen=True, slots=True)
class EngineBudget:
    """How one engine (version, route) spends memory. Built by `engines`, read by `sizing`.

    `sizing.constants` has the numbers for the engines of the catalogue, with their sources.
    """

    type: EngineType
    version: str
    gpu_memory_utilization: float
    route: VideoRoute
    supports_pipeline: bool
    supports_cpu_offload: bool
    vision_tower_sharded: bool
    """Whether tensor parallelism splits the tower (vLLM) or copies it (SGLang)."""
    projector_sharded: bool
    kv_heads_replicated: bool
    """Whether TP may exceed the KV heads (vLLM, SGLang) or not (TGI)."""
    kv_block_tokens: int
    sampler_bytes_per_logit: int
    """Bytes per (sequence x vocabulary entry) at the sampler's peak."""
    graphs_mib: int
    """CUDA graphs inside the budget, with the most sequences that graphs are captured for."""
    runtime_mib_single: int
    """Non-torch memory and small buffers inside the budget with one GPU ..."""
    runtime_mib_multi: int
    """... and with several (NCCL buffers)."""
    sampler_state_bytes_per_logit: float = 0.0
    """Bytes per (sequence x vocabulary entry) that the sampler keeps for good (vLLM from 0.32:
    statistics for penalties)."""
    outside_mib_single: int = constants.OUTSIDE_MIB_SINGLE
    """Memory that must stay outside the budget with one GPU (CUDA context) ..."""
    outside_mib_multi: int = constants.OUTSIDE_MIB_MULTI
    """... and with several (NCCL); lowers the utilization on small cards."""
    formats: frozenset[QuantizationFormat] | None = None
    """Formats of weights that it can run for this model, `None` among them; None: all."""
    native_fp8_only: bool = False
    """Whether it runs FP8 weights only on GPUs that compute in FP8 (TGI)."""
    fewest_frames: int = 1
    """Frames of a request below which it serves wrongly; a refusal names no fewer."""
    runtime_holds: str = ""
    """What else the runtime of this engine holds, as words for a list."""
    attention_workspace_mib: int = 0
    """What attention needs beside its tensors on GPUs where FlashInfer computes it (vLLM)."""
    sampler_bound_bytes_per_logit: float = constants.SAMPLER_BOUND_BYTES_PER_LOGIT
    """How much more the sampler may take, bytes per (sequence x vocabulary entry)."""
    graphs_shared_mib: int = constants.GRAPHS_SHARED_MIB
    """Part of `graphs_mib` that does not depend on how many batch sizes are captured; all of it
    where the plan does not choose them."""
    graphs_bound_mib: int = constants.GRAPHS_BOUND_MIB
    """How much more CUDA graphs may take ..."""
    runtime_bound_mib_single: int = constants.RUNTIME_BOUND_MIB_SINGLE
    """... and the runtime with one GPU ..."""
    runtime_bound_mib_multi: int = constants.RUNTIME_BOUND_MIB_MULTI
    """... and with several."""


@dataclass(frozen=True, slots=True)
class SizingRequest:
    """One question to the planner."""

    model_name: str
    architecture: Architecture
    checkpoint_dtype: DType
    nominal_parameters: int
    gpu: GPUEntry
    visible_mib: int
    """CUDA-visible memory: the SKU table's, or less if a node reports less."""
    budget: EngineBudget
    dtype: DType
    quantization: QuantizationSpec
    workload: WorkloadSpec
    parallelism: ParallelismSpec
    per_replica: int | None = None
    cpu_offload_gib_per_gpu: int = 0
    other_gpus: tuple[GPUEntry, ...] = ()
    """SKUs that a refusal may name as the way out: the catalogue's."""


@dataclass(frozen=True, slots=True, order=True)
class Layout:
    """Tensor-parallel x pipeline-parallel."""

    tensor: int
    pipeline: int

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline

    def __str__(self) -> str:
        return f"TP{self.tensor}" if self.pipeline == 1 else f"TP{self.tensor} x PP{self.pipeline}"


class Verdict(StrEnum):
    """Whether a layout holds model and workload."""

    FITS = "Fits"
    TIGHT = "Tight"
    """By the formula, but not with the safety margin; never chosen by itself."""
    DOES_NOT_FIT = "DoesNotFit"


@dataclass(frozen=True, slots=True)
class LayoutAlternative:
    """Another layout, with what it gains or costs."""

    layout: Layout
    verdict: Verdict
    note: str


@dataclass(frozen=True, slots=True)
class ForbiddenLayout:
    """A layout that no engine can run, whatever memory there is."""

    tensor: int
    pipeline: int
    rule: str
    """Which rule forbids it, as a clause."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer: a layout that fits, and every number behind it."""

    model_name: str
    sku: str
    layout: Layout
    verdict: Verdict
    """Fits; Tight only where the user fixed the layout (`strategy: Manual`)."""
    minimum_gpus: int
    """Fewest GPUs of this SKU by any legal layout that fits, whatever the strategy."""
    dtype: DType
    """Effective, never Auto."""
    quantization: QuantizationSpec
    """Effective: method never Auto unless format is None."""
    route: VideoRoute
    max_model_len: int
    tokens_per_frame: int
    tokens_per_video: int
    max_num_batched_tokens: int
    max_num_seqs: int
    gpu_memory_utilization: float
    cpu_offload_gib_per_gpu: int
    memory: MemoryPerGPU
    """Of the fullest rank."""
    margin_mib: int
    """Safety margin that the layout was judged with; it follows from the bounds of the terms."""
    kv_cache_tokens: int
    max_concurrent_requests: int
    weights_mib: int
    """All weights of one replica as they lie on disk: sizes volumes and load time."""
    rule_of_thumb: RuleOfThumb
    alternatives: tuple[LayoutAlternative, ...]
    explanation: str
    tokens_per_request: int = 0
    """Videos, prompt and answer of one full-length request."""
    terms: tuple[Term, ...] = ()
    """Of the fullest GPU; their MiB and the headroom add up to the budget."""
    offloaded_mib: int = 0
    """Weights of one replica that stay in host memory: what was asked, or all decoder layers."""
    deciding_term: str = ""
    """Name of the term that decides the verdict: see `terms.deciding`."""
    forbidden: tuple[ForbiddenLayout, ...] = ()
    """Layouts of a node's GPUs that do not exist."""
    nodes: int = 1
    """Nodes that one replica takes, each with the same number of GPUs. More than 1 only from
    `several_nodes`: this version of the operator does not render it."""


@dataclass(frozen=True, slots=True)
class Technique:
    """One way to need less memory, and what it does for this model on this GPU."""

    name: str
    offered: bool
    """Whether the operator can do it for this request."""
    weights_gib: float | None
    """Weights of one replica on the GPUs with it, GiB; None where it does not touch weights."""
    saves_gib: float | None
    """GiB of GPU memory that a replica needs less than without it; None if nothing is saved."""
    gpus: int | None
    """GPUs of one replica with it; None if it does not fit or is not offered."""
    how: str
    """Field of the spec, and engine flag."""
    note: str
    """What it needs or costs, or why it does nothing here."""
