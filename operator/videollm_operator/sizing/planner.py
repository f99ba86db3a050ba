"""The planner: from one request to a layout with every number behind it. Pure and fast."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.status import MemoryPerGPU
from videollm_operator.catalog.shapes import contradictions
from videollm_operator.sizing import constants
from videollm_operator.sizing.alternatives import alternatives, requests_at_once
from videollm_operator.sizing.choose import choose, first_fit
from videollm_operator.sizing.explanation import explanation
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.forbidden import forbidden
from videollm_operator.sizing.rule_of_thumb import rule_of_thumb
from videollm_operator.sizing.several import nodes, over_several_nodes
from videollm_operator.sizing.terms import deciding, terms
from videollm_operator.sizing.types import Plan
from videollm_operator.sizing.weights import on_disk

if TYPE_CHECKING:
    from videollm_operator.sizing.fit import Demand, Fit
    from videollm_operator.sizing.types import Layout, SizingRequest


def plan(request: SizingRequest) -> Plan:
    """Chooses the layout of one replica and accounts for its memory.

    Raises:
        Refused: with the reason, the field and the remedy, if the numbers of the model contradict
            each other, the GPU or engine cannot do what is asked, the workload exceeds the model's
            window, or no allowed layout is legal and fits.
    """
    _check(request)
    asked = demand(request)
    return _accounted(asked, choose(asked))


def several_nodes(request: SizingRequest) -> Plan | None:
    """The plan over several nodes: what to ask where `plan` refuses with `NeedsSeveralNodes`.

    The same account of memory, of the GPU that is fullest; `Plan.nodes` says how many nodes it
    takes. This version of the operator does not render such a plan. None if the request allows no
    layout beyond one node, or none fits.

    Raises:
        Refused: for what no layout can change, as `plan`.
    """
    _check(request)
    asked = demand(request)
    fit = over_several_nodes(asked)
    return _accounted(asked, fit) if fit else None


def _accounted(asked: Demand, chosen: Fit) -> Plan:
    """Every number behind a layout, inside one node or over several."""
    request = asked.request
    minimum = first_fit(asked, asked.in_node)
    minimum_gpus = (minimum or chosen).layout.gpus
    parts = terms(asked, chosen)
    return Plan(
        model_name=request.model_name,
        sku=request.gpu.sku,
        layout=chosen.layout,
        verdict=chosen.verdict,
        minimum_gpus=minimum_gpus,
        dtype=asked.formats.dtype,
        quantization=asked.formats.quantization,
        route=request.budget.route,
        max_model_len=asked.tokens.context,
        tokens_per_frame=asked.tokens.per_frame,
        tokens_per_video=asked.tokens.per_video,
        tokens_per_request=asked.tokens.per_request,
        max_num_batched_tokens=chosen.batched_tokens,
        max_num_seqs=chosen.sequences,
        gpu_memory_utilization=asked.utilization(chosen.layout),
        cpu_offload_gib_per_gpu=request.cpu_offload_gib_per_gpu,
        memory=memory(asked, chosen),
        margin_mib=chosen.margin,
        kv_cache_tokens=chosen.kv_cache_tokens,
        max_concurrent_requests=requests_at_once(asked, chosen),
        weights_mib=_mib(on_disk(request.architecture, asked.formats, request.checkpoint_dtype)),
        rule_of_thumb=rule_of_thumb(asked, chosen, minimum_gpus),
        alternatives=alternatives(asked, chosen),
        forbidden=forbidden(asked),
        explanation=explanation(asked, chosen, loaded_mib(asked, chosen.layout), minimum),
        offloaded_mib=offloaded_mib(asked, chosen.layout),
        terms=parts,
        deciding_term=deciding(chosen.verdict, parts),
        nodes=nodes(chosen.layout, request.gpu.gpus_per_node),
    )


def memory(asked: Demand, fit: Fit) -> MemoryPerGPU:
    """The terms of the fullest GPU in MiB; they add up to `budget`."""
    return MemoryPerGPU(
        visible=asked.request.visible_mib,
        budget=asked.budget_mib(fit.layout),
        weights=fit.weights,
        kv_cache=fit.kv_cache,
        activation=fit.activation,
        graphs=fit.graphs,
        runtime=fit.runtime,
        headroom=fit.headroom,
    )


def loaded_mib(asked: Demand, layout: Layout) -> int:
    """MiB of weights on all GPUs of a replica together, copies and offload included."""
    offload = asked.request.cpu_offload_gib_per_gpu * constants.GIB
    ranks = (asked.weights.rank(layout.tensor, stage, offload) for stage in asked.stages(layout))
    return _mib(layout.tensor * sum(ranks))


def offloaded_mib(asked: Demand, layout: Layout) -> int:
    """MiB of weights of a replica that stay in host memory: no more than its decoder layers."""
    offload = asked.request.cpu_offload_gib_per_gpu * constants.GIB
    if not offload:
        return 0
    moved = (
        min(offload, asked.weights.layers_of_rank(layout.tensor, stage))
        for stage in asked.stages(layout)
    )
    return _mib(layout.tensor * sum(moved))


def _check(request: SizingRequest) -> None:
    """Refuses what no layout can change: impossible numbers, offload that the engine lacks."""
    found = [
        Problem(
            Reason.INVALID_SPEC,
            message.replace("`", "`spec.model.architecture.", 1),
            f"spec.model.architecture.{path}",
        )
        for path, message in contradictions(request.architecture)
    ]
    if found:
        raise Refused(*found)
    if request.cpu_offload_gib_per_gpu and not request.budget.supports_cpu_offload:
        raise Refused(
            Problem(
                Reason.FIELD_UNSUPPORTED,
                f"{request.budget.type} {request.budget.version} cannot keep weights in host "
                "memory: remove `spec.offload.cpuGiBPerGPU`, or use VLLM",
                "spec.offload.cpuGiBPerGPU",
            )
        )


def _mib(size: float) -> int:
    return math.ceil(size / constants.MIB)
