"""A plan for people: verdict first, then the terms, the alternatives, the rule of thumb."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from videollm_operator.api.reasons import Reason
from videollm_operator.cli.memory_table import show_memory
from videollm_operator.cli.output import console
from videollm_operator.sizing import Layout, Verdict, sizing_status
from videollm_operator.sizing.capacity import Limit
from videollm_operator.sizing.several import NOT_BUILT
from videollm_operator.sizing.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from videollm_operator.api.v1alpha1.status import SizingStatus
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.cli.answer import Answer
    from videollm_operator.engines.base import DeploymentPlan
    from videollm_operator.sizing import Capacity, Plan

_VERDICTS = {
    Reason.DOES_NOT_FIT: "Does not fit",
    Reason.NEEDS_SEVERAL_NODES: "Does not fit",
    Reason.CONTEXT_TOO_LONG: "Does not fit",
    Reason.ENGINE_UNSUPPORTED: "Cannot be served",
    Reason.QUANTIZATION_UNSUPPORTED: "Cannot be served",
    Reason.DTYPE_UNSUPPORTED: "Cannot be served",
    Reason.FIELD_UNSUPPORTED: "Cannot be served",
}


def show(answer: Answer, catalog: Catalog, *, techniques: bool, engines: bool = False) -> None:
    """Prints one answer, and the lists that were asked for."""
    out = console()
    _show(out, answer)
    if techniques:
        _techniques(out, answer, catalog)
    if engines:
        from videollm_operator.cli.engines_table import show_engines

        show_engines(out, answer.deployment, catalog)


def _show(out: Console, answer: Answer) -> None:
    spec = answer.deployment.spec
    if answer.planned is None:
        verdict = f"{_VERDICTS.get(answer.problems[0].reason, 'Refused')}: {spec.model.name} on "
        out.print(Text(verdict + spec.gpu.sku, style="bold red"))
        for problem in answer.problems:
            out.print(Padding(Text(problem.message), (0, 0, 0, 2)))
            if problem.field:
                out.print(Padding(Text(f"change: {problem.field}", style="dim"), (0, 0, 0, 2)))
        if answer.several_nodes is not None:
            _several_nodes(out, answer.several_nodes)
        return
    sizing = sizing_status(answer.planned.plan, spec.replicas)
    _verdict(out, answer, sizing, answer.planned)
    show_memory(out, answer.planned.plan)
    _numbers(out, sizing, answer.most)
    _alternatives(out, sizing)
    _forbidden(out, answer.planned)
    _rule_of_thumb(out, sizing)
    _arguments(out, answer.planned)


def _several_nodes(out: Console, plan: Plan) -> None:
    """The memory of a layout beyond one node, as of one inside; marked as not to be had."""
    verdict = "Would fit" if plan.verdict is Verdict.FITS else "Would be tight"
    each = f"{plan.layout.gpus // plan.nodes} x {plan.sku}"
    out.print()
    out.print(
        Text(f"{verdict} on {plan.nodes} nodes with {each} each ({plan.layout})", style="bold")
    )
    out.print(Padding(Text(f"planned only: {NOT_BUILT}", style="yellow"), (0, 0, 0, 2)))
    show_memory(out, plan)
    _numbers(out, sizing_status(plan, replicas=1), None)


def _techniques(out: Console, answer: Answer, catalog: Catalog) -> None:
    from videollm_operator.cli.techniques_table import show_techniques

    show_techniques(out, answer.deployment, catalog)


def _verdict(out: Console, answer: Answer, sizing: SizingStatus, planned: DeploymentPlan) -> None:
    spec = answer.deployment.spec
    good = planned.plan.verdict is Verdict.FITS and planned.not_runnable is None
    word = "Fits" if planned.plan.verdict is Verdict.FITS else "Tight"
    word += "" if planned.not_runnable is None else ", not yet runnable"
    out.print(
        Text(
            f"{word}: {spec.model.name} on {sizing.gpus_per_replica} x {spec.gpu.sku} "
            f"({planned.plan.layout})",
            style="bold green" if good else "bold yellow",
        )
    )
    out.print(Padding(Text(sizing.explanation), (0, 0, 0, 2)))
    for warning in planned.warnings:
        out.print(Padding(Text(f"Note: {warning}", style="yellow"), (0, 0, 0, 2)))
    if planned.not_runnable is not None:
        out.print(
            Padding(Text(f"Not yet: {planned.not_runnable.message}", style="yellow"), (0, 0, 0, 2))
        )
    out.print()


_LIMITS = {
    Limit.MEMORY: "memory",
    Limit.WINDOW: "context window",
    Limit.FIELD: "largest value of the field",
}


def _numbers(out: Console, sizing: SizingStatus, most: Capacity | None) -> None:
    out.print(
        Text(
            f"Context {sizing.max_model_len} tokens, {sizing.tokens_per_video} per video; the KV "
            f"cache holds {sizing.kv_cache_tokens} tokens: {sizing.max_concurrent_requests} "
            "full-length requests at the same time."
        )
    )
    if most is not None:
        frames, requests, context = most.frames_per_video, most.concurrent_requests, most.context
        out.print(
            Text(
                f"With the safety margin, each alone: up to {frames.value} frames per video "
                f"({_LIMITS[frames.limit]}), {requests.value} concurrent requests "
                f"({_LIMITS[requests.limit]}), or a context of {context.value} tokens "
                f"({_LIMITS[context.limit]})."
            )
        )
    out.print()


def _alternatives(out: Console, sizing: SizingStatus) -> None:
    if not sizing.alternatives:
        return
    table = Table(title="Other layouts", title_justify="left", box=None, pad_edge=False)
    for column in ("GPUs", "TP", "PP"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    table.add_column("note")
    for other in sizing.alternatives:
        table.add_row(
            str(other.gpus), str(other.tensor), str(other.pipeline), other.verdict, other.note
        )
    out.print(table)
    out.print()


def _forbidden(out: Console, planned: DeploymentPlan) -> None:
    """Sizes that the same rule forbids stand in one line."""
    by_rule: dict[str, list[str]] = {}
    for each in planned.plan.forbidden:
        name = str(Layout(each.tensor, each.pipeline)).removeprefix("TP1 x ")
        by_rule.setdefault(each.rule, []).append(name)
    if not by_rule:
        return
    out.print(Text("Layouts that do not exist"))
    for rule, names in by_rule.items():
        out.print(Padding(Text(f"{', '.join(names)}: {rule}"), (0, 0, 0, 2)))
    out.print()


def _rule_of_thumb(out: Console, sizing: SizingStatus) -> None:
    rule = sizing.rule_of_thumb
    out.print(
        Text(
            f"Rule of thumb: {rule.weights_gb} GB of weights, {rule.total_gb} GB with a quarter "
            f"more: {count(rule.gpus, 'GPU')}. {rule.note or 'The plan says the same.'}"
        )
    )
    out.print()


def _arguments(out: Console, planned: DeploymentPlan) -> None:
    launch = planned.launch
    if launch is None:
        return
    out.print(Text(f"{launch.type} {launch.version} ({launch.image}) gets:"))
    for line in command_lines(launch.args, out.width - 2):
        out.print(Text(f"  {line}", no_wrap=True), soft_wrap=True)


def command_lines(arguments: Sequence[str], width: int) -> list[str]:
    """Arguments as a shell takes them, in lines that are copied as they stand.

    No argument is broken, so a line is longer than `width` only if a single argument is.
    """
    lines: list[str] = []
    for word in map(shlex.quote, arguments):
        if lines and len(lines[-1]) + 1 + len(word) + len(" \\") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return [*(f"{line} \\" for line in lines[:-1]), *lines[-1:]]
