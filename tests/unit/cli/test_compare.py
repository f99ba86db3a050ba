from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.catalog.loader import builtin
from videollm_operator.cli.answer import answer
from videollm_operator.cli.main import cli
from videollm_operator.cli.sweep import SHORT, cell
from videollm_operator.sizing import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLES = Path(__file__).resolve().parents[3] / "manifests" / "samples"
BIG = "lmms-lab/LLaVA-Video-72B-Qwen2"
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
CONVERTED = ("--model", "my-org/72B-hf", "--base", "llava-hf/llava-onevision-qwen2-72b-ov-hf")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plan", "--compare", *arguments])


def rows(*arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("-o", "json", *arguments).stdout)
    return found


def test_one_model_is_compared_on_all_gpus_and_in_all_formats() -> None:
    found = rows("--model", BIG)
    assert {row["gpu"] for row in found} == set(builtin().gpus)
    assert len(found) == 4 * len(builtin().gpus)
    by_place = {(row["gpu"], row["quantization"]): row for row in found if row["fits"]}
    assert by_place["A100-40GB", "None"]["gpus"] == 8
    assert by_place["A100-40GB", "None"]["minimumGPUs"] == 5
    assert by_place["A100-80GB", "INT4 (GPTQ, g128, MLP 29696)"]["gpus"] == 1
    assert by_place["H100-80GB", "FP8 (Online)"]["gpus"] == 2


def test_every_combination_is_the_plan_of_that_combination() -> None:
    for row in rows(*CONVERTED, "--gpu", "L40,A100-40GB", "--frames", "32"):
        flags = ["plan", "-o", "json", *CONVERTED, "--gpu", row["gpu"], "--frames", "32"]
        name = row["quantization"].split(" ")[0]
        flags += ["--quantization", name]
        flags += ["--quantization-method", "Online"] if name == "FP8" else []
        flags += ["--intermediate-size", "29696"] if name.startswith("INT") else []
        alone = json.loads(CliRunner().invoke(cli, flags).stdout)
        assert row["gpus"] == alone["sizing"]["gpusPerReplica"]
        assert row["headroomMiB"] == alone["sizing"]["memoryPerGPU"]["headroom"]


@pytest.mark.parametrize(
    "arguments", [("--gpu", "L4,L40"), ("--gpu", "L4", "--gpu", "L40"), ("--gpu", "L4, L40,L4")]
)
def test_several_values_are_repeated_or_divided_by_commas(arguments: Sequence[str]) -> None:
    found = rows("--model", SMALL, "--quantization", "none,fp8", *arguments)
    assert [(row["gpu"], row["quantization"]) for row in found] == [
        ("L4", "None"),
        ("L4", "FP8 (Online)"),
        ("L40", "None"),
        ("L40", "FP8 (Online)"),
    ]


@pytest.mark.parametrize("arguments", [(), ("--model", BIG), ("--gpu", "L40")])
def test_the_table_reads_well_in_eighty_columns_without_colour(arguments: Sequence[str]) -> None:
    if not arguments:
        arguments = ("--model", f"{BIG},{SMALL}", "--gpu", "L40")
    result = run(*arguments)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert [line for line in result.stdout.splitlines() if len(line) > 80] == []
    assert "TP: tensor parallel" in result.stdout


def test_models_are_the_rows_where_there_is_one_gpu() -> None:
    lines = run("--model", f"{BIG},{SMALL}", "--gpu", "A100-40GB").stdout.splitlines()
    assert lines[0] == "GPUs of one replica on A100-40GB"
    for model, line in zip((BIG, SMALL), lines[2:4], strict=True):
        found = rows("--model", model, "--gpu", "A100-40GB")
        cells = re.split(" {2,}", line)[1:]
        assert [int(words.split()[0]) for words in cells] == [row["gpus"] for row in found]
        for words, row in zip(cells, found, strict=True):
            assert ("min" in words) == (row["minimumGPUs"] < row["gpus"])


def test_a_refusal_is_a_short_reason_and_for_programs_the_sentence() -> None:
    result = run("--model", BIG, "--gpu", "T4,L40", "--quantization", "None")
    assert "> 1 node" in result.stdout
    (refused, fits) = rows("--model", BIG, "--gpu", "T4,L40", "--quantization", "None")
    assert (refused["fits"], fits["fits"]) == (False, True)
    assert refused["reason"] == "NeedsSeveralNodes"
    assert "does not fit on" in refused["message"]


