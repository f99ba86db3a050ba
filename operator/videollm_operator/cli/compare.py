"""`videollm plan --compare`: models, GPUs and formats of the weights side by side."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from videollm_operator.api.v1alpha1.compute import QuantizationFormat
from videollm_operator.cli.output import console
from videollm_operator.cli.sweep import cell
from videollm_operator.sizing import sizing_status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from videollm_operator.cli.answer import Answer
    from videollm_operator.cli.hourly import Cost

    Row = tuple[Answer, Cost | None]
    """One combination, and what it costs if its GPU has a price."""

HEADS = {QuantizationFormat.NONE: "16 bit"}
"""Columns that are not called as the format is."""

INTEGER = (QuantizationFormat.INT8, QuantizationFormat.INT4)


def as_row(found: Answer, cost: Cost | None = None) -> dict[str, Any]:
    """One combination for programs; with the price of its GPU, if it has one."""
    spec = found.deployment.spec
    head: dict[str, Any] = {
        "model": spec.model.name,
        "gpu": spec.gpu.sku,
        "quantization": str(spec.quantization.format),
        "fits": found.planned is not None,
    }
    priced = cost.as_row() if cost else {}
    if found.planned is None:
        problem = found.problems[0]
        return {**head, "reason": str(problem.reason), "message": problem.message, **priced}
    sizing = sizing_status(found.planned.plan, spec.replicas)
    return {
        **head,
        "quantization": sizing.quantization,
        "runnable": found.planned.not_runnable is None,
        "verdict": str(found.planned.plan.verdict),
        "gpus": sizing.gpus_per_replica,
        "tensorParallelSize": sizing.tensor_parallel_size,
        "pipelineParallelSize": sizing.pipeline_parallel_size,
        "minimumGPUs": sizing.minimum_gpus,
        "headroomMiB": sizing.memory_per_gpu.headroom,
        "kvCacheTokens": sizing.kv_cache_tokens,
        "maxConcurrentRequests": sizing.max_concurrent_requests,
        **priced,
    }


def show(rows: Sequence[Row]) -> None:
    """Prints one table for each model, or one for all of them where there is one GPU."""
    out = console()
    answers = [found for found, _ in rows]
    skus = dict.fromkeys(found.deployment.spec.gpu.sku for found in answers)
    models = dict.fromkeys(found.deployment.spec.model.name for found in answers)
    if len(skus) == 1 and len(models) > 1:
        _table(out, f"GPUs of one replica on {next(iter(skus))}", rows, by_model=True)
    else:
        for model, group in groupby(rows, lambda row: row[0].deployment.spec.model.name):
            _table(out, f"GPUs of one replica of {model}", list(group), by_model=False)
    currency = next((cost.currency for _, cost in rows if cost and cost.words), "")
    for line in legend(answers, currency):
        out.print(Padding(Text(line), (0, 0, 0, 2)))


def _table(out: Console, title: str, rows: Sequence[Row], *, by_model: bool) -> None:
    out.print(Text(title, style="bold"))
    problems = {problem.message for found, _ in rows for problem in found.problems}
    if len(problems) == 1 and not any(found.planned for found, _ in rows):
        out.print(Padding(Text(f"none: {problems.pop()}"), (0, 0, 1, 2)))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("MODEL" if by_model else "GPU", overflow="fold")
    for form in dict.fromkeys(found.deployment.spec.quantization.format for found, _ in rows):
        table.add_column(HEADS.get(form, str(form)), no_wrap=True)

    def name_of(row: Row) -> str:
        spec = row[0].deployment.spec
        return spec.model.name if by_model else spec.gpu.sku

    for name, group in groupby(rows, name_of):
        table.add_row(name, *(_cell(found, cost) for found, cost in group))
    out.print(table)
    out.print()


def _cell(found: Answer, cost: Cost | None) -> Text:
    """The answer, and its price in a second line."""
    lines = [cell(found), cost.words] if cost and cost.words else [cell(found)]
    bold = "bold" if cost and cost.cheapest else ""
    return Text("\n".join(lines), style=bold if found.planned else "dim")


def legend(answers: Sequence[Answer], currency: str = "") -> list[str]:
    """What the cells mean, and what the plans need that are in them; one sentence a line."""
    planned = [found for found in answers if found.planned]
    lines = ["TP: tensor parallel, PP: pipeline stages. `min`: fewest GPUs by any layout."]
    if currency:
        lines.append(f"Second line: price per hour of one replica in this layout ({currency}).")
    forms = {found.deployment.spec.quantization.format for found in planned}
    if QuantizationFormat.FP8 in forms:
        lines.append("FP8 is made while loading, from the 16-bit checkpoint.")
    if forms & set(INTEGER):
        widths = {
            found.deployment.spec.model.name: found.deployment.spec.quantization.intermediate_size
            for found in planned
            if found.deployment.spec.quantization.format in INTEGER
        }
        padded = sorted({width for width in widths.values() if width})
        words = f", padded to `intermediateSize` {' or '.join(map(str, padded))}" if padded else ""
        lines.append(f"INT8 and INT4 need a checkpoint that is quantized already{words}.")
    names = dict.fromkeys(
        found.deployment.spec.model.name
        for found in planned
        if found.planned
        and found.planned.not_runnable
        and found.deployment.spec.quantization.format not in INTEGER
    )
    if names:
        lines.append(
            f"No released engine runs {', '.join(names)} yet; `videollm plan` for one GPU says "
            "what to do."
        )
    return lines
