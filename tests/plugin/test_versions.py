"""What can be seen without computing: tokenizers of the engine, and the other vLLM version."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.plugin.tiny import SPECIAL, write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serving_env import Serving

pytestmark = pytest.mark.engines
_COUNTS = """
import sys
from vllm.plugins import load_general_plugins
load_general_plugins()
import vllm
assert vllm.__version__.startswith(sys.argv[2]), vllm.__version__
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal import MULTIMODAL_REGISTRY
config = EngineArgs(model=sys.argv[1], enforce_eager=True).create_engine_config()
info = MULTIMODAL_REGISTRY.create_processor(config.model_config).info
print([info.get_num_video_tokens(image_width=9, image_height=9, num_frames=n) for n in (1, 64)])
print(info.get_num_image_tokens(image_width=140, image_height=140))
print(info.get_num_frames_with_most_features(4096, {"video": 1}))
"""


@pytest.mark.parametrize("version", ["0.32.0", "0.33.0"])
def test_each_version_counts_by_the_plugin(engine: Serving, prepared: Path, version: str) -> None:
    """Its own Python code, without its compiled part: the class is imported and asked."""
    done = engine.run("-c", _COUNTS, prepared, version, python_only=version)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.strip().splitlines()[-3:]
    assert lines == ["[12, 768]", str(25 + 7 * 8), "64"]


def test_a_qwen2_tokenizer_without_tokenizer_json(engine: Serving, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "checkpoint")
    tokens = json.loads((source / "tokenizer.json").read_text())["model"]["vocab"]
    letters = {content: number for content, number in tokens.items() if content not in SPECIAL}
    (source / "tokenizer.json").unlink()
    (source / "vocab.json").write_text(json.dumps(letters))
    (source / "merges.txt").write_text("#version: 0.2\n")
    added = {
        str(number): {"content": content, "special": True} for content, number in SPECIAL.items()
    }
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "added_tokens_decoder": added,
    }
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    target = tmp_path / "model"
    done = engine.run("-m", "videollm_vllm.prepare", source, target)
    assert done.returncode == 0, done.stderr[-2000:]
    done = engine.run(
        "-c",
        "import sys\n"
        "from transformers import AutoTokenizer\n"
        "made = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "print(made('<|im_start|>a\\n<video>\\nb<image>').input_ids)\n",
        target,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line_break, a, b = (letters[letter] for letter in ("\u010a", "a", "b"))
    ids = [257, a, line_break, 260, line_break, b, 259]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == ids
