from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import CATALOG, FP8, INT4, INT4_PADDED, INT8_PADDED, request, sglang
from tests.unit.sizing.asking import vllm as vllm_budget
from videollm_operator.api.v1alpha1.compute import DType, QuantizationSpec
from videollm_operator.sizing.constants import GIB
from videollm_operator.sizing.formats import formats
from videollm_operator.sizing.weights import Stage, kinds_of_stages, on_disk, stages, weights


def whole(layers: int) -> Stage:
    return Stage(layers, first=True, last=True)


def loaded_gib(model: str, quantization: QuantizationSpec | None = None) -> float:
    """All weights on one GPU."""
    asked = request(model, quantization=quantization or QuantizationSpec())
    held = weights(asked.architecture, formats(asked), asked.budget)
    return held.rank(1, stages(held.layers, 1, held.plain_layers)[0]) / GIB


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("lmms-lab/LLaVA-Video-72B-Qwen2", 136.309),
        ("llava-hf/llava-onevision-qwen2-72b-ov-hf", 136.311),
        ("lmms-lab/LLaVA-Video-7B-Qwen2", 14.958),
        ("lmms-lab/llava-onevision-qwen2-0.5b-ov", 1.664),
        ("lmms-lab/LLaVA-NeXT-Video-32B-Qwen", 61.359),
        ("llava-hf/LLaVA-NeXT-Video-34B-hf", 64.731),
        ("llava-hf/llava-v1.6-mistral-7b-hf", 14.094),
        ("llava-hf/llava-1.5-13b-hf", 24.869),
    ],
)
def test_one_gpu_loads_every_parameter(model: str, expected: float) -> None:
    """Up to the padding of the vocabulary: 64064 and 32064 rows are multiples of 64 already."""
    assert loaded_gib(model) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(
    ("quantization", "expected"),
    [(FP8, 70.9), (INT8_PADDED, 72.7), (INT4_PADDED, 39.6)],
)
def test_quantized_sizes_of_the_72b(quantization: QuantizationSpec, expected: float) -> None:
    found = loaded_gib("lmms-lab/LLaVA-Video-72B-Qwen2", quantization)
    assert found == pytest.approx(expected, abs=0.1)


def test_quantization_in_other_ways() -> None:
    model = "lmms-lab/LLaVA-Video-72B-Qwen2"
    by_group = loaded_gib(model, INT4)
    by_channel = loaded_gib(model, QuantizationSpec.read({"format": "INT4", "groupSize": -1}))
    fine = loaded_gib(model, QuantizationSpec.read({"format": "INT4", "groupSize": 32}))
    nf4 = loaded_gib(model, QuantizationSpec.read({"format": "INT4", "method": "BitsAndBytes"}))
    llm_int8 = loaded_gib(
        model, QuantizationSpec.read({"format": "INT8", "method": "BitsAndBytes"})
    )
    blocks = loaded_gib(
        model, QuantizationSpec.read({"format": "FP8", "method": "CompressedTensors"})
    )
    tower = loaded_gib(model, QuantizationSpec.read({"format": "FP8", "visionTower": "Quantized"}))
    assert by_channel < by_group < fine
    assert by_group < nf4 < fine
    assert llm_int8 == pytest.approx(loaded_gib(model, FP8), abs=0.01)
    assert blocks == pytest.approx(loaded_gib(model, FP8), abs=0.1)
    assert tower == pytest.approx(loaded_gib(model, FP8) - 0.37, abs=0.01)


ATTENTION_GIB = 80 * 2 * 8192 * (64 + 8) * 128 * 2 / GIB
"""q, k, v and o of the 72B in 16 bit."""


