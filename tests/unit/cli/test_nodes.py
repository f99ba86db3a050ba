from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from videollm_operator.cli.main import cli

if TYPE_CHECKING:
    from pathlib import Path

L4 = {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}
SHARED = {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED", "nvidia.com/gpu.replicas": "2"}
MODEL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin)


def node(name: str, labels: dict[str, str] | None, **allocatable: str) -> dict[str, Any]:
    given = {f"nvidia.com/{key}": value for key, value in allocatable.items()}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": given},
    }


def listed(*nodes: dict[str, Any]) -> str:
    return json.dumps({"kind": "NodeList", "apiVersion": "v1", "items": list(nodes)})


def rows(*nodes: dict[str, Any]) -> list[dict[str, Any]]:
    result = run("gpus", "--nodes", "-", "-o", "json", stdin=listed(*nodes))
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_nodes_of_one_kind_are_one_row() -> None:
    found = rows(node("a", L4, gpu="8"), node("b", L4, gpu="4"), node("c", None), node("d", {}))
    assert found == [
        {
            "sku": "L4",
            "use": "Whole",
            "nodes": ["a", "b"],
            "resource": "nvidia.com/gpu",
            "gpus": 12,
            "reportedMiB": 23034,
            "tableMiB": 23034,
            "visibleMiB": 22528,
            "note": "",
        }
    ]


def test_what_can_be_used_comes_first_and_the_rest_says_why_not() -> None:
    unknown = {"nvidia.com/gpu.product": "NVIDIA-X"}
    more = {**L4, "nvidia.com/gpu.memory": "24000"}
    found = rows(node("s", SHARED, gpu="2"), node("u", unknown, gpu="1"), node("m", more, gpu="1"))
    assert [(row["sku"], row["use"], row["visibleMiB"]) for row in found] == [
        ("L4", "Whole", 22528 + 24000 - 23034),
        ("L4", "Refused", 0),
        ("", "Unknown", 0),
    ]
    assert found[0]["note"].startswith("the nodes report 24 000 MiB, the table has 23 034 MiB")
    assert "among 2 pods" in found[1]["note"]


def test_a_node_without_labels_of_memory_is_as_the_table() -> None:
    (row,) = rows(node("a", {"nvidia.com/gpu.product": "NVIDIA-L4"}))
    assert (row["reportedMiB"], row["visibleMiB"], row["gpus"]) == (None, 22528, 0)


def test_what_the_node_does_not_give_out_is_not_there() -> None:
    slice_ = {
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        "nvidia.com/mig-3g.40gb.product": "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb",
    }
    (row,) = rows(node("a", slice_, **{"mig-3g.40gb": "2"}))
    assert (row["sku"], row["use"], row["gpus"]) == ("A100-80GB-MIG-3g.40gb-mixed", "Slice", 2)
    (row,) = rows(node("a", L4, gpu="0", cpu="1"))
    assert (row["use"], row["note"]) == (
        "Refused",
        "the node gives out no `nvidia.com/gpu`: is the device plugin running?",
    )
    (row,) = rows(node("a", L4, gpu="many"))
    assert row["gpus"] == 0


def test_people_get_a_table_and_notes() -> None:
    nodes = listed(node("a", {**L4, "nvidia.com/gpu.memory": "22000"}, gpu="8"), node("s", SHARED))
    printed = run("gpus", "--nodes", "-", stdin=nodes).stdout
    assert "L4   whole        1     8      21.0" in printed
    assert "L4 (1 node): the nodes report 22 000 MiB" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())


def test_slices_are_listed_in_80_columns() -> None:
    printed = run("gpus", "--slices").stdout
    assert "A100-80GB-MIG-1g.10gb " in printed
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert len(printed.splitlines()) == 1 + len(
        json.loads(run("gpus", "--slices", "-o", "json").stdout)
    )


def plan(path: Path, *nodes: dict[str, Any], gpu: str = "L4") -> Result:
    file = path / "nodes.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "Pod"}, *nodes]))
    return run("plan", "--model", MODEL, "--gpu", gpu, "--nodes", str(file), "-o", "json")


def test_a_plan_counts_what_nodes_report(tmp_path: Path) -> None:
    found = json.loads(plan(tmp_path, node("a", {**L4, "nvidia.com/gpu.memory": "22000"})).stdout)
    assert found["sizing"]["memoryPerGPU"]["visible"] == 22528 - 1034
    assert "report 22 000 MiB of memory instead of" in found["sizing"]["explanation"]
    assert not [text for text in found["warnings"] if "are there" in text]


def test_a_plan_warns_where_no_node_will_do(tmp_path: Path) -> None:
    found = json.loads(plan(tmp_path, node("s", SHARED)).stdout)
    assert "Nodes with L4 are there, but none offers L4: shared" in found["warnings"][-1]
    assert found["sizing"]["memoryPerGPU"]["visible"] == 22528


def test_a_refusal_stays_one_on_nodes(tmp_path: Path) -> None:
    assert plan(tmp_path, node("a", L4), gpu="L5").exit_code == 2
    small = {**L4, "nvidia.com/gpu.memory": "3000"}
    assert plan(tmp_path, node("a", small)).exit_code == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no Node"),
        ("{", "is not JSON"),
        ("[" * 100_000, "line"),
        ("{" * 100_000, "is not JSON"),
        ("a: [", "line"),
        (json.dumps({"kind": "List", "items": 3}), "holds no Node"),
        (json.dumps({"kind": "Node", "metadata": 3}), "holds no Node"),
        (json.dumps({"kind": "Node", "metadata": {}, "status": 3}), "holds no Node"),
        (json.dumps({"kind": "Node", "metadata": {"labels": 3}}), "holds no Node"),
        (json.dumps({"kind": "Pod"}), "holds no Node"),
    ],
)
def test_what_is_no_list_of_nodes_gets_a_sentence(text: str, said: str) -> None:
    result = run("gpus", "--nodes", "-", stdin=text)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: '-'")
    assert said in result.stderr


def test_nodes_do_not_go_with_everything() -> None:
    asked = run("plan", "-f", "-", "--nodes", "-", stdin="")
    compared = run("plan", "--compare", "--model", MODEL, "--nodes", "x")
    for result in (asked, compared):
        assert result.exit_code == 2
        assert result.stderr.startswith("Error: ")
