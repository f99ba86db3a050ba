"""Every relative link of the project's Markdown leads to a file and, if it names one, a heading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hack import markdown
from hack.markdown import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted({*markdown.pages(), *(ROOT / "charts").rglob("*.md")})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in markdown.links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        target, _, anchor = link.partition("#")
        other = (page.parent / target).resolve() if target else page
        inside = other.is_relative_to(ROOT) and other.exists()
        if not inside or (anchor and anchor not in markdown.anchors(other)):
            broken.append(link)
    assert not broken


def test_decisions_are_numbered_without_gaps_and_dated() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        title, _, dated, *_ = page.read_text().splitlines()
        assert title.startswith(f"# {int(page.name[:4])}. "), page.name
        assert dated.startswith("2026-"), page.name
