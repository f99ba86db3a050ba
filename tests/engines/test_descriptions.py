"""What is read of config.json against transformers, and the trap that transformers falls into."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.client import install
from tests.engines.models import MODELS
from videollm_operator.catalog.loader import builtin
from videollm_operator.cli.checkpoint import described

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engines.conftest import ModelFolder

pytestmark = pytest.mark.engines

SCRIPT = """
import json, sys
from transformers import AutoConfig
found = {}
for name, folder in json.load(sys.stdin).items():
    config = AutoConfig.from_pretrained(folder)
    text, vision = config.text_config, config.vision_config
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")
    more = ("num_key_value_heads", "vocab_size", "max_position_embeddings")
    found[name] = {
        "text": [getattr(text, key) for key in (*keys, *more)],
        "vision": [getattr(vision, key) for key in keys],
        "side": vision.image_size // vision.patch_size,
    }
print("FOUND", json.dumps(found))
"""
CONVERTED = [name for name in MODELS if name.startswith("llava-hf/")]
TRAP = "lmms-lab/LLaVA-Video-72B-Qwen2"


def by_transformers(folders: dict[str, Path]) -> dict[str, Any]:
    """What AutoConfig makes of these folders, in the engines' environment."""
    python = install() / "venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", SCRIPT],
        input=json.dumps({name: str(folder) for name, folder in folders.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.split("FOUND")[1])
    return found


def by_us(folder: Path, name: str) -> dict[str, Any]:
    what = described(str(folder), name).entry.architecture
    text, vision = what.text, what.vision
    return {
        "text": [
            *(text.layers, text.hidden_size, text.intermediate_size, text.attention_heads),
            *(text.key_value_heads, text.vocab_size, text.max_position_embeddings),
        ],
        "vision": [
            *(vision.layers, vision.hidden_size, vision.intermediate_size),
            vision.attention_heads,
        ],
        "side": vision.patches_per_side,
    }


@pytest.mark.parametrize("name", MODELS)
def test_the_folders_that_engines_accept_give_the_catalogues_numbers(
    name: str, model_folder: ModelFolder
) -> None:
    entry = described(str(model_folder(name)), name).entry
    known = builtin().models[name]
    assert entry.architecture == known.architecture
    assert (entry.dtype, entry.family) == (known.dtype, known.family)


def test_transformers_reads_the_same_of_converted_models(model_folder: ModelFolder) -> None:
    folders = {name: model_folder(name) for name in CONVERTED}
    assert by_transformers(folders) == {
        name: by_us(folder, name) for name, folder in folders.items()
    }


def test_transformers_makes_a_seven_b_llama_of_an_original(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    """Why raw keys are read: `model_type: llava` without `text_config` gets Llama's defaults."""
    config = json.loads((model_folder(TRAP) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "llava"}))
    assert by_transformers({TRAP: tmp_path})[TRAP]["text"][:2] == [32, 4096]
    assert by_us(tmp_path, TRAP)["text"][:2] == [80, 8192]
