from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import VIDEO_7B, VIDEO_72B, request, sglang, vllm, workload
from videollm_operator.sizing import Layout, SizingRequest, Verdict, constants, plan
from videollm_operator.sizing.constants import GIB, MIB
from videollm_operator.sizing.fit import Demand, Fit, demand

TP4 = Layout(4, 1)


def judged(layout: Layout, sku: str = "A100-80GB", model: str = VIDEO_72B, **changes: Any) -> Fit:
    return demand(request(model, sku, **changes)).fit(layout)


def at_visible(mib: int, **changes: Any) -> Demand:
    return demand(request(visible_mib=mib, **changes))


def test_the_terms_of_the_72b_on_four_l40() -> None:
    """Each term by hand: 16 layers' worth of a quarter, an eighth of the vocabulary, and so on."""
    fit = judged(TP4, "L40")
    layers = (70_214_787_072 - 8192 * (2 * 80 + 1) - 80 * (64 + 16) * 128) / 4
    small = 8192 * (2 * 80 + 1) + 80 * (64 + 16) * 128
    head = 2 * 152064 * 8192 / 4
    tower = 26 * (4 * 1152**2 + 2 * 1152 * 4304)
    vision = tower / 4 + (397_747_744 - tower)
    weights = (layers + small + head + vision + 76_570_624) * 2
    assert fit.weights == -(-weights // MIB)
    assert fit.kv_cache == -(-(15488 + 16) * 2 * 80 * 2 * 128 * 2 // MIB)
    assert (fit.graphs, fit.runtime) == (1024, 768)
    budget = int(45363 * 0.92)
    assert fit.headroom == budget - fit.weights - fit.kv_cache - fit.activation - 1024 - 768
    assert fit.verdict is Verdict.FITS


def test_the_kv_cache_holds_what_is_left_in_whole_blocks() -> None:
    fit = judged(TP4, "L40")
    free = int(45363 * 0.92) - fit.weights - fit.activation - fit.graphs - fit.runtime
    block = 16 * 2 * 80 * 2 * 128 * 2
    assert fit.kv_cache_tokens == (free * MIB // block - 1) * 16


def test_published_kv_sizes_to_the_block() -> None:
    """Available KV memory over bytes per token: 184,832 tokens of Mistral-24B in 28.2 GiB."""
    per_token = 2 * 40 * 8 * 128 * 2
    assert 28.2 * GIB / per_token == pytest.approx(184_832, rel=0.001)
    assert pytest.approx(1952 * 16, rel=0.002) == 3.81 * GIB / (2 * 32 * 8 * 128 * 2)


def test_the_kv_need_is_the_longer_of_one_context_and_all_requests() -> None:
    block = 16
    assert demand(request()).kv_tokens_needed == 15488 + block
    two = demand(request(workload=workload(concurrentRequests=2)))
    assert two.kv_tokens_needed == 2 * 15488 + block
    long = demand(request(workload=workload(maxModelLen=32768)))
    assert long.kv_tokens_needed == 32768 + block
    both = demand(request(workload=workload(maxModelLen=32768, concurrentRequests=3)))
    assert both.kv_tokens_needed == 3 * 15488 + block
    assert demand(request(budget=sglang(kv_block_tokens=1))).kv_tokens_needed == 14656 + 1


def test_the_fullest_stage_of_a_pipeline_decides_and_the_least_kv_counts() -> None:
    asked = demand(request(sku="A100-40GB"))
    fit = asked.fit(Layout(1, 3))
    first = demand(request(sku="A100-40GB")).weights
    assert fit.weights > first.layers_of_rank(1, _stage(27)) / MIB
    assert fit.verdict is Verdict.DOES_NOT_FIT
    assert fit.kv_cache_tokens == 0


def _stage(layers: int) -> Any:
    from videollm_operator.sizing.weights import Stage

    return Stage(layers, first=False, last=False)


def test_several_gpus_cost_communication_buffers() -> None:
    assert judged(Layout(1, 1), model=VIDEO_7B).runtime == constants.RUNTIME_MIB_SINGLE
    assert judged(Layout(2, 1), model=VIDEO_7B).runtime == constants.RUNTIME_MIB_MULTI


def test_offload_takes_weights_away() -> None:
    plain = judged(TP4, "A100-40GB")
    moved = judged(TP4, "A100-40GB", cpu_offload_gib_per_gpu=4)
    assert plain.weights - moved.weights == 4096
    assert plain.verdict is Verdict.DOES_NOT_FIT
    assert moved.verdict is Verdict.FITS


def test_no_more_than_the_layers_lies_in_host_memory() -> None:
    asked = plan(request(sku="A100-40GB", cpu_offload_gib_per_gpu=4, per_replica=4))
    assert asked.offloaded_mib == 4 * 4096
    everything = plan(request(VIDEO_7B, "L4", cpu_offload_gib_per_gpu=1024))
    layers = demand(request(VIDEO_7B)).weights.layers_of_rank(1, _stage(28))
    assert everything.offloaded_mib == -(-layers // MIB)
    assert plan(request()).offloaded_mib == 0


# ---------------------------------------------------------------- verdicts


def edge(model: str = VIDEO_7B) -> tuple[int, int]:
    """Visible MiB from which one GPU is tight, and from which it fits, at full utilization."""
    budget = vllm(gpu_memory_utilization=1.0, outside_mib_single=0)

    def verdict(mib: int) -> Verdict:
        return at_visible_of(model, mib, budget).verdict

    def first(wanted: set[Verdict]) -> int:
        low, high = 1024, 200_000
        while low < high:
            middle = (low + high) // 2
            if verdict(middle) in wanted:
                high = middle
            else:
                low = middle + 1
        return low

    return first({Verdict.TIGHT, Verdict.FITS}), first({Verdict.FITS})


def at_visible_of(model: str, mib: int, budget: Any) -> Fit:
    return demand(request(model, visible_mib=mib, budget=budget)).fit(Layout(1, 1))


def test_the_verdict_changes_at_zero_headroom_and_at_the_margin() -> None:
    tight, fits = edge()
    budget = vllm(gpu_memory_utilization=1.0, outside_mib_single=0)
    at_tight = at_visible_of(VIDEO_7B, tight, budget)
    assert (at_tight.headroom, at_tight.verdict) == (0, Verdict.TIGHT)
    below = at_visible_of(VIDEO_7B, tight - 1, budget)
    assert (below.headroom, below.verdict) == (-1, Verdict.DOES_NOT_FIT)
    at_fit = at_visible_of(VIDEO_7B, fits, budget)
    assert at_fit.headroom >= at_fit.margin
    assert at_fit.short <= 0
    assert at_visible_of(VIDEO_7B, fits - 1, budget).verdict is Verdict.TIGHT


def test_the_margin_does_not_depend_on_the_card() -> None:
    small, large = (at_visible(mib).fit(TP4).margin for mib in (60_000, 182_630))
    assert small == large


def test_small_cards_leave_room_for_cuda_and_nccl() -> None:
    small = demand(request(VIDEO_7B, "T4"))
    assert small.utilization(Layout(1, 1)) == 0.92
    assert small.utilization(Layout(2, 1)) == 0.896
    assert small.budget_mib(Layout(2, 1)) <= 14909 - constants.OUTSIDE_MIB_MULTI
    large = demand(request(VIDEO_7B, "L4"))
    assert large.utilization(Layout(2, 1)) == 0.92
    assert at_visible(1024).utilization(Layout(1, 1)) == pytest.approx(0.099)
    assert at_visible(512).utilization(Layout(1, 1)) == 0


# ---------------------------------------------------------------- sequences


def sequences(asked: SizingRequest, layout: Layout) -> int:
    return demand(asked).fit(layout).sequences


def test_as_many_sequences_as_vllm_takes_by_default() -> None:
    assert sequences(request(), TP4) == 256


def test_at_least_as_many_sequences_as_requests() -> None:
    few = request(VIDEO_7B, workload=workload(framesPerVideo=1, concurrentRequests=100))
    assert sequences(few, Layout(1, 1)) == 256
    many = request(VIDEO_7B, workload=workload(framesPerVideo=1, concurrentRequests=300))
    assert sequences(many, Layout(1, 1)) == 300


def test_fewer_sequences_where_they_make_it_fit() -> None:
    """The sampler of older engines takes 1.4 GiB for 256 sequences of 152064 logits."""
    hungry = vllm(sampler_bytes_per_logit=39)
    tight, fits = None, None
    for visible in range(18_000, 26_000, 10):
        count = sequences(request(VIDEO_7B, visible_mib=visible, budget=hungry), Layout(1, 1))
        verdict = demand(request(VIDEO_7B, visible_mib=visible, budget=hungry)).fit(Layout(1, 1))
        if verdict.verdict is Verdict.FITS:
            fits = fits or (visible, count)
        if count == 256:
            tight = visible
            break
    assert fits is not None
    assert fits[1] == 32
    assert tight is not None
    assert tight > fits[0]
    middle = (fits[0] + tight) // 2
    assert sequences(request(VIDEO_7B, visible_mib=middle, budget=hungry), Layout(1, 1)) in {
        64,
        128,
    }


def test_a_layout_is_judged_once() -> None:
    asked = demand(request())
    assert asked.fit(TP4) is asked.fit(TP4)
