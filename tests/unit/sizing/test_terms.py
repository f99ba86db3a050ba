from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given

from tests.unit.sizing.asking import (
    FEWEST,
    FP8,
    INT4_PADDED,
    INT8_PADDED,
    LLAVA_16_MISTRAL,
    VIDEO_7B,
    parallelism,
    request,
    sglang,
    tgi,
    vllm,
    workload,
)
from tests.unit.sizing.test_properties import planned, requests
from videollm_operator.sizing import (
    Basis,
    Plan,
    SizingRequest,
    Term,
    TermName,
    Verdict,
    VideoRoute,
    constants,
    plan,
)
from videollm_operator.sizing.bounds import Bounds, captured_sizes, graphs, weights_bound
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.formats import formats
from videollm_operator.sizing.terms import deciding

ALL_SIZES = [1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)]


def by_name(found: Plan) -> dict[TermName, Term]:
    return {term.name: term for term in found.terms}


def of(**changes: Any) -> dict[TermName, Term]:
    return by_name(plan(request(**changes)))


# ---------------------------------------------------------------- the sum


@given(requests())
def test_terms_and_headroom_are_the_budget(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    assert [term.name for term in found.terms] == list(TermName)
    assert sum(term.mib for term in found.terms) + found.memory.headroom == found.memory.budget
    parts = by_name(found)
    assert found.memory.activation == sum(
        parts[name].mib
        for name in (TermName.ACTIVATION, TermName.ENCODER_CACHE, TermName.SAMPLER_STATE)
    )
    assert all(term.mib >= 0 and term.bound_mib >= 0 for term in found.terms)
    assert all(term.why.endswith(".") and "\n" not in term.why for term in found.terms)
    assert found.deciding_term in set(TermName)


@given(requests())
def test_the_margin_is_no_more_than_all_bounds_and_no_less_than_any(asked: SizingRequest) -> None:
    found = planned(asked)
    if found is None:
        return
    bounds = [term.bound_mib for term in found.terms]
    assert max(bounds) <= found.margin_mib <= sum(bounds) + 1


# ---------------------------------------------------------------- bounds and the margin


def test_what_has_one_cause_is_added_and_what_has_two_is_squared() -> None:
    assert Bounds(weights=100, activation=20, graphs=300, runtime=400).margin == 620
    assert Bounds(weights=0, activation=0, graphs=1, runtime=1).margin == 2


def test_a_checkpoint_that_others_quantized_is_less_certain() -> None:
    plain, online, ready = (
        weights_bound(10_000, formats(request(quantization=quantization)))
        for quantization in (request().quantization, FP8, INT8_PADDED)
    )
    assert (plain, online, ready) == (32 + 50, 32 + 50, 32 + 200)


def test_the_bound_of_the_weights_covers_every_published_start() -> None:
    """Excess of loaded over computed weights in MiB, by computed weights in MiB."""
    for computed, excess in (
        (15_317, 32), (15_317, 3), (7_658, 1), (34_662, 31), (69_323, 23), (62_489, 6),
        (31_245, 79), (1_137, 10), (2_944, 12), (5_313, 15), (45_798, 36),
    ):  # fmt: skip
        assert weights_bound(computed, formats(request())) > excess


@pytest.mark.parametrize("sequences", [1, 2, 3, 32, 64, 127, 128, 200, 256, 300, 4096])
def test_vllm_captures_up_to_twice_the_sequences(sequences: int) -> None:
    expected = [size for size in ALL_SIZES if size <= 2 * sequences]
    assert captured_sizes(sequences) == len(expected)


def test_fewer_sequences_need_fewer_graphs() -> None:
    all_of_them = graphs(vllm(), 256)
    assert all_of_them == (constants.GRAPHS_MIB, constants.GRAPHS_BOUND_MIB)
    few = graphs(vllm(), 32)
    assert few[0] == 256 + math.ceil(768 * 11 / 51)
    assert few[1] == math.ceil(constants.GRAPHS_BOUND_MIB * few[0] / constants.GRAPHS_MIB)
    assert graphs(sglang(), 32) == all_of_them
    assert graphs(vllm(graphs_mib=0, graphs_bound_mib=0), 32) == (0, 0)


# ---------------------------------------------------------------- what a term rests on


def test_counts_are_exact_and_formats_are_read_in_the_source() -> None:
    plain, quantized = of(), of(quantization=INT4_PADDED)
    assert plain[TermName.WEIGHTS].basis is Basis.EXACT
    assert quantized[TermName.WEIGHTS].basis is Basis.SOURCE
    assert "80 of 80 decoder layers, embedding, head" in plain[TermName.WEIGHTS].why
    assert "split by 4" in plain[TermName.WEIGHTS].why
    assert "decoder layers in 4.156 bits" in quantized[TermName.WEIGHTS].why
    offloaded = of(sku="L40", cpu_offload_gib_per_gpu=3)
    assert "less 3 GiB in host memory" in offloaded[TermName.WEIGHTS].why
    assert plain[TermName.KV_CACHE].why == (
        "2 x 80 layers x 2 key/value heads x 128 x 2 bytes x 15504 tokens, in whole blocks."
    )


def test_the_phase_that_decides_is_said() -> None:
    encoder = of(budget=vllm(VideoRoute.WHOLE_CLIP))[TermName.ACTIVATION]
    assert encoder.why.startswith("Peak of the encoder")
    assert encoder.basis is Basis.SOURCE
    old = of(budget=vllm(sampler_bytes_per_logit=39))[TermName.ACTIVATION]
    assert old.why.startswith("Peak of the sampler")
    assert "256 sequences x vocabulary x 39 bytes" in old.why
    assert old.basis is Basis.SOURCE
    other = of(model=VIDEO_7B, budget=sglang(sampler_bytes_per_logit=39))[TermName.ACTIVATION]
    assert other.basis is Basis.ESTIMATED
    late = of(sku="A100-40GB", budget=vllm(VideoRoute.WHOLE_CLIP), parallelism=FEWEST)
    assert late[TermName.ACTIVATION].why.startswith("Peak of the decoder")
    assert late[TermName.ACTIVATION].why.endswith("and the hidden states of one step.")
    assert late[TermName.ACTIVATION].basis is Basis.MEASURED
    assert late[TermName.ENCODER_CACHE].mib == 0
    assert late[TermName.ENCODER_CACHE].why == "Only the first pipeline stage has one."


def test_a_stage_that_is_not_the_last_has_no_sampler() -> None:
    named = parallelism(strategy="Manual", tensor=1, pipeline=6)
    found = of(sku="L40", parallelism=named, workload=workload(concurrentRequests=8))
    assert found[TermName.SAMPLER_STATE].mib == 0
    assert found[TermName.SAMPLER_STATE].why == "Only the last pipeline stage has one."
    none = of(model=VIDEO_7B, budget=vllm(sampler_state_bytes_per_logit=0))
    assert none[TermName.SAMPLER_STATE].why == "This engine keeps none."


def test_the_runtime_says_what_it_holds() -> None:
    several, single = of()[TermName.RUNTIME], of(model=VIDEO_7B)[TermName.RUNTIME]
    assert "communication between GPUs" in several.why
    assert "communication between GPUs" not in single.why
    assert several.basis is single.basis is Basis.MEASURED
    images = workload(framesPerVideo=1)
    budget = tgi(runtime_holds="the CUDA context")
    parts = of(model=LLAVA_16_MISTRAL, sku="L4", budget=budget, workload=images)
    other = parts[TermName.RUNTIME]
    assert other.basis is Basis.ESTIMATED
    assert other.why == "Memory beside all that: the CUDA context and workspaces and small buffers."
    assert parts[TermName.ENCODER_CACHE].why == (
        "Features of the images of one step, 4976 tokens at most."
    )


@pytest.mark.parametrize(
    ("sku", "mib", "bound"),
    [
        ("T4", 394, 0),
        ("A100-80GB", 0, 0),
        ("H100-80GB", 0, 0),
        ("B200", 394, 394),
        ("RTX-PRO-6000", 0, 0),
    ],
)
def test_flashinfer_needs_a_workspace(sku: str, mib: int, bound: int) -> None:
    named = parallelism(strategy="Manual", tensor=4)
    few = workload(framesPerVideo=8)
    term = of(model=VIDEO_7B, sku=sku, parallelism=named, workload=few)[TermName.RUNTIME]
    assert term.mib == constants.RUNTIME_MIB_MULTI + mib
    assert term.bound_mib == constants.RUNTIME_BOUND_MIB_MULTI + bound
    assert ("FlashInfer" in term.why) == (mib > 0)


def test_graphs_say_the_sequences_where_these_decide() -> None:
    assert "captured for 256 sequences" in of()[TermName.CUDA_GRAPHS].why
    assert "captured for" not in of(budget=sglang())[TermName.CUDA_GRAPHS].why


# ---------------------------------------------------------------- the term that decides


def test_the_largest_term_decides_unless_it_is_tight() -> None:
    found = plan(request())
    assert found.deciding_term == "Weights"
    many = workload(concurrentRequests=64)
    assert plan(request(VIDEO_7B, workload=many)).deciding_term == "KVCache"


def test_the_softest_term_decides_a_tight_layout() -> None:
    named = parallelism(strategy="Manual", tensor=2)
    tight = plan(request(parallelism=named))
    assert tight.verdict is Verdict.TIGHT
    assert tight.deciding_term == "CUDAGraphs"
    assert deciding(Verdict.DOES_NOT_FIT, tight.terms) == "Weights"


def test_bounds_of_the_stage_that_decides_make_the_margin() -> None:
    asked = demand(request(sku="A100-40GB", parallelism=FEWEST))
    found = plan(asked.request)
    fit = asked.fit(found.layout)
    assert found.margin_mib == fit.bounds.margin
    assert fit.headroom - fit.margin == -fit.short
