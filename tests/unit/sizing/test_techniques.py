from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    INT8_PADDED,
    LLAVA_16_MISTRAL,
    VIDEO_7B,
    VIDEO_72B,
    parallelism,
    request,
    sglang,
    tgi,
    workload,
)
from videollm_operator.api.problem import Refused
from videollm_operator.sizing import Technique, plan, techniques


def by_name(model: str = VIDEO_72B, sku: str = "A100-40GB", **changes: Any) -> dict[str, Technique]:
    return {found.name: found for found in techniques(request(model, sku, **changes))}


def test_every_way_is_listed() -> None:
    assert list(by_name()) == [
        "32 bit",
        "16 bit",
        "FP8",
        "INT8",
        "INT4",
        "INT4 made while loading",
        "CPU offload",
        "Disk offload",
        "Tensor parallelism",
        "Pipeline parallelism",
        "Data parallelism",
        "Expert parallelism",
        "Sequence (context) parallelism",
        "Fewer frames",
        "Video-token pruning",
        "Sparse attention",
        "8-bit KV cache",
        "Activation checkpointing",
    ]


@pytest.mark.parametrize(
    ("name", "weights", "gpus"),
    [
        ("32 bit", 272.6, None),
        ("16 bit", 136.3, 8),
        ("FP8", 71.0, 4),
        ("INT8", 72.7, 4),
        ("INT4", 39.6, 2),
        ("INT4 made while loading", 39.3, 2),
    ],
)
def test_formats_of_the_72b_on_a100_40gb(name: str, weights: float, gpus: int | None) -> None:
    found = by_name()[name]
    assert found.offered
    assert (found.weights_gib, found.gpus) == (weights, gpus)


def test_savings_are_against_16_bit() -> None:
    found = by_name()
    assert found["16 bit"].saves_gib is None
    assert found["32 bit"].saves_gib is None
    assert found["FP8"].saves_gib == pytest.approx(136.3 - 71.0, abs=0.2)
    assert found["INT4"].saves_gib == pytest.approx(136.3 - 39.6, abs=0.2)
    assert found["Fewer frames"].saves_gib == pytest.approx(2.05 + 0.1, abs=0.1)


def test_the_words_say_field_flag_and_price() -> None:
    found = by_name()
    assert found["FP8"].how == "spec.quantization.format: FP8 (VLLM --quantization=fp8_per_tensor)"
    assert "A100-40GB cannot compute in FP8" in found["FP8"].note
    assert "L40 computes in FP8" in by_name(sku="L40")["FP8"].note
    assert found["INT4"].how == "spec.quantization.format: INT4, intermediateSize: 29696"
    assert "29568" in found["INT4"].note
    online = found["INT4 made while loading"]
    assert online.how == (
        "spec.quantization.format: INT4, method: Online (VLLM --quantization=bitsandbytes)"
    )
    assert "vllm-bnb-plugin" in online.note
    assert by_name(VIDEO_7B, "L4")["INT4"].how == "spec.quantization.format: INT4"
    assert "TP8 17.2 GiB" in found["Tensor parallelism"].note
    assert found["Pipeline parallelism"].gpus == 5


def test_the_request_itself_may_use_a_technique_already() -> None:
    plain = by_name()
    used = by_name(quantization=INT8_PADDED, cpu_offload_gib_per_gpu=2, per_replica=4)
    assert {name: found.gpus for name, found in used.items()} == {
        name: found.gpus for name, found in plain.items()
    }
    named = by_name(parallelism=parallelism(strategy="Manual", tensor=2))
    assert named["16 bit"].gpus == 8
    fewest = by_name(parallelism=parallelism(strategy="FewestGPUs"))
    assert fewest["16 bit"].gpus == 5


def test_offload_is_computed_for_the_next_smaller_layout() -> None:
    found = by_name()["CPU offload"]
    assert found.how == "spec.offload.cpuGiBPerGPU (VLLM --cpu-offload-gb): 2"
    assert (found.gpus, found.saves_gib) == (4, 8.0)
    none = by_name(VIDEO_7B, "L4")["CPU offload"]
    assert not none.offered
    assert "fits on one GPU already" in none.note


def test_offload_cannot_move_what_is_no_layer() -> None:
    asked = workload(framesPerVideo=1, concurrentRequests=4000)
    single = CATALOG.gpus["T4"].model_copy(update={"gpus_per_node": 1})
    found = by_name(sku="T4", gpu=single, workload=asked)["CPU offload"]
    assert not found.offered
    assert "the rest does not fit" in found.note


