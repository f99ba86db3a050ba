from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.unit.sizing.asking import VIDEO_7B, VIDEO_72B, request
from videollm_operator.cli.main import cli
from videollm_operator.cli.memory_table import BASES, LOOKS, STROKE, bar
from videollm_operator.cli.plan_table import command_lines
from videollm_operator.sizing import Plan, TermName, plan
from videollm_operator.sizing.types import Basis

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"


def roomy() -> Plan:
    return plan(request(VIDEO_72B, "A100-80GB"))


def test_every_term_and_every_basis_has_words() -> None:
    assert set(LOOKS) == set(TermName)
    assert set(BASES) == {str(basis) for basis in Basis}
    assert len({look.plain for look in LOOKS.values()}) == len(LOOKS)


@pytest.mark.parametrize("width", [40, 78, 98])
@pytest.mark.parametrize("sku", ["A100-80GB", "L40"])
def test_the_bar_is_the_budget(width: int, sku: str) -> None:
    asked = plan(request(VIDEO_72B, sku))
    drawn = bar(asked, width, blocks=False)
    assert (drawn[0], drawn[-1], len(drawn)) == ("[", "]", width + 2)
    for term in asked.terms:
        mark = LOOKS[term.name].plain
        assert drawn.count(mark) == pytest.approx(term.mib * width / asked.memory.budget, abs=1)
        assert mark in drawn
    free = drawn.count(" ") + drawn.count(STROKE)
    assert free == pytest.approx(
        asked.memory.headroom * width / asked.memory.budget, abs=len(LOOKS)
    )


def test_a_stroke_shows_where_the_margin_begins() -> None:
    asked = roomy()
    drawn = bar(asked, 98, blocks=True)
    behind = len(drawn) - 2 - drawn.index(STROKE)
    assert behind == pytest.approx(asked.margin_mib * 98 / asked.memory.budget, abs=1)
    small = asked.memory.model_copy(update={"headroom": asked.margin_mib - 1})
    assert STROKE not in bar(replace(asked, memory=small), 98, blocks=True)


def test_the_table_names_bounds_bases_and_the_term_that_decides() -> None:
    lines = CliRunner().invoke(cli, ["plan", "--model", VIDEO_7B, "--gpu", "L4"]).stdout
    asked = plan(request(VIDEO_7B, "L4"))
    decides = LOOKS[TermName(asked.deciding_term)].words
    (line,) = [line for line in lines.splitlines() if line.endswith(", decides")]
    assert decides in line
    for term in asked.terms:
        assert LOOKS[term.name].words in lines
    assert f"{asked.memory.budget / 1024:.1f}" in lines


def test_a_terminal_without_blocks_gets_letters() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "videollm_operator", "plan", "--model", SMALL, "--gpu", "L40"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode("ascii")
    assert "#  weights" in text
    assert "[####" in text


def test_a_layout_without_its_margin_is_called_tight() -> None:
    named = ["--strategy", "Manual", "--pipeline", "1"]
    words = set()
    for sku in ("A100-80GB", "H100-80GB", "L4", "RTX-PRO-6000"):
        for tensor in ("1", "2", "4", "8"):
            flags = ["--model", VIDEO_72B, "--gpu", sku, *named, "--tensor", tensor]
            said = CliRunner().invoke(cli, ["plan", *flags]).stdout
            words.add(said.split(":")[0])
            assert ("This layout is tight" in said) == said.startswith("Tight, ")
    assert {"Tight, not yet runnable", "Fits, not yet runnable"} <= words


@pytest.mark.parametrize(
    "arguments",
    [
        ("--a=1",),
        ("--a=1", '--b={"x": 1}', "--c", "it's"),
        tuple(f"--flag-{n}={n}" for n in range(40)),
    ],
)
def test_arguments_can_be_copied_into_a_shell(arguments: Sequence[str]) -> None:
    lines = command_lines(arguments, 60)
    script = "printf '%s\\n' " + "\n".join(lines)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == list(arguments)
    assert all(len(line) <= 60 for line in lines)


def test_an_argument_is_never_broken() -> None:
    long = "--limit=" + "x" * 90
    assert command_lines(("--a", long, "--b"), 60) == ["--a \\", f"{long} \\", "--b"]
    assert command_lines((), 60) == []
