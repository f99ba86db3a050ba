"""`videollm models describe`, and `videollm plan --model` with a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import config as real
from tests.unit.checkpoints.test_quantized import SAID
from tests.unit.checkpoints.test_real_models import known, plain, tensors_of
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.catalog.loader import builtin, extended
from videollm_operator.checkpoints.describe import describe
from videollm_operator.cli import inputs
from videollm_operator.cli.checkpoint import own_name
from videollm_operator.cli.description import spec_fields
from videollm_operator.cli.main import cli
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from pathlib import Path

LARGE = "lmms-lab/LLaVA-Video-72B-Qwen2"
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def write(folder: Path, name: str, scheme: str = "", skip: str = "") -> str:
    """A catalogue model's folder, quantized if asked; gives its path."""
    listed = tensors_of(name)
    changes: dict[str, Any] = {}
    if scheme:
        listed = generator.quantized(listed, scheme, skip=skip)
        changes["quantization_config"] = SAID[scheme]
    generator.write(folder, real(name, **changes), listed)
    return str(folder)


@pytest.fixture
def large(tmp_path: Path) -> str:
    return write(tmp_path / "LLaVA-Video-72B-Qwen2", LARGE)


# ---------------------------------------------------------------- describe


def test_people_see_each_number_with_its_source(large: str) -> None:
    result = run("models", "describe", large)
    assert result.exit_code == 0
    assert result.stderr == ""
    rows = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line}
    assert rows["text.layers"] == ["80", "headers:", "decoder", "layers"]
    assert rows["text.maxPositionEmbeddings"][:2] == ["32768", "config.json:"]
    assert rows["vision.attentionHeads"] == ["16", "tower's", "name:", "mm_vision_tower"]
    assert rows["all"] == ["73180522016", "136.309", "146361044032", "bytes"]
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_without_weights_it_says_that_counts_are_computed(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(real(LARGE)))
    result = run("models", "describe", str(tmp_path), "--name", "my-org/copy-72B")
    assert result.exit_code == 0
    assert result.stdout.startswith("my-org/copy-72B: LLaVA-Video (LlavaQwenForCausalLM), 73.18B")
    assert "No safetensors headers were read" in result.stdout


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_an_entry_is_ready_for_the_catalogue(large: str, form: str) -> None:
    result = run("models", "describe", large, "--name", "my-org/copy", "-o", form)
    catalog = extended(builtin(), result.stdout, "described")
    assert catalog.problems == ()
    entry = catalog.models["my-org/copy"]
    assert entry.architecture == known(LARGE).architecture
    assert entry.source == "Its own config.json and safetensors headers."


def test_fields_are_ready_for_an_object(tmp_path: Path) -> None:
    folder = write(tmp_path / "awq", SMALL, "AWQ")
    result = run("models", "describe", folder, "--as", "architecture", "-o", "yaml")
    spec = yaml.safe_load(result.stdout)["spec"]
    assert spec["quantization"] == {
        "format": "INT4",
        "method": "AWQ",
        "groupSize": 128,
        "visionTower": "Unquantized",
    }
    document = {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": "awq"},
        "spec": {**spec, "gpu": {"sku": "L4"}, "workload": {"framesPerVideo": 32}},
    }
    path = tmp_path / "object.yaml"
    path.write_text(yaml.safe_dump(document))
    planned = run("plan", "-f", str(path), "-o", "json")
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["fits"]


def test_an_entry_does_not_say_that_files_are_quantized(tmp_path: Path) -> None:
    folder = write(tmp_path / "awq", SMALL, "AWQ")
    result = run("models", "describe", folder, "-o", "yaml")
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: an entry of the catalogue does not say that its files are quantized, so plans "
        "count them in 16 bit: use --as architecture, which says so.\n"
    )
    assert extended(builtin(), result.stdout, "described").models["awq"].architecture == (
        known(SMALL).architecture
    )


def test_a_report_has_every_tensor(tmp_path: Path) -> None:
    folder = write(tmp_path / "fp8", SMALL, "FP8", skip="v_proj")
    result = run("models", "describe", folder, "--as", "report", "-o", "json")
    report = json.loads(result.stdout)
    assert "Warning: 0.8% of the decoder's weights are in 16 or 32 bit" in result.stderr
    assert result.stderr.count("\n") == len(report["warnings"]) == 3
    assert report["bytes"] == sum(tensor["bytes"] for tensor in report["tensors"])
    assert report["bytes"] == sum(part["bytes"] for part in report["parts"].values())
    assert set(report["parts"]["layers"]["bytesByFormat"]) == {"F8_E4M3", "F16", "F32"}
    layers = next(f for f in report["facts"] if f["path"] == "architecture.parameters.layers")
    assert layers["source"] == "headers"
    assert layers["value"] == report["parts"]["layers"]["parameters"]
    assert report["entry"]["dtype"] == "Float16"


