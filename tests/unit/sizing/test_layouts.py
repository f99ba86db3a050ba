from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import (
    CATALOG,
    INT4,
    INT4_PADDED,
    LLAVA_16_MISTRAL,
    NONE,
    VIDEO_7B,
    VIDEO_72B,
    request,
    sglang,
    tgi,
    vllm,
)
from videollm_operator.api.v1alpha1.compute import QuantizationSpec
from videollm_operator.sizing import EngineBudget, Layout
from videollm_operator.sizing.formats import formats
from videollm_operator.sizing.layouts import (
    layouts,
    legal_tensor,
    pipeline_rule,
    tensor_rule,
    useful_padding,
)


def legal(
    model: str, quantization: QuantizationSpec = NONE, budget: EngineBudget | None = None
) -> tuple[int, ...]:
    asked = request(model, quantization=quantization)
    return legal_tensor(asked.architecture, formats(asked), budget or vllm(), 16)


def rule(tensor: int, model: str = VIDEO_72B, **changes: Any) -> str:
    asked = request(model, quantization=changes.pop("quantization", NONE))
    budget = changes.pop("budget", vllm())
    architecture = asked.architecture
    text = architecture.text.model_copy(update=changes.pop("text", {}))
    vision = architecture.vision.model_copy(update=changes.pop("vision", {}))
    changed = architecture.model_copy(update={"text": text, "vision": vision})
    return tensor_rule(changed, formats(asked), budget, tensor)


@pytest.mark.parametrize(
    ("model", "plain", "grouped"),
    [
        # 14 heads of 64 on two GPUs: 448 inputs of o_proj each, which is 3.5 groups.
        ("lmms-lab/llava-onevision-qwen2-0.5b-ov", (1, 2), (1,)),
        (VIDEO_7B, (1, 2, 4), (1, 2, 4)),
        (VIDEO_72B, (1, 2, 4, 8, 16), (1,)),
        ("lmms-lab/LLaVA-NeXT-Video-32B-Qwen", (1, 2, 4, 8), (1, 2)),
        ("llava-hf/LLaVA-NeXT-Video-34B-hf", (1, 2, 4, 8), (1, 2, 4, 8)),
        ("llava-hf/LLaVA-NeXT-Video-7B-hf", (1, 2, 4, 8, 16), (1, 2)),
        ("llava-hf/llava-v1.6-vicuna-13b-hf", (1, 2, 4, 8), (1, 2, 4)),
        (LLAVA_16_MISTRAL, (1, 2, 4, 8, 16), (1, 2, 4, 8, 16)),
    ],
)
def test_legal_tensor_sizes(model: str, plain: tuple[int, ...], grouped: tuple[int, ...]) -> None:
    """The table of sizes worked out from the engines' rules, plain and in groups of 128."""
    assert legal(model) == plain
    assert legal(model, INT4) == grouped


def test_padding_opens_the_72b_for_groups() -> None:
    assert legal(VIDEO_72B, INT4_PADDED) == (1, 2, 4, 8)


@pytest.mark.parametrize(("group", "sizes"), [(64, (1, 2)), (32, (1, 2, 4))])
def test_smaller_groups_allow_more(group: int, sizes: tuple[int, ...]) -> None:
    assert legal(VIDEO_72B, QuantizationSpec.read({"format": "INT4", "groupSize": group})) == sizes


@pytest.mark.parametrize(("group", "sizes"), [(-1, (1, 2, 4, 8, 16)), (128, (1,))])
def test_fp8_checkpoints_by_channel_and_by_block(group: int, sizes: tuple[int, ...]) -> None:
    checkpoint = {"format": "FP8", "method": "CompressedTensors", "groupSize": group}
    assert legal(VIDEO_72B, QuantizationSpec.read(checkpoint)) == sizes


def test_fp8_made_while_loading_has_no_groups() -> None:
    assert legal(VIDEO_72B, QuantizationSpec.read({"format": "FP8"})) == (1, 2, 4, 8, 16)


@pytest.mark.parametrize(
    ("tensor", "changes", "said"),
    [
        (3, {}, "64 attention heads do not divide by 3"),
        (4, {"text": {"key_value_heads": 6}}, "6 key/value heads cannot be shared by 4 GPUs"),
        (16, {"budget": tgi()}, "TGI does not copy 8 key/value heads to 16 GPUs"),
        (32, {}, "the attention heads of the vision tower (16) does not divide by 32"),
        (
            8,
            {"vision": {"intermediate_size": 4300}},
            "the MLP width of the vision tower (4300) does not divide by 8",
        ),
        (7, {"text": {"attention_heads": 56, "key_value_heads": 7, "vocab_size": 151_000}}, "151"),
        (
            5,
            {"text": {"attention_heads": 40, "key_value_heads": 5}},
            "the MLP width (29568) does not divide by 5",
        ),
        (
            2,
            {"quantization": INT4},
            "the MLP width (29568 / 2) is no multiple of the quantization group of 128",
        ),
        (
            1,
            {"quantization": INT4, "text": {"hidden_size": 8200}},
            "the hidden size (8200) is no multiple of the quantization group of 128",
        ),
        (
            16,
            {
                "budget": vllm(projector_sharded=True),
                "text": {"hidden_size": 8200},
            },
            "the projector width (8200) does not divide by 16",
        ),
    ],
)
def test_the_rule_that_forbids_a_size(tensor: int, changes: dict[str, Any], said: str) -> None:
    assert said in rule(tensor, **changes)


