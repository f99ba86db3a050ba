"""The page: values and plots put into the template, everything inside one file."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from videollm_operator import __version__
from videollm_operator.api.problem import Refused
from videollm_operator.cli.compare import HEADS, legend
from videollm_operator.cli.memory_table import BASES, LOOKS, gib
from videollm_operator.cli.report import content
from videollm_operator.cli.sweep import FORMATS, cell, sweep
from videollm_operator.cli.techniques_table import effect, ways_of
from videollm_operator.sizing import TermName, sizing_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.cli.answer import Answer
    from videollm_operator.sizing import Plan
    from videollm_operator.sizing.curve import Quantity

ACCURACY = "accuracy.json"
"""Beside this module; `python -m hack.accuracy` writes it."""

COLOURS = {
    TermName.WEIGHTS: 0,
    TermName.KV_CACHE: 1,
    TermName.ENCODER_CACHE: 2,
    TermName.ACTIVATION: 2,
    TermName.SAMPLER_STATE: 2,
}
"""Place in `content.TERMS`; what is not named is among graphs and buffers."""


def page(found: Answer, catalog: Catalog, measured: Mapping[str, Any]) -> str:
    """The report of one answer as HTML.

    Args:
        found: the answer.
        catalog: the GPUs that it is compared on.
        measured: what `accuracy` gives.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from videollm_operator.cli.report import figures

    environment = Environment(
        loader=PackageLoader("videollm_operator.cli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"marked": _marked, "tied": _tied}
    spec = found.deployment.spec
    by_gpu = content.answers_by_gpu(found.deployment, catalog)
    values: dict[str, Any] = {
        "version": __version__,
        "fingerprint": catalog.fingerprint,
        "css": environment.get_template("page.css").render(),
        "found": found,
        "spec": spec,
        "bars": figures.memory_bars(
            [content.bar(each) for each in by_gpu], [words for _, words in content.TERMS], "memory"
        ),
        "by_gpu": [(each, content.parts(each), cell(each)) for each in by_gpu],
        "term_names": [words for _, words in content.TERMS],
        "plots": _plots(found, catalog),
        "formats": _formats(found, catalog),
        "techniques": _techniques(found, catalog),
        "accuracy": measured,
    }
    if found.planned is not None:
        launch = found.planned.launch
        values |= {
            "plan": found.planned.plan,
            "sizing": sizing_status(found.planned.plan, spec.replicas),
            "launch": launch,
            "memory_rows": _memory_rows(found.planned.plan),
            "arguments": " \\\n".join(map(shlex.quote, launch.args)) if launch else "",
            "most": found.most,
        }
    return environment.get_template("page.html.j2").render(values)


def _marked(text: str) -> Markup:
    """A sentence as HTML; what stands in backticks becomes code."""
    escaped = str(escape(text))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704 - escaped above


def _tied(words: str) -> str:
    """`TP8, min 3` that is broken after the comma only."""
    return words.replace("min ", "min\u00a0")


def _memory_rows(plan: Plan) -> list[dict[str, Any]]:
    """The terms of the fullest GPU, each with its colour in the bars."""
    rows = [
        {
            "words": LOOKS[term.name].words,
            "mib": term.mib,
            "bound": gib(term.mib + term.bound_mib) if term.bound_mib else "",
            "colour": COLOURS.get(term.name, 3),
            "basis": BASES[term.basis],
            "decides": term.name == plan.deciding_term,
            "why": term.why,
        }
        for term in plan.terms
    ]
    free = {"words": "free for more KV cache", "mib": plan.memory.headroom, "colour": 4}
    why = f"the safety margin is {gib(plan.margin_mib)} GiB; it follows from what terms may grow to"
    return [*rows, {**free, "bound": "", "basis": "", "decides": False, "why": why}]


def _plots(found: Answer, catalog: Catalog) -> list[dict[str, Any]]:
    """The two plots of GPUs with their tables; none if no engine serves the model."""
    from videollm_operator.cli.report import figures

    deployment = found.deployment
    sku = deployment.spec.gpu.sku
    requests = content.requests_for(deployment, content.neighbours(sku, catalog), catalog)
    frames = content.most_frames(requests)
    wanted: tuple[tuple[str, str, str, Quantity, int, bool], ...] = (
        ("frames", "GPUs against frames", "frames per video", "frames_per_video", frames, False),
        (
            "requests",
            "GPUs against concurrency",
            "full-length requests at the same time",
            "concurrent_requests",
            content.MOST_REQUESTS,
            True,
        ),
    )
    plots = []
    for name, title, label, quantity, most, doubling in wanted:
        curves = content.curves(requests, quantity, most, sku) if most > 1 else ()
        if curves:
            plots.append(
                {
                    "name": name,
                    "title": title,
                    "label": label,
                    "most": most,
                    "svg": figures.gpus_against(curves, label, most, name, doubling=doubling),
                    "rows": [(curve, content.thresholds(curve)) for curve in curves],
                }
            )
    return plots


def _formats(found: Answer, catalog: Catalog) -> dict[str, Any]:
    """GPUs by SKU and format of the weights."""
    skus = content.skus(found.deployment, catalog)
    answers = sweep(found.deployment, skus, FORMATS, catalog)
    rows = [answers[at : at + len(FORMATS)] for at in range(0, len(answers), len(FORMATS))]
    return {
        "heads": [HEADS.get(form, str(form)) for form in FORMATS],
        "rows": [
            (row[0].deployment.spec.gpu.sku, [_count_and_words(each) for each in row])
            for row in rows
        ],
        "legend": legend(answers),
    }


def _count_and_words(found: Answer) -> tuple[int, str]:
    """A cell in two parts: the count, 0 if there is none, and the rest."""
    if found.planned is None:
        return 0, cell(found)
    gpus = found.planned.plan.layout.gpus
    return gpus, cell(found).removeprefix(f"{gpus} ")


def _techniques(found: Answer, catalog: Catalog) -> list[tuple[Any, str]]:
    try:
        ways = ways_of(found.deployment, catalog)
    except Refused:
        return []
    return [(way, effect(way)) for way in ways]


def accuracy() -> dict[str, Any]:
    """How predictions compare with published measurements.

    `summary` is a list of objects with `term`, `rows`, `median`, `p90` and `worst`, in GiB per
    GPU; `verdicts` a few sentences on runs that ran or failed.
    """
    file = resources.files("videollm_operator.cli.report").joinpath(ACCURACY)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found
