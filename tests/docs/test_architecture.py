"""docs/architecture.md names every package in the enforced order, and only files that exist."""

from __future__ import annotations

import re
import tomllib

from hack import markdown
from hack.markdown import ROOT

PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "operator" / "videollm_operator"


def first_cells(heading: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)`", markdown.section(PAGE, heading), re.MULTILINE)


def test_layers_are_those_that_the_linter_enforces() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    enforced = next(each["layers"] for each in settings["contracts"] if each["type"] == "layers")
    assert first_cells("Layers") == enforced[::-1]


def test_every_package_is_named() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(first_cells("Layers")) == packages


def test_every_concept_leads_to_a_file_that_exists() -> None:
    rows = [
        line
        for line in markdown.section(PAGE, "Where to find what").splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    assert len(rows) > 30
    for row in rows[1:]:
        paths = re.findall(r"`([^`]+)`", row.split("|")[2])
        assert paths, row
        for path in paths:
            assert (PACKAGE / path).exists() or (ROOT / path).exists(), path


def test_every_folder_of_tests_is_explained() -> None:
    folders = {f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if path.is_dir()}
    told = set(first_cells("What is tested where"))
    assert {folder for folder in folders if not folder.endswith("__pycache__")} == told


def test_the_page_ends_with_the_table() -> None:
    assert markdown.headings(PAGE)[-1] == "Where to find what"
