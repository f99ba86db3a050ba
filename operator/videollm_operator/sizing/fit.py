"""Whether one layout holds model and workload: the memory of its fullest GPU, term by term.

`budget = weights + KV cache + activation + graphs + runtime + headroom`, all per GPU. The layout
fits if the headroom of every GPU is at least the safety margin, which follows from how wrong the
terms may be (`bounds`), and is tight if it is at least 0.
vLLM 0.32 `v1/worker/gpu_worker.py` (`determine_available_memory`), `v1/core/kv_cache_utils.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import ParallelismSpec, ParallelismStrategy
from videollm_operator.sizing import constants
from videollm_operator.sizing.activation import Activation, activation
from videollm_operator.sizing.bounds import Bounds, attention_workspace, graphs, weights_bound
from videollm_operator.sizing.formats import Formats, formats
from videollm_operator.sizing.layouts import layouts, legal_tensor
from videollm_operator.sizing.tokens import Tokens, tokens
from videollm_operator.sizing.types import Layout, Verdict
from videollm_operator.sizing.weights import Weights, kinds_of_stages, stages, weights

if TYPE_CHECKING:
    from videollm_operator.sizing.activation import Peak, Phase
    from videollm_operator.sizing.types import SizingRequest
    from videollm_operator.sizing.weights import Stage

MOST_GPUS = 64
"""Layouts over several nodes are looked at up to this many GPUs, to say that they would be."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One layout, judged. Memory in MiB of the GPU with the least headroom; terms rounded up."""

    layout: Layout
    stage: Stage
    """The pipeline stage of that GPU."""
    verdict: Verdict
    sequences: int
    batched_tokens: int
    weights: int
    kv_cache: int
    encoder_cache: int
    peak: int
    """Largest phase of a step, with the buffers of the step."""
    phase: Phase
    """Which phase that is."""
    sampler_state: int
    graphs: int
    runtime: int
    bounds: Bounds
    margin: int
    """The safety margin that the bounds ask for."""
    headroom: int
    """Negative if the layout does not fit."""
    kv_cache_tokens: int
    """Tokens that fit into what weights, activation, graphs and runtime leave; least over GPUs."""

    @property
    def activation(self) -> int:
        """Peak, encoder cache and the sampler's statistics together."""
        return self.peak + self.encoder_cache + self.sampler_state

    @property
    def short(self) -> int:
        """MiB that are missing for `Fits`; negative or 0 if none are."""
        return self.margin - self.headroom


