"""What people read: explanation, alternatives, rule of thumb."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import (
    FEWEST,
    FP8,
    INT4,
    INT4_PADDED,
    LLAVA_15_7B,
    VIDEO_7B,
    VIDEO_72B,
    parallelism,
    request,
    tgi,
    vllm,
    workload,
)
from videollm_operator.api.v1alpha1.compute import DType, QuantizationSpec
from videollm_operator.sizing import Plan, Verdict, VideoRoute, plan
from videollm_operator.sizing.text import count, gib, listing, mib


def planned(model: str = VIDEO_72B, sku: str = "A100-80GB", **changes: Any) -> Plan:
    return plan(request(model, sku, **changes))


# ---------------------------------------------------------------- explanation


def test_the_explanation_has_the_terms_and_why_it_is_not_fewer() -> None:
    assert planned().explanation == (
        "4 x A100-80GB: the fullest of 4 GPUs (TP4) holds 34.2 GiB of weights (all 4 together: "
        "136.8 GiB), 1.2 GiB of KV cache for 1 request of 15488 tokens, and 2.4 GiB for "
        "activations, CUDA graphs and buffers; that is 37.8 GiB of the 72.8 GiB that the engine "
        "may use, and 35.1 GiB stay free (safety margin 1.8 GiB). TP2 lacks 0.5 GiB per GPU; TP3 "
        "does not exist (64 attention heads do not divide by 3). 3 GPUs would do as TP1 x PP3 "
        "(`strategy: FewestGPUs`), at the price of pipeline stages that wait for each other."
    )


def test_several_sizes_that_do_not_exist_are_named_together() -> None:
    said = planned(sku="A100-40GB").explanation
    assert "TP5, TP6 and TP7 do not exist (64 attention heads do not divide by 5)" in said


def test_one_gpu_needs_no_reason() -> None:
    said = planned(VIDEO_7B, "L4").explanation
    assert said.startswith("1 x L4: it holds 15.0 GiB of weights, ")
    assert "TP" not in said


def test_two_gpus_have_one_size_below() -> None:
    said = planned(VIDEO_7B, "T4").explanation
    assert "TP1 lacks 4.6 GiB per GPU." in said


def test_several_requests_are_counted() -> None:
    said = planned(workload=workload(concurrentRequests=3)).explanation
    assert "KV cache for 3 requests of 15488 tokens" in said


def test_unpadded_groups_say_which_field_would_allow_more() -> None:
    said = planned(sku="L40", quantization=INT4).explanation
    assert (
        "Groups of 128 in an MLP of 29568 allow tensor parallelism of 1 only; a checkpoint that is "
        "padded to 29696 (`spec.quantization.intermediateSize`) allows 1, 2, 4 or 8" in said
    )
    assert "padded" not in planned(sku="L40", quantization=INT4_PADDED).explanation


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"format": "INT4", "method": "AWQ", "intermediateSize": 29696},
            "an `intermediate_size` of 29696 in config.json, and leave the vision tower in 16 bit.",
        ),
        (
            {
                "format": "INT4",
                "unquantizedLayers": [79, 0, 0],
                "unquantizedProjections": ["OProj"],
            },
            "leave the vision tower, layers 0 and 79 of the decoder and OProj of every layer in ",
        ),
        (
            {"format": "INT4", "unquantizedLayers": [3]},
            "tower and layer 3 of the decoder in 16 ",
        ),
        ({"format": "INT4", "unquantizedLayers": list(range(9))}, "and 9 layers of the decoder in"),
        ({"format": "INT4"}, "The files must hold INT4 weights in groups of 128, with an `inter"),
        ({"format": "INT8", "groupSize": -1}, "must hold INT8 weights per channel, with an"),
        ({"format": "INT4", "method": "BitsAndBytes"}, "INT4 weights by bitsandbytes, with an"),
        ({"format": "FP8", "method": "CompressedTensors"}, "weights in blocks of 128 x 128, with"),
        (
            {"format": "INT8", "groupSize": -1, "visionTower": "Quantized"},
            "with an `intermediate_size` of 29568 in config.json.",
        ),
    ],
)
def test_what_the_files_of_a_quantized_checkpoint_must_be(
    fields: dict[str, Any], said: str
) -> None:
    found = planned(sku="H200-141GB", quantization=QuantizationSpec.read(fields))
    assert said in found.explanation


@pytest.mark.parametrize("fields", [{}, {"format": "FP8"}, {"format": "INT4", "method": "Online"}])
def test_files_in_16_bit_need_no_word(fields: dict[str, Any]) -> None:
    found = planned(sku="H200-141GB", quantization=QuantizationSpec.read(fields))
    assert "The files must" not in found.explanation


@pytest.mark.parametrize(
    ("sku", "fields", "said"),
    [
        ("A100-40GB", {"format": "FP8"}, "the FP8 weights made while loading save memory"),
        (
            "A100-40GB",
            {"format": "FP8", "method": "CompressedTensors", "groupSize": -1},
            "the FP8 weights of the checkpoint save memory",
        ),
    ],
)
def test_fp8_on_cards_that_cannot_compute_in_it(
    sku: str, fields: dict[str, Any], said: str
) -> None:
    assert said in planned(sku=sku, quantization=QuantizationSpec.read(fields)).explanation
    assert "cannot compute" not in planned(sku="L40", quantization=FP8).explanation


def test_offload_says_its_price() -> None:
    said = planned(sku="A100-40GB", cpu_offload_gib_per_gpu=4).explanation
    assert "4 GiB of weights per GPU stay in host memory" in said


def test_a_fixed_count_names_the_smaller_one_without_a_strategy() -> None:
    said = planned(sku="L40", per_replica=5).explanation
    assert said.endswith("4 GPUs would do as TP4 (without the fixed count).")


def test_a_larger_named_layout_says_what_is_enough() -> None:
    named = parallelism(strategy="Manual", tensor=8)
    said = planned(sku="A100-80GB", parallelism=named).explanation
    assert "lacks" not in said
    assert "TP5, TP6 and TP7 do not exist" in said


def test_the_explanation_fits_into_status() -> None:
    for sku in ("L40", "A100-40GB", "B200"):
        for quantization in (FP8, INT4):
            assert len(planned(sku=sku, quantization=quantization).explanation) < 4096


# ---------------------------------------------------------------- alternatives


def others(found: Plan) -> list[tuple[str, Verdict]]:
    return [(str(other.layout), other.verdict) for other in found.alternatives]


def test_the_other_strategys_answer_and_the_next_larger_layout_are_offered() -> None:
    found = planned()
    assert others(found) == [
        ("TP2", Verdict.TIGHT),
        ("TP1 x PP2", Verdict.TIGHT),
        ("TP1 x PP3", Verdict.FITS),
        ("TP8", Verdict.FITS),
    ]
    assert found.alternatives[2].note == (
        "fewest GPUs; 3 pipeline stages wait for each other, so a single request is slower; holds "
        "14 full-length requests"
    )
    assert found.alternatives[3].note == "more room: holds 90 full-length requests"
    fewest = planned(parallelism=FEWEST)
    tensor = next(other for other in fewest.alternatives if str(other.layout) == "TP4")
    assert tensor.verdict is Verdict.FITS
    assert "tensor parallelism only" in tensor.note


def test_tight_layouts_with_fewer_gpus_are_offered_with_the_risk() -> None:
    found = planned()
    note = next(o.note for o in found.alternatives if o.verdict is Verdict.TIGHT)
    assert note.startswith("542 MiB of headroom where the margin is 1 051 MiB")
    assert "`strategy: Manual`" in note


def test_where_nothing_else_fits_nothing_is_offered() -> None:
    assert planned(sku="L4", quantization=INT4).alternatives == ()


def test_the_chosen_layout_is_no_alternative_to_itself() -> None:
    for sku in ("L40", "A100-40GB", "A100-80GB", "H100-80GB", "B200"):
        found = planned(sku=sku)
        assert found.layout not in [other.layout for other in found.alternatives]


# ---------------------------------------------------------------- rule of thumb


@pytest.mark.parametrize(("quantization", "weights", "total"), [(INT4, 36, 45), (FP8, 72, 90)])
def test_the_rule_counts_bits_as_named(
    quantization: QuantizationSpec, weights: int, total: int
) -> None:
    rule = planned(quantization=quantization).rule_of_thumb
    assert (rule.weights_gb, rule.total_gb) == (weights, total)


def test_the_rule_for_other_sizes() -> None:
    wide = planned(sku="B300", dtype=DType.FLOAT32).rule_of_thumb
    assert (wide.weights_gb, wide.total_gb, wide.gpus) == (288, 360, 2)
    small = planned(VIDEO_7B, "L4").rule_of_thumb
    assert (small.weights_gb, small.total_gb, small.gpus) == (14, 18, 1)
    assert small.note == ""


def test_the_rule_says_why_the_plan_differs() -> None:
    as_pipeline = planned(sku="A100-80GB").rule_of_thumb
    assert as_pipeline.note == (
        "3 is no tensor-parallel size (64 attention heads do not divide by 3); as a pipeline 3 "
        "GPUs would do."
    )
    grouped = planned(sku="L4", quantization=INT4).rule_of_thumb
    assert grouped.gpus == 2
    assert "2 is no tensor-parallel size: the MLP width (29568 / 2)" in grouped.note
    nominal = planned(sku="L40", quantization=INT4_PADDED).rule_of_thumb
    assert nominal.gpus == 1
    assert nominal.note.startswith("It takes the card for 48 GB where the engine may use 40.8 GiB")


def test_the_rule_may_ask_for_more_than_the_plan() -> None:
    named = parallelism(strategy="FewestGPUs")
    image = request(
        LLAVA_15_7B,
        "T4",
        budget=tgi(),
        workload=workload(framesPerVideo=1, promptTokens=16, maxOutputTokens=16),
        parallelism=named,
        nominal_parameters=13_000_000_000,
        visible_mib=23_000,
    )
    rule = plan(image).rule_of_thumb
    assert rule.gpus == 3
    assert rule.note.startswith("Its extra quarter stands for KV cache and activations")


# ---------------------------------------------------------------- words


def test_words_for_numbers() -> None:
    assert gib(35011) == "34.2 GiB"
    assert mib(1282) == "1 282 MiB"
    assert [count(1, "GPU"), count(4, "GPU")] == ["1 GPU", "4 GPUs"]
    assert [listing([1]), listing([1, 2]), listing([1, 2, 4], "or")] == [
        "1",
        "1 and 2",
        "1, 2 or 4",
    ]


def test_a_converted_copy_reads_as_well() -> None:
    said = planned(budget=vllm(VideoRoute.WHOLE_CLIP)).explanation
    assert "1 request of 14593 tokens" in said
