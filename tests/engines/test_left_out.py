"""What config.json leaves out of its quantization, as the project reads it and as vLLM does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.client import VLLM
from tests.engines.quantized import Quantized, quantization_config
from videollm_operator.checkpoints.fields import Fields
from videollm_operator.checkpoints.leftout import left_out
from videollm_operator.checkpoints.partly import MATRICES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder

pytestmark = pytest.mark.engines

MODEL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
LAYERS = 3
TOWER = "vision_tower.vision_model.encoder.layers"
JOINED = {
    "qkv_proj": ["q_proj", "k_proj", "v_proj"],
    "gate_up_proj": ["gate_proj", "up_proj"],
}
NOT_TEXT = ["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"]


def names(*lasts: str, layers: range = range(LAYERS)) -> list[str]:
    return [f"language_model.model.layers.{layer}.{last}" for layer in layers for last in lasts]


CASES: list[tuple[Quantized, str, list[str]]] = [
    (Quantized.COMPRESSED_TENSORS_INT4, "ignore", NOT_TEXT),
    (Quantized.COMPRESSED_TENSORS_INT4, "ignore", [*NOT_TEXT, "re:.*self_attn.*"]),
    (Quantized.COMPRESSED_TENSORS_INT4, "ignore", [*NOT_TEXT, r"re:.*layers\.[02]\..*"]),
    (Quantized.COMPRESSED_TENSORS_INT4, "ignore", [*NOT_TEXT, *names("mlp.down_proj")]),
    (Quantized.COMPRESSED_TENSORS_INT4, "ignore", [*NOT_TEXT, "model.layers.1", "down_proj"]),
    (Quantized.AWQ, "modules_to_not_convert", ["vision_tower", "projector", "mlp.down_proj"]),
    (Quantized.AWQ, "modules_to_not_convert", ["vision_tower", "layers.1."]),
    (Quantized.FP8, "ignored_layers", names("self_attn.o_proj", layers=range(1, 2))),
]


@pytest.mark.parametrize("engine", VLLM)
@pytest.mark.parametrize(("quantized", "key", "entries"), CASES)
def test_vllm_leaves_out_the_same(
    engine: str,
    quantized: Quantized,
    key: str,
    entries: list[str],
    engine_parser: EngineParser,
    model_folder: ModelFolder,
    tmp_path: Path,
) -> None:
    config: dict[str, Any] = json.loads((model_folder(MODEL) / "config.json").read_text())
    said = {**(quantization_config(quantized, 128) or {}), key: entries}
    for file in model_folder(MODEL).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config["quantization_config"] = said
    (tmp_path / "config.json").write_text(json.dumps(config))
    overrides = {"text_config": {"num_hidden_layers": LAYERS}}
    by_vllm = engine_parser.fact(
        engine, "vllm_facts.unquantized", config_dir=str(tmp_path), overrides=overrides
    )
    lists = left_out(Fields(config))
    assert lists is not None
    decoder = {
        f"language_model.model.layers.{layer}.{block}.{joined}"
        for layer in range(LAYERS)
        for block, joined in (
            *(("self_attn", each) for each in ("qkv_proj", "o_proj")),
            *(("mlp", each) for each in ("gate_up_proj", "down_proj")),
        )
        if all(
            lists.leaves(f"language_model.model.layers.{layer}.{block}.{name}")
            for name in JOINED.get(joined, [joined])
        )
    }
    assert {name for name in by_vllm if name.startswith("language_model.model.layers")} == decoder
    attention = [name for name in by_vllm if name.startswith(TOWER) and "self_attn" in name]
    assert bool(attention) == lists.leaves(f"{TOWER}.0.self_attn.q_proj")
    # Why `visionTower: Quantized` is refused for SigLIP: its MLP of 4304 stays in 16 bit.
    assert f"{TOWER}.0.mlp.fc1" in by_vllm
    assert {name for joined in JOINED.values() for name in joined} < set(MATRICES)
