"""Quantized checkpoints: what the tensors say, what config.json says, and where they differ."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import config, text_of
from tests.unit.checkpoints.test_real_models import known, plain, tensors_of
from videollm_operator.api.v1alpha1.compute import (
    Projection,
    QuantizationFormat,
    QuantizationMethod,
    QuantizationSpec,
    VisionTowerFormat,
)
from videollm_operator.checkpoints.describe import Description, describe
from videollm_operator.checkpoints.facts import Source
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.checkpoints.safetensors import Tensor

NAME = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
LARGE = "llava-hf/llava-onevision-qwen2-72b-ov-hf"
NO_QUANTIZATION = (
    "the files hold {} weights ({}), but config.json has no `quantization_config`: engines would "
    "not know how to load them"
)


IGNORED = ["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"]
TOWER = [
    f"vision_tower.vision_model.encoder.layers.{layer}.{name}"
    for layer in range(26)
    for name in (
        *(f"self_attn.{each}_proj" for each in ("q", "k", "v", "out")),
        *("mlp.fc1", "mlp.fc2"),
    )
]
LINEARS = (
    *(f"self_attn.{each}_proj" for each in "qkvo"),
    *(f"mlp.{each}_proj" for each in ("gate", "up", "down")),
)


def compressed(
    bits: int, kind: str, ignore: Iterable[str] = IGNORED, **weights: Any
) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": {"num_bits": bits, "type": kind, **weights}}
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": group},
        "ignore": list(ignore),
    }


SAID: dict[str, dict[str, Any]] = {
    "GPTQ": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "AWQ": {"quant_method": "awq", "w_bit": 4, "q_group_size": 128},
    "packed": compressed(4, "int", strategy="group", group_size=128),
    "FP8": compressed(8, "float", strategy="channel"),
    "FP8-block": {
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
        "modules_to_not_convert": ["lm_head", *TOWER],
    },
    "INT8": compressed(8, "int", strategy="channel"),
    "NF4": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "LLM.int8": {"quant_method": "bitsandbytes", "load_in_8bit": True},
}
FORMS: dict[str, tuple[QuantizationFormat, QuantizationMethod, int]] = {
    "GPTQ": (QuantizationFormat.INT4, QuantizationMethod.GPTQ, 128),
    "AWQ": (QuantizationFormat.INT4, QuantizationMethod.AWQ, 128),
    "packed": (QuantizationFormat.INT4, QuantizationMethod.COMPRESSED_TENSORS, 128),
    "FP8": (QuantizationFormat.FP8, QuantizationMethod.COMPRESSED_TENSORS, -1),
    "FP8-block": (QuantizationFormat.FP8, QuantizationMethod.COMPRESSED_TENSORS, 128),
    "INT8": (QuantizationFormat.INT8, QuantizationMethod.COMPRESSED_TENSORS, -1),
    "NF4": (QuantizationFormat.INT4, QuantizationMethod.BITS_AND_BYTES, -1),
    "LLM.int8": (QuantizationFormat.INT8, QuantizationMethod.BITS_AND_BYTES, -1),
}


def of(
    listed: Iterable[Tensor] | None, said: dict[str, Any] | None, name: str = NAME, **changes: Any
) -> Description:
    raw = text_of(config(name, quantization_config=said, **changes))
    return describe(name, raw, None if listed is None else list(listed))


def spec(scheme: str, **more: Any) -> QuantizationSpec:
    form, method, group = FORMS[scheme]
    return QuantizationSpec(format=form, method=method, group_size=group, **more)


@pytest.mark.parametrize("scheme", SAID)
def test_packed_weights_are_counted_as_what_they_stand_for(scheme: str) -> None:
    found = of(generator.quantized(tensors_of(NAME), scheme), SAID[scheme])
    assert plain(found.entry) == known(NAME)
    assert found.quantization == spec(scheme)
    assert found.warnings == ()
    assert found.left_plain == 0


@pytest.mark.parametrize("scheme", SAID)
def test_config_json_alone_says_the_same(scheme: str) -> None:
    found = of(None, SAID[scheme])
    assert plain(found.entry) == known(NAME)
    assert found.quantization == spec(scheme)
    facts = {fact.path: fact.source for fact in found.facts}
    assert facts["quantization.format"] is Source.CONFIG


@pytest.mark.parametrize("scheme", SAID)
def test_tensors_alone_say_the_same_and_that_engines_need_the_config(scheme: str) -> None:
    found = of(generator.quantized(tensors_of(NAME), scheme), None)
    assert plain(found.entry) == known(NAME)
    assert found.quantization == spec(scheme)
    form, method, _ = FORMS[scheme]
    assert found.warnings == (NO_QUANTIZATION.format(form, method),)
    facts = {fact.path: fact.source for fact in found.facts}
    assert facts["quantization.format"] is Source.HEADERS


def test_the_padded_72b_is_as_wide_as_its_files() -> None:
    """Padded to 29696 in the files and in config.json; the count follows."""
    original = known(LARGE).architecture
    text = original.text.model_copy(update={"intermediate_size": 29696})
    padded = original.model_copy(update={"text": text})
    listed = list(
        generator.quantized(
            generator.tensors(padded, generator.NESTED, dtype="F16", biases=True), "GPTQ"
        )
    )
    found = of(listed, SAID["GPTQ"], LARGE, text_config__intermediate_size=29696)
    assert found.warnings == ()
    assert found.entry.architecture.text.intermediate_size == 29696
    more = 80 * 3 * 8192 * (29696 - 29568)
    assert found.entry.architecture.parameters.layers == original.parameters.layers + more
    # The published size: 41.6 GB for the text model, 0.4 less for its head than 42.5.
    assert found.bytes == pytest.approx(42.5e9, rel=0.005)
    forgotten = of(listed, SAID["GPTQ"], LARGE)
    assert forgotten.entry == found.entry
    assert forgotten.warnings == (
        (
            "architecture.text.intermediateSize: config.json (text_config.intermediate_size) says "
            "29568, but outputs of gate_proj in the files say 29696; the files win: the engine "
            "goes by config.json, so correct it there, or the files do not load"
        ),
    )


@pytest.mark.parametrize(
    ("skip", "share", "layers", "projections"),
    [
        ("down_proj", 0.291, [], ["DownProj"]),
        ("self_attn", 0.126, [], ["QKVProj", "OProj"]),
        ("layers.27.", 0.036, [27], []),
    ],
)
def test_what_an_fp8_repository_keeps_in_16_bit_is_told(
    skip: str, share: float, layers: list[int], projections: list[str]
) -> None:
    listed = list(generator.quantized(tensors_of(NAME), "FP8", skip=skip))
    said = compressed(8, "float", [*IGNORED, f"re:.*{re.escape(skip)}.*"], strategy="channel")
    found = of(listed, said)
    assert plain(found.entry) == known(NAME)
    assert found.warnings == ()
    assert found.left_plain == pytest.approx(share, abs=0.001)
    assert found.quantization == spec(
        "FP8", unquantized_layers=layers, unquantized_projections=projections
    )
    facts = {fact.path: (fact.value, fact.source) for fact in found.facts}
    if layers:
        assert facts["quantization.unquantizedLayers"] == (layers, Source.HEADERS)
    assert of(None, said).quantization == found.quantization


def test_a_config_that_promises_what_the_files_do_not_hold() -> None:
    found = of(tensors_of(NAME), SAID["FP8"])
    assert found.quantization is None
    assert found.warnings == (
        (
            "`quantization_config` in config.json says FP8 (CompressedTensors), but the files hold "
            "the decoder in 16 or 32 bit; the files win: it is counted unquantized"
        ),
    )


def test_a_config_of_another_format() -> None:
    found = of(generator.quantized(tensors_of(NAME), "INT8"), SAID["FP8"])
    assert found.quantization == spec("INT8")
    assert found.warnings == (
        (
            "`quantization_config` in config.json says FP8, but the files hold INT8 weights; the "
            "files win"
        ),
    )


@pytest.mark.parametrize(
    ("scheme", "group", "said", "words"),
    [
        ("GPTQ", 64, 128, "groups of 128, but the scales in the files are for 64"),
        ("packed", -1, 128, "groups of 128, but the scales in the files are for whole channels"),
    ],
)
def test_a_config_of_other_groups(scheme: str, group: int, said: int, words: str) -> None:
    listed = generator.quantized(tensors_of(NAME), scheme, group=group)
    quantization = {**SAID[scheme], "group_size": said}
    if scheme == "packed":
        quantization = compressed(4, "int", strategy="group", group_size=said)
    found = of(listed, quantization)
    (warning,) = found.warnings
    assert (
        warning == f"`quantization_config` in config.json says {words}: engines go by config.json"
    )
    assert found.quantization is not None
    assert found.quantization.group_size == said


def test_groups_as_wide_as_a_channel_are_channels() -> None:
    whole = [
        generator.tensor(each.name, each.dtype, each.shape[0], 1)
        if each.name.endswith("weight_scale")
        else each
        for each in generator.quantized(tensors_of(NAME), "packed")
    ]
    assert of(whole, compressed(4, "int", strategy="channel")).warnings == ()


def test_a_quantized_tower_is_said() -> None:
    listed = [
        generator.tensor(each.name, "F8_E4M3", *each.shape)
        if "vision" in each.name and "mlp" in each.name and len(each.shape) == 2
        else each
        for each in generator.quantized(tensors_of(NAME), "FP8")
    ]
    found = of(listed, SAID["FP8"])
    assert found.quantization == spec("FP8", vision_tower=VisionTowerFormat.QUANTIZED)
    assert plain(found.entry) == known(NAME)


def test_gptq_without_zero_points_takes_its_bits_from_config_json() -> None:
    listed = [
        each
        for each in generator.quantized(tensors_of(NAME), "GPTQ")
        if not each.name.endswith("qzeros")
    ]
    assert of(listed, SAID["GPTQ"]).quantization == spec("GPTQ")
    assert of(listed, None).quantization == spec("GPTQ")


def test_packed_without_a_scale_is_by_channel() -> None:
    listed = [
        each
        for each in generator.quantized(tensors_of(NAME), "packed")
        if not each.name.endswith("weight_scale")
    ]
    found = of(listed, compressed(4, "int", strategy="channel"))
    assert found.warnings == ()
    assert found.quantization is not None
    assert found.quantization.group_size == -1


@pytest.mark.parametrize(
    ("quantization", "form", "group"),
    [
        ({"quant_method": "fbgemm_fp8"}, QuantizationFormat.FP8, -1),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, QuantizationFormat.INT8, -1),
        ({"quant_method": "GPTQ"}, QuantizationFormat.INT4, 128),
        (compressed(8, "float", strategy="block"), QuantizationFormat.FP8, 128),
        (
            compressed(8, "float", strategy="block", block_structure=["a"]),
            QuantizationFormat.FP8,
            -1,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "a": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}},
                    "b": {"weights": {"num_bits": 8, "type": "int", "group_size": 64}},
                    "c": {"input_activations": {}},
                },
            },
            QuantizationFormat.INT8,
            64,
        ),
    ],
)
def test_other_words_for_a_quantization(
    quantization: dict[str, Any], form: QuantizationFormat, group: int
) -> None:
    found = of(None, quantization).quantization
    assert found is not None
    assert (found.format, found.group_size) == (form, group)


def test_it_may_stand_with_the_language_model_or_under_its_old_name() -> None:
    inside = of(None, None, text_config__quantization_config=SAID["AWQ"])
    old = of(None, None, compression_config=SAID["INT8"])
    assert inside.quantization == spec("AWQ")
    assert old.quantization == spec("INT8")


def test_few_layers_in_16_bit_are_no_news() -> None:
    listed = list(generator.quantized(tensors_of(NAME), "FP8", skip="layers.0.self_attn.k_proj"))
    ignored = [*IGNORED, "model.layers.0.self_attn.k_proj"]
    said = compressed(8, "float", ignored, strategy="channel")
    found = of(listed, said)
    assert found.warnings == ()
    assert found.quantization == spec("FP8")
    assert of(None, said).quantization == spec("FP8", unquantized_layers=[0])
    tiny_part = compressed(8, "float", [*IGNORED, "model.layers.0.self_attn.o_proj"])
    assert of(None, tiny_part, LARGE).quantization == spec("FP8")


def test_what_engines_join_must_be_in_one_format() -> None:
    listed = list(generator.quantized(tensors_of(NAME), "GPTQ", skip="v_proj"))
    found = of(listed, SAID["GPTQ"])
    assert found.quantization == spec("GPTQ", unquantized_projections=["QKVProj"])
    assert found.warnings == (
        (
            "of q_proj, k_proj, v_proj in decoder layer 0 some are quantized and some are not: "
            "engines join them, and refuse to start"
        ),
        (
            "0.8% of the decoder's weights are in 16 or 32 bit (v_proj 28 times), in an order that "
            "`spec.quantization` has no words for: 7.1% are counted so"
        ),
    )


def test_names_are_those_of_any_version() -> None:
    """The originals' `model.vision_tower...` is `vision_tower...` to the engine."""
    original = "lmms-lab/LLaVA-Video-7B-Qwen2"
    listed = list(generator.quantized(tensors_of(original), "FP8"))
    said = compressed(8, "float", [r"re:vision_tower\..*"], strategy="channel")
    assert of(listed, said, original).warnings == ()


