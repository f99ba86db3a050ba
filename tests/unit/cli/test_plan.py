from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from videollm_operator.catalog.loader import builtin
from videollm_operator.cli.main import cli
from videollm_operator.cli.spec_options import SPEC_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = Path(__file__).resolve().parents[3] / "manifests" / "samples"
BIG = "lmms-lab/LLaVA-Video-72B-Qwen2"
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
"""Ten levels of nine aliases: 3.5 milliard values in 400 characters."""


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin)


def plan(*arguments: str) -> dict[str, Any]:
    result = run("plan", "-o", "json", *arguments)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize(
    ("sku", "quantization", "first", "fewest"),
    [
        ("L40", (), 4, 4),
        ("A100-40GB", (), 8, 5),
        ("A100-80GB", (), 4, 3),
        ("H100-80GB", (), 4, 3),
        ("L40", ("INT8", 29696), 4, 3),
        ("A100-40GB", ("INT8", 29696), 4, 3),
        ("A100-80GB", ("INT8", 29696), 2, 2),
        ("H100-80GB", ("INT8", 29696), 2, 2),
        ("L40", ("INT4", 29696), 2, 2),
        ("A100-40GB", ("INT4", 29696), 2, 2),
        ("A100-80GB", ("INT4", 29696), 1, 1),
        ("H100-80GB", ("INT4", 29696), 1, 1),
        ("L40", ("INT4", 0), 2, 2),
        ("A100-40GB", ("INT4", 0), 2, 2),
        ("A100-80GB", ("INT4", 0), 1, 1),
        ("H100-80GB", ("INT4", 0), 1, 1),
    ],
)
def test_the_72b_takes_as_many_gpus_as_it_must(
    sku: str, quantization: tuple[str, int] | tuple[()], first: int, fewest: int
) -> None:
    flags: list[str] = []
    if quantization:
        form, width = quantization
        flags = ["--quantization", form]
        flags += ["--intermediate-size", str(width)] if width else []
    for strategy, gpus in (("TensorFirst", first), ("FewestGPUs", fewest)):
        found = plan("--model", BIG, "--gpu", sku, "--strategy", strategy, *flags)
        assert found["sizing"]["gpusPerReplica"] == gpus, strategy
        assert found["sizing"]["minimumGPUs"] == fewest
        if quantization == ("INT4", 0) and gpus == 2:
            assert found["sizing"]["pipelineParallelSize"] == 2


def test_the_rule_of_thumb_stands_beside_the_plan() -> None:
    for sku, gpus in {"L40": 4, "A100-40GB": 5, "A100-80GB": 3, "H100-80GB": 3}.items():
        rule = plan("--model", BIG, "--gpu", sku)["sizing"]["ruleOfThumb"]
        assert (rule["weightsGB"], rule["totalGB"], rule["gpus"]) == (144, 180, gpus)


def test_a_plan_of_the_original_says_that_nothing_runs_it_yet() -> None:
    found = plan("--model", BIG, "--gpu", "L40")
    assert found["fits"]
    assert not found["runnable"]
    assert found["problems"][0]["reason"] == "EngineUnsupported"
    assert found["engine"]["args"] == []


def test_people_read_the_verdict_first_in_eighty_columns_without_colour() -> None:
    result = run("plan", "--model", SMALL, "--gpu", "L4", "--frames", "16")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"Fits: {SMALL} on 1 x L4 (TP1)"
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert "\x1b" not in result.stdout
    for word in ("weights", "KV cache", "Rule of thumb", "--max-model-len="):
        assert word in result.stdout


def test_the_other_direction_is_answered_for_the_same_gpus() -> None:
    found = plan("--model", BIG, "--gpu", "L40")["capacity"]
    assert found["gpus"] == 4
    assert found["framesPerVideo"] == {"most": 146, "limitedBy": "Window"}
    assert found["maxModelLen"] == {"most": 32768, "limitedBy": "Window"}
    requests = found["concurrentRequests"]
    assert requests["limitedBy"] == "Memory"
    fixed = ("--model", BIG, "--gpu", "L40", "--gpus-per-replica", "4", "--concurrent-requests")
    assert plan(*fixed, str(requests["most"]))["fits"]
    assert not plan(*fixed, str(requests["most"] + 1))["fits"]
    shown = run("plan", "--model", BIG, "--gpu", "L40").stdout
    assert "each alone: up to 146 frames per video (context window)" in " ".join(shown.split())