def test_sglang_has_no_pipeline_for_this_class() -> None:
    found = by_name(budget=sglang())
    assert not found["INT4 made while loading"].offered
    assert "on vLLM only" in found["INT4 made while loading"].note
    assert not found["Pipeline parallelism"].offered
    assert found["Pipeline parallelism"].note == ("SGLang has none for LlavaQwenForCausalLM")
    assert "--tp-size" in found["Tensor parallelism"].how


def test_a_node_with_one_gpu_has_no_tensor_parallelism() -> None:
    found = by_name(VIDEO_7B, "GH200")["Tensor parallelism"]
    assert not found.offered
    assert found.note == "a node with GH200 has one GPU"


def test_tgi_has_no_offload() -> None:
    image = workload(framesPerVideo=1)
    found = by_name(LLAVA_16_MISTRAL, "L4", budget=tgi(), workload=image)
    assert not found["CPU offload"].offered
    assert "--num-shard" in found["Tensor parallelism"].how
    assert "TGI --quantize=fp8" in found["FP8"].how
    assert not found["Fewer frames"].offered


def test_a_format_that_the_gpu_lacks_says_so() -> None:
    old = CATALOG.gpus["T4"].model_copy(update={"sku": "V100", "compute_capability": "7.0"})
    found = by_name(VIDEO_7B, "T4", gpu=old)
    assert not found["FP8"].offered
    assert "need 7.5" in found["FP8"].note
    assert found["INT4"].offered


def test_pipeline_that_does_not_fit_has_no_count() -> None:
    assert by_name(sku="T4")["Pipeline parallelism"].gpus is None
    assert by_name(sku="T4")["Tensor parallelism"].gpus is None


def test_what_serving_does_not_have_says_why() -> None:
    found = by_name()
    for name in (
        "Video-token pruning",
        "Sparse attention",
        "Activation checkpointing",
        "Disk offload",
        "Expert parallelism",
        "8-bit KV cache",
    ):
        assert not found[name].offered
        assert found[name].note


def test_a_workload_beyond_the_window_is_refused() -> None:
    with pytest.raises(Refused):
        by_name(workload=workload(framesPerVideo=4000))


def test_copies_of_the_model_save_nothing() -> None:
    found = by_name()["Data parallelism"]
    assert (found.gpus, found.saves_gib) == (by_name()["16 bit"].gpus, None)
    assert "no GPU needs less" in found.note
    nowhere = by_name(sku="T4")["Data parallelism"]
    assert not nowhere.offered
    assert "not even one replica" in nowhere.note


def test_context_parallelism_gains_only_where_heads_are_copied() -> None:
    assert "saves nothing" in by_name()["Sequence (context) parallelism"].note
    assert (
        "tensor parallelism of 8 splits" in by_name(sku="T4")["Sequence (context) parallelism"].note
    )
    wide = CATALOG.gpus["L4"].model_copy(update={"gpus_per_node": 16})
    asked = workload(concurrentRequests=4)
    found = by_name(sku="L4", gpu=wide, workload=asked)["Sequence (context) parallelism"]
    planned = plan(request(sku="L4", gpu=wide, workload=asked))
    assert planned.layout.tensor == 16
    half = planned.memory.kv_cache / 2 / 1024
    assert f"would save {half:.1f} GiB per GPU: TP16 keeps 2 copies of each of 8" in found.note
    huge = by_name(sku="T4", gpu=CATALOG.gpus["T4"].model_copy(update={"gpus_per_node": 16}))
    assert huge["Sequence (context) parallelism"].note


def test_what_pruning_and_small_caches_would_save_is_computed() -> None:
    small, large = by_name(workload=workload(framesPerVideo=32)), by_name()
    for name in ("Video-token pruning", "8-bit KV cache"):
        few, many = (
            # A note without a number fails here, as it should.
            float(re.search(r"([0-9.]+) GiB", found[name].note)[1])  # type: ignore[index]
            for found in (small, large)
        )
        assert 0 < few < many
    tokens = 64 * 210
    saved = tokens / 2 * 2 * 80 * 8 * 128 * 2 / 2**30
    assert f"would save {saved:.1f} GiB" in large["Video-token pruning"].note
