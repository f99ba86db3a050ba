from __future__ import annotations

import pytest

from videollm_operator.catalog import flags
from videollm_operator.catalog.flags import Flag, FlagTable

TABLE = FlagTable(
    engine="VLLM",
    version="1.0.0",
    source="a parser",
    flags=(
        Flag("--model", "string"),
        Flag("--eager", "boolean", aliases=("-e",), negation=("--no-eager", "--not-eager")),
    ),
)


def test_a_flag_is_found_by_every_spelling() -> None:
    eager = TABLE.flags[1]
    for spelling in ("--eager", "-e", "--no-eager", "--not-eager"):
        assert TABLE.get(spelling) is eager
    assert TABLE.get("--eage") is None
    assert TABLE.names == {"--model", "--eager", "-e", "--no-eager", "--not-eager"}


def test_a_name_wins_over_another_flags_alias() -> None:
    table = FlagTable("x", "1", "", (Flag("-a", "string"), Flag("-b", "string", aliases=("-a",))))
    found = table.get("-a")
    assert found is not None
    assert found.name == "-a"


@pytest.mark.parametrize("name", sorted(flags.available()))
def test_every_table_can_be_read(name: str) -> None:
    table = flags.load(name)
    assert table.flags
    assert table.source
    for flag in table.flags:
        assert flag.name.startswith("-")
        assert flag.type in {"integer", "count", "number", "string", "boolean", "json"}
        assert flag.nargs in {"", "many", "optional"}
        assert flag.deprecated in {True, False}
        found = table.get(flag.name)
        assert found is not None
        assert found.name == flag.name


def test_what_the_plans_set_exists_in_vllm() -> None:
    for name in ("vllm-0.32.0", "vllm-0.33.0"):
        table = flags.load(name)
        for flag in (
            "--tensor-parallel-size",
            "--pipeline-parallel-size",
            "--max-num-batched-tokens",
            "--max-num-seqs",
            "--gpu-memory-utilization",
            "--cpu-offload-gb",
            "--quantization",
        ):
            assert table.get(flag) is not None


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        flags.load("vllm-0.1.0")


def test_a_table_is_read_once() -> None:
    assert flags.load("tgi-3.3.7") is flags.load("tgi-3.3.7")
