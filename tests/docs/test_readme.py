"""What README tells a stranger to type is there, and answers as it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hack import markdown
from hack.markdown import ROOT, Block
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import validate
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment

README = ROOT / "README.md"
BLOCKS = markdown.blocks(README)
FILES = [block for block in BLOCKS if block.language == "yaml"]
COMMANDS = [
    pytest.param(block, step, id=step.command.split("\n")[0][:60])
    for block in BLOCKS
    for step in block.steps
    if step.command.startswith("videollm ")
]


def test_the_first_two_commands_are_demo_and_test() -> None:
    commands = [step.command for block in BLOCKS if block.language == "sh" for step in block.steps]
    assert commands[:2] == ["make demo", "make test"]


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    named = set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, re.MULTILINE))
    assert named
    assert named <= targets


def test_videollm_commands_are_found() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize(("block", "step"), COMMANDS)
def test_a_command_answers_as_shown(block: Block, step: markdown.Step) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", step.command],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == int(block.mark("exit") or 0), done.stderr
    printed = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
    lines = (".*" if line == "..." else re.escape(line) for line in step.output)
    if step.output:
        assert re.fullmatch("\n".join(lines).strip(), printed, re.DOTALL), printed


@pytest.mark.parametrize("block", FILES, ids=lambda block: block.where)
def test_objects_are_valid_and_can_be_served(block: Block) -> None:
    for document in yaml.safe_load_all(block.text):
        assert validate(document) == []
        namespaced = {**document, "metadata": {"namespace": "default", **document["metadata"]}}
        deployment = VideoLLMDeployment.from_object(namespaced)
        assert plan_deployment(deployment.spec, builtin()).not_runnable is None


def test_the_samples_that_it_names_exist() -> None:
    named = set(re.findall(r"manifests/[\w./-]+\.yaml", README.read_text()))
    assert named
    assert all((ROOT / path).is_file() for path in named)


def test_the_plan_in_the_demo_is_todays() -> None:
    shown = next(block for block in BLOCKS if block.mark("demo") is not None)
    begin = next(n for n, line in enumerate(shown.lines) if line.startswith("Fits: "))
    plan = " ".join(" ".join(shown.lines[begin : shown.lines.index("...")]).split())
    sample = ROOT / "manifests" / "samples" / "llava-video-72b-a100-80gb.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "videollm_operator", "plan", "-f", str(sample)],
        cwd=ROOT / "operator",
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert plan in " ".join(done.stdout.split())


def test_the_states_in_the_demo_are_reasons() -> None:
    shown = next(block for block in BLOCKS if block.mark("demo") is not None)
    rows = [line.split() for line in shown.lines if line.startswith("llava-video-72b")]
    assert [row[-1] for row in rows][-1] == Reason.SERVING
    assert {row[-1] for row in rows} <= set(Reason)
