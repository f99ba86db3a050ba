"""The other direction: how much of each workload a given number of GPUs holds.

Each answer is the largest value that the planner itself accepts with so many GPUs, all else as
asked; so what comes out here and goes into `plan` fits, and one more does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1.compute import ParallelismStrategy
from videollm_operator.sizing.choose import first_fit
from videollm_operator.sizing.fit import demand
from videollm_operator.sizing.formats import formats
from videollm_operator.sizing.refuse import largest
from videollm_operator.sizing.tokens import most_frames
from videollm_operator.sizing.types import Layout, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from videollm_operator.sizing.types import SizingRequest

MOST_FRAMES = 4096
MOST_REQUESTS = 4096
"""What `framesPerVideo` and `concurrentRequests` may be at all."""

LEAST_CONTEXT = 16
"""The least `maxModelLen`."""


class Limit(StrEnum):
    """What keeps a value from being larger."""

    MEMORY = "Memory"
    WINDOW = "Window"
    """The model's context window, or `maxModelLen`."""
    FIELD = "Field"
    """The largest value that the field takes."""


@dataclass(frozen=True, slots=True)
class Most:
    """The largest value of one number of the workload, all others as asked."""

    value: int
    """0 if none fits."""
    limit: Limit


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a replica of so many GPUs holds, with the safety margin."""

    gpus: int
    frames_per_video: Most
    concurrent_requests: Most
    context: Most
    """`maxModelLen`, tokens; at least the workload's own length."""


def capacity(request: SizingRequest, gpus: int) -> Capacity:
    """The most frames, requests and context that `gpus` GPUs hold, each alone.

    Args:
        request: model, GPU, engine and workload. Its count of GPUs is replaced by `gpus`; a named
            layout (`strategy: Manual`) stays, and may then be tight, as `plan` takes it.
        gpus: GPUs of one replica.

    Raises:
        Refused: if the GPU cannot do the number formats.
    """
    formats(request)
    window = request.architecture.text.max_position_embeddings
    wanted = request.workload.frames_per_video
    length = request.workload.max_model_len or window
    frames = 0
    if length <= window:
        frames = most_frames(request.architecture, request.budget.route, request.workload, length)

    def holds(field: str) -> Callable[[int], bool]:
        def with_value(value: int) -> bool:
            workload = request.workload.model_copy(update={field: value})
            return _accepted(replace(request, workload=workload), gpus)

        return with_value

    def most(field: str, limit: int, what: Limit) -> Most:
        value = largest(holds(field), limit)
        return Most(value, what if value == limit else Limit.MEMORY)

    return Capacity(
        gpus=gpus,
        frames_per_video=most(
            "frames_per_video",
            min(frames, MOST_FRAMES),
            Limit.FIELD if frames > MOST_FRAMES else Limit.WINDOW,
        ),
        concurrent_requests=(
            most("concurrent_requests", MOST_REQUESTS, Limit.FIELD)
            if wanted <= frames
            else Most(0, Limit.WINDOW)
        ),
        context=_context(request, gpus, window),
    )


def _context(request: SizingRequest, gpus: int, window: int) -> Most:
    """The longest `maxModelLen`, from the workload's own length up."""
    workload = request.workload.model_copy(update={"max_model_len": None})
    try:
        own = demand(replace(request, workload=workload)).tokens.per_request
    except Refused:  # the workload alone is longer than the window
        return Most(0, Limit.WINDOW)
    least = max(LEAST_CONTEXT, own)

    def holds(more: int) -> bool:
        longer = request.workload.model_copy(update={"max_model_len": least - 1 + more})
        return _accepted(replace(request, workload=longer), gpus)

    more = largest(holds, window - least + 1)
    if not more:
        return Most(0, Limit.MEMORY)
    value = least - 1 + more
    return Most(value, Limit.WINDOW if value == window else Limit.MEMORY)


def _accepted(request: SizingRequest, gpus: int) -> bool:
    """Whether the planner takes this request, which its window holds, with so many GPUs."""
    asked = demand(request)
    named = request.parallelism
    if named.strategy is ParallelismStrategy.MANUAL:
        layout = Layout(named.tensor or 1, named.pipeline or 1)
        legal = layout.gpus == gpus and layout in asked.in_node
        return legal and asked.fit(layout).verdict is not Verdict.DOES_NOT_FIT
    return first_fit(asked, (each for each in asked.in_node if each.gpus == gpus)) is not None