def test_a_quantized_tower_must_hold_whole_groups() -> None:
    tower = QuantizationSpec.read(
        {"format": "INT4", "intermediateSize": 29696, "visionTower": "Quantized"}
    )
    assert "MLP width of the tower (4304)" in rule(1, quantization=tower)
    assert "width of the tower (1152 / 2)" in rule(2, quantization=tower)
    fine = QuantizationSpec.read({"format": "INT4", "groupSize": -1, "visionTower": "Quantized"})
    assert not rule(1, quantization=fine)
    assert not rule(8, quantization=fine, budget=sglang())


def test_square_blocks_bind_the_key_value_width_too() -> None:
    blocks = QuantizationSpec.read({"format": "FP8", "method": "CompressedTensors"})
    assert not rule(1, VIDEO_7B, quantization=blocks)
    narrow = rule(1, VIDEO_7B, quantization=blocks, text={"key_value_heads": 4, "head_dim": 64})
    assert not narrow
    assert "key/value width per GPU (64)" in rule(
        4, VIDEO_7B, quantization=blocks, text={"head_dim": 64, "attention_heads": 56}
    )


PROJECTIONS = ["QKVProj", "OProj", "GateUpProj", "DownProj"]


@pytest.mark.parametrize(
    ("left", "sizes"),
    [
        (["DownProj"], (1, 2, 4, 8, 16)),
        (["QKVProj", "OProj", "GateUpProj"], (1,)),
        (PROJECTIONS, (1, 2, 4, 8, 16)),
    ],
)
def test_matrices_in_16_bit_have_no_groups(left: list[str], sizes: tuple[int, ...]) -> None:
    asked = {"format": "INT4", "unquantizedProjections": left}
    assert legal(VIDEO_72B, QuantizationSpec.read(asked)) == sizes


def test_layers_in_16_bit_leave_the_groups_of_the_others() -> None:
    asked = {"format": "INT4", "unquantizedLayers": [0, 79]}
    assert legal(VIDEO_72B, QuantizationSpec.read(asked)) == (1,)


@pytest.mark.parametrize(
    ("left", "sizes"),
    [
        (["DownProj"], (1,)),
        (["GateUpProj"], (1,)),
        (["DownProj", "GateUpProj"], (1, 2, 4, 8, 16)),
        (["OProj", "DownProj", "GateUpProj"], (1, 2, 4, 8, 16)),
        (PROJECTIONS[:2], (1,)),
    ],
)
def test_square_blocks_bind_outputs_of_what_is_quantized(
    left: list[str], sizes: tuple[int, ...]
) -> None:
    asked = {"format": "FP8", "method": "CompressedTensors", "unquantizedProjections": left}
    assert legal(VIDEO_72B, QuantizationSpec.read(asked)) == sizes


def test_sglangs_tower_does_not_bind() -> None:
    assert legal_tensor(
        CATALOG.models[VIDEO_72B].architecture, formats(request()), sglang(), 64
    ) == (1, 2, 4, 8, 16, 32, 64)


def test_padding_is_named_only_where_it_allows_more() -> None:
    def useful(model: str, quantization: QuantizationSpec) -> int:
        asked = request(model, quantization=quantization)
        return useful_padding(asked.architecture, formats(asked), vllm(), 8)

    assert useful(VIDEO_72B, INT4) == 29696
    assert useful(VIDEO_72B, INT4_PADDED) == 0
    assert useful(VIDEO_72B, NONE) == 0
    assert useful(VIDEO_7B, INT4) == 0
    assert useful(LLAVA_16_MISTRAL, INT4) == 0


def test_pipelines_need_an_engine_that_has_them_and_enough_layers() -> None:
    architecture = CATALOG.models[VIDEO_72B].architecture
    assert not pipeline_rule(architecture, vllm(), 80)
    assert "80 layers cannot make 81 pipeline stages" in pipeline_rule(architecture, vllm(), 81)
    assert not pipeline_rule(architecture, sglang(), 1)
    said = pipeline_rule(architecture, sglang(), 2)
    assert said == "SGLang has no pipeline parallelism for LlavaQwenForCausalLM"


def test_layouts_come_fewest_gpus_first_and_most_tensor_parallelism_first() -> None:
    asked = request()
    found = layouts(asked.architecture, formats(asked), vllm(), 4, 4)
    assert found == (
        Layout(1, 1),
        Layout(2, 1),
        Layout(1, 2),
        Layout(1, 3),
        Layout(4, 1),
        Layout(2, 2),
        Layout(1, 4),
    )
    assert {layout.pipeline for layout in layouts(asked.architecture, formats(asked), tgi(), 8, 8)}
    assert all(
        layout.pipeline == 1 for layout in layouts(asked.architecture, formats(asked), tgi(), 8, 8)
    )


def test_a_layout_is_written_as_people_do() -> None:
    assert [str(Layout(4, 1)), str(Layout(2, 3))] == ["TP4", "TP2 x PP3"]
