"""What to say about histories that fail: the smallest one that still does, as a test to paste."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

from tests.cluster.proofs import history_batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from devcluster.cluster import Cluster
    from tests.cluster.proofs.history_batch import Failure
    from tests.scenario.histories import Step

SHRINKING_S = 600.0
"""After that long no smaller one is looked for."""


def smallest(
    history: list[Step], fails: Callable[[list[Step]], bool], deadline: float
) -> list[Step]:
    """`history` without all steps that it fails without: halves first, then smaller parts."""
    size = max(1, len(history) // 2)
    while history:
        for start in range(0, len(history), size):
            candidate = history[:start] + history[start + size :]
            if time.monotonic() > deadline:
                return history
            if fails(candidate):
                history = candidate
                break
        else:
            if size == 1:
                return history
            size = max(1, size // 2)
    return history


def run_alone(cluster: Cluster, history: list[Step]) -> list[Failure]:
    """Runs one history, shared steps included, with nothing else going on."""
    namespace = f"alone-{uuid.uuid4().hex[:6]}"
    batch = asyncio.run(history_batch.run(cluster, namespace, [history]))
    return list(batch.failures.values())


def report_of(cluster: Cluster, failures: list[Failure], seed: int) -> str:
    """All failures, and the smallest history of the first one that also fails alone."""
    parts = [f"{len(failures)} histories of seed {seed} failed.", *map(str, failures)]
    deadline = time.monotonic() + SHRINKING_S
    for failure in failures:
        history = list(failure.story.log)
        again = run_alone(cluster, history)
        if again:
            history = smallest(history, lambda steps: bool(run_alone(cluster, steps)), deadline)
            parts += ["It fails alone, too:", *map(str, again), "As a test:", as_test(history)]
            return "\n".join(parts)
        parts += [f"{failure.story.name} does not fail alone. As a test:", as_test(history)]
        if time.monotonic() > deadline:
            break
    return "\n".join(parts)


def as_test(history: list[Step]) -> str:
    """A history as source of a test in test_histories.py."""
    steps = "".join(f"        {step!r},\n" for step in history)
    return (
        "def test_a_history_that_once_failed(roomy: Cluster) -> None:\n"
        f"    history: list[Step] = [\n{steps}    ]\n"
        "    assert run_alone(roomy, history) == []\n"
    )
