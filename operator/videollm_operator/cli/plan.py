"""`videollm plan`: how many GPUs, which layout, which arguments, and why."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from videollm_operator.cli import inputs
from videollm_operator.cli.answer import answer
from videollm_operator.cli.exits import ExitCode
from videollm_operator.cli.output import FORMATS, emit
from videollm_operator.cli.spec_options import flag_of, given, spec_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.cli.answer import Answer

MODEL, GPU, FORMAT = "model.name", "gpu.sku", "quantization.format"
COMPARED = (MODEL, GPU, FORMAT)
"""What `--compare` lays side by side."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-f", "--filename", metavar="FILE", help="Plan the objects of a file ('-': stdin).")
@spec_options
@click.option("--techniques", is_flag=True, help="List every way to need less memory.")
@click.option("--engines", is_flag=True, help="Ask every engine version, and list the answers.")
@click.option(
    "--compare",
    is_flag=True,
    help="Lay models, GPUs and formats side by side: --model, --gpu and --quantization then take "
    "several values (A,B), and those that are left out stand for all.",
)
@click.option(
    "--report",
    metavar="FILE",
    help="Also write a page for the browser (needs `pip install 'videollm-operator[report]'`).",
)
@click.option(
    "--nodes",
    "nodes_file",
    metavar="FILE",
    help="What `kubectl get nodes -o json` printed: the memory that those nodes report counts.",
)
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
def command(
    filename: str | None,
    techniques: bool,
    engines: bool,
    compare: bool,
    report: str | None,
    nodes_file: str | None,
    catalog: str | None,
    form: str,
    **options: Any,
) -> None:
    """How many GPUs a model needs, in which layout, with which arguments, and why.

    \b
    videollm plan --model lmms-lab/LLaVA-Video-72B-Qwen2 --gpu A100-80GB
    videollm plan --model lmms-lab/LLaVA-Video-72B-Qwen2 --gpu L40 \\
        --quantization INT8 --intermediate-size 29696 --strategy FewestGPUs
    videollm plan --compare --model lmms-lab/LLaVA-Video-72B-Qwen2
    videollm plan --model lmms-lab/LLaVA-Video-72B-Qwen2 --catalog prices.yaml
    videollm plan -f deployment.yaml -o json

    A model alone is enough where --catalog has `prices`: the cheapest GPU that holds it is planned.
    With --compare, `prices` say what each combination costs, and the cheapest is marked.

    Exit codes: 0 fits, 2 bad input, 3 does not fit or cannot be served. With -f, 3 is also for
    what would fit but no released engine runs: the operator would refuse it. With --compare, 0 if
    anything fits.
    """
    fields = given(options)
    extra = [path for path in fields if not (compare and path in (GPU, FORMAT))]
    if filename is not None and extra:
        flags = ", ".join(flag_of(path) for path in extra)
        inputs.fail(f"with -f the file decides: remove {flags}, or edit the file")
    entries = inputs.catalog_with(catalog)
    if compare:
        alone = {"--techniques": techniques, "--engines": engines, "--report": report is not None}
        for flag in [flag for flag, is_given in alone.items() if is_given]:
            inputs.fail(f"{flag} is for one model on one GPU: remove it, or --compare")
        if nodes_file is not None:
            inputs.fail("--nodes is for the GPUs that there are: remove it, or --compare")
        sys.exit(_compare(filename, fields, entries, form))
    for path, values in fields.items():
        if len(values) > 1:
            inputs.fail(f"{flag_of(path)} has {len(values)} values: give one, or add --compare")
    one = {path: values[0] for path, values in fields.items()}
    wanted = {MODEL} if entries.prices else {MODEL, GPU}
    if filename is None and not wanted <= set(one):
        inputs.fail(
            "name a model and a GPU (--model ID --gpu SKU), or a file (-f FILE); a model alone is "
            "enough where --catalog has `prices`"
        )
    if filename is None and _unknown(fields, entries):
        from videollm_operator.cli.model_numbers import with_own_numbers

        one, entries = with_own_numbers(one, entries)
    ranked = None
    if filename is None and GPU not in one and entries.prices:
        from videollm_operator.cli import cheapest

        ranked = cheapest.ranking(one, entries, entries.prices)
        one[GPU] = ranked.rows[0].sku
    raws = inputs.deployments_in(filename) if filename else [inputs.object_with(one)]
    if nodes_file is not None and report is not None:
        inputs.fail("--report shows GPUs as the catalogue knows them: remove it, or --nodes")
    if nodes_file == "-" == filename:
        inputs.fail("-f and --nodes cannot both read standard input: name a file for one of them")
    asked = [inputs.checked(raw) for raw in raws]
    if nodes_file is not None:
        from videollm_operator.cli import nodes

        answers = nodes.answers(asked, nodes_file, entries, to_apply=filename is not None)
    else:
        answers = [answer(each, entries, to_apply=filename is not None) for each in asked]
    if report is not None:
        _report(report, answers, entries)
    if form == "table":
        from videollm_operator.cli.plan_table import show

        for each in answers:
            show(each, entries, techniques=techniques, engines=engines)
        if ranked is not None:
            ranked.show()
    else:
        documents = [each.as_json() for each in answers]
        if techniques:
            from videollm_operator.cli.techniques_table import as_rows

            for document, each in zip(documents, answers, strict=True):
                document["techniques"] = as_rows(each.deployment, entries)
        if engines:
            from videollm_operator.cli import engines_table

            for document, each in zip(documents, answers, strict=True):
                document["engines"] = engines_table.as_rows(each.deployment, entries)
        if ranked is not None:
            documents[0]["ranking"] = ranked.as_json()
        emit(documents[0] if len(documents) == 1 else documents, form)
    sys.exit(max(each.exit_code for each in answers))


