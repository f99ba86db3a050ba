from __future__ import annotations

from typing import Any

import pytest

from tests.unit.sizing.asking import CATALOG, FP8, INT4, INT8_PADDED, NONE, VIDEO_72B, request
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType, QuantizationMethod, QuantizationSpec
from videollm_operator.sizing.formats import Formats, formats

V100 = CATALOG.gpus["T4"].model_copy(update={"sku": "V100", "compute_capability": "7.0"})


def quantized(**fields: Any) -> Formats:
    return formats(request(quantization=QuantizationSpec.read(fields)))


def refused(**changes: Any) -> Problem:
    with pytest.raises(Refused) as found:
        formats(request(**changes))
    return found.value.problems[0]


@pytest.mark.parametrize(
    ("model", "sku", "dtype"),
    [
        (VIDEO_72B, "L40", DType.BFLOAT16),
        (VIDEO_72B, "T4", DType.FLOAT16),
        ("llava-hf/llava-onevision-qwen2-72b-ov-hf", "L40", DType.FLOAT16),
    ],
)
def test_auto_keeps_the_checkpoints_format_where_the_gpu_has_it(
    model: str, sku: str, dtype: DType
) -> None:
    assert formats(request(model, sku)).dtype is dtype


def test_a_float32_checkpoint_is_served_in_16_bit() -> None:
    wide = formats(request(checkpoint_dtype=DType.FLOAT32))
    assert (wide.dtype, wide.plain_bytes) == (DType.BFLOAT16, 2)


@pytest.mark.parametrize(
    ("dtype", "size"), [(DType.BFLOAT16, 2), (DType.FLOAT16, 2), (DType.FLOAT32, 4)]
)
def test_an_explicit_format_is_kept(dtype: DType, size: int) -> None:
    found = formats(request(dtype=dtype))
    assert (found.dtype, found.plain_bytes, found.linear_bytes) == (dtype, size, size)


def test_bfloat16_is_refused_below_capability_8() -> None:
    problem = refused(sku="T4", dtype=DType.BFLOAT16)
    assert problem.reason is Reason.DTYPE_UNSUPPORTED
    assert problem.field == "spec.dtype"
    assert "T4 has compute capability 7.5" in problem.message


@pytest.mark.parametrize(
    ("fields", "bits"),
    [
        ({"format": "FP8"}, 8 + 32 / 8192),
        ({"format": "FP8", "method": "CompressedTensors", "groupSize": -1}, 8 + 32 / 8192),
        ({"format": "FP8", "method": "CompressedTensors"}, 8 + 32 / 128**2),
        ({"format": "INT8"}, 8 + 16 / 128 + 8 / 128),
        ({"format": "INT8", "groupSize": -1}, 8 + 24 / 8192),
        ({"format": "INT4"}, 4 + 16 / 128 + 4 / 128),
        ({"format": "INT4", "groupSize": 32}, 4 + 20 / 32),
        ({"format": "INT4", "method": "BitsAndBytes"}, 4.5),
        ({"format": "INT8", "method": "BitsAndBytes"}, 8 + 32 / 8192),
        ({"format": "INT4", "method": "Online"}, 4 + 8 / 64 + 32 / (64 * 256)),
    ],
)
def test_bits_count_scales_and_zero_points(fields: dict[str, Any], bits: float) -> None:
    assert quantized(**fields).linear_bits == pytest.approx(bits)


@pytest.mark.parametrize(
    ("form", "method"),
    [("FP8", "Online"), ("INT8", "GPTQ"), ("INT4", "GPTQ")],
)
def test_auto_method_is_settled(form: str, method: str) -> None:
    assert quantized(format=form).quantization.method == QuantizationMethod(method)


def test_a_named_method_is_kept() -> None:
    assert quantized(format="INT4", method="AWQ").quantization.method is QuantizationMethod.AWQ


def test_a_layer_that_the_model_lacks_cannot_stay_in_16_bit() -> None:
    asked = QuantizationSpec.read({"format": "INT4", "unquantizedLayers": [0, 80]})
    with pytest.raises(Refused) as refused:
        formats(request(quantization=asked))
    assert refused.value.problems[0].field == "spec.quantization.unquantizedLayers"
    assert "names layer 80, but the model has 80 decoder layers" in str(refused.value)


def test_groups_bind_only_where_the_checkpoint_has_them() -> None:
    assert formats(request(quantization=NONE)).group_size == 0
    assert formats(request(quantization=FP8)).group_size == 0
    assert quantized(format="INT4", groupSize=-1).group_size == 0
    assert quantized(format="INT4", method="BitsAndBytes").group_size == 0
    assert quantized(format="INT4").group_size == 128
    assert not quantized(format="INT4").square_blocks
    blocks = quantized(format="FP8", method="CompressedTensors")
    assert (blocks.group_size, blocks.square_blocks) == (128, True)


def test_padding_and_tower() -> None:
    found = formats(request(quantization=INT8_PADDED))
    assert found.intermediate_size == 29696
    assert found.quantized
    assert not found.tower_quantized
    assert quantized(format="INT8", visionTower="Quantized").tower_quantized
    assert not formats(request()).quantized


def test_a_width_below_the_models_is_refused() -> None:
    problem = refused(quantization=INT4.model_copy(update={"intermediate_size": 128}))
    assert problem.reason is Reason.QUANTIZATION_UNSUPPORTED
    assert problem.field == "spec.quantization.intermediateSize"
    assert "MLP of 29568" in problem.message


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({"format": "FP8"}, "7.5"),
        ({"format": "INT4", "method": "AWQ"}, "7.5"),
        ({"format": "INT8", "method": "CompressedTensors"}, "7.5"),
        ({"format": "INT4", "method": "BitsAndBytes"}, "7.5"),
    ],
)
def test_formats_need_a_compute_capability(fields: dict[str, Any], needed: str) -> None:
    problem = refused(gpu=V100, quantization=QuantizationSpec.read(fields))
    assert problem.reason is Reason.QUANTIZATION_UNSUPPORTED
    assert f"need {needed}" in problem.message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "INT4", "groupSize": 16}, "INT4 weights in groups of 32, 64 or 128, or with"),
        ({"format": "INT8", "groupSize": 256}, "INT8 weights in groups of 32, 64 or 128"),
        ({"format": "FP8", "method": "CompressedTensors", "groupSize": 64}, "in groups of 128, or"),
    ],
)
def test_groups_that_no_kernel_takes_are_refused(fields: dict[str, Any], said: str) -> None:
    problem = refused(quantization=QuantizationSpec.read(fields))
    assert problem.reason is Reason.QUANTIZATION_UNSUPPORTED
    assert problem.field == "spec.quantization.groupSize"
    assert said in problem.message


def test_gptq_runs_on_older_cards() -> None:
    assert formats(request(gpu=V100, quantization=INT4)).quantized
