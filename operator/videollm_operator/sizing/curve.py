"""GPUs against one number of the workload: where the answer changes, exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from videollm_operator.api.problem import Refused
from videollm_operator.sizing.choose import by_strategy
from videollm_operator.sizing.fit import demand, left_to_strategy
from videollm_operator.sizing.tokens import most_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from videollm_operator.sizing.types import SizingRequest

LOOKED_AT = 48
"""Values that are planned before the changes between them are searched for."""

Quantity = Literal["frames_per_video", "concurrent_requests"]


@dataclass(frozen=True, slots=True)
class Step:
    """A range of values with one answer."""

    first: int
    last: int
    gpus: int | None
    """GPUs of one replica; None where nothing inside one node fits."""


def gpus_against(request: SizingRequest, quantity: Quantity, most: int) -> tuple[Step, ...]:
    """GPUs of one replica for every value of a quantity from 1 to `most`.

    A fixed count or layout is left out of the request, and so is `maxModelLen`: the question is
    what the strategy would choose.
    """
    free = left_to_strategy(request)

    def gpus(value: int) -> int | None:
        workload = free.workload.model_copy(update={quantity: value, "max_model_len": None})
        try:
            asked = demand(replace(free, workload=workload))
        except Refused:
            return None
        fit = by_strategy(asked, free.parallelism.strategy)
        return fit.layout.gpus if fit else None

    return steps(gpus, most)


def frames_limit(request: SizingRequest) -> int:
    """Most frames per video that the model's window takes with this workload; 0 if none."""
    window = request.architecture.text.max_position_embeddings
    return most_frames(request.architecture, request.budget.route, request.workload, window)


def steps(answer: Callable[[int], int | None], most: int) -> tuple[Step, ...]:
    """Ranges of equal answers from 1 to `most`.

    Looks at values on a grid and searches between two that differ, so a range is missed only if it
    lies between two equal answers of the grid.
    """
    known = cache(answer)
    starts = [1]
    low = 1
    for mark in range(1, LOOKED_AT + 1):
        high = max(1, most * mark // LOOKED_AT)
        while known(low) != known(high):
            low = _change(known, low, high)
            starts.append(low)
        low = high
    ends = [*(start - 1 for start in starts[1:]), most]
    return tuple(Step(first, last, known(first)) for first, last in zip(starts, ends, strict=True))


def _change(answer: Callable[[int], int | None], low: int, high: int) -> int:
    """The first value after `low` whose answer is another, where `high` has another."""
    same, other = low, high
    while other - same > 1:
        middle = (same + other) // 2
        if answer(middle) == answer(low):
            same = middle
        else:
            other = middle
    return other