def test_a_fixed_count_that_is_too_small_says_what_it_holds() -> None:
    found = plan("--model", BIG, "--gpu", "A100-80GB", "--gpus-per-replica", "2")
    assert not found["fits"]
    assert found["capacity"]["gpus"] == 2
    assert 0 < found["capacity"]["framesPerVideo"]["most"] < 64
    assert found["capacity"]["framesPerVideo"]["limitedBy"] == "Memory"
    named = ("--strategy", "Manual", "--tensor", "2")
    manual = plan("--model", BIG, "--gpu", "L40", *named)
    assert manual["capacity"]["framesPerVideo"] == {"most": 0, "limitedBy": "Memory"}
    assert "capacity" not in plan("--model", BIG, "--gpu", "T4")


def test_a_layout_over_several_nodes_is_planned_and_marked() -> None:
    found = plan("--model", BIG, "--gpu", "T4", "--replicas", "3")
    assert found["fits"] is False
    several = found["severalNodes"]
    sizing = several.pop("sizing")
    assert several == {
        "gpus": 16,
        "tensor": 8,
        "pipeline": 2,
        "nodes": 2,
        "rendered": False,
        "verdict": "Fits",
        "gpuMemoryUtilization": several["gpuMemoryUtilization"],
    }
    assert 0 < several["gpuMemoryUtilization"] < 0.92
    memory = sizing["memoryPerGPU"]
    assert sum(term["mib"] for term in sizing["terms"]) + memory["headroom"] == memory["budget"]
    assert memory["headroom"] >= sizing["margin"] > 0
    assert {"basis", "boundMiB", "why"} < set(sizing["terms"][0])
    assert (sizing["gpusPerReplica"], sizing["totalGPUs"]) == (16, 48)
    assert set(sizing) == set(plan("--model", BIG, "--gpu", "L40")["sizing"])
    fixed = plan("--model", BIG, "--gpu", "T4", "--gpus-per-replica", "9")
    assert fixed["problems"][0]["reason"] == "NeedsSeveralNodes"
    assert "severalNodes" not in fixed
    assert "severalNodes" not in plan("--model", BIG, "--gpu", "T4", "--gpus-per-replica", "8")


def test_people_see_the_memory_of_a_layout_over_several_nodes_in_eighty_columns() -> None:
    result = run("plan", "--model", BIG, "--gpu", "T4")
    lines = result.stdout.splitlines()
    assert result.exit_code == 3
    assert lines[0] == f"Does not fit: {BIG} on T4"
    place = lines.index("Would fit on 2 nodes with 8 x T4 each (TP8 x PP2)")
    assert lines[place + 1] == "  planned only: replicas over several nodes are not built yet"
    below = lines[place:]
    assert "Memory of the fullest GPU" in below
    for words in ("weights", "KV cache of the workload", "budget of the engine", "full-length"):
        assert any(words in line for line in below)
    assert sum(line.endswith(", decides") for line in below) == 1
    assert len(below) < 24
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in result.stdout


def test_a_named_layout_over_several_nodes_may_be_tight(tmp_path: Path) -> None:
    path = tmp_path / "small-nodes.yaml"
    gpu = builtin().gpus["A100-80GB"].model_dump(mode="json", by_alias=True, exclude_none=True)
    path.write_text(yaml.safe_dump({"gpus": [{**gpu, "gpusPerNode": 1}]}))
    asked = ("--model", BIG, "--gpu", "A100-80GB", "--catalog", str(path))
    named = (*asked, "--strategy", "Manual", "--tensor", "1", "--pipeline", "2")
    assert plan(*named)["severalNodes"]["verdict"] == "Tight"
    assert "\nWould be tight on 2 nodes with 1 x A100-80GB each" in run("plan", *named).stdout


def test_techniques_are_listed_when_asked_for() -> None:
    result = run("plan", "--model", SMALL, "--gpu", "L40", "--techniques")
    assert result.exit_code == 0
    assert "Ways to need less memory" in result.stdout


