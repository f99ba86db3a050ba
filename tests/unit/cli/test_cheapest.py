from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from videollm_operator.cli.main import cli

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "lmms-lab/LLaVA-Video-72B-Qwen2"


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.yaml"
    path.write_text(
        "prices: {currency: EUR, perGPUHour: "
        "{L4: 0.7, A100-80GB: 2, H100-80GB: 2, L40S: 1.3, H200-141GB: 4, T4: 0.1}}"
    )
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plan", *arguments])


def document(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = run(*arguments, "-o", "json")
    assert result.exit_code == exit_code, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_cheapest_that_fits_is_planned_and_all_are_ranked(prices: str) -> None:
    found = document("--model", MODEL, "--catalog", prices)
    ranking = found["ranking"]
    assert found["gpu"] == ranking[0]["gpu"]
    fitting = [row for row in ranking if row["fits"]]
    assert [row["perHour"] for row in fitting] == sorted(row["perHour"] for row in fitting)
    assert fitting == ranking[: len(fitting)]
    for row in fitting:
        alone = document("--model", MODEL, "--gpu", row["gpu"])
        assert row["totalGPUs"] == alone["sizing"]["totalGPUs"]
        assert row["perHour"] == pytest.approx(row["totalGPUs"] * row["perGPUHour"])
        assert row["minimumGPUs"] == alone["sizing"]["minimumGPUs"]
    assert ranking[-1]["gpu"] == "T4"
    assert ranking[-1]["reason"] == "NeedsSeveralNodes"


def test_what_costs_the_same_is_ranked_by_gpus(prices: str) -> None:
    rows = document("--model", MODEL, "--catalog", prices)["ranking"]
    same = [row for row in rows if row["fits"] and row["perHour"] == 8]
    assert [row["totalGPUs"] for row in same] == sorted(row["totalGPUs"] for row in same)
    assert {row["gpu"] for row in same} == {"A100-80GB", "H100-80GB", "H200-141GB"}
    assert same[0]["gpu"] == "H200-141GB"


def test_replicas_and_strategy_count(prices: str) -> None:
    one = document("--model", MODEL, "--catalog", prices)["ranking"]
    two = document("--model", MODEL, "--catalog", prices, "--replicas", "2")["ranking"]
    few = document("--model", MODEL, "--catalog", prices, "--strategy", "FewestGPUs")["ranking"]
    assert two[0]["perHour"] == 2 * one[0]["perHour"]
    by_gpu = {row["gpu"]: row for row in one}
    assert all(row["totalGPUs"] == by_gpu[row["gpu"]]["minimumGPUs"] for row in few if row["fits"])


def test_people_see_plan_and_table_in_80_columns(prices: str) -> None:
    printed = run("--model", MODEL, "--catalog", prices).stdout
    plan, _, table = printed.partition("Price per hour of 1 replica, by your prices (EUR)\n")
    assert plan.startswith("Fits, not yet runnable")
    assert "WITH FewestGPUs" in table
    assert "6.00, 3 GPUs" in table
    assert table.rstrip().endswith("> 1 node")
    assert all(len(line) <= 80 for line in printed.splitlines())
    small = "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
    assert "FewestGPUs" not in run("--model", small, "--catalog", prices).stdout


def test_a_named_gpu_is_not_ranked(prices: str) -> None:
    assert "ranking" not in document("--model", MODEL, "--gpu", "L40S", "--catalog", prices)
    assert "Price" not in run("--model", MODEL, "--gpu", "L40S", "--catalog", prices).stdout


def test_nothing_that_fits_is_refused_with_the_ranking(prices: str) -> None:
    found = document(
        "--model", MODEL, "--catalog", prices, "--concurrent-requests", "1000", exit_code=3
    )
    assert not any(row["fits"] for row in found["ranking"])
    assert found["fits"] is False


def test_without_prices_or_with_a_wrong_model_it_is_bad_input(prices: str) -> None:
    without = run("--model", MODEL)
    assert without.exit_code == 2
    assert "a model alone is enough where --catalog has `prices`" in without.stderr
    wrong = run("--model", "org/x", "--catalog", prices)
    assert wrong.exit_code == 2
    assert "`spec.model.name` is 'org/x'" in wrong.stderr