def _unknown(fields: Mapping[str, tuple[Any, ...]], entries: Catalog) -> bool:
    """Whether a model is named that neither the catalogue nor `--base` describes."""
    return "model.base" not in fields and not set(fields.get(MODEL, ())) <= set(entries.models)


def _report(path: str, answers: Sequence[Answer], entries: Catalog) -> None:
    """Writes the page of the one answer; exit code 2 if it cannot be made or written."""
    if len(answers) > 1:
        inputs.fail(f"--report is for one object, but the file has {len(answers)}: name one alone")
    unknown = [problem.message for problem in answers[0].problems]
    if answers[0].exit_code == ExitCode.BAD_INPUT:
        inputs.fail(*unknown)
    try:
        from videollm_operator.cli.report.page import accuracy, page

        text = page(answers[0], entries, accuracy())
    except ModuleNotFoundError as error:
        inputs.fail(
            f"--report draws with {error.name}, which is not installed: run "
            "`pip install 'videollm-operator[report]'`"
        )
    inputs.write(path, text)
    inputs.complain(f"Report: {path}")


def _compare(
    filename: str | None, fields: Mapping[str, tuple[Any, ...]], entries: Catalog, form: str
) -> int:
    """Prints the comparison; the exit code is the best of its answers."""
    from videollm_operator.api.v1alpha1.compute import QuantizationFormat
    from videollm_operator.cli import compare, hourly
    from videollm_operator.cli.sweep import FORMATS as ALL_FORMATS
    from videollm_operator.cli.sweep import sweep

    if filename is None and not {MODEL, GPU} & set(fields):
        inputs.fail("name a model, a GPU or both (--model ID --gpu SKU), or a file (-f FILE)")
    if filename is None and _unknown(fields, entries):
        from videollm_operator.cli.model_numbers import compared

        models, entries = compared(fields[MODEL], entries)
        fields = {**fields, MODEL: models}
    skus = fields.get(GPU, tuple(entries.gpus))
    forms = tuple(QuantizationFormat(word) for word in fields.get(FORMAT, ALL_FORMATS))
    if filename is not None:
        raws = inputs.deployments_in(filename)
    else:
        shared = {path: values[0] for path, values in fields.items() if path not in COMPARED}
        raws = [
            inputs.object_with({MODEL: model, GPU: skus[0], **shared})
            for model in fields.get(MODEL, tuple(entries.models))
        ]
    answers = [found for raw in raws for found in sweep(inputs.checked(raw), skus, forms, entries)]
    unknown = [found for found in answers if found.exit_code == ExitCode.BAD_INPUT]
    if unknown:
        messages = dict.fromkeys(p.message for found in unknown for p in found.problems)
        inputs.fail(*messages)
    rows = list(zip(answers, hourly.costs(answers, entries.prices), strict=True))
    if form == "table":
        compare.show(rows)
    else:
        emit([compare.as_row(found, cost) for found, cost in rows], form)
    return min(found.exit_code for found in answers)
