"""How a row is asked of the product, and what the answer is held against."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hack.accuracy import calibration, compare, engines, listing, page, predict, schema, table
from hack.accuracy.facts import Facts, read_facts
from hack.accuracy.models import models
from hack.accuracy.schema import Term
from videollm_operator.catalog.loader import builtin
from videollm_operator.sizing.constants import GIB

if TYPE_CHECKING:
    from hack.accuracy.compare import Result

ROWS = table.read()
RUN = next(row for row in ROWS if row.model == "meta-llama/Llama-3.1-8B-Instruct")


def facts(**columns: str) -> Facts:
    return read_facts(replace(RUN, **columns))


@pytest.mark.parametrize(
    ("columns", "step"),
    [
        ({"version": "0.11.0"}, (1024, 8192)),
        ({"version": "0.11.0", "gpu": "A100 80GB"}, (256, 2048)),
        ({"version": "0.11.0", "gpu": "L4"}, (256, 2048)),
        ({"version": "0.6.3", "max_model_len": "1024"}, (256, 2048)),
        ({"version": "0.6.3", "max_model_len": "32768"}, (256, 32768)),
        ({"version": "0.6.3", "max_model_len": "32769"}, (256, 512)),
        ({"version": "0.7.2", "max_model_len": "32769"}, (256, 2048)),
    ],
)
def test_an_engine_chooses_its_own_step(columns: dict[str, str], step: tuple[int, int]) -> None:
    assert engines.step(facts(**columns)) == step


def test_versions_differ_in_what_they_count() -> None:
    old, v0, v1, charged = (
        engines.budget(facts(version=version)) for version in ("0.6.3", "0.7.2", "0.11.0", "0.28")
    )
    assert old.runtime_mib_single - v0.runtime_mib_single == engines.CONTEXT_MIB_SINGLE
    assert old.runtime_mib_multi - v0.runtime_mib_multi == engines.CONTEXT_MIB_MULTI
    assert v0.runtime_mib_single == v1.runtime_mib_single
    assert [one.graphs_mib > 0 for one in (old, v0, v1, charged)] == [False, False, False, True]
    assert {one.gpu_memory_utilization for one in (old, v0, v1, charged)} == {0.9}


def test_the_product_is_asked_what_the_run_did() -> None:
    asked = predict.asked(facts(tp="2", max_model_len="20000", gpu_mem_utilization="0.95"))
    request = asked.demand.request
    assert (asked.layout.tensor, asked.layout.pipeline) == (2, 1)
    assert asked.demand.tokens.context == 20000
    assert asked.demand.budget_mib(asked.layout) == int(request.visible_mib * 0.95)
    assert asked.fit.sequences == 1024
    assert asked.fit.batched_tokens == 8192
    assert asked.token_bytes == 131072 // 2


def test_a_text_model_has_no_encoder_cache_and_a_vision_model_has_one() -> None:
    vision = facts(model="mistralai/Mistral-Small-3.2-24B-Instruct-2506")
    assert predict.asked(vision).peak.cached_tokens == 8192
    assert predict.asked(facts()).peak.cached_tokens == 0


def test_a_dense_model_is_sized_by_the_product_alone() -> None:
    asked = predict.asked(facts())
    total = models()[RUN.model].architecture.parameters.total
    assert asked.weights_gib == pytest.approx(total * 2 / GIB, rel=1e-6)


def test_layers_that_stay_in_16_bit_count_as_such() -> None:
    """126 layers: attention in 16 bit, the MLP of 124 in 8; embedding and head in 16."""
    name = "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8"
    quantized = "fp8 (official, partly bf16)"
    asked = predict.asked(facts(model=name, dtype_or_quant=quantized, tp="8"))
    attention = 126 * (2 * 16384 * 16384 + 2 * 16384 * 2048)
    mlp = 3 * 16384 * 53248
    plain = attention + 2 * mlp + 2 * 128256 * 16384
    expected = (2 * plain + 124 * mlp) / 8 / GIB
    assert asked.weights_gib == pytest.approx(expected, rel=0.001)


def test_experts_are_in_four_bits_and_the_rest_of_them_is_not() -> None:
    asked = predict.asked(facts(model="openai/gpt-oss-20b", dtype_or_quant="mxfp4"))
    experts = 24 * 32 * 3 * 2880 * 2880
    attention = 24 * 2 * 2880 * (64 + 8) * 64
    plain = attention + 2 * 201088 * 2880
    expected = (experts * predict.MXFP4_BITS / 8 + 2 * plain) / GIB
    assert asked.weights_gib == pytest.approx(expected, rel=0.002)


def test_a_padded_checkpoint_is_one_that_several_gpus_can_share() -> None:
    padded = facts(model="Qwen/Qwen2.5-72B-Instruct", dtype_or_quant="gptq int4", tp="2")
    assert predict.asked(padded).rule == ""
    unpadded = "Qwen/Qwen2.5-VL-72B-Instruct-AWQ (unpadded 29568)"
    rule = predict.asked(facts(model=unpadded, dtype_or_quant="awq int4 g128", tp="2")).rule
    assert "29568 / 2" in rule


def test_memory_of_a_catalogue_gpu_is_compared_with_the_catalogue() -> None:
    row = replace(RUN, gpu="L4", reported_quantity="total_gpu_memory", value="22.03")
    (one,) = compare.compare([row]).comparisons
    assert one.term is Term.VISIBLE
    assert one.predicted == builtin().gpus["L4"].visible_mib / 1024


def test_weights_and_runtime_may_be_reported_together() -> None:
    row = replace(RUN, reported_quantity="consumed_weights_plus_non_torch", value="15.3")
    (one,) = compare.compare([row]).comparisons
    assert one.error_gib == pytest.approx(0.0, abs=0.1)


def test_a_run_without_a_sign_of_its_end_has_no_verdict() -> None:
    assert compare.compare([replace(RUN, reported_quantity="model_loading_memory")]).verdicts == ()


def test_a_kv_cache_too_small_for_one_request_is_a_failed_run() -> None:
    row = replace(RUN, reported_quantity="available_kv_cache_memory", value="1.9")
    (verdict,) = compare.compare([row]).verdicts
    assert not verdict.ran
    (enough,) = compare.compare([replace(row, value="2.0")]).verdicts
    assert enough.ran


def test_the_term_that_decides_is_named(result: Result) -> None:
    worst = max(result.of(Term.KV_MEMORY), key=lambda one: abs(one.error_gib))
    assert compare.deciding(worst, result).startswith("activation (+2.9")


def test_graphs_decide_only_where_they_are_taken_from_the_kv_cache() -> None:
    def row(version: str, quantity: str, value: str) -> table.Row:
        return replace(RUN, version=version, reported_quantity=quantity, value=value)

    for version, decides, left in (("0.11.0", False, "51.1"), ("0.28", True, "54.1")):
        found = compare.compare(
            [
                row(version, "available_kv_cache_memory", left),
                row(version, "cuda_graph_memory", "-3"),
                row(version, "model_loading_memory", "14.96"),
            ]
        )
        (kv,) = found.of(Term.KV_MEMORY)
        assert ("CUDA graphs" in compare.deciding(kv, found)) is decides


def test_every_constant_is_fitted_without_each_of_its_sources(result: Result) -> None:
    found = {one.name: one for one in calibration.calibrated(result)}
    sampler = found["VLLM_OLD_SAMPLER_BYTES_PER_LOGIT"]
    for source in sampler.sources:
        value = sampler.fitted(source)
        assert value is not None
        assert value == pytest.approx(sampler.used, rel=0.02)
    alone = found["RUNTIME_MIB_MULTI without SMALL_BUFFERS_MIB"]
    assert alone.fitted(alone.sources[0]) is None
    assert all(one.meaning for one in found.values())


def test_the_csv_has_every_row(result: Result) -> None:
    lines = listing.as_csv(result).splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {str(row.line) for row in ROWS}


def test_the_page_lists_what_is_missing_of_each_row(result: Result) -> None:
    section = page.page(result).split("## Rows that cannot be compared")[1].split("\n## ")[0]
    for one in result.unusable:
        (line,) = [text for text in section.splitlines() if text.startswith(f"| {one.row.line} |")]
        assert all(schema.MISSING[name] in line for name in one.missing)


def test_a_source_on_github_is_linked() -> None:
    assert listing._linked("vllm-project/vllm#1") == (
        "[vllm-project/vllm#1](https://github.com/vllm-project/vllm/issues/1)"
    )
    assert (
        listing._linked("a/b:docs/c.md")
        == "[a/b:docs/c.md](https://github.com/a/b/blob/main/docs/c.md)"
    )
    assert listing._linked("file: notebook #3") == "file: notebook #3"
