"""`videollm models`: the models that the catalogue knows."""

from __future__ import annotations

import click

from videollm_operator.cli import inputs
from videollm_operator.cli.output import FORMATS, console, emit


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--engines", is_flag=True, help="List the engine versions instead.")
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
def command(engines: bool, catalog: str | None, form: str) -> None:
    """The models that the catalogue knows, and the engine versions.

    Another model: name its architecture with `spec.model.base`, or add an entry in the form that
    `-o yaml` prints.
    """
    entries = inputs.catalog_with(catalog)
    listed = entries.engines if engines else tuple(entries.models.values())
    if form != "table":
        emit([entry.model_dump(mode="json", by_alias=True) for entry in listed], form)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    if engines:
        for column in ("ENGINE", "VERSION", "DEFAULT", "IMAGE"):
            table.add_column(column, no_wrap=True)
        for engine in entries.engines:
            default = "yes" if engine.default else ""
            table.add_row(str(engine.type), engine.version, default, engine.image)
    else:
        table.add_column("MODEL", no_wrap=True)
        table.add_column("PARAMETERS", justify="right")
        table.add_column("INPUT")
        table.add_column("CONTEXT", justify="right")
        for model in entries.models.values():
            what = model.architecture
            table.add_row(
                model.name,
                f"{what.parameters.total / 1e9:.1f}B",
                "video" if what.video else "image",
                str(what.text.max_position_embeddings),
            )
    console().print(table)