def test_config_json_must_leave_out_what_the_files_hold_in_16_bit() -> None:
    listed = list(generator.quantized(tensors_of(NAME), "FP8", skip="down_proj"))
    forgotten = of(listed, compressed(8, "float", ["lm_head"], strategy="channel"))
    assert forgotten.warnings == (
        (
            "`quantization_config.ignore` in config.json does not agree with the files about the "
            "vision tower (in 104 of its matrices, "
            "'vision_tower.vision_model.encoder.layers.0.self_attn.q_proj' the first): engines go "
            "by config.json and do not find the weights that they look for; name there what is in "
            "16 bit, and nothing else"
        ),
        (
            "`quantization_config.ignore` in config.json does not agree with the files about the "
            "decoder (in 28 of its matrices, "
            "'language_model.model.layers.0.mlp.down_proj' the first): engines go by config.json "
            "and do not find the weights that they look for; name there what is in 16 bit, and "
            "nothing else"
        ),
    )
    assert of(None, compressed(8, "float", ["lm_head"])).warnings == (
        (
            "`quantization_config.ignore` in config.json does not leave out the vision tower, so "
            "engines take it for quantized: name it there unless its files are"
        ),
    )


def test_a_pattern_that_might_take_for_ever_is_not_followed() -> None:
    said = compressed(8, "float", [*IGNORED, "re:(a+)+b"], strategy="channel")
    alone = of(None, said)
    assert alone.warnings == (
        (
            "`quantization_config.ignore` in config.json has the pattern '(a+)+b', which is not "
            "followed: all of the decoder is counted in 16 bit until its files tell"
        ),
    )
    assert alone.quantization == spec("FP8", unquantized_projections=list(Projection))
    files = of(generator.quantized(tensors_of(NAME), "FP8"), said)
    assert files.warnings == ()
    assert files.quantization == spec("FP8")


