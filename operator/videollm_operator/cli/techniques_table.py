"""`videollm plan --techniques`: every way to need less memory, and what it does here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from videollm_operator.engines.deployment import sizing_request
from videollm_operator.sizing import techniques

if TYPE_CHECKING:
    from rich.console import Console

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.engines.base import DeploymentPlan


def show_techniques(
    out: Console, deployment: VideoLLMDeployment, planned: DeploymentPlan, catalog: Catalog
) -> None:
    """Prints the table for one object."""
    table = Table(title="Ways to need less memory", title_justify="left", box=None, pad_edge=False)
    table.add_column("technique", overflow="fold")
    table.add_column("weights GiB", justify="right")
    table.add_column("saves GiB", justify="right")
    table.add_column("GPUs", justify="right")
    table.add_column("how, and what it costs", overflow="fold")
    request = sizing_request(deployment.spec, planned.resolved, catalog)
    for way in techniques(request):
        words = f"{way.how}. {way.note}" if way.how else way.note
        table.add_row(
            Text(way.name, style="" if way.offered else "dim"),
            _number(way.weights_gib),
            _number(way.saves_gib),
            "" if way.gpus is None else str(way.gpus),
            Text(words, style="" if way.offered else "dim"),
        )
    out.print()
    out.print(table)


def _number(gib: float | None) -> str:
    return "" if gib is None else f"{gib:.1f}"
