"""The layouts that do not exist for a model on a GPU, each with the rule that forbids it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.sizing.layouts import pipeline_rule, tensor_rule
from videollm_operator.sizing.types import ForbiddenLayout

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand


def forbidden(demand: Demand) -> tuple[ForbiddenLayout, ...]:
    """One entry for each tensor-parallel and pipeline-parallel size that a node's GPUs would make.

    The first size beyond the node stands for all that are larger. A product of two sizes that are
    legal by themselves is legal, so no product is listed.
    """
    request = demand.request
    architecture, budget, gpu = request.architecture, request.budget, request.gpu
    node = gpu.gpus_per_node
    tensors = (
        ForbiddenLayout(tensor, 1, rule)
        for tensor in range(2, node + 1)
        if (rule := tensor_rule(architecture, demand.formats, budget, tensor))
    )
    pipelines = (
        ForbiddenLayout(1, pipeline, rule)
        for pipeline in range(2, node + 1)
        if (rule := pipeline_rule(architecture, budget, pipeline))
    )
    return (*tensors, *_beyond_the_node(demand), *pipelines)


def _beyond_the_node(demand: Demand) -> tuple[ForbiddenLayout, ...]:
    gpu = demand.request.gpu
    if gpu.is_slice:
        rule = "a replica takes one MIG slice: CUDA shows a process one, and NCCL connects none"
        return (ForbiddenLayout(2, 1, rule), ForbiddenLayout(1, 2, rule))
    beyond = [tensor for tensor in demand.legal_tensor if tensor > gpu.gpus_per_node]
    if not beyond:
        return ()
    rule = (
        f"tensor parallelism stays inside a node, and the largest with {gpu.sku} has "
        f"{gpu.gpus_per_node}"
    )
    return (ForbiddenLayout(beyond[0], 1, rule),)
