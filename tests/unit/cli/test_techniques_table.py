from __future__ import annotations

import json

from click.testing import CliRunner

from tests.unit.sizing.asking import VIDEO_72B, request
from videollm_operator.cli.main import cli
from videollm_operator.cli.techniques_table import effect
from videollm_operator.sizing import techniques

ASKED = ("plan", "--model", VIDEO_72B, "--gpu", "A100-40GB", "--techniques")


def test_programs_get_the_list_that_people_read() -> None:
    rows = json.loads(CliRunner().invoke(cli, [*ASKED, "-o", "json"]).stdout)["techniques"]
    shown = CliRunner().invoke(cli, ASKED).stdout
    ways = techniques(request(VIDEO_72B, "A100-40GB"))
    assert [row["name"] for row in rows] == [way.name for way in ways]
    for row, way in zip(rows, ways, strict=True):
        assert (row["gpus"], row["savesGiB"], row["note"]) == (way.gpus, way.saves_gib, way.note)
        assert f"{way.name}: {effect(way)}" in shown


def test_without_the_flag_there_is_no_list() -> None:
    assert "techniques" not in json.loads(
        CliRunner().invoke(cli, [*ASKED[:-1], "-o", "json"]).stdout
    )


def test_nothing_helps_before_a_wrong_name_is_mended() -> None:
    flags = ["plan", "--model", "no-such", "--gpu", "L4", "--techniques", "-o", "json"]
    assert json.loads(CliRunner().invoke(cli, flags).stdout)["techniques"] == []


def test_effects_say_what_does_not_fit_and_what_is_not_offered() -> None:
    found = {way.name: effect(way) for way in techniques(request(VIDEO_72B, "T4"))}
    assert found["16 bit"].startswith("does not fit in a node, weights ")
    assert found["INT4"].startswith("8 GPUs, weights ")
    assert found["Sparse attention"] == "not offered"
