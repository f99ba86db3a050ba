"""Quantized checkpoints: what the tensors say, what config.json says, and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import config, text_of
from tests.unit.checkpoints.test_real_models import known, plain, tensors_of
from videollm_operator.api.v1alpha1.compute import (
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


def compressed(bits: int, kind: str, **weights: Any) -> dict[str, Any]:
    group = {"weights": {"num_bits": bits, "type": kind, **weights}}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}


SAID: dict[str, dict[str, Any]] = {
    "GPTQ": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "AWQ": {"quant_method": "awq", "w_bit": 4, "q_group_size": 128},
    "packed": compressed(4, "int", strategy="group", group_size=128),
    "FP8": compressed(8, "float", strategy="channel"),
    "FP8-block": {"quant_method": "fp8", "weight_block_size": [128, 128]},
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


def test_an_fp8_repository_that_keeps_layers_in_16_bit_is_seen_through() -> None:
    listed = list(generator.quantized(tensors_of(NAME), "FP8", skip="down_proj"))
    found = of(listed, SAID["FP8"])
    assert plain(found.entry) == known(NAME)
    assert found.left_plain == pytest.approx(0.291, abs=0.001)
    assert found.warnings == (
        (
            "29.1% of the decoder's weights are not FP8 but in 16 or 32 bit (down_proj 28 times): "
            "a plan that counts all of them as FP8 is too small"
        ),
    )
    layers = next(part for part in found.parts if part.kind == "layers")
    formats = dict(layers.dtypes)
    assert formats["F16"] > 28 * 2 * 3584 * 18944


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
    assert of(listed, SAID["FP8"]).warnings == ()


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
