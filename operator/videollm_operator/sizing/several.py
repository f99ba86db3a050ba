"""Layouts over several nodes: tensor parallelism inside each node, pipeline stages across them.

They are planned, to say what a model would take, and refused: groups of pods are not rendered.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from videollm_operator.sizing.fit import MOST_GPUS
from videollm_operator.sizing.types import Layout, Verdict

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import SizingRequest

NOT_BUILT = "replicas over several nodes are not built yet"


def over_several_nodes(asked: Demand) -> Fit | None:
    """The layout beyond one node that the request allows and that fits; None if there is none.

    The fewest nodes first, then the fewest GPUs, then the most tensor parallelism. As inside a
    node, a tight layout is taken only where the user named it.
    """
    request = asked.request
    node = request.gpu.gpus_per_node
    if request.gpu.is_slice:
        return None
    beyond = [
        layout
        for layout in asked.layouts(MOST_GPUS)
        if layout.gpus > node and _allowed(request, layout)
    ]
    beyond.sort(key=lambda layout: nodes(layout, node))
    named = request.parallelism.tensor is not None
    taken = {Verdict.FITS, Verdict.TIGHT} if named else {Verdict.FITS}
    judged = (asked.fit(layout) for layout in beyond)
    return next((fit for fit in judged if fit.verdict in taken), None)


def _allowed(request: SizingRequest, layout: Layout) -> bool:
    named = request.parallelism
    if named.tensor is not None:
        return layout == Layout(named.tensor, named.pipeline or 1)
    return request.per_replica in (None, layout.gpus)


@cache
def nodes(layout: Layout, per_node: int) -> int:
    """Fewest nodes of a layout: each takes the same number of whole pipeline stages.

    No tensor-parallel group spans nodes, and the nodes must divide the GPUs evenly (vLLM 0.32
    `engine/arg_utils.py`: `--nnodes` "must evenly divide the total world size"). So a pipeline of
    a prime number of stages that one node cannot hold takes a node for each.
    """
    most = per_node // layout.tensor
    return next(
        count
        for count in range(1, layout.pipeline + 1)
        if layout.pipeline % count == 0 and layout.pipeline // count <= most
    )
