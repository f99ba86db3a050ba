"""The reference pages say what the program says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hack import engines_page, generate, reference_docs
from videollm_operator.api.conditions import ConditionType
from videollm_operator.api.reasons import REGISTRY, Reason, documentation_anchor
from videollm_operator.catalog.loader import builtin
from videollm_operator.cli.main import cli

if TYPE_CHECKING:
    import pytest


def test_pages_are_up_to_date() -> None:
    assert generate.CLI.read_text() == reference_docs.cli_page(), "run `make generate`"
    page = reference_docs.conditions_page()
    assert generate.CONDITIONS.read_text() == page, "run `make generate`"
    table = engines_page.page(builtin())
    assert generate.ENGINES.read_text() == table, "run `make generate`"


def test_pages_do_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference_docs.cli_page()
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("VIDEOLLM_METRICS_PORT", "1")
    assert reference_docs.cli_page() == before


def test_every_command_and_every_option_has_its_place() -> None:
    page = generate.CLI.read_text()
    context = click.Context(cli)
    for name in cli.list_commands(context):
        assert f"## `videollm {name}`" in page
        command = cli.get_command(context, name)
        assert command is not None
        section = page.split(f"## `videollm {name}`")[1].split("\n## ")[0]
        for parameter in command.params:
            assert max(parameter.opts, key=len) in section


def test_every_condition_is_explained() -> None:
    assert set(reference_docs.CONDITIONS) == set(ConditionType)


def test_every_reason_has_one_row_that_links_to_its_section() -> None:
    rows = [
        line for line in generate.CONDITIONS.read_text().splitlines() if "troubleshooting" in line
    ]
    for reason in Reason:
        link = f"[{reason}](../troubleshooting.md#{documentation_anchor(reason)})"
        (row,) = [row for row in rows if link in row]
        assert REGISTRY[reason].meaning in row
        assert REGISTRY[reason].remedy in row
