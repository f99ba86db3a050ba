from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engines.builders import (
    CATALOG,
    LLAVA_15,
    ONE_IMAGE,
    ONEVISION_7B,
    ONEVISION_72B,
    planned,
    refusal,
    spec,
)
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import QuantizationMethod
from videollm_operator.engines import quantize
from videollm_operator.engines.select import find_model

COPY = {"name": "org/q", "base": ONEVISION_72B}
CLAIM = {"persistentVolumeClaim": {"claimName": "weights"}}


def effective(model: Any, **quantization: Any) -> tuple[str, int]:
    asked = spec(model, quantization=quantization)
    found = quantize.effective(find_model(asked, CATALOG), asked)
    return found.method, found.group_size


def test_without_a_format_nothing_is_settled() -> None:
    assert effective(ONEVISION_7B) == (QuantizationMethod.AUTO, 128)


def test_fp8_of_a_known_checkpoint_is_made_while_loading_in_one_scale() -> None:
    assert effective(ONEVISION_7B, format="FP8") == (QuantizationMethod.ONLINE, -1)


@pytest.mark.parametrize("bits", ["INT8", "INT4"])
def test_integers_come_with_the_checkpoint(bits: str) -> None:
    assert effective(COPY, format=bits) == (QuantizationMethod.GPTQ, 128)


def test_a_named_method_is_kept() -> None:
    assert effective(COPY, format="INT4", method="AWQ") == (QuantizationMethod.AWQ, 128)
    assert effective(COPY, format="FP8", method="Online") == (QuantizationMethod.ONLINE, -1)


@pytest.mark.parametrize("model", [COPY, {"name": ONEVISION_7B, "source": CLAIM}])
def test_fp8_of_an_unknown_checkpoint_must_say_who_makes_it(model: dict[str, Any]) -> None:
    problem = refusal(model, quantization={"format": "FP8"})
    assert (problem.reason, problem.field) == (
        Reason.QUANTIZATION_UNSUPPORTED,
        "spec.quantization.method",
    )
    assert "`spec.quantization.method: CompressedTensors` if they do" in problem.message
    assert "`method: Online`" in problem.message


def test_an_unquantized_hub_checkpoint_is_planned_as_int4_but_not_run() -> None:
    result = planned(ONEVISION_72B, quantization={"format": "INT4"})
    assert result.launch is None
    problem = result.not_runnable
    assert problem is not None
    assert problem.field == "spec.quantization.format"
    assert f"the files of '{ONEVISION_72B}' are not quantized" in problem.message
    assert "`spec.model.base`" in problem.message
    assert "'GPTQ' means files that are quantized already" in problem.message
    assert problem.message.endswith("or use `format: FP8`, which the engine makes while loading")


def test_an_unquantized_hub_checkpoint_can_be_quantized_while_loading_instead() -> None:
    asked = {"format": "FP8", "method": "CompressedTensors", "groupSize": -1}
    problem = planned(ONEVISION_72B, quantization=asked).not_runnable
    assert problem is not None
    assert problem.message.endswith("or set `method: Online` to quantize while loading")


def test_a_copy_on_a_volume_may_be_quantized_under_the_same_name() -> None:
    model = {"name": ONEVISION_72B, "source": CLAIM}
    assert planned(model, quantization={"format": "INT4"}).launch is not None


def test_quantized_weights_compute_in_16_bit() -> None:
    problem = refusal(COPY, quantization={"format": "INT4"}, dtype="Float32")
    assert (problem.reason, problem.field) == (Reason.DTYPE_UNSUPPORTED, "spec.dtype")


def test_a_checkpoint_that_is_quantized_while_loading_is_not_padded() -> None:
    problem = refusal(
        ONEVISION_72B,
        quantization={"format": "FP8", "method": "Online", "intermediateSize": 29696},
    )
    assert (problem.reason, problem.field) == (
        Reason.FIELD_UNSUPPORTED,
        "spec.quantization.intermediateSize",
    )


@pytest.mark.parametrize(
    ("field", "value"), [("unquantizedLayers", [0]), ("unquantizedProjections", ["OProj"])]
)
def test_a_checkpoint_that_is_quantized_while_loading_leaves_nothing_out(
    field: str, value: list[Any]
) -> None:
    problem = refusal(
        ONEVISION_72B, quantization={"format": "FP8", "method": "Online", field: value}
    )
    assert problem.field == f"spec.quantization.{field}"
    assert "describes a checkpoint that is quantized already" in problem.message


def test_siglips_mlp_has_no_whole_groups() -> None:
    problem = refusal(COPY, quantization={"format": "INT4", "visionTower": "Quantized"})
    assert problem.field == "spec.quantization.visionTower"
    assert "MLP of 4304 is not made of whole groups of 128" in problem.message


def test_a_group_that_divides_the_mlp_must_divide_the_width_too() -> None:
    quantization = {"format": "INT4", "visionTower": "Quantized", "groupSize": 269}
    assert "width of 1152 is not made of whole groups of 269" in (
        refusal(COPY, quantization=quantization).message
    )


@pytest.mark.parametrize("group", [-1, 128])
def test_a_tower_that_engines_quantize_may_be_quantized(group: int) -> None:
    quantization = {"format": "INT8", "visionTower": "Quantized", "groupSize": group}
    workload = {**ONE_IMAGE, "maxOutputTokens": 128}
    model = {"name": "org/q", "base": LLAVA_15}
    assert planned(model, quantization=quantization, workload=workload).launch is not None


def test_siglips_mlp_is_quantized_by_bitsandbytes_only() -> None:
    asked = {"format": "INT8", "visionTower": "Quantized", "groupSize": -1}
    problem = refusal(COPY, quantization=asked)
    assert problem.field == "spec.quantization.visionTower"
    assert "MLP of 4304 is no multiple of 64, so that engines look for it in 16 bit" in (
        problem.message
    )
    engine = {"type": "VLLM", "image": "r/vllm-bnb:1"}
    asked = {"format": "INT8", "method": "BitsAndBytes", "visionTower": "Quantized"}
    assert planned(COPY, quantization=asked, engine=engine).launch is not None