def test_a_tight_layout_is_marked() -> None:
    spec = {"model": {"name": SMALL}, "gpu": {"sku": "L40"}}
    raw = {"apiVersion": "videollm.io/v1alpha1", "kind": "VideoLLMDeployment", "spec": spec}
    asked = VideoLLMDeployment.from_object({**raw, "metadata": {"name": "a"}})
    found = answer(asked, builtin(), to_apply=False)
    assert found.planned is not None
    assert cell(found) == "1 TP1"
    tight = replace(found.planned, plan=replace(found.planned.plan, verdict=Verdict.TIGHT))
    assert cell(replace(found, planned=tight)) == "1 TP1 tight"


def test_what_no_gpu_can_do_is_said_once() -> None:
    result = run("--model", "llava-hf/LLaVA-NeXT-Video-7B-hf")
    assert result.exit_code == 3
    assert result.stdout.count("4096-token window") == 1


def test_every_reason_that_planning_gives_has_a_short_form() -> None:
    assert max(len(words) for words in SHORT.values()) <= len("no such format")
    assert {Reason.DOES_NOT_FIT, Reason.CONTEXT_TOO_LONG, Reason.ENGINE_UNSUPPORTED} <= set(SHORT)


def test_objects_of_a_file_are_compared_as_they_are() -> None:
    path = SAMPLES / "llava-video-72b-a100-80gb.yaml"
    document = next(iter(yaml.safe_load_all(path.read_text())))
    found = rows("-f", str(path), "--gpu", "L40", "--quantization", "INT4,None")
    assert [row["gpus"] for row in found] == [2, 4]
    assert {row["model"] for row in found} == {document["spec"]["model"]["name"]}
    quantized = rows("-f", str(SAMPLES / "llava-video-72b-l40.yaml"), "--gpu", "L40")
    assert len(quantized) == 4


