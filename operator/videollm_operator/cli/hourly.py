"""What the plans of a comparison cost per hour, by the admin's prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from videollm_operator.sizing import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videollm_operator.catalog.prices import Prices
    from videollm_operator.cli.answer import Answer


@dataclass(frozen=True, slots=True)
class Cost:
    """The price of one answer, whose GPU has one."""

    currency: str
    per_gpu_hour: float
    gpus: int
    """GPUs of one replica; 0 if it does not fit."""
    cheapest: bool = False
    """Whether nothing of the same object that fits costs less."""

    @property
    def per_replica_hour(self) -> float:
        """Price of one replica per hour, without the noise of floating point."""
        return round(self.gpus * self.per_gpu_hour, 6)

    def as_row(self) -> dict[str, Any]:
        """For programs, beside the numbers of the plan."""
        row: dict[str, Any] = {"currency": self.currency, "perGPUHour": self.per_gpu_hour}
        if self.gpus:
            row |= {"perReplicaHour": self.per_replica_hour, "cheapest": self.cheapest}
        return row

    @property
    def words(self) -> str:
        """`5.20`, or `5.20 cheapest`; empty if it does not fit."""
        if not self.gpus:
            return ""
        return f"{self.per_replica_hour:.2f}{' cheapest' if self.cheapest else ''}"


def costs(answers: Sequence[Answer], prices: Prices | None) -> tuple[Cost | None, ...]:
    """The price of each answer; None where its GPU has none.

    Of what one object may run on, the cheapest is marked; a tight layout never is. Of two that
    cost the same it is the one with fewer GPUs, then the one that comes first.
    """
    found = [_cost(each, prices) for each in answers]
    rivals: dict[tuple[str, str, str], list[tuple[float, int, int]]] = {}
    for place, (each, cost) in enumerate(zip(answers, found, strict=True)):
        if cost is not None and _fits(each):
            metadata, model = each.deployment.metadata, each.deployment.spec.model.name
            same = rivals.setdefault((metadata.namespace, metadata.name, model), [])
            same.append((cost.per_replica_hour, cost.gpus, place))
    best = {min(same)[-1] for same in rivals.values()}
    return tuple(
        replace(cost, cheapest=True) if cost and place in best else cost
        for place, cost in enumerate(found)
    )


def _cost(found: Answer, prices: Prices | None) -> Cost | None:
    sku = found.deployment.spec.gpu.sku
    if prices is None or sku not in prices.per_gpu_hour:
        return None
    gpus = found.planned.plan.layout.gpus if found.planned else 0
    return Cost(prices.currency, prices.per_gpu_hour[sku], gpus)


def _fits(found: Answer) -> bool:
    return found.planned is not None and found.planned.plan.verdict is Verdict.FITS
