"""The files that the comparison is written to."""

from __future__ import annotations

import json
from pathlib import Path

from hack.accuracy import compare, listing, page, scores, summary, table

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "accuracy.md"
CSV = PAGE.with_suffix(".csv")
SUMMARY = ROOT / "operator" / "videollm_operator" / "cli" / "report" / "accuracy.json"


def result() -> compare.Result:
    """All rows, compared."""
    return compare.compare(table.read())


def files(found: compare.Result) -> dict[Path, str]:
    """Path -> what it must hold."""
    figures = json.dumps(scores.figures(found), indent=2) + "\n"
    return {
        PAGE: page.page(found),
        CSV: listing.as_csv(found),
        scores.FIGURES: figures,
        SUMMARY: summary.as_json(found),
    }
