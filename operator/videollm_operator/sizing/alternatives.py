"""Other layouts worth knowing: the other strategy's answer, tight ones, the next larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import ParallelismStrategy
from videollm_operator.sizing.choose import by_strategy
from videollm_operator.sizing.text import count, mib
from videollm_operator.sizing.types import LayoutAlternative, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import Layout

MOST = 8
"""Entries that `status.sizing.alternatives` holds."""


def alternatives(demand: Demand, chosen: Fit) -> tuple[LayoutAlternative, ...]:
    """Other layouts inside one node: fewest GPUs first, then most tensor parallelism."""
    found: dict[Layout, LayoutAlternative] = {}

    def offer(fit: Fit | None, note: str) -> None:
        if fit is not None and fit.layout != chosen.layout:
            found.setdefault(fit.layout, LayoutAlternative(fit.layout, fit.verdict, note))

    fewest = by_strategy(demand, ParallelismStrategy.FEWEST_GPUS)
    offer(fewest, _fewest_note(demand, fewest) if fewest else "")
    tensor = by_strategy(demand, ParallelismStrategy.TENSOR_FIRST)
    offer(tensor, _tensor_note(demand, tensor) if tensor else "")
    for layout in demand.in_node:
        fit = demand.fit(layout)
        if fit.verdict is Verdict.TIGHT and layout.gpus < chosen.layout.gpus:
            offer(fit, _tight_note(fit))
    for layout in demand.in_node:
        fit = demand.fit(layout)
        larger = layout.gpus > chosen.layout.gpus and layout.pipeline == 1
        if larger and fit.verdict is Verdict.FITS:
            offer(fit, _capacity_note(demand, fit))
            break
    ordered = sorted(found.values(), key=lambda each: (each.layout.gpus, -each.layout.tensor))
    return tuple(ordered[:MOST])


def requests_at_once(demand: Demand, fit: Fit) -> int:
    """Full-length requests of the workload that the KV cache of a layout holds at the same time."""
    block = demand.request.budget.kv_block_tokens
    one = -(-demand.tokens.per_request // block) * block
    return fit.kv_cache_tokens // one


def _fewest_note(demand: Demand, fit: Fit) -> str:
    stages = fit.layout.pipeline
    price = (
        f"; {stages} pipeline stages wait for each other, so a single request is slower"
        if stages > 1
        else ""
    )
    return f"fewest GPUs{price}; holds {_requests(demand, fit)}"


def _tensor_note(demand: Demand, fit: Fit) -> str:
    return f"tensor parallelism only, fastest for a single request; holds {_requests(demand, fit)}"


def _tight_note(fit: Fit) -> str:
    return (
        f"tight: {mib(fit.headroom)} of headroom where the margin is {mib(fit.margin)}, so "
        "it may run out of memory; chosen only by `strategy: Manual`"
    )


def _capacity_note(demand: Demand, fit: Fit) -> str:
    return f"more room: holds {_requests(demand, fit)}"


def _requests(demand: Demand, fit: Fit) -> str:
    return count(requests_at_once(demand, fit), "full-length request")