def test_an_engine_that_cannot_serve_it_says_so_in_every_cell() -> None:
    result = run("--model", SMALL, "--gpu", "L40", "--engine", "TGI")
    assert result.exit_code == 3
    assert "TGI" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a model, a GPU or both"),
        (("--model", SMALL, "--gpu", "L40,L5"), "'L5', which the catalogue does not have"),
        (("--model", "no/such"), "`spec.model.name` is 'no/such'"),
        (("--model", SMALL, "--techniques"), "remove it, or --compare"),
        (("--model", SMALL, "--quantization", "INT3"), "'INT3' is not one of"),
        (("-f", "x.yaml", "--frames", "3"), "remove --frames"),
        (("--model", SMALL, "--frames", "0"), "spec.workload.framesPerVideo"),
    ],
)
def test_bad_input_ends_with_two_and_a_sentence(arguments: Sequence[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_several_values_need_a_comparison() -> None:
    result = CliRunner().invoke(cli, ["plan", "--model", SMALL, "--gpu", "L4,L40"])
    assert result.exit_code == 2
    assert "--gpu has 2 values: give one, or add --compare" in result.stderr


# ---------------------------------------------------------------- prices


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.yaml"
    path.write_text(
        "prices: {currency: EUR, perGPUHour: {A100-80GB: 2, H100-80GB: 2, L40S: 1.3, T4: 0.1}}"
    )
    return str(path)


PRICED = ("gpu", "quantization", "currency", "perGPUHour", "perReplicaHour", "cheapest")


def test_with_prices_every_row_says_what_it_costs_and_one_is_the_cheapest(prices: str) -> None:
    asked = ("--model", BIG, "--gpu", "T4,L40S,A100-80GB,L40")
    plain, priced = rows(*asked), rows(*asked, "--catalog", prices)
    assert [{k: v for k, v in row.items() if k not in PRICED[2:]} for row in priced] == plain
    by_gpu = {"T4": 0.1, "L40S": 1.3, "A100-80GB": 2}
    for row in priced:
        if row["gpu"] == "L40":
            assert not set(PRICED[2:]) & set(row)
            continue
        assert (row["currency"], row["perGPUHour"]) == ("EUR", by_gpu[row["gpu"]])
        if row["fits"]:
            assert row["perReplicaHour"] == round(row["gpus"] * by_gpu[row["gpu"]], 6)
        else:
            assert not {"perReplicaHour", "cheapest"} & set(row)
    costs = [row["perReplicaHour"] for row in priced if "perReplicaHour" in row]
    (best,) = [row for row in priced if row.get("cheapest")]
    assert best["perReplicaHour"] == min(costs)
    assert len({row["gpu"] for row in priced if row["fits"]}) > 2


def test_the_cheapest_of_each_model_is_marked(prices: str) -> None:
    asked = ("--model", f"{BIG},{SMALL}", "--gpu", "L40S,A100-80GB", "--replicas", "2")
    best = [row["model"] for row in rows(*asked, "--catalog", prices) if row.get("cheapest")]
    assert best == [BIG, SMALL]


def test_of_two_that_cost_the_same_the_one_with_fewer_gpus_then_the_first(prices: str) -> None:
    asked = ("--model", BIG, "--gpu", "H100-80GB,A100-80GB", "--catalog", prices)
    found = rows(*asked, "--quantization", "None,INT4")
    assert [row["cheapest"] for row in found] == [False, True, False, False]
    assert found[1]["perReplicaHour"] == found[3]["perReplicaHour"] == 2


def test_people_see_the_price_below_the_layout_in_eighty_columns(prices: str) -> None:
    asked = ("--model", BIG, "--gpu", "T4,L40S,L40")
    plain = run(*asked).stdout.splitlines()
    lines = run(*asked, "--catalog", prices).stdout.splitlines()
    place = next(n for n, line in enumerate(lines) if line.startswith("L40S"))
    costs = [
        f"{row['perReplicaHour']:.2f}"
        for row in rows(*asked, "--catalog", prices)
        if row.get("perReplicaHour") and row["gpu"] == "L40S"
    ]
    assert re.findall(r"\d+\.\d\d", lines[place + 1]) == costs
    assert sum(line.count("cheapest") for line in lines) == 1
    assert "price per hour of one replica in this layout (EUR)" in "\n".join(lines)
    assert all(len(line) <= 80 for line in lines)
    known = [line.split() for line in plain]
    added = [line for line in lines if line.split() not in known]
    assert len(added) == 3  # T4, L40S, and the sentence


def test_without_a_price_for_any_gpu_the_table_is_as_without_prices(prices: str) -> None:
    asked = ("--model", BIG, "--gpu", "L40,B200")
    assert run(*asked, "--catalog", prices).stdout == run(*asked).stdout
    assert rows(*asked, "--catalog", prices) == rows(*asked)


def test_what_is_refused_everywhere_has_no_price_in_the_table(prices: str) -> None:
    asked = ("--model", BIG, "--gpu", "T4", "--quantization", "None", "--catalog", prices)
    assert "price" not in run(*asked).stdout


def test_a_tight_layout_is_priced_but_not_the_cheapest(tmp_path: Path, prices: str) -> None:
    path = tmp_path / "tight.yaml"
    path.write_text(
        "apiVersion: videollm.io/v1alpha1\nkind: VideoLLMDeployment\nmetadata: {name: a}\n"
        f"spec: {{model: {{name: {BIG}}}, gpu: {{sku: A100-80GB}},"
        " parallelism: {strategy: Manual, tensor: 2}}\n"
    )
    found = rows("-f", str(path), "--gpu", "A100-80GB,L40S", "--catalog", prices)
    tight = [row for row in found if row.get("verdict") == "Tight"]
    assert tight
    assert not any(row["cheapest"] for row in tight)
    assert sum(row.get("cheapest", False) for row in found) == 1


def test_each_object_of_a_file_has_its_own_cheapest(tmp_path: Path, prices: str) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(
        "---\n".join(
            "apiVersion: videollm.io/v1alpha1\nkind: VideoLLMDeployment\n"
            f"metadata: {{name: {name}}}\n"
            f"spec: {{model: {{name: {BIG}}}, gpu: {{sku: L40S}}, "
            f"workload: {{concurrentRequests: {requests}}}}}\n"
            for name, requests in (("few", 1), ("many", 20))
        )
    )
    found = rows("-f", str(path), "--gpu", "L40S,A100-80GB", "--catalog", prices)
    half = len(found) // 2
    for part in (found[:half], found[half:]):
        assert sum(row.get("cheapest", False) for row in part) == 1
