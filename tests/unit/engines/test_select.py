from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engines.builders import (
    CATALOG,
    LLAVA_15,
    LLAVA_NEXT,
    NEXT_VIDEO,
    ONE_IMAGE,
    ONEVISION_7B,
    ONEVISION_72B,
    ORIGINAL,
    described,
    refusal,
    spec,
)
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines.base import CATALOGUE
from videollm_operator.engines.select import resolve


def test_a_catalogue_model_has_the_catalogues_numbers() -> None:
    model = resolve(spec(ONEVISION_7B), CATALOG).model
    entry = CATALOG.model(ONEVISION_7B)
    assert entry is not None
    assert model.architecture == entry.architecture
    assert model.checkpoint_dtype == DType.FLOAT16
    assert model.described_by == CATALOGUE
    assert model.served_name == ONEVISION_7B


def test_base_lends_its_numbers_to_another_name() -> None:
    model = resolve(
        spec({"name": "org/tuned", "base": ONEVISION_72B, "servedName": "video"}), CATALOG
    ).model
    assert (model.name, model.served_name) == ("org/tuned", "video")
    assert model.nominal_parameters == 72_000_000_000
    assert model.described_by == f"base {ONEVISION_72B}"


@pytest.mark.parametrize(
    "source",
    [{"persistentVolumeClaim": {"claimName": "weights"}}, {"image": {"reference": "weights:1"}}],
)
def test_base_wins_over_the_names_own_entry_for_a_copy_of_ones_own(source: Any) -> None:
    asked = {"name": ORIGINAL, "base": ONEVISION_72B, "source": source}
    model = resolve(spec(asked), CATALOG).model
    assert model.architecture.class_name == "LlavaOnevisionForConditionalGeneration"


def test_what_the_hub_has_under_a_name_is_not_taken_for_another_model() -> None:
    with pytest.raises(Refused) as refused:
        resolve(spec({"name": ORIGINAL, "base": ONEVISION_72B}), CATALOG)
    (problem,) = refused.value.problems
    assert problem.field == "spec.model.base"
    assert "spec.model.source" in problem.message


def test_a_model_that_is_its_own_base_is_the_catalogues() -> None:
    model = resolve(spec({"name": ONEVISION_7B, "base": ONEVISION_7B}), CATALOG).model
    assert model.described_by == CATALOGUE


@pytest.mark.parametrize(("asked", "found"), [("Auto", DType.BFLOAT16), ("Float16", DType.FLOAT16)])
def test_own_numbers_are_taken_as_they_are(asked: str, found: DType) -> None:
    model = resolve(spec(described(ONEVISION_7B), dtype=asked), CATALOG).model
    assert model.nominal_parameters == 8_030_807_584
    assert model.checkpoint_dtype == found
    assert model.described_by == "spec.model.architecture"


def test_an_unknown_model_is_refused_with_near_names() -> None:
    problem = refusal("lmms-lab/LLaVA-Video-70B-Qwen2")
    assert problem.reason == Reason.MODEL_UNKNOWN
    assert problem.field == "spec.model.name"
    assert "'lmms-lab/LLaVA-Video-70B-Qwen2', which the catalogue does not have." in problem.message
    assert "Did you mean '" in problem.message
    assert f"'{ORIGINAL}'" in problem.message
    assert "`spec.model.base`" in problem.message


def test_an_unknown_base_is_refused_at_its_own_field() -> None:
    problem = refusal({"name": "org/x", "base": "zzz"})
    assert problem.field == "spec.model.base"
    assert "Did you mean" not in problem.message


def test_an_unknown_gpu_is_refused_with_near_names() -> None:
    problem = refusal(sku="a100-80gb")
    assert (problem.reason, problem.field) == (Reason.GPU_UNKNOWN, "spec.gpu.sku")
    assert "Did you mean 'A100-80GB'" in problem.message


def test_what_nodes_report_counts() -> None:
    gpu = CATALOG.gpu("A100-80GB")
    assert gpu is not None
    assert resolve(spec(), CATALOG).visible_mib == gpu.visible_mib
    assert resolve(spec(), CATALOG, 40_000).visible_mib == 40_000
    assert resolve(spec(), CATALOG, 82_000).visible_mib == 82_000


@pytest.mark.parametrize(
    ("sku", "meant"),
    [
        ("A100-80GB-MIG-3g40gb", "A100-80GB-MIG-3g.40gb"),
        ("a100-80gb-mig-3g.40gb", "A100-80GB-MIG-3g.40gb"),
        ("NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", "A100-80GB-MIG-3g.40gb"),
        ("NVIDIA-H100-PCIe", "H100-80GB"),
    ],
)
def test_the_slice_or_card_that_was_meant_is_named(sku: str, meant: str) -> None:
    assert f"Did you mean '{meant}'" in refusal(sku=sku).message


@pytest.mark.parametrize("model", [ORIGINAL, ONEVISION_72B, NEXT_VIDEO])
def test_auto_takes_vllm_for_videos(model: str) -> None:
    assert resolve(spec(model), CATALOG).engine.type == EngineType.VLLM


@pytest.mark.parametrize("model", [LLAVA_NEXT, LLAVA_15])
def test_auto_takes_vllm_for_images(model: str) -> None:
    found = resolve(spec(model, workload=ONE_IMAGE), CATALOG)
    assert found.engine.type == EngineType.VLLM


def test_auto_tells_the_first_engines_reason_when_none_can() -> None:
    problem = refusal(described(ONEVISION_7B, className="LlavaLlamaForCausalLM"))
    assert problem.reason == Reason.ENGINE_UNSUPPORTED
    assert "vLLM" in problem.message
    assert "SGLang" not in problem.message


def test_an_engine_by_name_is_taken() -> None:
    found = resolve(spec(ORIGINAL, engine={"type": "SGLang"}), CATALOG)
    assert found.engine.type == EngineType.SGLANG
    assert found.budget.type == EngineType.SGLANG
    assert found.flags.engine.lower() == "sglang"


def test_a_version_by_name_is_taken_and_brings_its_own_flags() -> None:
    found = resolve(spec(engine={"type": "VLLM", "version": "0.33.0"}), CATALOG)
    assert found.engine.version == found.flags.version == "0.33.0"


def test_an_image_without_version_is_the_default_version() -> None:
    found = resolve(spec(engine={"type": "VLLM", "image": "registry/vllm@sha256:1"}), CATALOG)
    default = CATALOG.engine(EngineType.VLLM)
    assert found.engine == default


def test_a_catalogue_without_the_engine_says_so() -> None:
    with pytest.raises(Refused, match="knows VLLM in no version"):
        resolve(spec(), replace(CATALOG, engines=()))