def test_what_does_not_fit_ends_with_three_and_says_what_to_change() -> None:
    result = run("plan", "--model", BIG, "--gpu", "T4")
    assert result.exit_code == 3
    assert result.stdout.startswith(f"Does not fit: {BIG} on T4")
    found = plan("--model", BIG, "--gpu", "T4")
    assert not found["fits"]
    assert found["problems"][0]["field"].startswith("spec.")


@pytest.mark.parametrize(
    ("arguments", "verdict", "code"),
    [
        (("--model", SMALL, "--gpu", "L5"), "Refused", 2),
        (("--model", "no/such", "--gpu", "L4"), "Refused", 2),
        (
            ("--model", SMALL, "--gpu", "L4", "--engine=VLLM", "--engine-version=9.9.9"),
            "Fits",
            0,
        ),
        (("--model", SMALL, "--gpu", "L4", "--engine", "TGI"), "Cannot be served", 3),
        (("--model", BIG, "--gpu", "T4", "--dtype", "BFloat16"), "Cannot be served", 3),
        (("--model", "llava-hf/LLaVA-NeXT-Video-7B-hf", "--gpu", "L40"), "Does not fit", 3),
    ],
)
def test_a_wrong_name_is_told_apart_from_what_does_not_fit(
    arguments: Sequence[str], verdict: str, code: int
) -> None:
    result = run("plan", *arguments)
    assert result.stdout.startswith(f"{verdict}: ")
    assert result.exit_code == code


def test_yaml_and_json_say_the_same() -> None:
    flags = ("--model", SMALL, "--gpu", "L40")
    text = run("plan", "-o", "yaml", *flags).stdout
    assert yaml.safe_load(text) == plan(*flags)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gpu", "L40"), "name a model and a GPU"),
        (("-f", "nowhere.yaml"), "cannot read 'nowhere.yaml': No such file"),
        (("-f", str(SAMPLES / "impossible.yaml"), "--gpu", "L40"), "remove --gpu"),
        (("--model", SMALL, "--gpu", "L40", "--frames", "0"), "spec.workload.framesPerVideo"),
        (("--model", SMALL, "--gpu", "L40", "--tensor", "2"), "strategy: Manual"),
        (("--model", SMALL, "--gpu", "L40", "--catalog", "nowhere.yaml"), "cannot read"),
    ],
)
def test_bad_input_ends_with_two_and_a_sentence(arguments: Sequence[str], words: str) -> None:
    result = run("plan", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "but it is empty"),
        ("a: [", "line 2: not YAML"),
        ("kind: Pod", "found Pod"),
        ("kind: VideoLLMDeployment", "metadata"),
        ("kind: VideoLLMDeployment\nmetadata: {name: a}\nspec: 3", "spec"),
        ("[1, 2]", "found a list"),
        ("x", "found text"),
        ("a: 1", "found an object without `kind`"),
        ("\x00", "line 1: not YAML"),
        ("spec: &a {model: *a}", "an alias contains itself"),
        ("[" * 5000 + "]" * 5000, "nesting depth"),
        ("replicas: " + "9" * 5000, "cannot be read as"),
        ("name: 0x_", "cannot be read as"),
        ("kind: VideoLLMDeployment\nspec: {model: {name: a, name: b}}", "`name` stands twice"),
        (BOMB, "fewer aliases"),
    ],
)
def test_a_file_that_is_no_deployment_is_named_as_what_it_is(text: str, words: str) -> None:
    result = run("plan", "-f", "-", stdin=text)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    result = run("plan", "-f", str(path))
    assert result.exit_code == 2
    assert "cannot read" in result.stderr


def test_of_several_objects_the_worst_decides_the_exit_code() -> None:
    files = [
        (SAMPLES / name).read_text() for name in ("llava-video-72b-l40.yaml", "impossible.yaml")
    ]
    result = run("plan", "-f", "-", "-o", "json", stdin="\n---\n".join(files))
    assert result.exit_code == 3
    assert [answer["fits"] for answer in json.loads(result.stdout)] == [True, False]


