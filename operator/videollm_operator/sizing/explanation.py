"""The two or three sentences that say why it is this many GPUs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import (
    ParallelismStrategy,
    QuantizationFormat,
    QuantizationMethod,
)
from videollm_operator.sizing import constants
from videollm_operator.sizing.hardware import notes
from videollm_operator.sizing.layouts import legal_tensor, tensor_rule, useful_padding
from videollm_operator.sizing.terms import deciding, terms
from videollm_operator.sizing.text import count, gib, listing, mib
from videollm_operator.sizing.types import Layout, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit

NAMED_LAYERS = 8
"""More layers than this are counted, not named."""


def explanation(demand: Demand, chosen: Fit, weights_mib: int, minimum: Fit | None) -> str:
    """Why this layout, in sentences.

    Args:
        demand: the request.
        chosen: the layout in force.
        weights_mib: weights of one replica on all its GPUs together, as computed with, MiB.
        minimum: the layout with the fewest GPUs that fits, if any does.
    """
    return " ".join(
        sentence
        for sentence in (
            _what_it_holds(demand, chosen, weights_mib),
            _why_not_fewer(demand, chosen, minimum),
            _files(demand),
            _padding(demand),
            _weight_only(demand),
            _offload(demand),
            _risk(demand, chosen),
            *notes(demand.request, chosen.layout),
        )
        if sentence
    )


def _what_it_holds(demand: Demand, chosen: Fit, weights_mib: int) -> str:
    request = demand.request
    gpus = chosen.layout.gpus
    concurrent = request.workload.concurrent_requests
    requests = f"{count(concurrent, 'request')} of {demand.tokens.per_request} tokens"
    rest = chosen.activation + chosen.graphs + chosen.runtime
    budget = demand.budget_mib(chosen.layout)
    where = "it" if gpus == 1 else f"the fullest of {gpus} GPUs ({chosen.layout})"
    share = (
        f"{gib(weights_mib)} of weights"
        if gpus == 1
        else f"{gib(chosen.weights)} of weights (all {gpus} together: {gib(weights_mib)})"
    )
    return (
        f"{gpus} x {request.gpu.sku}: {where} holds {share}, {gib(chosen.kv_cache)} of KV "
        f"cache for {requests}, and {gib(rest)} for activations, CUDA graphs and buffers; that is "
        f"{gib(budget - chosen.headroom)} of the {gib(budget)} that the engine may use, and "
        f"{gib(chosen.headroom)} stay free (safety margin {gib(chosen.margin)})."
    )


def _why_not_fewer(demand: Demand, chosen: Fit, minimum: Fit | None) -> str:
    """The next smaller tensor-parallel size, the sizes that do not exist, the pipeline."""
    request = demand.request
    layout = chosen.layout
    if layout.gpus == 1:
        return ""
    clauses = []
    within = min(layout.gpus, request.gpu.gpus_per_node + 1)
    smaller = max(tensor for tensor in demand.legal_tensor if tensor < within)
    short = demand.fit(Layout(smaller, 1)).short
    if short > 0:
        clauses.append(f"TP{smaller} lacks {gib(short)} per GPU")
    missing = [tensor for tensor in range(smaller + 1, within) if tensor not in demand.legal_tensor]
    if missing:
        rule = tensor_rule(request.architecture, demand.formats, request.budget, missing[0])
        names = listing(f"TP{tensor}" for tensor in missing)
        verb = "does" if len(missing) == 1 else "do"
        clauses.append(f"{names} {verb} not exist ({rule})")
    text = f"{'; '.join(clauses)}." if clauses else ""
    if minimum is not None and minimum.layout.gpus < layout.gpus:
        how = (
            f"`strategy: {ParallelismStrategy.FEWEST_GPUS}`"
            if request.per_replica is None
            and request.parallelism.strategy is ParallelismStrategy.TENSOR_FIRST
            else "without the fixed count"
        )
        text += f" {count(minimum.layout.gpus, 'GPU')} would do as {minimum.layout} ({how})"
        if minimum.layout.pipeline > 1:
            text += ", at the price of pipeline stages that wait for each other"
        text += "."
    return text.strip()


def _files(demand: Demand) -> str:
    """What the files of a checkpoint that is quantized already must be."""
    formats = demand.formats
    if not formats.ready_made:
        return ""
    held = formats.quantization
    if held.method is QuantizationMethod.BITS_AND_BYTES:
        how = " by bitsandbytes"
    elif formats.square_blocks:
        how = f" in blocks of {formats.group_size} x {formats.group_size}"
    else:
        how = f" in groups of {held.group_size}" if formats.group_size else " per channel"
    left = [] if formats.tower_quantized else ["the vision tower"]
    layers = len(formats.plain_layers)
    if 0 < layers <= NAMED_LAYERS:
        numbers = listing(formats.plain_layers)
        left.append(f"{'layer' if layers == 1 else 'layers'} {numbers} of the decoder")
    elif layers:
        left.append(f"{layers} layers of the decoder")
    left += [f"{each} of every layer" for each in held.unquantized_projections]
    tail = f", and leave {listing(left)} in 16 bit" if left else ""
    return (
        f"The files must hold {held.format} weights{how}, with an `intermediate_size` of "
        f"{formats.intermediate_size} in config.json{tail}."
    )


def _padding(demand: Demand) -> str:
    """Which field would allow more, where unpadded groups keep tensor parallelism small."""
    formats, request = demand.formats, demand.request
    node = request.gpu.gpus_per_node
    width = useful_padding(request.architecture, formats, request.budget, node)
    if not width:
        return ""
    now = [tensor for tensor in demand.legal_tensor if tensor <= node]
    padded = replace(formats, intermediate_size=width)
    then = legal_tensor(request.architecture, padded, request.budget, node)
    return (
        f"Groups of {formats.group_size} in an MLP of {formats.intermediate_size} allow tensor "
        f"parallelism of {listing(now, 'or')} only; a checkpoint that is padded to {width} "
        f"(`spec.quantization.intermediateSize`) allows {listing(then, 'or')}, and one with a "
        "scale per channel needs `groupSize: -1`."
    )


def _weight_only(demand: Demand) -> str:
    gpu = demand.request.gpu
    if (
        demand.formats.quantization.format is not QuantizationFormat.FP8
        or gpu.capability >= constants.FP8_NATIVE_CAPABILITY
    ):
        return ""
    online = demand.formats.quantization.method is QuantizationMethod.ONLINE
    made = "made while loading" if online else "of the checkpoint"
    return (
        f"{gpu.sku} cannot compute in FP8 (compute capability {gpu.compute_capability}, 8.9 is "
        f"needed): the FP8 weights {made} save memory, not time."
    )


def _offload(demand: Demand) -> str:
    offload = demand.request.cpu_offload_gib_per_gpu
    if not offload:
        return ""
    return (
        f"{offload} GiB of weights per GPU stay in host memory and cross the bus at every step, "
        "which is slow."
    )


def _risk(demand: Demand, chosen: Fit) -> str:
    if chosen.verdict is not Verdict.TIGHT:
        return ""
    parts = terms(demand, chosen)
    decides = deciding(chosen.verdict, parts)
    bound = next(term.bound_mib for term in parts if term.name == decides)
    return (
        f"This layout is tight: {mib(chosen.headroom)} of headroom is less than the safety margin "
        f"of {mib(chosen.margin)}, so the engine may fail to start or run out of memory. Least "
        f"certain is the term {decides}, which may be {mib(bound)} larger."
    )
