from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from videollm_operator.api import names
from videollm_operator.cli import main as main_module
from videollm_operator.cli.main import cli

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = ROOT / "manifests" / "samples" / "llava-video-72b-a100-80gb.yaml"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin)


def test_render_gives_every_child_as_it_would_be_applied() -> None:
    result = run("render", "-f", str(SAMPLE))
    assert result.exit_code == 0
    objects = list(yaml.safe_load_all(result.stdout))
    assert [obj["kind"] for obj in objects] == [
        "ServiceAccount",
        "Service",
        "Service",
        "StatefulSet",
        "PodDisruptionBudget",
    ]
    stateful_set = objects[3]
    assert stateful_set["spec"]["replicas"] == 1
    assert names.ANNOTATION_RECORD in stateful_set["metadata"]["annotations"]
    as_list = json.loads(run("render", "-f", str(SAMPLE), "-o", "json").stdout)
    assert as_list["items"] == objects


def test_render_of_the_impossible_prints_no_manifest_and_ends_with_three() -> None:
    result = run("render", "-f", str(ROOT / "manifests" / "samples" / "impossible.yaml"))
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")


def test_the_crd_is_the_one_in_the_repository() -> None:
    result = run("crd")
    assert result.exit_code == 0
    assert result.stdout == next((ROOT / "crds").glob("*.yaml")).read_text()


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_models_gpus_and_engines_are_listed_for_programs(form: str) -> None:
    for arguments, key in (
        (["models"], "name"),
        (["gpus"], "sku"),
        (["models", "--engines"], "version"),
    ):
        result = run(*arguments, "-o", form)
        listed = yaml.safe_load(result.stdout)
        assert listed
        assert all(key in entry for entry in listed)


def test_models_gpus_and_engines_are_listed_for_people() -> None:
    assert "lmms-lab/LLaVA-Video-72B-Qwen2" in run("models").stdout
    assert "A100-80GB" in run("gpus").stdout
    assert "vllm/vllm-openai" in run("models", "--engines").stdout


def test_a_listed_model_is_an_entry_of_a_catalogue(tmp_path: Path) -> None:
    listed = yaml.safe_load(run("models", "-o", "yaml").stdout)
    entry = {**listed[0], "name": "my/own-model"}
    path = tmp_path / "catalog.yaml"
    path.write_text(yaml.safe_dump({"models": [entry]}))
    assert "my/own-model" in run("models", "--catalog", str(path)).stdout


def test_a_bad_entry_is_warned_of_and_the_rest_is_served(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("gpus:\n- sku: Mine\n")
    result = run("gpus", "--catalog", str(path))
    assert result.exit_code == 0
    assert f"Warning: {path}:2:" in result.stderr
    assert "A100-80GB" in result.stdout


def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    result = run("plam")
    assert result.exit_code == 2
    assert "Did you mean 'plan'?" in result.stderr
    assert "there are plan, render" in run("zzz").stderr


@pytest.mark.parametrize(
    "command", [[], ["plan"], ["render"], ["models"], ["gpus"], ["crd"], ["operator"]]
)
def test_every_command_explains_itself(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_the_operator_refuses_settings_that_make_no_sense() -> None:
    result = run("operator", "--workers", "0", "--no-leader-election")
    assert result.exit_code == 2
    assert "workers" in result.stderr


def test_it_is_also_a_kubectl_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-videollm", "--help"])
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 0
    assert "Usage: kubectl videollm" in capsys.readouterr().out