@pytest.mark.parametrize(
    ("left", "share"),
    [
        ({"unquantizedProjections": ["QKVProj", "OProj"]}, ATTENTION_GIB),
        ({"unquantizedProjections": ["QKVProj"]}, ATTENTION_GIB * 80 / 144),
        ({"unquantizedProjections": ["GateUpProj"]}, 80 * 2 * 8192 * 29568 * 2 / GIB),
        ({"unquantizedProjections": ["DownProj"]}, 80 * 8192 * 29568 * 2 / GIB),
        (
            {"unquantizedLayers": [0, 0, 41]},
            (ATTENTION_GIB + 80 * 3 * 8192 * 29568 * 2 / GIB) * 2 / 80,
        ),
        (
            {"unquantizedLayers": [7], "unquantizedProjections": ["QKVProj", "OProj"]},
            ATTENTION_GIB + 3 * 8192 * 29568 * 2 / GIB,
        ),
    ],
)
def test_what_stays_in_16_bit_is_counted_so(left: dict[str, Any], share: float) -> None:
    """`share` GiB in 16 bit are left as they are, instead of 4.156 bits for 16."""
    model = "lmms-lab/LLaVA-Video-72B-Qwen2"
    asked = QuantizationSpec.read({"format": "INT4", **left})
    more = loaded_gib(model, asked) - loaded_gib(model, INT4)
    assert more == pytest.approx(share * (1 - (4 + 20 / 128) / 16), rel=1e-6)
    entry = CATALOG.models[model]
    on_a_disk = [
        on_disk(entry.architecture, formats(request(model, quantization=each)), entry.dtype) / GIB
        for each in (asked, INT4)
    ]
    assert on_a_disk[0] - on_a_disk[1] == pytest.approx(more, rel=1e-6)


def test_layers_in_16_bit_lie_on_their_stages() -> None:
    assert [stage.plain for stage in stages(80, 4, (0, 1, 79))] == [2, 0, 0, 1]
    assert len(kinds_of_stages(80, 4, (0, 1, 79))) == 3
    asked = QuantizationSpec.read({"format": "INT4", "unquantizedLayers": [0, 1, 79]})
    found = request("lmms-lab/LLaVA-Video-72B-Qwen2", quantization=asked)
    held = weights(found.architecture, formats(found), found.budget)
    first, second, third, last = (
        held.layers_of_rank(1, each) for each in stages(80, 4, (0, 1, 79))
    )
    assert second == third
    assert first - second == pytest.approx(2 * (last - second))


def test_float32_doubles_everything() -> None:
    asked = request(dtype=DType.FLOAT32)
    held = weights(asked.architecture, formats(asked), asked.budget)
    assert held.rank(1, whole(80)) / GIB == pytest.approx(2 * 136.309, abs=0.001)


# ---------------------------------------------------------------- pipeline stages


@pytest.mark.parametrize(
    ("layers", "pipeline", "sizes"),
    [
        (80, 1, [80]),
        (80, 2, [40, 40]),
        (80, 3, [27, 27, 26]),
        (80, 5, [16] * 5),
        (80, 6, [13, 13, 13, 14, 14, 13]),
        (80, 7, [11, 11, 11, 12, 12, 12, 11]),
        (28, 8, [3, 3, 3, 4, 4, 4, 4, 3]),
        (28, 3, [9, 10, 9]),
        (3, 2, [2, 1]),
    ],
)
def test_layers_of_stages_as_vllm_splits_them(layers: int, pipeline: int, sizes: list[int]) -> None:
    found = stages(layers, pipeline)
    assert [stage.layers for stage in found] == sizes
    assert [stage.first for stage in found] == [True] + [False] * (pipeline - 1)
    assert [stage.last for stage in found] == [False] * (pipeline - 1) + [True]


def test_embedding_lies_on_the_first_stage_and_head_on_the_last() -> None:
    asked = request()
    held = weights(asked.architecture, formats(asked), asked.budget)
    first, middle, last = (
        held.rank(1, Stage(10, first=first, last=last))
        for first, last in ((True, False), (False, False), (False, True))
    )
    assert first - middle == last - middle == 152064 * 8192 * 2


def test_a_tied_model_holds_its_embedding_at_both_ends_of_a_pipeline() -> None:
    asked = request("lmms-lab/llava-onevision-qwen2-0.5b-ov")
    held = weights(asked.architecture, formats(asked), asked.budget)
    middle = held.rank(1, Stage(10, first=False, last=False))
    embedding = 151936 * 896 * 2
    assert held.rank(1, Stage(10, first=True, last=True)) - middle == embedding
    assert held.rank(1, Stage(10, first=True, last=False)) - middle == embedding
    assert held.rank(1, Stage(10, first=False, last=True)) - middle == embedding


