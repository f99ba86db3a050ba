"""What `make bench` aims at, what it finds, and what limits it: part of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.scale import Scale

STATUS, EVENTS = "patch videollmdeployments/status", "create events"

LAST_CHILD_S = 2.0
STATUS_WRITES = 2.0
CHILD_WRITES = 2.0
SERVICES = 2
"""Of the children of one object, as many are Services; the others are one of each kind."""

MEMORY_MIB = (90, 200)
"""Of the operator, with the burst and with all objects."""

CHANGE_MS = 50.0


@dataclass(frozen=True)
class Aim:
    """One aim.

    Attributes:
        what: is aimed at, with its limit.
        found: what was measured.
        reached: whether that is within the limit.
    """

    what: str
    found: str
    reached: bool


def aims(scale: Scale) -> Iterator[Aim]:
    """Each aim, beside what was measured."""
    count = len(scale.burst.created)
    behind = max(0.0, scale.burst.behind)
    yield Aim(
        f"last child of {count} at most {LAST_CHILD_S:.0f} s after the last create",
        f"{behind:.1f} s",
        behind <= LAST_CHILD_S,
    )
    calls = {what: number / count for what, number in scale.burst.calls.items()}
    writes = {what: n for what, n in calls.items() if what.split()[0] != "get"}
    each = {
        what: number / (SERVICES if what == "patch services" else 1)
        for what, number in writes.items()
        if what not in {STATUS, EVENTS}
    }
    most = max(each.values())
    yield Aim(
        f"at most {CHILD_WRITES:.0f} writes to each child, until Ready",
        f"{most:.1f}",
        most <= CHILD_WRITES,
    )
    told = calls.get(STATUS, 0.0)
    yield Aim(
        f"at most {STATUS_WRITES:.0f} writes of status, until Ready",
        f"{told:.1f}",
        told <= STATUS_WRITES,
    )
    memory = dict(scale.memory)
    for objects, limit in zip((count, max(memory)), MEMORY_MIB, strict=True):
        found = memory[objects]
        yield Aim(f"under {limit} MiB with {objects:,} objects", f"{found} MiB", found < limit)
    objects, times = scale.latency_ms[-1]
    middle = statistics.median(times)
    yield Aim(
        f"one change acted on in under {CHANGE_MS:.0f} ms among {objects:,} objects",
        f"{middle:.0f} ms",
        middle < CHANGE_MS,
    )


def limit(scale: Scale, cores: int) -> str:
    """What limits a burst: two or three sentences."""
    burst = scale.burst
    used = sum(scale.cpu.values())
    elapsed = max(burst.complete[-1], 0.1)
    share = 100 * used / (elapsed * cores)
    largest, seconds = max(scale.cpu.items(), key=lambda item: item[1])
    operator = scale.cpu["operator"]
    return (
        f"From the first create to the last child all programs together used {used:.0f} s of "
        f"processor time, {share:.0f} % of what {cores} cores give in those {elapsed:.0f} s; "
        f"without any waiting it would take {used / cores:.0f} s. {largest} used "
        f"{100 * seconds / used:.0f} % of it, and the operator {100 * operator / used:.0f} %, "
        f"{1000 * operator / len(burst.created):.0f} ms for each object."
    )


def section(scale: Scale, cores: int) -> str:
    """The section of the page."""
    found = list(aims(scale))
    lines = [
        f"| {aim.what} | {aim.found} | {'reached' if aim.reached else 'missed'} |" for aim in found
    ]
    missed = [aim for aim in found if not aim.reached]
    verdict = (
        f"{len(missed)} of {len(found)} aims are missed on this computer."
        if missed
        else "All aims are reached on this computer."
    )
    table = "\n".join(["| aim | measured | result |", "| --- | --- | --- |", *lines])
    return f"{table}\n\n{verdict}\n\n{limit(scale, cores)}"
