"""The same comparison in short, for the package: `videollm plan --report` shows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hack.accuracy import scores
from videollm_operator.sizing.types import Verdict

if TYPE_CHECKING:
    from hack.accuracy.compare import Result


def as_json(result: Result) -> str:
    """What `videollm_operator.cli.report.page.accuracy` reads; texts with their units."""
    rows = [
        {
            "term": one.name,
            "rows": one.rows,
            "median": f"{one.median:.2f}",
            "p90": f"{one.p90:.2f}",
            "worst": f"{one.worst:.2f}",
        }
        for one in scores.scores(result)
    ]
    return json.dumps({"verdicts": _verdicts(result), "summary": rows}, indent=2) + "\n"


def _verdicts(result: Result) -> str:
    ran = [one for one in result.verdicts if one.ran]
    failed = [one for one in result.verdicts if not one.ran]
    fits = sum(one.predicted is Verdict.FITS for one in failed)
    impossible = sum(one.predicted is Verdict.DOES_NOT_FIT for one in ran)
    tight = sum(one.predicted is Verdict.TIGHT for one in ran)
    mean, worst = scores.dense_weights(result)
    return (
        f"Of {len(failed)} published runs that failed, {fits} are predicted to fit; of {len(ran)} "
        f"that ran, {impossible} are called impossible and {tight} tight. Weights of dense models: "
        f"{mean:.2f} % mean error, {worst:.2f} % worst. The rows are of text models and of other "
        "vision models; nobody has published a start of a LLaVA checkpoint with its memory."
    )