def test_a_tied_model_that_is_quantized_while_loading_stays_tied() -> None:
    tied = "lmms-lab/llava-onevision-qwen2-0.5b-ov"
    online = QuantizationSpec.read({"format": "FP8", "method": "Online"})
    asked = request(tied, quantization=online)
    assert weights(asked.architecture, formats(asked), vllm_budget()).head == 0


def test_a_quantized_copy_of_a_tied_model_carries_its_head_again() -> None:
    """Published: 0.68 GiB for a 0.5B text model in INT4, 0.25 GiB of it for the second head."""
    asked = request("lmms-lab/llava-onevision-qwen2-0.5b-ov", quantization=INT4)
    held = weights(asked.architecture, formats(asked), asked.budget)
    text = held.rank(1, whole(24)) - (397747744 + 1837696) * 2
    assert text / GIB == pytest.approx(0.68, abs=0.02)


# ---------------------------------------------------------------- tensor parallelism


def test_key_value_heads_are_copied_below_one_per_gpu() -> None:
    asked = request()
    held = weights(asked.architecture, formats(asked), asked.budget)
    assert [held.kv_heads_of_rank(tensor) for tensor in (1, 2, 8, 16)] == [8, 4, 1, 1]
    one_head = 2 * 8192 * 128 * 2 * 80
    eight, sixteen = (held.layers_of_rank(tensor, whole(80)) for tensor in (8, 16))
    norms = held.small_per_layer * 2 * 80
    assert (eight - one_head - norms) / 2 == pytest.approx(sixteen - one_head - norms)


def test_the_tower_is_split_by_vllm_and_copied_by_sglang() -> None:
    asked = request()
    split = weights(asked.architecture, formats(asked), vllm_budget())
    copied = weights(asked.architecture, formats(asked), sglang())
    assert split.rank(1, whole(80)) == copied.rank(1, whole(80))
    saved = copied.rank(4, whole(80)) - split.rank(4, whole(80))
    tower = 26 * (4 * 1152**2 + 2 * 1152 * 4304)
    assert saved == pytest.approx(tower * 2 * 3 / 4)


def test_the_projector_is_split_where_the_class_does_it() -> None:
    asked = request("llava-hf/llava-1.5-7b-hf")
    plain = weights(asked.architecture, formats(asked), vllm_budget())
    split = weights(asked.architecture, formats(asked), vllm_budget(projector_sharded=True))
    projector = CATALOG.models["llava-hf/llava-1.5-7b-hf"].architecture.parameters.projector
    assert plain.rank(2, whole(32)) - split.rank(2, whole(32)) == projector


def test_offload_moves_decoder_layers_and_no_more_than_there_are() -> None:
    asked = request()
    held = weights(asked.architecture, formats(asked), asked.budget)
    full = held.rank(4, whole(80))
    assert full - held.rank(4, whole(80), 8 * GIB) == 8 * GIB
    everything = held.rank(4, whole(80), 1024 * GIB)
    assert everything == pytest.approx(full - held.layers_of_rank(4, whole(80)))
    assert everything > 0


# ---------------------------------------------------------------- on disk


def test_the_size_on_disk_is_that_of_the_checkpoint() -> None:
    asked = request()
    architecture = asked.architecture
    assert on_disk(architecture, formats(asked), DType.BFLOAT16) == 146_361_044_032
    online = formats(request(quantization=FP8))
    assert on_disk(architecture, online, DType.BFLOAT16) == 146_361_044_032
    wide = formats(request(dtype=DType.FLOAT32))
    assert on_disk(architecture, wide, DType.BFLOAT16) == 146_361_044_032
    padded = formats(request(quantization=INT4_PADDED))
    assert on_disk(architecture, padded, DType.BFLOAT16) / 1e9 == pytest.approx(42.5, abs=0.1)
    tied = request("lmms-lab/llava-onevision-qwen2-0.5b-ov", quantization=INT4)
    counts = tied.architecture.parameters
    with_head = on_disk(tied.architecture, formats(tied), DType.BFLOAT16)
    assert with_head > counts.embedding * 2 * 2
