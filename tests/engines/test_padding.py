"""The program of docs/howto/quantized.md that pads a checkpoint changes no answer of its MLPs."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from hack import markdown
from hack.markdown import ROOT
from tests.engines.client import install
from tests.unit.checkpoints import tiny
from videollm_operator.cli.checkpoint import described

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engines

PAGE = ROOT / "docs" / "howto" / "quantized.md"
WIDTH = 320

WRITE = """
import json, sys, torch
from safetensors.torch import save_file
torch.manual_seed(0)
shapes = json.load(sys.stdin)
tensors = {name: torch.randn(shape, dtype=torch.float32).half() for name, shape in shapes.items()}
save_file(tensors, sys.argv[1], {"format": "pt"})
"""

COMPARE = """
import json, sys, torch
from safetensors import safe_open
def answers(path):
    with safe_open(path, framework="pt") as opened:
        names = [name for name in opened.keys() if name.endswith("gate_proj.weight")]
        found = []
        for name in names:
            gate, up, down = (
                opened.get_tensor(name.replace("gate", kind)).double()
                for kind in ("gate", "up", "down")
            )
            x = torch.linspace(-1, 1, gate.shape[1], dtype=torch.float64)
            found.append(down @ (torch.nn.functional.silu(gate @ x) * (up @ x)))
        others = {
            name: opened.get_tensor(name) for name in opened.keys() if ".mlp." not in name
        }
        return found, others, opened.metadata()
(before, rest, metadata), (after, same, kept) = answers(sys.argv[1]), answers(sys.argv[2])
close = all(torch.allclose(one, two, rtol=1e-5) for one, two in zip(before, after, strict=True))
equal = rest.keys() == same.keys() and all(torch.equal(rest[n], same[n]) for n in rest)
print("FOUND", json.dumps([len(before), close, equal, metadata == kept]))
"""


def run(code: str, *arguments: str, data: Any = None) -> str:
    """What a program prints in the engines' environment, which has torch and safetensors."""
    python = install() / "venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", code, *arguments],
        input=json.dumps(data),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_padded_checkpoint_answers_as_before(tmp_path: Path) -> None:
    source, target = tmp_path / "tiny", tmp_path / "padded"
    source.mkdir()
    (source / "config.json").write_bytes(tiny.json_of(tiny.config()))
    shapes = {each.name: list(each.shape) for each in tiny.tensors()}
    weights = "model-00001-of-00001.safetensors"
    run(WRITE, str(source / weights), data=shapes)
    (program,) = (
        block.text for block in markdown.blocks(PAGE) if "pad_mlp.py SOURCE" in block.text
    )
    run(program, str(source), str(target), str(WIDTH))
    found = run(COMPARE, str(source / weights), str(target / weights))
    assert json.loads(found.partition("FOUND")[2]) == [2, True, True, True]
    padded = described(str(target), "padded")
    assert padded.entry.architecture.text.intermediate_size == WIDTH
    assert padded.warnings == ()
