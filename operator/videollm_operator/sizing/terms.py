"""The terms of a plan as a table: what each is, what it rests on, and how wrong it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.sizing.activation import Phase
from videollm_operator.sizing.bounds import attention_workspace
from videollm_operator.sizing.text import count, listing
from videollm_operator.sizing.types import Basis, Term, TermName, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit


def terms(demand: Demand, fit: Fit) -> tuple[Term, ...]:
    """The terms of the fullest GPU; with the headroom they add up to the engine's budget."""
    return (
        _weights(demand, fit),
        _kv_cache(demand, fit),
        _encoder_cache(demand, fit),
        _activation(demand, fit),
        _sampler_state(demand, fit),
        _graphs(demand, fit),
        _runtime(demand, fit),
    )


def deciding(verdict: Verdict, parts: tuple[Term, ...]) -> str:
    """Name of the term that decides the verdict.

    A layout that fits does so even if every term takes its bound, and one that does not would not
    even without them: there the largest term decides. A tight one would fit or fail as the terms
    come out, so there it is the one with the largest bound.
    """
    if verdict is Verdict.TIGHT:
        return str(max(parts, key=lambda term: term.bound_mib).name)
    return str(max(parts, key=lambda term: term.mib).name)


def _weights(demand: Demand, fit: Fit) -> Term:
    stage, layout, formats = fit.stage, fit.layout, demand.formats
    parts = [f"{stage.layers} of {demand.weights.layers} decoder layers"]
    parts += ["embedding"] if stage.first else []
    parts += ["head"] if stage.last else []
    split = f", split by {layout.tensor} where the engine splits," if layout.tensor > 1 else ""
    held = f"{formats.linear_bits:.4g} bits" if formats.quantized else str(formats.dtype)
    if stage.plain:
        held += f", {stage.plain} of them in {formats.dtype}"
    if formats.plain_projections:
        held += f", but {listing(sorted(formats.plain_projections))} in {formats.dtype}"
    offload = demand.request.cpu_offload_gib_per_gpu
    less = f", less {offload} GiB in host memory" if offload else ""
    return Term(
        TermName.WEIGHTS,
        fit.weights,
        Basis.SOURCE if formats.quantized else Basis.EXACT,
        fit.bounds.weights,
        f"Parameters of {', '.join(parts)}, vision tower and projector{split} x bytes of each "
        f"(decoder layers in {held}){less}.",
    )


def _kv_cache(demand: Demand, fit: Fit) -> Term:
    text = demand.request.architecture.text
    heads = demand.weights.kv_heads_of_rank(fit.layout.tensor)
    return Term(
        TermName.KV_CACHE,
        fit.kv_cache,
        Basis.EXACT,
        0,
        f"2 x {fit.stage.layers} layers x {count(heads, 'key/value head')} x {text.head_dim} x "
        f"{demand.formats.plain_bytes} bytes x {demand.kv_tokens_needed} tokens, in whole blocks.",
    )


def _encoder_cache(demand: Demand, fit: Fit) -> Term:
    cached = max(fit.batched_tokens, demand.tokens.largest_item)
    if not fit.stage.first:
        why = "Only the first pipeline stage has one."
    elif demand.request.budget.type is EngineType.VLLM:
        why = (
            f"{cached} tokens (the largest item, at least one step) x hidden size x "
            f"{demand.formats.plain_bytes} bytes."
        )
    else:
        why = f"Features of the images of one step, {cached} tokens at most."
    return Term(TermName.ENCODER_CACHE, fit.encoder_cache, Basis.SOURCE, 0, why)


def _activation(demand: Demand, fit: Fit) -> Term:
    budget = demand.request.budget
    if fit.phase is Phase.ENCODER:
        basis = Basis.SOURCE
        what = "vision tower and projector, with the frames that they take at once"
    elif fit.phase is Phase.DECODER:
        basis = Basis.MEASURED
        what = f"a decoder layer: {fit.batched_tokens} tokens x (3 hidden + 3 MLP width / TP)"
    else:
        basis = Basis.SOURCE if budget.type is EngineType.VLLM else Basis.ESTIMATED
        what = (
            f"the sampler: {fit.sequences} sequences x vocabulary x "
            f"{budget.sampler_bytes_per_logit} bytes"
        )
    beside = "embeddings" if fit.stage.first else "hidden states"
    return Term(
        TermName.ACTIVATION,
        fit.peak,
        basis,
        fit.bounds.activation,
        f"Peak of the {fit.phase}, the largest of encoder, decoder and sampler: {what}; and the "
        f"{beside} of one step.",
    )


def _sampler_state(demand: Demand, fit: Fit) -> Term:
    size = demand.request.budget.sampler_state_bytes_per_logit
    if not size:
        why = "This engine keeps none."
    elif fit.stage.last:
        why = f"{fit.sequences} sequences x vocabulary x {size:g} bytes, kept for penalties."
    else:
        why = "Only the last pipeline stage has one."
    return Term(TermName.SAMPLER_STATE, fit.sampler_state, Basis.SOURCE, 0, why)


def _graphs(demand: Demand, fit: Fit) -> Term:
    budget = demand.request.budget
    why = "Recorded kernels: a constant from start-up logs"
    if budget.graphs_shared_mib < budget.graphs_mib:
        why += f", by the batch sizes that are captured for {fit.sequences} sequences"
    return Term(TermName.CUDA_GRAPHS, fit.graphs, Basis.MEASURED, fit.bounds.graphs, f"{why}.")


def _runtime(demand: Demand, fit: Fit) -> Term:
    budget = demand.request.budget
    vllm = budget.type is EngineType.VLLM
    parts = ["communication between GPUs"] if fit.layout.gpus > 1 else []
    if attention_workspace(budget, demand.request.gpu.capability)[0]:
        parts.append("FlashInfer's workspace for attention")
    parts += [budget.runtime_holds] if budget.runtime_holds else []
    parts += ["workspaces and small buffers"]
    return Term(
        TermName.RUNTIME,
        fit.runtime,
        Basis.MEASURED if vllm else Basis.ESTIMATED,
        fit.bounds.runtime,
        f"Memory beside all that: {listing(parts)}.",
    )
