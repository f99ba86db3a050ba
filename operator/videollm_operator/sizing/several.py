"""Layouts over several nodes: tensor parallelism inside each node, pipeline stages across them.

They are planned, to say what a model would take, and refused: groups of pods are not rendered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.sizing.fit import MOST_GPUS
from videollm_operator.sizing.types import Layout, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import SizingRequest


def over_several_nodes(asked: Demand) -> Fit | None:
    """The smallest layout beyond one node that fits, of those that the request allows; or None."""
    request = asked.request
    node = request.gpu.gpus_per_node
    if request.gpu.is_slice:
        return None
    for layout in asked.layouts(MOST_GPUS):
        beyond = layout.gpus > node and _allowed(request, layout)
        if beyond and asked.fit(layout).verdict is Verdict.FITS:
            return asked.fit(layout)
    return None


def _allowed(request: SizingRequest, layout: Layout) -> bool:
    named = request.parallelism
    if named.tensor is not None:
        return layout == Layout(named.tensor, named.pipeline or 1)
    return request.per_replica in (None, layout.gpus)


def nodes(layout: Layout, per_node: int) -> int:
    """Nodes that a layout takes: no tensor-parallel group spans nodes, pipeline stages may."""
    return -(-layout.pipeline // (per_node // layout.tensor))
