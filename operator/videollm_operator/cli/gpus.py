"""`videollm gpus`: the GPU SKUs that the catalogue knows, or that the nodes of a cluster have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from videollm_operator.cli import inputs
from videollm_operator.cli.output import FORMATS, console, emit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from videollm_operator.catalog.entries import GPUEntry


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--slices", is_flag=True, help="List MIG slices instead of whole GPUs.")
@click.option(
    "--nodes",
    "nodes_file",
    metavar="FILE",
    help="What `kubectl get nodes -o json` printed ('-': stdin): list what those nodes offer.",
)
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
def command(slices: bool, nodes_file: str | None, catalog: str | None, form: str) -> None:
    """The GPU SKUs that the catalogue knows: the names for `spec.gpu.sku`.

    \b
    videollm gpus
    kubectl get nodes -o json | videollm gpus --nodes -
    """
    entries = inputs.catalog_with(catalog)
    if nodes_file is not None:
        from videollm_operator.cli import nodes

        found = nodes.offered(nodes.read(nodes_file), entries)
        if form == "table":
            nodes.show(found)
        else:
            emit([each.as_row() for each in found], form)
        return
    gpus = (entries.slices if slices else entries.gpus).values()
    if form != "table":
        emit([gpu.model_dump(mode="json", by_alias=True) for gpu in gpus], form)
        return
    _show(gpus, slices=slices)


def _show(gpus: Iterable[GPUEntry], *, slices: bool) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("SKU", no_wrap=True)
    if slices:
        for column in ("CUDA GiB", "DECODERS"):
            table.add_column(column, justify="right")
        table.add_column("RESOURCE", overflow="fold")
    else:
        for column in ("NOMINAL GB", "CUDA GiB", "CAPABILITY", "PER NODE"):
            table.add_column(column, justify="right")
        table.add_column("PRODUCT", overflow="fold")
    for gpu in gpus:
        visible = f"{gpu.visible_mib / 1024:.1f}"
        if slices:
            table.add_row(gpu.sku, visible, str(gpu.video_decoders), gpu.resource_name)
            continue
        table.add_row(
            gpu.sku,
            str(gpu.nominal_gb),
            visible,
            gpu.compute_capability,
            str(gpu.gpus_per_node),
            gpu.product,
        )
    console().print(table)