def test_people_see_warnings_above_the_table(tmp_path: Path) -> None:
    folder = write(tmp_path / "fp8", SMALL, "FP8", skip="v_proj")
    result = run("models", "describe", folder)
    assert result.stdout.splitlines()[1].startswith("  Warning: of q_proj, k_proj, v_proj in")
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("hub/models--my-org--my-model/snapshots/0123abc", "my-org/my-model"),
        ("models/LLaVA-Video-7B-Qwen2", "LLaVA-Video-7B-Qwen2"),
        ("models/_my model!", "mymodel"),
        ("models/___", "model"),
    ],
)
def test_a_folder_has_a_name(tmp_path: Path, path: str, name: str) -> None:
    folder = tmp_path / path
    folder.mkdir(parents=True)
    assert own_name(str(folder)) == name
    assert own_name(f"{folder}/") == name


# ---------------------------------------------------------------- plan


def plan(*arguments: str) -> dict[str, Any]:
    result = run("plan", "-o", "json", *arguments)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_folder_is_planned_like_the_catalogues_model(large: str) -> None:
    own = plan("--model", large, "--gpu", "A100-80GB")
    known_by_name = plan("--model", LARGE, "--gpu", "A100-80GB")
    assert own["model"] == "LLaVA-Video-72B-Qwen2"
    assert own["sizing"]["memoryPerGPU"] == known_by_name["sizing"]["memoryPerGPU"]
    assert own["sizing"]["ruleOfThumb"] == known_by_name["sizing"]["ruleOfThumb"]


def test_it_says_where_the_numbers_are_from(large: str, tmp_path: Path) -> None:
    result = run("plan", "--model", large, "--gpu", "A100-80GB")
    assert result.stderr == (
        "Note: the numbers of 'LLaVA-Video-72B-Qwen2' are from its safetensors headers and "
        "config.json.\n"
    )
    (tmp_path / "config.json").write_text(json.dumps(real(LARGE)))
    result = run("plan", "--model", str(tmp_path), "--gpu", "A100-80GB")
    assert result.stderr.endswith(" are from its config.json alone.\n")


def test_a_quantized_folder_is_planned_as_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "awq", SMALL, "AWQ")
    own = plan("--model", folder, "--gpu", "L4", "--frames", "32")
    like = ("--model", "my-org/awq", "--base", SMALL, "--gpu", "L4", "--frames", "32")
    named = plan(*like, "--quantization", "INT4", "--quantization-method", "AWQ")
    assert own["sizing"]["memoryPerGPU"] == named["sizing"]["memoryPerGPU"]
    assert own["runnable"]


def test_options_beat_what_the_files_say(tmp_path: Path) -> None:
    folder = write(tmp_path / "awq", SMALL, "AWQ")
    fewer = plan("--model", folder, "--gpu", "L4", "--frames", "32")
    more = plan(
        *("--model", folder, "--gpu", "L4", "--frames", "32"),
        *("--quantization", "INT8", "--quantization-method", "GPTQ"),
    )
    weights = [found["sizing"]["memoryPerGPU"]["weights"] for found in (fewer, more)]
    assert weights[1] > weights[0] + 2000


def test_a_bfloat16_folder_keeps_its_format(tmp_path: Path) -> None:
    """On a card without BFloat16 the engine takes Float16, which an explicit dtype would forbid."""
    name = "lmms-lab/LLaVA-Video-7B-Qwen2"
    folder = write(tmp_path / "w8a16", name, "INT8")
    found = plan("--model", folder, "--gpu", "T4", "--frames", "8", "--engine", "SGLang")
    assert "dtype" not in json.dumps(found["problems"])


@pytest.mark.parametrize("scheme", ["FP8", "FP8-block", "GPTQ"])
def test_a_half_quantized_folder_is_planned_as_what_it_is(tmp_path: Path, scheme: str) -> None:
    folder = write(tmp_path / "mixed", SMALL, scheme, skip="down_proj")
    mixed, whole, plain = (
        plan("--model", each, "--gpu", "L4", "--frames", "32")["sizing"]["memoryPerGPU"]["weights"]
        for each in (folder, write(tmp_path / "all", SMALL, scheme), SMALL)
    )
    assert whole < mixed < plain
    shown = run("models", "describe", folder, "--as", "architecture", "-o", "json")
    quantization = json.loads(shown.stdout)["spec"]["quantization"]
    assert quantization["unquantizedProjections"] == ["DownProj"]
    assert "unquantizedLayers" not in quantization


