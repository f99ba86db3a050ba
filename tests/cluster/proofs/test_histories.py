"""Random histories on the real control plane: whatever happens, it ends in what the objects say.

Every history is a deployment to which things happen in random order: edits, valid and not,
scaling, deletion and re-creation, hands in its children, failing pods. Many run side by side;
meanwhile the operator is killed, the catalogue and nodes change, the API server restarts. In the
end (`history_truth`) the children are exactly those of the last accepted spec by its recorded
inputs, status is true, writes were bounded (`history_bounds`), deletion leaves nothing, and the
operator lives.

VIDEOLLM_HISTORIES_SEED and VIDEOLLM_HISTORIES_COUNT choose other histories, and how many; a
failing one is run again alone, made as small as time allows and printed as a test.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from devcluster.cluster import Cluster
from tests.cluster.proofs import history_batch
from tests.cluster.proofs.history_lab import ROOMY_NODES, WEAK
from tests.cluster.proofs.history_shrink import report_of, run_alone, smallest
from tests.cluster.proofs.history_steps import HISTORIES, TIMELINES, draw
from videollm_operator.reconcile.world import ChildKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target
    from tests.scenario.histories import Step

_log = logging.getLogger(__name__)

SEED = int(os.environ.get("VIDEOLLM_HISTORIES_SEED", "4"))
COUNT = int(os.environ.get("VIDEOLLM_HISTORIES_COUNT", "300"))
SIDE_BY_SIDE = 60
BATCHES = range((COUNT + SIDE_BY_SIDE - 1) // SIDE_BY_SIDE)


@pytest.fixture(scope="module")
def roomy(installed: Target) -> Iterator[Cluster]:
    """A cluster of our own, which is as before afterwards: other tests know its nodes."""
    if not isinstance(installed, Cluster):
        pytest.skip("needs to restart the API server and to read its audit log: a local cluster")
    yield installed
    installed.kubectl("delete", "node", "--ignore-not-found", *ROOMY_NODES, WEAK)


def namespace() -> str:
    return f"histories-{uuid.uuid4().hex[:6]}"


@pytest.mark.cluster
@pytest.mark.parametrize("number", BATCHES)
def test_any_history_ends_in_what_the_object_says(roomy: Cluster, number: int) -> None:
    count = min(SIDE_BY_SIDE, COUNT - number * SIDE_BY_SIDE)
    histories = draw(HISTORIES, COUNT, SEED)[number * SIDE_BY_SIDE :][:count]
    timeline = draw(TIMELINES, len(BATCHES), SEED)[number]
    _log.info("seed %d, batch %d of %d; shared: %s", SEED, number, len(BATCHES), timeline)
    batch = asyncio.run(history_batch.run(roomy, namespace(), histories, timeline))
    _log.info("seconds: %s", {what: round(s, 1) for what, s in batch.seconds.items()})
    if batch.failures:
        pytest.fail(report_of(roomy, list(batch.failures.values()), SEED))


@pytest.mark.cluster
def test_a_pause_looks_for_no_strangers(roomy: Cluster) -> None:
    history: list[Step] = [
        ("seen", None),
        ("stranger", ChildKey("Service", "a-pods")),
        ("rest", None),
        ("edit", ("paused", True)),
        ("rest", None),
        ("hand_scale", 2),
    ]
    assert run_alone(roomy, history) == []


def test_what_fails_is_told_as_the_steps_that_it_takes() -> None:
    history: list[Step] = [("scale", number) for number in range(20)]
    needed = {("scale", 3), ("scale", 11), ("scale", 12)}
    asked: list[int] = []

    def fails(steps: list[Step]) -> bool:
        asked.append(len(steps))
        return needed <= set(steps)

    assert smallest(history, fails, time.monotonic() + 60) == sorted(needed)
    assert len(asked) < 60
    assert smallest(history, fails, time.monotonic() - 1) == history
