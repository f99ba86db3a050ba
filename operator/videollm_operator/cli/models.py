"""`videollm models`: what the catalogue knows, and `describe` for models that it does not."""

from __future__ import annotations

import click

from videollm_operator.cli import inputs
from videollm_operator.cli.output import FORMATS, console, emit


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--engines", is_flag=True, help="List the engine versions instead.")
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
@click.pass_context
def command(context: click.Context, engines: bool, catalog: str | None, form: str) -> None:
    """The models that the catalogue knows, and the engine versions.

    Another model: `videollm models describe` reads its numbers from its own files. Of a copy of
    one of these, name the original in `spec.model.base`.
    """
    if context.invoked_subcommand is not None:
        return
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


@command.command("describe")
@click.argument("model", metavar="FOLDER-OR-ID")
@click.option("--name", default="", metavar="ID", help="What to call it.")
@click.option(
    "--revision", default="main", show_default=True, metavar="REV", help="Revision on the hub."
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["entry", "architecture", "report"]),
    default="entry",
    show_default=True,
    help="With -o yaml or json: an entry for --catalog, the fields of an object, or all that was "
    "found, tensor by tensor.",
)
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
def describe(model: str, name: str, revision: str, kind: str, form: str) -> None:
    """The numbers of a model that the catalogue does not know, from its own files.

    Reads config.json (of transformers, or of the original LLaVA code) and the headers of the
    safetensors files, in a folder or on the Hugging Face hub; no weights are read. Headers beat
    config.json, config.json beats names; the table says for each number which it was.

    \b
    videollm models describe ./my-model
    videollm models describe my-org/my-model -o yaml > catalog.yaml
    videollm models describe ./my-model --as architecture -o yaml

    The hub needs `pip install 'videollm-operator[hub]'`; HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE
    are honoured.
    """
    from videollm_operator.checkpoints.problem import CheckpointProblem
    from videollm_operator.cli import description
    from videollm_operator.cli.checkpoint import described

    try:
        found = described(model, name, revision)
    except CheckpointProblem as problem:
        inputs.fail(str(problem))
    if form == "table":
        description.show(found)
        return
    for warning in found.warnings:
        inputs.complain(f"Warning: {warning}")
    if kind == "entry" and found.quantization is not None:
        inputs.complain(
            "Warning: an entry of the catalogue does not say that its files are quantized, so "
            "plans count them in 16 bit: use --as architecture, which says so."
        )
    emit(description.as_data(found, kind), form)