@pytest.mark.parametrize("name", [SMALL, "llava-hf/llava-onevision-qwen2-72b-ov-hf"])
@pytest.mark.parametrize("scheme", ["GPTQ", "AWQ", "packed", "FP8", "FP8-block", "INT8"])
@pytest.mark.parametrize("skip", ["", "down_proj", "self_attn", "layers.0."])
def test_the_planner_counts_what_the_files_hold(name: str, scheme: str, skip: str) -> None:
    """Formula against headers: scales, zero points and what stays in 16 bit included."""
    raw = tiny.json_of(real(name, quantization_config=SAID[scheme]))
    listed = list(generator.quantized(tensors_of(name), scheme, skip=skip))
    found = describe("my-org/copy", raw, listed)
    spec = {**spec_fields(found), "gpu": {"sku": "H200-141GB"}, "workload": {"framesPerVideo": 8}}
    document = {**inputs.object_with({}), "spec": spec}
    planned = plan_deployment(VideoLLMDeployment.from_object(document).spec, builtin())
    weights = planned.plan.weights_mib * 2**20
    assert -0.001 < (weights - found.bytes) / found.bytes < 0.007


def test_a_name_without_a_slash_is_never_asked_for() -> None:
    """A mistyped name is not sent anywhere."""
    result = run("plan", "--model", "LLaVA-Video-72B", "--gpu", "L4")
    assert result.exit_code == 2
    assert result.stderr == ""
    assert "which the catalogue does not have" in result.stdout


def test_with_a_base_nothing_is_read(large: str) -> None:
    result = run("plan", "--model", "my-org/copy", "--base", LARGE, "--gpu", "A100-80GB")
    assert result.exit_code == 0
    assert result.stderr == ""


LOADED = """
import sys
from videollm_operator.cli.main import cli
from videollm_operator.engines.deployment import plan_deployment
try:
    cli({!r})
except SystemExit:
    pass
print("LOADED", sorted(sys.modules))
"""


@pytest.mark.parametrize(
    ("arguments", "readers"),
    [
        (["plan", "--model", SMALL, "--gpu", "L40", "-o", "json"], False),
        (["plan", "--model", "{folder}", "--gpu", "L40", "-o", "json"], True),
        (["models", "describe", "{folder}", "-o", "yaml"], True),
        (["models", "-o", "json"], False),
    ],
)
def test_the_hubs_library_is_imported_for_the_hub_only(
    arguments: list[str], readers: bool, tmp_path: Path
) -> None:
    tiny.write(tmp_path)
    given = [each.replace("{folder}", str(tmp_path)) for each in arguments]
    command = [sys.executable, "-c", LOADED.format(given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = done.stdout.split("LOADED")[1]
    for module in ("huggingface_hub", "httpx2", "requests", "torch", "transformers"):
        assert f"'{module}'" not in loaded
    assert ("'videollm_operator.checkpoints.describe'" in loaded) is readers


def test_a_description_of_a_tiny_model_is_the_same_from_both_forms(tmp_path: Path) -> None:
    tiny.write(tmp_path / "tiny")
    text = run("models", "describe", str(tmp_path / "tiny"), "-o", "yaml").stdout
    entry = extended(builtin(), text, "described").models["tiny"]
    assert plain(entry).architecture.parameters.total == entry.nominal_parameters


def test_folders_are_compared_with_the_catalogues_models(tmp_path: Path) -> None:
    awq = write(tmp_path / "awq-7b", SMALL, "AWQ")
    result = run("plan", "--compare", "--model", f"{awq},{SMALL}", "--gpu", "L4", "-o", "json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    own, named = ([row for row in rows if row["model"] == name] for name in ("awq-7b", SMALL))
    assert own
    assert [{**row, "model": ""} for row in own] == [{**row, "model": ""} for row in named]


def test_a_model_that_cannot_be_read_is_compared_as_unknown() -> None:
    result = run("plan", "--compare", "--model", "nobody-knows", "--gpu", "L4")
    assert result.exit_code == 2
    assert "which the catalogue does not have" in result.stderr
