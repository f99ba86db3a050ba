from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text()
REFERENCES = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
FOLDERS = ("tests/cluster/", "tests/scenario/", "tests/unit/", "tests/chart/")


def promises() -> list[str]:
    """The rows of the page's tables."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith(("| promise", "| ---"))]


def test_every_promise_has_a_limit_and_a_test() -> None:
    assert len(promises()) > 20
    for row in promises():
        promise, limits, shown = (cell.strip() for cell in row.strip("|").split("|"))
        assert promise, row
        assert limits, row
        assert re.search(r"`[\w/]+\.py::\w+`", shown), row


@pytest.mark.parametrize(("file", "name"), REFERENCES)
def test_the_test_that_shows_a_promise_exists(file: str, name: str) -> None:
    assert file.startswith(FOLDERS)
    text = (ROOT / file).read_text()
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), f"{file} has no {name}"