def test_other_matrices_of_the_decoder_are_counted_by_their_layers_alone() -> None:
    """A matrix with a name that no LLaVA decoder has changes nothing."""
    listed = [
        *generator.quantized(tensors_of(NAME), "FP8", skip="down_proj"),
        generator.tensor("language_model.model.layers.0.mlp.router.weight", "F16", 8, 3584),
    ]
    said = compressed(8, "float", [*IGNORED, "re:.*down_proj"], strategy="channel")
    found = of(listed, said).quantization
    assert found == spec("FP8", unquantized_projections=["DownProj"])


@pytest.mark.parametrize(
    "said",
    [
        {**SAID["NF4"], "llm_int8_skip_modules": ["lm_head", "down_proj"]},
        {**SAID["NF4"], "llm_int8_skip_modules": ["mlp.down_proj"]},
        {**SAID["AWQ"], "modules_to_not_convert": ["vision_tower", "down_proj"]},
        {**SAID["GPTQ"], "dynamic": {"-:.*down_proj": {}, "+:.*up_proj": {"bits": 8}}},
        {
            **SAID["GPTQ"],
            "modules_in_block_to_quantize": [
                ["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.o_proj"],
                ["mlp.up_proj", "mlp.gate_proj"],
            ],
        },
        {
            "quant_method": "fp8",
            "ignored_layers": [f"model.layers.{layer}.mlp.down_proj" for layer in range(28)],
        },
        {
            "quant_method": "compressed-tensors",
            "config_groups": {
                "all": {
                    "targets": [r"re:.*self_attn\.[qkvo]_proj$", "re:.*(gate|up)_proj$"],
                    "weights": {"num_bits": 8, "type": "int"},
                },
                "none": {"targets": ["Linear"], "input_activations": {}},
            },
        },
    ],
)
def test_every_method_says_in_its_own_way_what_it_leaves_out(said: dict[str, Any]) -> None:
    found = of(None, said).quantization
    assert found is not None
    assert found.unquantized_projections == [Projection.DOWN_PROJ]
    assert found.unquantized_layers == []


