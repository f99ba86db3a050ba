"""What the product predicts for a row: its own functions, asked as the row's engine would run.

Only what the product has no words for is put in here, into the product's own values: experts, and
layers that a quantized checkpoint keeps in 16 bit (`held`), and the engine's own choice of tokens
and sequences of a step (`asked`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hack.accuracy import engines
from videollm_operator.api.v1alpha1.compute import (
    DType,
    ParallelismSpec,
    QuantizationFormat,
    QuantizationSpec,
    WorkloadSpec,
)
from videollm_operator.catalog import shapes
from videollm_operator.catalog.loader import builtin
from videollm_operator.sizing.activation import activation
from videollm_operator.sizing.constants import GIB
from videollm_operator.sizing.fit import Demand, Fit
from videollm_operator.sizing.formats import PLAIN_BYTES, Formats, formats
from videollm_operator.sizing.layouts import tensor_rule
from videollm_operator.sizing.tokens import per_video, tokens
from videollm_operator.sizing.types import Layout, SizingRequest, VideoRoute
from videollm_operator.sizing.weights import Weights, stages, weights

if TYPE_CHECKING:
    from hack.accuracy.facts import Facts
    from hack.accuracy.models import Model
    from videollm_operator.sizing.activation import Activation

MXFP4_BITS = 4 + 8 / 32
"""Bits of a weight: four, and a scale of eight that 32 weights share (OCP Microscaling Formats)."""

STAND_IN = "H100-80GB"
"""GPU whose compute capability is taken where the row's is not in the catalogue."""

_SHORTEST = WorkloadSpec(
    frames_per_video=1, prompt_tokens=1, max_output_tokens=1, concurrent_requests=1
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A row's run as the product sees it."""

    demand: Demand
    layout: Layout
    peak: Activation
    fit: Fit
    """The layout, judged."""

    @property
    def rule(self) -> str:
        """The rule that forbids the layout; empty if it is legal."""
        request = self.demand.request
        formats_ = self.demand.formats
        return tensor_rule(request.architecture, formats_, request.budget, self.layout.tensor)

    @property
    def weights_gib(self) -> float:
        """Weights of the fullest rank, GiB."""
        stages_ = stages(self.demand.weights.layers, self.layout.pipeline)
        ranks = (self.demand.weights.rank(self.layout.tensor, stage) for stage in stages_)
        return max(ranks) / GIB

    @property
    def kv_gib(self) -> float:
        """What is left for the KV cache, GiB; negative if the rest alone is too large."""
        fit = self.fit
        return (fit.kv_cache + fit.headroom) / 1024

    @property
    def token_bytes(self) -> int:
        """KV cache of one token on one GPU of the first stage, bytes."""
        layers = stages(self.demand.weights.layers, self.layout.pipeline)[0].layers
        return self.demand.kv_layer_bytes(self.layout.tensor) * layers


def asked(facts: Facts) -> Asked:
    """The question that a row's run answers. The model and its number format must be known."""
    model = facts.model
    assert model is not None  # noqa: S101 - the schema has seen to it
    request = _request(facts, model)
    effective = formats(request)
    lengths = tokens("the model", model.architecture, request.budget.route, request.workload)
    sequences, step = engines.step(facts)
    peak = activation(
        model.architecture, effective, request.budget, request.workload, lengths, sequences
    )
    # A text model has no encoder cache.
    cached = 0 if model.text_only else max(step, lengths.largest_item)
    peak = replace(peak, batched=step, cached_tokens=cached)
    demand = Demand(
        request=request,
        formats=effective,
        tokens=lengths,
        weights=held(facts, model, effective, request),
    )
    layout = Layout(facts.tensor or 1, facts.pipeline or 1)
    # The plan's own choice of sequences is left out, because the engine chose.
    return Asked(demand, layout, peak, demand.fit_with(layout, peak))


def _request(facts: Facts, model: Model) -> SizingRequest:
    gpu = facts.gpu or builtin().gpus[STAND_IN]
    visible = facts.visible_gib or gpu.visible_mib / 1024
    dtype = DType.FLOAT16 if facts.half else DType.BFLOAT16
    return SizingRequest(
        model_name="the model",
        architecture=model.architecture,
        checkpoint_dtype=dtype,
        nominal_parameters=model.architecture.parameters.total,
        gpu=gpu,
        visible_mib=round(visible * 1024),
        budget=engines.budget(facts),
        dtype=dtype,
        quantization=_quantization(facts, model),
        workload=_SHORTEST.model_copy(update={"max_model_len": facts.context}),
        parallelism=ParallelismSpec(),
    )


def _quantization(facts: Facts, model: Model) -> QuantizationSpec:
    found = facts.quantization
    if found is None or found.format is QuantizationFormat.NONE:
        return QuantizationSpec()
    whole_numbers = found.format in {QuantizationFormat.INT8, QuantizationFormat.INT4}
    return QuantizationSpec(
        format=found.format,
        method=found.method,
        group_size=found.group,
        intermediate_size=model.quantized_mlp if whole_numbers else None,
    )


def held(facts: Facts, model: Model, effective: Formats, request: SizingRequest) -> Weights:
    """The product's weights, with experts and 16-bit layers where the model has them.

    Linear weights of one rank get the mean of what their formats take. That is exact where all of
    them are split alike: experts were run on one GPU only.
    """
    plain = weights(model.architecture, effective, request.budget)
    if model.dense and not (model.plain_attention or model.plain_layers):
        return plain
    text = model.architecture.text
    attention = shapes.attention_parameters(text)
    mlp = 3 * text.hidden_size * effective.intermediate_size
    in_16_bit = text.layers * attention if model.plain_attention else 0
    in_16_bit += model.plain_layers * mlp
    linear = text.layers * (attention + model.experts * mlp)
    mxfp4 = facts.quantization is not None and facts.quantization.mxfp4
    width = MXFP4_BITS / 8 if mxfp4 else effective.linear_bytes
    total = in_16_bit * effective.plain_bytes + (linear - in_16_bit) * width
    more = (model.experts - 1) * mlp
    return replace(
        plain,
        split_per_layer=plain.split_per_layer + more,
        small_per_layer=plain.small_per_layer - more,
        head=plain.head if model.architecture.parameters.head else 0,
        linear_bytes=total / linear,
    )


def video_tokens(facts: Facts) -> tuple[int, float]:
    """Tokens of the row's video, and the KV cache of one token in GiB."""
    model, dtype = facts.model, DType.FLOAT16
    assert model is not None  # noqa: S101 - the schema has seen to it
    text = model.architecture.text
    token = 2 * text.layers * text.key_value_heads * text.head_dim * PLAIN_BYTES[dtype]
    return per_video(model.architecture, VideoRoute.WHOLE_CLIP, facts.frames or 0), token / GIB


def runtime_gib(facts: Facts) -> float:
    """What the row's engine needs beside torch's own memory, GiB."""
    budget = engines.budget(facts)
    mib = budget.runtime_mib_multi if several(facts) else budget.runtime_mib_single
    return mib / 1024


def runtime_bound_gib(facts: Facts) -> float:
    """How much more than that it may be, GiB."""
    budget = engines.budget(facts)
    mib = budget.runtime_bound_mib_multi if several(facts) else budget.runtime_bound_mib_single
    return mib / 1024


def several(facts: Facts) -> bool:
    """Whether the run had more than one GPU."""
    return (facts.tensor or 1) * (facts.pipeline or 1) > 1


def graphs_inside(facts: Facts) -> bool:
    """Whether the row's engine takes CUDA graphs from the KV cache."""
    return engines.generation(facts).graphs_inside
