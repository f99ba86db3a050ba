"""docs/reference/api.md: up to date, complete, and its links lead somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from tests.unit.api.strategies import ALL
from videollm_operator.api import reference
from videollm_operator.api.rules import VALIDATIONS

FILE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"


def test_the_page_is_what_the_models_give() -> None:
    assert FILE.read_text() == reference.page(), "run `make generate`"


def test_running_the_module_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module("videollm_operator.api.reference", run_name="__main__")
    assert capsys.readouterr().out == FILE.read_text()


def test_every_link_has_its_section() -> None:
    page = reference.page()
    anchors = {reference.anchor(each) for each in re.findall(r"^## `(.*)`$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(.*?)\)", page)) <= anchors


def test_every_field_is_on_the_page() -> None:
    page = reference.page()
    names = {str(path[-1]) for path, _ in ALL if path[-1] not in {0, "key"}} - {"spec"}
    assert {name for name in names if f"| `{name}` |" not in page} == set()


def test_every_rule_is_on_the_page() -> None:
    page = reference.page()
    texts = {rule["message"] for _, node in ALL for rule in node.get(VALIDATIONS, [])}
    assert {text for text in texts if text not in page} == set()


def test_objects_within_lists_have_sections() -> None:
    assert "## `spec.engine.env[].valueFrom.secretKeyRef`" in reference.page()