def test_an_object_that_the_operator_would_refuse_does_not_pass_a_pipeline() -> None:
    original = {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": "a"},
        "spec": {"model": {"name": BIG}, "gpu": {"sku": "A100-80GB"}},
    }
    asked = run("plan", "-f", "-", "-o", "json", stdin=json.dumps(original))
    assert asked.exit_code == 3
    assert not json.loads(asked.stdout)["runnable"]
    assert run("render", "-f", "-", stdin=json.dumps(original)).exit_code == 3
    assert run("plan", "--model", BIG, "--gpu", "A100-80GB").exit_code == 0  # a mere question


def test_what_kubectl_get_prints_can_be_planned() -> None:
    (sample, *_) = yaml.safe_load_all((SAMPLES / "llava-video-72b-l40.yaml").read_text())
    listed = {"apiVersion": "v1", "kind": "List", "items": [sample, {"kind": "Service"}]}
    result = run("plan", "-f", "-", "-o", "json", stdin=yaml.safe_dump(listed))
    assert result.exit_code == 0
    assert json.loads(result.stdout)["sizing"]["gpusPerReplica"] == 4


def test_techniques_are_shown_where_nothing_fits() -> None:
    result = run("plan", "--model", BIG, "--gpu", "T4", "--techniques")
    assert result.exit_code == 3
    assert "INT4: " in result.stdout
    refused = run("plan", "--model", "no/such", "--gpu", "L4", "--techniques")
    assert "none helps before the refusal" in refused.stdout


def test_lines_are_not_filled_with_blanks() -> None:
    lines = run("plan", "--model", SMALL, "--gpu", "L40").stdout.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []


def test_a_sku_that_is_cut_short_leads_to_all_of_its_kind() -> None:
    message = plan("--model", SMALL, "--gpu", "A100")["problems"][0]["message"]
    assert "'A100-40GB' or 'A100-80GB'" in message or "'A100-40GB', 'A100-80GB'" in message


def test_the_way_out_is_one_that_is_not_refused_too() -> None:
    (problem,) = plan("--model", BIG, "--gpu", "A100-80GB", "--engine", "TGI")["problems"]
    assert "SGLang" in problem["message"]
    answer = plan("--model", BIG, "--gpu", "A100-80GB", "--engine", "SGLang")
    assert answer["runnable"]


def test_a_catalogue_model_is_not_planned_as_another_one() -> None:
    result = run("plan", "--model", SMALL, "--base", BIG, "--gpu", "A100-80GB")
    assert result.exit_code == 2
    assert "remove `base`" in result.stdout


@pytest.mark.parametrize("model", ["llava-1.5-7b-hf", "llava-v1.6-34b-hf"])
def test_the_remedy_for_an_image_model_works(model: str) -> None:
    name = f"llava-hf/{model}"
    (problem,) = plan("--model", name, "--gpu", "A100-80GB")["problems"]
    assert "videos" not in problem["message"]
    flags = ["--frames", "1"]
    room = re.search(r"`maxOutputTokens` to (\d+)", problem["message"])
    if room:
        flags += ["--prompt-tokens", "64", "--max-output-tokens", str(int(room[1]) - 64)]
    assert plan("--model", name, "--gpu", "A100-80GB", *flags)["fits"]


def test_every_option_sets_its_field() -> None:
    from videollm_operator.cli.inputs import object_with

    obj = object_with({option.path: "x" for option in SPEC_OPTIONS})
    for option in SPEC_OPTIONS:
        place: Any = obj["spec"]
        for key in option.path.split("."):
            place = place[key]
        assert place == "x"


def test_a_plan_imports_neither_kopf_nor_a_cluster_client() -> None:
    code = (
        "import sys\n"
        "from videollm_operator.cli.main import cli\n"
        f"cli(['plan', '--model', '{SMALL}', '--gpu', 'L40', '-o', 'json'])\n"
    )
    wrapped = (
        f"try:\n    exec({code!r})\nexcept SystemExit:\n    pass\n"
        "import sys\n"
        "print('LOADED', sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", wrapped], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split("LOADED")[1]
    heavies = ("kopf", "kubernetes", "aiohttp", "prometheus_client", "rich", "jinja2")
    for heavy in (*heavies, "matplotlib", "numpy"):
        assert f"'{heavy}'" not in loaded
