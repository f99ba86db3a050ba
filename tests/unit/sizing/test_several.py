"""Layouts over several nodes are accounted for like those of one: terms, bounds, verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.unit.sizing.asking import (
    CATALOG,
    INT4,
    VIDEO_7B,
    parallelism,
    request,
    sglang,
    workload,
)
from tests.unit.sizing.test_properties import requests
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.sizing import (
    Layout,
    Plan,
    SizingRequest,
    TermName,
    Verdict,
    constants,
    plan,
    several_nodes,
    sizing_status,
)
from videollm_operator.sizing.constants import MIB
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.layouts import pipeline_rule, tensor_rule
from videollm_operator.sizing.several import NOT_BUILT, nodes
from videollm_operator.sizing.weights import stages


def beyond(asked: SizingRequest) -> Plan:
    found = several_nodes(asked)
    assert found is not None
    return found


def with_nodes_of(gpus: int, sku: str = "A100-80GB", **changes: Any) -> SizingRequest:
    """The 72B where a node has so many GPUs."""
    gpu = CATALOG.gpus[sku].model_copy(update={"gpus_per_node": gpus})
    return request(sku=sku, gpu=gpu, **changes)


def manual(tensor: int, pipeline: int) -> Any:
    return parallelism(strategy="Manual", tensor=tensor, pipeline=pipeline)


def planned(asked: SizingRequest) -> Plan | None:
    try:
        return several_nodes(asked)
    except Refused:
        return None


@given(requests())
def test_terms_and_headroom_are_the_budget_over_several_nodes_too(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    memory = found.memory
    assert [term.name for term in found.terms] == list(TermName)
    assert sum(term.mib for term in found.terms) + memory.headroom == memory.budget
    assert memory.budget == int(asked.visible_mib * found.gpu_memory_utilization)
    assert found.verdict is Verdict.FITS
    assert memory.headroom >= found.margin_mib
    bounds = [term.bound_mib for term in found.terms]
    assert max(bounds) <= found.margin_mib <= sum(bounds) + 1
    assert found.deciding_term in set(TermName)
    assert found.kv_cache_tokens >= found.max_model_len
    assert found.max_concurrent_requests >= asked.workload.concurrent_requests
    assert len(sizing_status(found, 2).explanation) <= 4096


@given(requests())
def test_every_node_takes_whole_stages_and_every_gpu_has_room(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    layout, needs = found.layout, demand(asked)
    assert found.nodes > 1
    assert layout.gpus > asked.gpu.gpus_per_node
    assert layout.gpus % found.nodes == 0
    assert layout.gpus // found.nodes <= asked.gpu.gpus_per_node
    assert (layout.gpus // found.nodes) % layout.tensor == 0
    assert not tensor_rule(asked.architecture, needs.formats, asked.budget, layout.tensor)
    assert not pipeline_rule(asked.architecture, asked.budget, layout.pipeline)
    text = asked.architecture.text
    heads = needs.weights.kv_heads_of_rank(layout.tensor)
    kv_layer = 2 * heads * text.head_dim * needs.formats.plain_bytes * needs.kv_tokens_needed
    for stage in stages(text.layers, layout.pipeline):
        held = needs.weights.rank(layout.tensor, stage) + kv_layer * stage.layers
        assert held / MIB + found.memory.graphs + found.memory.runtime <= found.memory.budget


@pytest.mark.parametrize(("tensor", "pipeline"), [(8, 2), (4, 4), (2, 6)])
def test_a_layout_has_the_same_terms_over_two_nodes_as_in_one_large_node(
    tensor: int, pipeline: int
) -> None:
    named = manual(tensor, pipeline)
    over = beyond(with_nodes_of(8, parallelism=named))
    within = plan(with_nodes_of(16, parallelism=named))
    assert (over.nodes, within.nodes) == (2, 1)
    assert over.terms == within.terms
    assert over.memory == within.memory
    assert over.margin_mib == within.margin_mib
    assert over.deciding_term == within.deciding_term
    assert over.kv_cache_tokens == within.kv_cache_tokens


def test_nccls_buffers_for_the_network_stay_outside_the_budget_of_small_cards() -> None:
    asked = demand(request(sku="T4"))
    here, there = Layout(8, 1), Layout(8, 2)
    outside = constants.OUTSIDE_MIB_MULTI + constants.NETWORK_BUFFERS_MIB
    visible = asked.request.visible_mib
    assert visible - asked.budget_mib(here) < outside <= visible - asked.budget_mib(there)
    found = beyond(request(sku="T4"))
    assert found.gpu_memory_utilization == asked.utilization(there) < asked.utilization(here)
    large = demand(request(sku="L4"))
    assert large.budget_mib(here) == large.budget_mib(there)


def test_a_named_layout_may_be_tight_and_no_other_is() -> None:
    tight = beyond(with_nodes_of(1, parallelism=manual(1, 2)))
    assert (tight.verdict, tight.nodes) == (Verdict.TIGHT, 2)
    assert 0 <= tight.memory.headroom < tight.margin_mib
    assert "This layout is tight" in tight.explanation
    free = beyond(with_nodes_of(1))
    assert (free.layout, free.verdict, free.nodes) == (Layout(1, 3), Verdict.FITS, 3)
    assert several_nodes(with_nodes_of(1, per_replica=2)) is None
    assert several_nodes(with_nodes_of(1, "L40", parallelism=manual(1, 2))) is None


def test_fewer_nodes_come_before_fewer_gpus() -> None:
    """Three stages do not share two nodes evenly, so with nodes of two they need three."""
    asked = with_nodes_of(2)
    assert demand(asked).fit(Layout(1, 3)).verdict is Verdict.FITS
    assert nodes(Layout(1, 3), 2) == 3
    found = beyond(asked)
    assert (found.layout, found.nodes) == (Layout(2, 2), 2)


def test_what_is_not_there_is_not_planned() -> None:
    assert several_nodes(request(sku="L40", budget=sglang())) is None
    mig = CATALOG.gpu("A100-80GB-MIG-1g.10gb")
    assert mig is not None
    assert several_nodes(request(gpu=mig, visible_mib=mig.visible_mib)) is None
    assert several_nodes(request(sku="T4", per_replica=8)) is None
    with pytest.raises(Refused) as refused:
        several_nodes(request(VIDEO_7B, workload=workload(framesPerVideo=4000)))
    assert refused.value.problems[0].reason is Reason.CONTEXT_TOO_LONG


def test_the_sentences_say_the_nodes_and_that_it_is_not_built() -> None:
    found = beyond(request(sku="T4"))
    assert found.explanation.startswith("16 x T4: the fullest of 16 GPUs (TP8 x PP2) holds")
    assert "TP8 lacks" in found.explanation
    assert "TP16" not in found.explanation
    assert "It takes 2 nodes with 8 GPUs each" in found.explanation
    assert NOT_BUILT in found.explanation
    assert NOT_BUILT not in plan(request(sku="L40")).explanation


def test_sizes_that_no_node_has_are_not_named() -> None:
    found = beyond(request(sku="T4", quantization=INT4))
    assert found.layout.tensor == 1
    assert "TP8" in found.explanation
    assert "TP9" not in found.explanation


def test_a_count_beyond_the_node_names_what_a_node_would_do() -> None:
    asked = request(sku="L40", per_replica=16)
    found = beyond(asked)
    assert found.layout == Layout(8, 2)
    assert found.minimum_gpus == 4
    assert "4 GPUs would do as TP4 (without the fixed count)" in found.explanation
    assert beyond(replace(asked, per_replica=9)).nodes == 3
