"""Picks the layout: by strategy, by a fixed count, or the one that the user named.

`TensorFirst` takes the smallest tensor-parallel size that fits and goes to pipelines only when none
does; `FewestGPUs` takes the fewest GPUs by any legal layout. Only layouts that fit with the safety
margin are chosen; a tight one must be named by the user (`strategy: Manual`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import ParallelismStrategy
from videollm_operator.sizing import refuse
from videollm_operator.sizing.layouts import pipeline_rule, tensor_rule
from videollm_operator.sizing.text import count, listing
from videollm_operator.sizing.types import Layout, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.sizing.fit import Demand, Fit


def choose(demand: Demand) -> Fit:
    """The layout for a request.

    Raises:
        Refused: if no legal layout fits, or the one that was asked for is illegal or does not fit.
    """
    request = demand.request
    if not demand.legal_tensor:
        raise Refused(refuse.no_layout(demand))
    if request.parallelism.strategy is ParallelismStrategy.MANUAL:
        return _manual(demand)
    if request.per_replica is not None:
        return _of_count(demand, request.per_replica)
    fit = by_strategy(demand, request.parallelism.strategy)
    if fit is None:
        raise Refused(refuse.does_not_fit(demand, demand.in_node))
    return fit


def by_strategy(demand: Demand, strategy: ParallelismStrategy) -> Fit | None:
    """The answer of `TensorFirst` or `FewestGPUs` inside one node; None if nothing fits."""
    if strategy is ParallelismStrategy.TENSOR_FIRST:
        tensor_only = (layout for layout in demand.in_node if layout.pipeline == 1)
        found = first_fit(demand, tensor_only)
        if found is not None:
            return found
    return first_fit(demand, demand.in_node)


def first_fit(demand: Demand, layouts: Iterable[Layout]) -> Fit | None:
    """The first of these that fits with the margin; None if none does."""
    judged = (demand.fit(layout) for layout in layouts)
    return next((fit for fit in judged if fit.verdict is Verdict.FITS), None)


def _of_count(demand: Demand, wanted: int) -> Fit:
    """The layout with exactly so many GPUs and the most tensor parallelism that fits."""
    node = demand.request.gpu.gpus_per_node
    if wanted > node:
        raise Refused(refuse.several_nodes(demand, f"{wanted} GPUs", "spec.gpu.perReplica"))
    layouts = tuple(layout for layout in demand.in_node if layout.gpus == wanted)
    if not layouts:
        counts = sorted({layout.gpus for layout in demand.in_node})
        rule = tensor_rule(
            demand.request.architecture, demand.formats, demand.request.budget, wanted
        )
        raise Refused(
            Problem(
                Reason.LAYOUT_ILLEGAL,
                f"`spec.gpu.perReplica` is {wanted}, but no layout of {demand.request.model_name} "
                f"has so many GPUs: {rule}. Possible are {listing(counts, 'or')}",
                "spec.gpu.perReplica",
            )
        )
    found = first_fit(demand, layouts)
    if found is None:
        raise Refused(refuse.does_not_fit(demand, layouts, "spec.gpu.perReplica"))
    return found


def _manual(demand: Demand) -> Fit:
    """The layout that the user named; a tight one is taken, with the risk told."""
    request = demand.request
    asked = request.parallelism
    layout = Layout(asked.tensor or 1, asked.pipeline or 1)
    rule = tensor_rule(request.architecture, demand.formats, request.budget, layout.tensor)
    if rule:
        legal = listing(demand.legal_tensor, "or")
        raise Refused(
            Problem(
                Reason.LAYOUT_ILLEGAL,
                f"`spec.parallelism.tensor` cannot be {layout.tensor} for {request.model_name}: "
                f"{rule}. Possible are {legal}",
                "spec.parallelism.tensor",
            )
        )
    rule = pipeline_rule(request.architecture, request.budget, layout.pipeline)
    if rule:
        raise Refused(
            Problem(
                Reason.LAYOUT_ILLEGAL,
                f"`spec.parallelism.pipeline` cannot be {layout.pipeline}: {rule}. Remove it, or "
                "lower it",
                "spec.parallelism.pipeline",
            )
        )
    node = request.gpu.gpus_per_node
    if layout.gpus > node:
        named = f"{layout} on {count(layout.gpus, 'GPU')}"
        raise Refused(refuse.several_nodes(demand, named, "spec.parallelism.tensor"))
    fit = demand.fit(layout)
    if fit.verdict is Verdict.DOES_NOT_FIT:
        raise Refused(refuse.does_not_fit(demand, (layout,), "spec.parallelism.tensor"))
    return fit
