"""How wrong a prediction may be, and the safety margin that follows.

Each bound says how much larger than predicted a term may be; `constants` has them with their
sources. How they add up, and why, is in docs/decisions/0027.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from videollm_operator.sizing import constants

if TYPE_CHECKING:
    from videollm_operator.sizing.formats import Formats
    from videollm_operator.sizing.types import EngineBudget


@dataclass(frozen=True, slots=True)
class Bounds:
    """MiB by which the terms of one GPU may exceed their prediction; the others have none."""

    weights: int
    activation: int
    graphs: int
    runtime: int

    @property
    def margin(self) -> int:
        """The safety margin, MiB: `weights + activation + sqrt(graphs^2 + runtime^2)`.

        Weights and activation both lie in torch's allocator, and one cause (how it rounds, a
        buffer that was forgotten) makes both larger, so they are added. CUDA graphs live in the
        driver, the runtime's part outside torch in NCCL; neither knows of the other, so their
        squares are added.
        """
        apart = math.hypot(self.graphs, self.runtime)
        return self.weights + self.activation + math.ceil(apart)


def weights_bound(weights_mib: int, formats: Formats) -> int:
    """MiB by which loaded weights may exceed `weights_mib`."""
    share = (
        constants.CHECKPOINT_BOUND_PERMILLE
        if formats.ready_made
        else constants.WEIGHTS_BOUND_PERMILLE
    )
    return constants.WEIGHTS_BOUND_MIB - (-weights_mib * share // 1000)


def attention_workspace(budget: EngineBudget, capability: tuple[int, int]) -> tuple[int, int]:
    """FlashInfer's workspace and its bound, MiB; 0 where FlashAttention computes attention."""
    major, _ = capability
    if not budget.attention_workspace_mib or 8 <= major < 10 or major > 10:
        return 0, 0
    bound = constants.ATTENTION_WORKSPACE_BOUND_MIB if major == 10 else 0
    return budget.attention_workspace_mib, bound


@cache
def captured_sizes(sequences: int) -> int:
    """Batch sizes that vLLM captures CUDA graphs for, with so many sequences in a step."""
    largest = min(2 * sequences, constants.GRAPHS_LARGEST_BATCH)
    small = sum(size <= largest for size in (1, 2, 4))
    return small + len(range(8, min(largest + 1, 256), 8)) + len(range(256, largest + 1, 16))


_ALL_SIZES = captured_sizes(constants.GRAPHS_LARGEST_BATCH)


def graphs(budget: EngineBudget, sequences: int) -> tuple[int, int]:
    """CUDA graphs and their bound, MiB: a part that all graphs share, and a part for each of them.

    vLLM estimates in the same way: it captures two graphs, takes the first for what all share, and
    multiplies the second (vLLM 0.32 `v1/worker/gpu_worker.py`, `profile_cudagraph_memory`).
    """
    shared = min(budget.graphs_shared_mib, budget.graphs_mib)
    each = -(-(budget.graphs_mib - shared) * captured_sizes(sequences) // _ALL_SIZES)
    mib = shared + each
    return mib, -(-budget.graphs_bound_mib * mib // max(1, budget.graphs_mib))