@dataclass(frozen=True)
class Demand:
    """Everything about a request that does not depend on the layout, computed once."""

    request: SizingRequest
    formats: Formats
    tokens: Tokens
    weights: Weights
    _fits: dict[Layout, Fit] = field(default_factory=dict)
    _activations: dict[int, Activation] = field(default_factory=dict)

    def utilization(self, layout: Layout) -> float:
        """Share of visible memory for the engine: its default, less where the rest is too small.

        vLLM refuses to start if CUDA and NCCL already took part of the share that it wants
        (vLLM 0.32 `v1/worker/utils.py:request_memory`).
        """
        return self._utilizations[self._span(layout)]

    def budget_mib(self, layout: Layout) -> int:
        """MiB that the engine may use of one GPU: utilization x visible, rounded down."""
        return self._budgets[self._span(layout)]

    def _span(self, layout: Layout) -> int:
        """0 for one GPU, 1 for several of a node, 2 for those of several nodes."""
        return (layout.gpus > 1) + (layout.gpus > self.request.gpu.gpus_per_node)

    @cached_property
    def _utilizations(self) -> tuple[float, ...]:
        """The share with one GPU, with several, and with several nodes."""
        budget, visible = self.request.budget, self.request.visible_mib
        usual, several = budget.gpu_memory_utilization, budget.outside_mib_multi
        outside = (budget.outside_mib_single, several, several + constants.NETWORK_BUFFERS_MIB)
        return tuple(
            usual
            if visible * (1 - usual) >= mib
            else max(0, (visible - mib) * 1000 // visible) / 1000
            for mib in outside
        )

    @cached_property
    def _budgets(self) -> tuple[int, ...]:
        """The budget with one GPU, with several, and with several nodes."""
        return tuple(int(self.request.visible_mib * share) for share in self._utilizations)

    @cached_property
    def _runtime(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Runtime and its bound with one GPU, and with several, MiB."""
        budget = self.request.budget
        workspace, more = attention_workspace(budget, self.request.gpu.capability)
        one, several = budget.runtime_mib_single, budget.runtime_mib_multi
        bound, bound_several = budget.runtime_bound_mib_single, budget.runtime_bound_mib_multi
        return (one + workspace, bound + more), (several + workspace, bound_several + more)

    @cached_property
    def kv_tokens_needed(self) -> int:
        """Tokens of KV cache that the workload needs, in whole blocks.

        vLLM wants room for one request of `--max-model-len` before it starts; the user wants room
        for `concurrentRequests` of the workload's length.
        """
        block = self.request.budget.kv_block_tokens
        one = -(-self.tokens.context // block)
        all_requests = -(-self.tokens.per_request // block)
        blocks = max(one, self.request.workload.concurrent_requests * all_requests)
        return (blocks + constants.NULL_BLOCKS) * block

    @cached_property
    def legal_tensor(self) -> tuple[int, ...]:
        """Legal tensor-parallel sizes, whatever a node holds."""
        request = self.request
        return legal_tensor(request.architecture, self.formats, request.budget)

    @cached_property
    def in_node(self) -> tuple[Layout, ...]:
        """Legal layouts inside one node: fewest GPUs first, then most tensor parallelism."""
        node = self.request.gpu.gpus_per_node
        return self.layouts(node)

    def layouts(self, most: int) -> tuple[Layout, ...]:
        """Legal layouts of up to `most` GPUs, tensor parallelism inside a node."""
        request = self.request
        node = request.gpu.gpus_per_node
        return layouts(request.architecture, self.formats, request.budget, node, most)

    def fit(self, layout: Layout) -> Fit:
        """Judges one layout; with the most sequences that let it fit."""
        if layout not in self._fits:
            self._fits[layout] = self._judged(layout)
        return self._fits[layout]

    def _judged(self, layout: Layout) -> Fit:
        """The layout with the most sequences that let it fit; with the fewest if none do."""
        wanted = self.request.workload.concurrent_requests
        choices = [count for count in constants.SEQUENCES if count >= wanted] or [wanted]
        most = self.fit_with(layout, self._activation(choices[0]))
        if most.verdict is Verdict.FITS or len(choices) == 1:
            return most
        fewest = self.fit_with(layout, self._activation(choices[-1]))
        if fewest.verdict is not Verdict.FITS:
            return fewest
        between = (self.fit_with(layout, self._activation(count)) for count in choices[1:-1])
        return next((fit for fit in between if fit.verdict is Verdict.FITS), fewest)

    def fit_with(self, layout: Layout, activation: Activation) -> Fit:
        """Judges one layout with these steps: its GPU that lacks most, or has least."""
        request, budget = self.request, self.request.budget
        graphs_mib, graphs_bound = graphs(budget, activation.sequences)
        runtime, runtime_bound = self._runtime[layout.gpus > 1]
        within = self.budget_mib(layout) - graphs_mib - runtime
        offload = request.cpu_offload_gib_per_gpu * constants.GIB
        block = budget.kv_block_tokens
        kv_layer = self.kv_layer_bytes(layout.tensor)
        needed = self.kv_tokens_needed
        found: list[tuple[int, Stage, int, Peak, Bounds, int, int]] = []
        least_blocks = -1
        held = self.weights
        for stage in kinds_of_stages(held.layers, layout.pipeline, held.plain_layers):
            kv_token = kv_layer * stage.layers
            weights_mib = _mib(self.weights.rank(layout.tensor, stage, offload))
            peak = activation.rank(layout.tensor, stage)
            free = within - weights_mib - _mib(peak.phase_bytes)
            free -= _mib(peak.encoder_cache) + _mib(peak.sampler_state)
            blocks = max(0, free * constants.MIB // (block * kv_token) - constants.NULL_BLOCKS)
            least_blocks = blocks if least_blocks < 0 else min(blocks, least_blocks)
            bounds = Bounds(
                weights_bound(weights_mib, self.formats),
                _mib(peak.bound_bytes),
                graphs_bound,
                runtime_bound,
            )
            margin, headroom = bounds.margin, free - _mib(needed * kv_token)
            found.append((margin - headroom, stage, weights_mib, peak, bounds, margin, headroom))
        _, stage, weights_mib, peak, bounds, margin, headroom = max(found, key=lambda one: one[0])
        if headroom >= margin:
            verdict = Verdict.FITS
        else:
            verdict = Verdict.TIGHT if headroom >= 0 else Verdict.DOES_NOT_FIT
        return Fit(
            layout=layout,
            stage=stage,
            verdict=verdict,
            sequences=activation.sequences,
            batched_tokens=activation.batched,
            weights=weights_mib,
            kv_cache=_mib(needed * kv_layer * stage.layers),
            encoder_cache=_mib(peak.encoder_cache),
            peak=_mib(peak.phase_bytes),
            phase=peak.phase,
            sampler_state=_mib(peak.sampler_state),
            graphs=graphs_mib,
            runtime=runtime,
            bounds=bounds,
            margin=margin,
            headroom=headroom,
            kv_cache_tokens=least_blocks * block,
        )

    def stages(self, layout: Layout) -> tuple[Stage, ...]:
        """The pipeline stages of a layout."""
        return stages(self.weights.layers, layout.pipeline, self.weights.plain_layers)

    def kv_layer_bytes(self, tensor: int) -> int:
        """Bytes of K and V of one token in one decoder layer on one GPU.

        `2 x heads of the rank x head width x bytes`; vLLM 0.32 `v1/kv_cache_interface.py`.
        """
        heads = self.weights.kv_heads_of_rank(tensor)
        return 2 * heads * self.request.architecture.text.head_dim * self.formats.plain_bytes

    def _activation(self, sequences: int) -> Activation:
        if sequences not in self._activations:
            request = self.request
            self._activations[sequences] = activation(
                request.architecture,
                self.formats,
                request.budget,
                request.workload,
                self.tokens,
                sequences,
            )
        return self._activations[sequences]


def _mib(size: float) -> int:
    return math.ceil(size / constants.MIB)


def demand(request: SizingRequest) -> Demand:
    """What a request asks of any layout.

    Raises:
        Refused: if the GPU cannot do the number formats, or the workload does not fit the model's
            window.
    """
    effective = formats(request)
    lengths = tokens(
        request.model_name, request.architecture, request.budget.route, request.workload
    )
    return Demand(
        request=request,
        formats=effective,
        tokens=lengths,
        weights=weights(request.architecture, effective, request.budget),
    )


def left_to_strategy(request: SizingRequest) -> SizingRequest:
    """The same request without a fixed layout or count.

    `Manual` chooses nothing by itself, so `TensorFirst` stands in for it.
    """
    strategy = request.parallelism.strategy
    if strategy is ParallelismStrategy.MANUAL:
        strategy = ParallelismStrategy.TENSOR_FIRST
    return replace(request, parallelism=ParallelismSpec(strategy=strategy), per_replica=None)
