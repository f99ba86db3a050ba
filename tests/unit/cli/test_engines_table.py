from __future__ import annotations

import json

from click.testing import CliRunner

from videollm_operator.cli.main import cli

ORIGINAL = "lmms-lab/LLaVA-Video-7B-Qwen2"
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"


def run(*arguments: str) -> str:
    return CliRunner().invoke(cli, ["plan", "--gpu", "L40S", *arguments, "--engines"]).stdout


def test_every_engine_version_answers() -> None:
    rows = json.loads(run("--model", SMALL, "-o", "json"))["engines"]
    said = {(row["type"], row["version"]): (row["answer"], row["reason"]) for row in rows}
    assert said == {
        ("VLLM", "0.32.0"): ("yes", ""),
        ("VLLM", "0.33.0"): ("yes", ""),
        ("SGLang", "0.5.23"): ("no", "EngineUnsupported"),
        ("TGI", "3.3.7"): ("no", "EngineUnsupported"),
    }
    assert rows[0]["layout"] == "TP1"
    assert "no class of its own" in rows[2]["message"]


def test_answers_stand_below_the_plan() -> None:
    below = run("--model", SMALL).partition("\nEngines\n")[2]
    assert below.startswith("VLLM 0.32.0: yes TP1\nVLLM 0.33.0: yes TP1\nSGLang 0.5.23: no\n  ")


def test_they_stand_below_a_refusal_too() -> None:
    printed = run("--model", SMALL, "--engine", "TGI")
    assert printed.startswith("Cannot be served")
    assert "VLLM 0.32.0: yes" in printed


def test_another_engine_is_asked_without_the_arguments_of_this_one() -> None:
    text = f"""
apiVersion: videollm.io/v1alpha1
kind: VideoLLMDeployment
metadata: {{name: a}}
spec:
  model: {{name: {ORIGINAL}}}
  gpu: {{sku: L40S}}
  workload: {{framesPerVideo: 32}}
  engine: {{type: VLLM, extraArgs: [--enforce-eager]}}
"""
    arguments = ["plan", "-f", "-", "--engines", "-o", "json"]
    found = json.loads(CliRunner().invoke(cli, arguments, input=text).stdout)
    said = {row["type"]: row["answer"] for row in found["engines"]}
    assert said["SGLang"] == "yes"


def test_a_comparison_has_no_such_list() -> None:
    result = CliRunner().invoke(cli, ["plan", "--model", SMALL, "--compare", "--engines"])
    assert result.exit_code == 2
    assert "--engines is for one model on one GPU" in result.stderr
