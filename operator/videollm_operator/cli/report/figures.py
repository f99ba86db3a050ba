"""The plots of the page, drawn by matplotlib as SVG that takes its colours from the page.

An SVG image knows one set of colours; the page has two (light and dark). So everything is drawn in
placeholder colours, which become CSS variables in the finished text. Text stays text: it can be
selected, searched and read aloud, and takes the page's font.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("svg")

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from videollm_operator.cli.report.content import Bar, Curve

INK, MUTED, GRID = "#010101", "#010102", "#010103"
TERMS = ("#010110", "#010111", "#010112", "#010113", "#010114")
SERIES = ("#010120", "#010121", "#010122", "#010123", "#010124")
PLACEHOLDERS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    **{colour: f"var(--term-{number})" for number, colour in enumerate(TERMS)},
    **{colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)},
}
"""What stands for what; matplotlib writes colours in lower case."""

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)), (0, (3, 1)))
"""Lines differ without colour too."""

WIDTH = 5.0
"""Inches of 72 units: about as wide as a phone, so that letters stay readable there."""

MOST_TICKS = 5
"""Counts of GPUs that have room on an axis; with more of them only powers of two are named."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "videollm",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}

LEGEND: dict[str, Any] = {
    "loc": "outside upper left",
    "ncols": 3,
    "frameon": False,
    "fontsize": 10,
    "columnspacing": 1.2,
}
"""Where and how a picture names its colours."""


def memory_bars(bars: Sequence[Bar], terms: Sequence[str], name: str) -> str:
    """A bar for each GPU: where the memory that CUDA shows of the fullest card goes, in percent."""
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _axes(0.31 * len(bars) + 1.05)
        for place, bar in enumerate(bars):
            left = 0.0
            for number, share in enumerate(bar.shares):
                axes.barh(place, share, left=left, height=0.68, color=TERMS[number], linewidth=0)
                left += share
            axes.text(left + 1.5, place, bar.words, va="center", fontsize=9.5, color=MUTED)
        axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, 142)
        axes.xaxis.set_major_locator(FixedLocator([0, 25, 50, 75, 100]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} %"))
        axes.grid(axis="x")
        _frame(axes)
        handles = [matplotlib.patches.Patch(color=colour) for colour in TERMS[: len(terms)]]
        figure.legend(handles, terms, handlelength=1, **LEGEND)
        return _text(figure, name)


def gpus_against(
    curves: Sequence[Curve], label: str, most: int, name: str, *, doubling: bool
) -> str:
    """A line for each GPU: how many of it one replica takes.

    Args:
        curves: the lines.
        label: what the horizontal axis counts.
        most: its end.
        name: for the ids of the picture, unique on the page.
        doubling: whether that axis doubles instead of counting.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = _axes(3.5)
        counts = {1}
        for number, curve in enumerate(curves):
            shift = 2 ** (0.045 * (number - (len(curves) - 1) / 2))
            across: list[float] = []
            up: list[float] = []
            for step in curve.steps:
                if step.gpus is None:
                    break
                counts.add(step.gpus)
                across += [step.first, step.last + (0 if step.last == most else 1)]
                up += [step.gpus * shift] * 2
            axes.plot(
                across,
                up,
                label=curve.sku,
                color=SERIES[number],
                linestyle=DASHES[number],
                linewidth=3 if curve.asked else 1.8,
                solid_capstyle="butt",
            )
            if across and across[-1] < most:
                axes.plot(across[-1], up[-1], marker="x", color=SERIES[number], markersize=6)
        axes.set_yscale("log", base=2)
        shown = counts if len(counts) <= MOST_TICKS else {2**power for power in range(8)}
        axes.yaxis.set_major_locator(FixedLocator(sorted(shown)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(0.82, max(counts) * 1.22)
        axes.set_xlim(1, most)
        if doubling:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(label)
        axes.set_ylabel("GPUs of one replica")
        axes.grid()
        _frame(axes)
        figure.legend(handlelength=2.2, **LEGEND)
        return _text(figure, name)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.subplots()
    axes.patch.set_visible(False)
    return figure, axes


def _frame(axes: Axes) -> None:
    """Lines on the left and at the bottom only, without ticks."""
    axes.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _text(figure: Figure, name: str) -> str:
    """The picture as a part of a page: no header, ids of its own, the page's colours and font."""
    target = io.StringIO()
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(target, format="svg", metadata=empty)
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<style.*?</style>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = text.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
    for colour, variable in PLACEHOLDERS.items():
        text = text.replace(colour, variable)
    return text
