"""`videollm gpus`: the GPU SKUs that the catalogue knows."""

from __future__ import annotations

import click

from videollm_operator.cli import inputs
from videollm_operator.cli.output import FORMATS, console, emit


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
def command(catalog: str | None, form: str) -> None:
    """The GPU SKUs that the catalogue knows: the names for `spec.gpu.sku`."""
    gpus = inputs.catalog_with(catalog).gpus.values()
    if form != "table":
        emit([gpu.model_dump(mode="json", by_alias=True) for gpu in gpus], form)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("SKU")
    table.add_column("NOMINAL GB", justify="right")
    table.add_column("CUDA GiB", justify="right")
    table.add_column("CAPABILITY", justify="right")
    table.add_column("PER NODE", justify="right")
    table.add_column("PRODUCT", overflow="fold")
    for gpu in gpus:
        table.add_row(
            gpu.sku,
            str(gpu.nominal_gb),
            f"{gpu.visible_mib / 1024:.1f}",
            gpu.compute_capability,
            str(gpu.gpus_per_node),
            gpu.product,
        )
    console().print(table)
