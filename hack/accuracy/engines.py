"""How the engine versions of `measurements.csv` spend memory, as budgets of the product.

The budget is that of the catalogue's vLLM; only what was different in the version is replaced. What
an engine chooses by itself (tokens and sequences of a step) is here too, because the published runs
left it to the engine while a plan sets both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines import checkpoints
from videollm_operator.engines.base import CATALOGUE, ModelFacts
from videollm_operator.engines.vllm import VLLM
from videollm_operator.sizing import constants

if TYPE_CHECKING:
    from hack.accuracy.facts import Facts
    from videollm_operator.sizing.types import EngineBudget


@dataclass(frozen=True, slots=True)
class Generation:
    """Versions that count memory in the same way."""

    name: str
    before: tuple[int, int]
    """The first version that is no longer of it."""
    context_inside: bool
    """Whether CUDA's own memory counts as the engine's."""
    graphs_inside: bool
    """Whether CUDA graphs are taken from the KV cache."""
    step_by_card: bool
    """Whether tokens and sequences of a step depend on the card (V1) or on the context (V0)."""
    long_step: int
    """V0: tokens of a step where the context exceeds `LONG_CONTEXT`."""
    source: str


GENERATIONS = (
    Generation(
        "vLLM before 0.7 (V0)",
        (0, 7),
        context_inside=True,
        graphs_inside=False,
        step_by_card=False,
        long_step=512,
        source="vllm#10511: all that is taken on the card and is not torch's counts, CUDA's own "
        "memory included",
    ),
    Generation(
        "vLLM 0.7 (V0)",
        (0, 8),
        context_inside=False,
        graphs_inside=False,
        step_by_card=False,
        long_step=2048,
        source="vllm#12126: only what grows while profiling counts",
    ),
    Generation(
        "vLLM 0.8 to 0.20 (V1)",
        (0, 21),
        context_inside=False,
        graphs_inside=False,
        step_by_card=True,
        long_step=0,
        source="`engine/arg_utils.py`, `v1/worker/gpu_worker.py`: graphs are captured after the KV "
        "cache is taken",
    ),
    Generation(
        "vLLM 0.21 to 0.31 (V1)",
        (0, 32),
        context_inside=False,
        graphs_inside=True,
        step_by_card=True,
        long_step=0,
        source="`v1/worker/gpu_worker.py` (`profile_cudagraph_memory`)",
    ),
)

LONG_CONTEXT = 32768
"""Contexts above it are prefilled in pieces by default. vLLM 0.6 `engine/arg_utils.py`."""

V0_SEQUENCES = 256
V0_LEAST_TOKENS = 2048
"""vLLM 0.6 `config.py` (`SchedulerConfig`): a step holds the whole context, at least so much."""

CONTEXT_MIB_SINGLE = 625
"""What CUDA takes for itself on a card: the median of 0.50, 0.56, 0.61, 0.63 and 0.91 GiB, which is
total less free memory at the start of one GPU (llm-d-planner and four start-up logs)."""

CONTEXT_MIB_MULTI = 1577
"""The same on each of two GPUs, NCCL included: 1.54 GiB (llm-d-planner, Llama-3.3-70B)."""

CONTEXT_BOUND_MIB = 1321
"""How much more than these it may be: 1.29 GiB (vllm#10511 on two GPUs)."""

LARGE_CARD_GIB = 70
LARGE_CARD = (1024, 8192)
OTHER_CARD = (256, 2048)
"""Sequences and tokens of a step of the API server, on cards from 70 GiB that are no A100, and on
others. vLLM 0.11 `engine/arg_utils.py`."""


def generation(facts: Facts) -> Generation:
    """How the row's version counts; the latest of the table where none is stated."""
    version = facts.version or (0, 11)
    return next(one for one in GENERATIONS if version < one.before)


def step(facts: Facts) -> tuple[int, int]:
    """Sequences and tokens of one step that the engine chooses for the row's card and context."""
    how, context = generation(facts), facts.context or 0
    if not how.step_by_card:
        tokens = max(context, V0_LEAST_TOKENS) if context <= LONG_CONTEXT else how.long_step
        return V0_SEQUENCES, tokens
    a100 = facts.gpu is not None and facts.gpu.sku.startswith("A100")
    large = (facts.visible_gib or 0) >= LARGE_CARD_GIB and not a100
    return LARGE_CARD if large else OTHER_CARD


@cache
def _today() -> EngineBudget:
    """The catalogue's vLLM for an image model of one class that it loads."""
    catalogue = builtin()
    entry = next(one for one in catalogue.engines if one.type is EngineType.VLLM and one.default)
    model = next(
        one for one in catalogue.models.values() if one.architecture.class_name == checkpoints.LLAVA
    )
    facts = ModelFacts(
        name=model.name,
        served_name=model.name,
        architecture=model.architecture,
        checkpoint_dtype=model.dtype,
        nominal_parameters=model.nominal_parameters,
        described_by=CATALOGUE,
    )
    spec = VideoLLMDeploymentSpec.read({"model": {"name": model.name}, "gpu": {"sku": "L4"}})
    return VLLM().budget(facts, spec, entry)


def budget(facts: Facts) -> EngineBudget:
    """How the row's engine spends memory on the row's model."""
    how, today = generation(facts), _today()
    tower = facts.model is not None and not facts.model.text_only
    single = CONTEXT_MIB_SINGLE if how.context_inside else 0
    multi = CONTEXT_MIB_MULTI if how.context_inside else 0
    bound = CONTEXT_BOUND_MIB if how.context_inside else 0
    return replace(
        today,
        version=how.name,
        gpu_memory_utilization=facts.utilization or today.gpu_memory_utilization,
        vision_tower_sharded=tower,
        projector_sharded=False,
        # All rows are of versions before the second model runner (0.32).
        sampler_bytes_per_logit=constants.VLLM_OLD_SAMPLER_BYTES_PER_LOGIT,
        sampler_state_bytes_per_logit=0.0,
        # FlashInfer came with V1; V0 used xFormers where FlashAttention did not do.
        attention_workspace_mib=today.attention_workspace_mib if how.step_by_card else 0,
        graphs_mib=today.graphs_mib if how.graphs_inside else 0,
        runtime_mib_single=today.runtime_mib_single + single,
        runtime_mib_multi=today.runtime_mib_multi + multi,
        runtime_bound_mib_single=today.runtime_bound_mib_single + bound,
        runtime_bound_mib_multi=today.runtime_bound_mib_multi + bound,
        # The run names its utilization; nobody lowers it.
        outside_mib_single=0,
        outside_mib_multi=0,
    )
