"""The plot of docs/benchmarks.md: a burst over time, memory over objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot

if TYPE_CHECKING:
    from pathlib import Path

    from hack.scale import Scale

COLOURS = {"created": "#8c8c8c", "StatefulSet": "#2a78b5", "all children": "#d1701f"}


def draw(scale: Scale, target: Path) -> None:
    """Writes the plot as SVG, readable on light and dark pages."""
    pyplot.rcParams.update({"svg.hashsalt": "videollm", "font.size": 9})
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    figure.patch.set_facecolor("white")
    series = {
        "created": scale.burst.created,
        "StatefulSet": scale.burst.workload,
        "all children": scale.burst.complete,
    }
    for name, times in series.items():
        counts = range(1, len(times) + 1)
        left.step(times, counts, where="post", label=name, color=COLOURS[name], linewidth=1.8)
    left.set(
        title=f"{len(scale.burst.created)} objects created at once",
        xlabel="seconds after the first create",
        ylabel="objects",
    )
    left.legend(frameon=False)
    objects, mib = zip(*sorted(scale.memory), strict=True)
    right.plot(objects, mib, marker="o", color=COLOURS["StatefulSet"])
    right.set(title="memory of the operator", xlabel="objects", ylabel="MiB", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})
    pyplot.close(figure)
