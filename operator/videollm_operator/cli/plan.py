"""`videollm plan`: how many GPUs, which layout, which arguments, and why."""

from __future__ import annotations

import sys
from typing import Any

import click

from videollm_operator.cli import inputs
from videollm_operator.cli.answer import answer
from videollm_operator.cli.output import FORMATS, emit
from videollm_operator.cli.spec_options import SPEC_OPTIONS, given, spec_options


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("-f", "--filename", metavar="FILE", help="Plan the objects of a file ('-': stdin).")
@spec_options
@click.option("--techniques", is_flag=True, help="List every way to need less memory.")
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option("-o", "--output", "form", type=FORMATS, default="table", show_default=True)
def command(
    filename: str | None, techniques: bool, catalog: str | None, form: str, **options: Any
) -> None:
    """How many GPUs a model needs, in which layout, with which arguments, and why.

    \b
    videollm plan --model lmms-lab/LLaVA-Video-72B-Qwen2 --gpu A100-80GB
    videollm plan --model lmms-lab/LLaVA-Video-72B-Qwen2 --gpu L40 \\
        --quantization INT8 --intermediate-size 29696 --strategy FewestGPUs
    videollm plan -f deployment.yaml -o json

    Exit codes: 0 fits, 2 bad input, 3 does not fit or cannot be served. With -f, 3 is also for
    what would fit but no released engine runs: the operator would refuse it.
    """
    fields = given(options)
    if filename is not None and fields:
        flags = ", ".join(option.flag for option in SPEC_OPTIONS if option.path in fields)
        inputs.fail(f"with -f the file decides: remove {flags}, or edit the file")
    if filename is None and not {"model.name", "gpu.sku"} <= set(fields):
        inputs.fail("name a model and a GPU (--model ID --gpu SKU), or a file (-f FILE)")
    raws = inputs.deployments_in(filename) if filename else [inputs.object_with(fields)]
    entries = inputs.catalog_with(catalog)
    answers = [answer(inputs.checked(raw), entries, to_apply=filename is not None) for raw in raws]
    if form == "table":
        from videollm_operator.cli.plan_table import show

        for one in answers:
            show(one, entries, techniques=techniques)
    else:
        documents = [one.as_json() for one in answers]
        emit(documents[0] if len(documents) == 1 else documents, form)
    sys.exit(max(one.exit_code for one in answers))
