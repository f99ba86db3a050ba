"""The built-in data: the arithmetic behind every count, and what must hold for every entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog import flags
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from videollm_operator.catalog.entries import GPUEntry, ModelEntry

CATALOG = builtin()
MODELS = list(CATALOG.models.values())
GPUS = list(CATALOG.gpus.values())


def test_nothing_of_it_is_refused() -> None:
    assert CATALOG.problems == ()


# ---------------------------------------------------------------- parameters


@dataclass(frozen=True)
class Expected:
    """Published total of a model, and what its layers have besides matrices."""

    total: int
    biases: bool


QWEN = True
EXPECTED = {
    "lmms-lab/LLaVA-Video-72B-Qwen2": Expected(73_180_522_016, QWEN),
    "lmms-lab/LLaVA-Video-7B-Qwen2": Expected(8_030_348_832, QWEN),
    "lmms-lab/llava-onevision-qwen2-72b-ov": Expected(73_180_522_016, QWEN),
    "lmms-lab/llava-onevision-qwen2-7b-ov": Expected(8_030_348_832, QWEN),
    "lmms-lab/llava-onevision-qwen2-0.5b-ov": Expected(893_618_208, QWEN),
    "llava-hf/llava-onevision-qwen2-72b-ov-hf": Expected(73_181_570_592, QWEN),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": Expected(8_030_807_584, QWEN),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": Expected(893_675_552, QWEN),
    "lmms-lab/LLaVA-NeXT-Video-32B-Qwen": Expected(32_942_093_856, QWEN),
    "llava-hf/LLaVA-NeXT-Video-34B-hf": Expected(34_752_083_968, not QWEN),
    "llava-hf/LLaVA-NeXT-Video-7B-hf": Expected(7_063_431_168, not QWEN),
    "llava-hf/llava-v1.6-34b-hf": Expected(34_752_083_968, not QWEN),
    "llava-hf/llava-v1.6-vicuna-13b-hf": Expected(13_351_499_776, not QWEN),
    "llava-hf/llava-v1.6-vicuna-7b-hf": Expected(7_063_431_168, not QWEN),
    "llava-hf/llava-v1.6-mistral-7b-hf": Expected(7_566_747_648, not QWEN),
    "llava-hf/llava-1.5-13b-hf": Expected(13_351_494_656, not QWEN),
    "llava-hf/llava-1.5-7b-hf": Expected(7_063_427_072, not QWEN),
}
"""Totals counted on the meta device with transformers 5.23."""


def test_every_family_is_there() -> None:
    assert set(CATALOG.models) == set(EXPECTED)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_total_is_the_published_one(model: ModelEntry) -> None:
    assert model.architecture.parameters.total == EXPECTED[model.name].total


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_decoder_layers_are_their_matrices_biases_and_norms(model: ModelEntry) -> None:
    text = model.architecture.text
    h, width = text.hidden_size, text.attention_heads * text.head_dim
    kv_width = text.key_value_heads * text.head_dim
    attention = h * width + 2 * h * kv_width + width * h
    attention += width + 2 * kv_width if EXPECTED[model.name].biases else 0
    layer = attention + 3 * h * text.intermediate_size + 2 * h
    assert model.architecture.parameters.layers == text.layers * layer + h


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_embedding_and_head_are_vocabulary_times_width(model: ModelEntry) -> None:
    text, counts = model.architecture.text, model.architecture.parameters
    assert counts.embedding == text.vocab_size * text.hidden_size
    assert counts.head == (0 if text.tie_word_embeddings else counts.embedding)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_tower_is_its_layers_embeddings_and_norms(model: ModelEntry) -> None:
    vision, counts = model.architecture.vision, model.architecture.parameters
    h, inter, side = vision.hidden_size, vision.intermediate_size, vision.patches_per_side
    layer = 4 * (h * h + h) + (h * inter + inter) + (inter * h + h) + 2 * 2 * h
    patches = 14 * 14 * 3 * h
    clip = side == 24
    if clip:  # a class token, no patch bias, a norm before and after
        around = patches + h + (side**2 + 1) * h + 2 * 2 * h
    else:  # SigLIP: a patch bias, a norm after
        around = patches + h + side**2 * h + 2 * h
    assert counts.vision == vision.layers * layer + around
    assert (vision.layers, h) == ((24, 1024) if clip else (26, 1152))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_projector_is_two_layers_and_a_newline_from_1_6_on(model: ModelEntry) -> None:
    v, h = model.architecture.vision.hidden_size, model.architecture.text.hidden_size
    newline = 0 if model.family == "LLaVA 1.5" else h
    assert model.architecture.parameters.projector == v * h + h + h * h + h + newline


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_names_and_formats_agree(model: ModelEntry) -> None:
    converted = model.name.endswith("-hf")
    assert model.dtype is (DType.FLOAT16 if converted else DType.BFLOAT16)
    assert (model.architecture.class_name == "LlavaQwenForCausalLM") is not converted
    nominal = model.nominal_parameters
    assert 0.9 <= model.architecture.parameters.total / nominal <= 1.8
    if nominal > 1e9:
        assert f"{nominal // 10**9}b" in model.name.lower()
    assert model.note.endswith(".")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_conversion_adds_two_tokens_and_pads_to_64(model: ModelEntry) -> None:
    if "onevision" not in model.name or not model.name.endswith("-hf"):
        return
    original = CATALOG.models["lmms-lab/" + model.name.split("/")[1].removesuffix("-hf")]
    rows = original.architecture.text.vocab_size + 2
    assert model.architecture.text.vocab_size == -(-rows // 64) * 64


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("lmms-lab/LLaVA-Video-72B-Qwen2", 327_680), ("llava-hf/llava-1.5-7b-hf", 524_288)],
)
def test_kv_bytes_per_token(model: str, tokens: int) -> None:
    text = CATALOG.models[model].architecture.text
    assert 2 * text.layers * text.key_value_heads * text.head_dim * 2 == tokens


# ---------------------------------------------------------------- GPUs


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.sku)
def test_cuda_sees_one_to_eight_percent_less_than_the_data_sheet(gpu: GPUEntry) -> None:
    assert gpu.visible_mib < gpu.nvml_mib
    assert 0.89 <= gpu.visible_mib / (gpu.nominal_gb * 1024) < 1
    assert gpu.source.endswith(".")


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.sku)
def test_every_gpu_is_recognised_by_gpu_feature_discovery(gpu: GPUEntry) -> None:
    products = [
        product
        for labels in gpu.node_labels
        for product in labels.get("nvidia.com/gpu.product", [])
    ]
    assert products
    assert all(gpu.matches({"nvidia.com/gpu.product": product}) for product in products)


def test_no_node_is_two_gpus() -> None:
    """A single label that two SKUs share would send pods to either."""
    for gpu in GPUS:
        for labels in gpu.node_labels:
            node = {key: values[0] for key, values in labels.items()}
            assert [other.sku for other in GPUS if other.matches(node)] == [gpu.sku]


def test_a100_cards_are_told_apart_by_karpenters_memory_label() -> None:
    name, memory = (f"karpenter.k8s.aws/instance-gpu-{what}" for what in ("name", "memory"))
    node = {name: "a100", memory: "81920"}
    assert CATALOG.gpus["A100-80GB"].matches(node)
    assert not CATALOG.gpus["A100-40GB"].matches(node)
    assert not CATALOG.gpus["A100-80GB"].matches({name: "a100"})
    assert {name, memory} < CATALOG.gpus["A100-40GB"].label_keys


def test_capabilities_compare_by_value() -> None:
    order = ["T4", "A100-40GB", "A40", "L4", "H100-80GB", "B200", "B300", "RTX-PRO-6000"]
    found = [CATALOG.gpus[sku].capability for sku in order]
    assert found == sorted(found)


def test_the_skus_that_people_ask_for() -> None:
    assert {
        "T4", "L4", "A10", "A10G", "A30", "A40", "L40", "L40S", "RTX-6000-Ada", "RTX-PRO-6000",
        "A100-40GB", "A100-80GB", "H100-80GB", "H100-NVL", "H200-141GB", "GH200", "B200", "B300",
    } <= set(CATALOG.gpus)  # fmt: skip


# ---------------------------------------------------------------- engines


def test_every_engine_has_a_default_and_a_flag_table() -> None:
    for kind in (EngineType.VLLM, EngineType.SGLANG, EngineType.TGI):
        assert sum(entry.default for entry in CATALOG.engines if entry.type == kind) == 1
    for entry in CATALOG.engines:
        table = CATALOG.flags(entry)
        assert table.version == entry.version
        assert entry.flags in flags.available()
        assert entry.version in entry.image
        assert entry.source


def test_the_default_versions() -> None:
    found = {
        str(kind): entry.version
        for kind in (EngineType.VLLM, EngineType.SGLANG, EngineType.TGI)
        if (entry := CATALOG.engine(kind))
    }
    assert found == {"VLLM": "0.32.0", "SGLang": "0.5.23", "TGI": "3.3.7"}