@pytest.mark.parametrize("word", ["a{2}" * 4, "(", "a" * 501, "(ab)*"])
def test_patterns_that_are_none_or_cost_too_much(word: str) -> None:
    found = of(None, compressed(8, "float", [f"re:{word}"])).warnings
    assert "which is not followed" in found[0]
    targets = compressed(8, "float")
    targets["config_groups"]["group_0"]["targets"] = [f"re:{word}"]
    assert "which is not followed" in of(None, targets).warnings[0]


def test_targets_may_be_whole_names() -> None:
    said = compressed(8, "int", [])
    names = [f"model.layers.{layer}.{name}" for layer in range(28) for name in LINEARS]
    said["config_groups"]["group_0"]["targets"] = names
    assert of(None, said).quantization == spec("INT8")


def test_gptq_that_vllm_does_not_load() -> None:
    (warning,) = of(None, {**SAID["GPTQ"], "sym": False}).warnings
    assert warning == (
        "`quantization_config.sym` in config.json is false, but vLLM loads GPTQ weights only if "
        "they are symmetric: quantize with `sym: true`, or use AWQ or compressed-tensors"
    )
    assert of(None, {**SAID["GPTQ"], "sym": True}).warnings == ()
    assert of(None, {**SAID["AWQ"], "sym": False}).warnings == ()


def test_a_list_that_is_longer_than_any_model() -> None:
    said = compressed(8, "float", [f"m{n}" for n in range(6000)])
    with pytest.raises(CheckpointProblem, match=r"has 6000 entries, but a LLaVA model has no more"):
        of(None, said)


def test_blocks_of_the_tiny_model() -> None:
    """Shapes that blocks do not divide: the last block is smaller."""
    raw = tiny.json_of(tiny.config(quantization_config=SAID["FP8-block"]))
    found = describe("tiny", raw, list(generator.quantized(tiny.tensors(), "FP8-block", group=128)))
    assert found.quantization is not None
    assert found.quantization.format is QuantizationFormat.FP8


def test_groups_in_the_tensors_that_no_engine_takes() -> None:
    listed = list(generator.quantized(tiny.tensors(), "GPTQ", group=8))
    with pytest.raises(CheckpointProblem, match=r"^groups of 8 weights \(the tensors\)"):
        describe("tiny", tiny.json_of(tiny.config()), listed)
