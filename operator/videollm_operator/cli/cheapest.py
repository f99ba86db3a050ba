"""The cheapest GPU by the admin's prices: `videollm plan` without `--gpu`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table

from videollm_operator.cli import inputs
from videollm_operator.cli.answer import answer
from videollm_operator.cli.exits import ExitCode
from videollm_operator.cli.output import console
from videollm_operator.cli.sweep import cell, on_gpu
from videollm_operator.sizing.text import count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.prices import Prices
    from videollm_operator.cli.answer import Answer


@dataclass(frozen=True, slots=True)
class Priced:
    """The answer for one GPU, and what it costs."""

    sku: str
    answer: Answer
    per_gpu_hour: float

    @property
    def gpus(self) -> int:
        """GPUs of all replicas; 0 if it does not fit."""
        planned = self.answer.planned
        replicas = self.answer.deployment.spec.replicas
        return planned.plan.layout.gpus * replicas if planned else 0

    @property
    def fewest(self) -> int:
        """GPUs of all replicas by `strategy: FewestGPUs`; 0 if it does not fit."""
        planned = self.answer.planned
        return planned.plan.minimum_gpus * self.answer.deployment.spec.replicas if planned else 0

    @property
    def per_hour(self) -> float:
        """Price of all replicas per hour; 0 if it does not fit."""
        return self.gpus * self.per_gpu_hour

    def as_row(self, currency: str) -> dict[str, Any]:
        """For programs."""
        row: dict[str, Any] = {
            "gpu": self.sku,
            "fits": self.answer.planned is not None,
            "currency": currency,
            "perGPUHour": self.per_gpu_hour,
        }
        if self.answer.planned is None:
            problem = self.answer.problems[0]
            return {**row, "reason": str(problem.reason), "message": problem.message}
        layout = self.answer.planned.plan.layout
        return {
            **row,
            "totalGPUs": self.gpus,
            "tensor": layout.tensor,
            "pipeline": layout.pipeline,
            "minimumGPUs": self.fewest,
            "perHour": round(self.per_hour, 6),
        }


@dataclass(frozen=True, slots=True)
class Ranking:
    """All GPUs that have a price."""

    rows: tuple[Priced, ...]
    """The cheapest that fits first, what does not fit last; at least one."""
    currency: str

    def as_json(self) -> list[dict[str, Any]]:
        """For programs."""
        return [each.as_row(self.currency) for each in self.rows]

    def show(self) -> None:
        """Prints the table; the plan of the first is printed by itself."""
        out = console()
        replicas = count(self.rows[0].answer.deployment.spec.replicas, "replica")
        table = Table(
            title=f"Price per hour of {replicas}, by your prices ({self.currency})",
            title_justify="left",
            box=None,
            pad_edge=False,
        )
        table.add_column("GPU", no_wrap=True)
        for column in ("PER HOUR", "GPUS", "PER GPU"):
            table.add_column(column, justify="right")
        table.add_column("LAYOUT")
        fewer = any(each.fewest < each.gpus for each in self.rows)
        if fewer:
            table.add_column("WITH FewestGPUs", justify="right")
        for each in self.rows:
            price, planned = f"{each.per_gpu_hour:.2f}", each.answer.planned
            if planned is None:
                table.add_row(each.sku, "", "", price, cell(each.answer))
                continue
            cost, layout = f"{each.per_hour:.2f}", str(planned.plan.layout)
            row = [each.sku, cost, str(each.gpus), price, layout]
            if each.fewest < each.gpus:
                row.append(f"{each.fewest * each.per_gpu_hour:.2f}, {each.fewest} GPUs")
            table.add_row(*row)
        out.print()
        out.print(table)


def ranking(fields: Mapping[str, Any], catalog: Catalog, prices: Prices) -> Ranking:
    """Plans what options describe for every GPU that has a price.

    Of two that cost the same, the one with fewer GPUs comes first.

    Args:
        fields: YAML path below `spec` to value, without the GPU.
        catalog: models, GPUs and engines.
        prices: the admin's.
    """
    skus = tuple(prices.per_gpu_hour)
    deployment = inputs.checked(inputs.object_with({**fields, "gpu.sku": skus[0]}))
    found = [
        Priced(sku, answer(on_gpu(deployment, sku), catalog, to_apply=False), price)
        for sku, price in prices.per_gpu_hour.items()
    ]
    if all(each.answer.exit_code == ExitCode.BAD_INPUT for each in found):
        inputs.fail(*(problem.message for problem in found[0].answer.problems))
    found.sort(key=lambda each: (each.gpus == 0, round(each.per_hour, 6), each.gpus))
    return Ranking(tuple(found), prices.currency)
