"""Other layouts worth knowing: the other strategy's answer, tight ones, the next larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import ParallelismStrategy
from videollm_operator.sizing.choose import by_strategy, first_fit
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
    gpus = chosen.layout.gpus
    for layout in demand.in_node:
        if layout.gpus < gpus and demand.fit(layout).verdict is Verdict.TIGHT:
            offer(demand.fit(layout), _tight_note(demand.fit(layout)))
    larger = (each for each in demand.in_node if each.gpus > gpus and each.pipeline == 1)
    roomier = first_fit(demand, larger)
    offer(roomier, _capacity_note(demand, roomier) if roomier else "")
    ordered = sorted(found.values(), key=lambda each: (each.layout.gpus, -each.layout.tensor))
    return tuple(ordered[:MOST])


def requests_at_once(demand: Demand, fit: Fit) -> int:
    """Full-length requests of the workload that a layout works on at the same time.

    What the KV cache holds, and no more than the sequences of a step: others wait.
    """
    block = demand.request.budget.kv_block_tokens
    one = -(-demand.tokens.per_request // block) * block
    return min(fit.kv_cache_tokens // one, fit.sequences)


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
        f"{mib(fit.headroom)} of headroom where the margin is {mib(fit.margin)}, so "
        "it may run out of memory; chosen only by `strategy: Manual`"
    )


def _capacity_note(demand: Demand, fit: Fit) -> str:
    return f"more room: holds {_requests(demand, fit)}"


def _requests(demand: Demand, fit: Fit) -> str:
    return count(requests_at_once(demand, fit), "full-length request")
