"""Many histories side by side in one namespace, with shared events going on meanwhile.

Afterwards three times everybody comes to rest and is looked at: as the history left it; put right;
deleted. One history alone is the same with the shared events among its own steps.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.proofs.history_bounds import excesses, tallies
from tests.cluster.proofs.history_lab import Lab
from tests.cluster.proofs.history_steps import SHARED_STEPS
from tests.cluster.proofs.history_story import Story
from tests.cluster.proofs.history_truth import Planner, faults

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from typing import Any

    from devcluster.cluster import Cluster
    from tests.scenario.histories import Step

_log = logging.getLogger(__name__)

REST_S = 240.0
"""Longest way to rest: crashes, an API server that was away, pods that wait for a node."""

LOOK_S = 0.5
"""Time between two looks at everything."""

NAME_WIDTH = 4


@dataclass
class Failure:
    """A history that did not end as it must, and where."""

    story: Story
    when: str
    found: list[str]

    def __str__(self) -> str:
        return f"{self.story.name} {self.when}:\n  " + "\n  ".join(self.found)


@dataclass
class Batch:
    """Histories that run at the same time."""

    lab: Lab
    stories: list[Story]
    failures: dict[str, Failure] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self._planner = Planner(self.lab)
        self._mark = self.lab.cluster.audit_mark()

    async def run(self, histories: Sequence[list[Step]], timeline: Sequence[Step]) -> None:
        """Lets everything happen, and looks."""
        total = sum(map(len, histories))
        moments = [total * (n + 1) // (len(timeline) + 1) for n in range(len(timeline))]
        follower = asyncio.create_task(self.lab.space.mirror.follow())
        try:
            await self._timed(
                "histories",
                asyncio.gather(
                    self._shared(timeline, moments),
                    *(self._one(s, h) for s, h in zip(self.stories, histories, strict=True)),
                ),
            )
            await self._timed("as left", self._look("as it was left"))
            await self.lab.calm()
            await asyncio.gather(*(self._heal(story) for story in self._fine()))
            await self._timed("put right", self._look("after it was put right"))
            await asyncio.gather(*(story.delete("Background") for story in self._fine()))
            await self._timed("deleted", self._look("after it was deleted"))
        finally:
            follower.cancel()
        self._count()

    def _fine(self) -> list[Story]:
        return [story for story in self.stories if story.name not in self.failures]

    def _fails(self, story: Story, when: str, *found: str) -> None:
        self.failures.setdefault(story.name, Failure(story, when, list(found)))

    async def _one(self, story: Story, history: list[Step]) -> None:
        try:
            await story.create()
            for what, value in history:
                if what in SHARED_STEPS:
                    await self.lab.happen(what, value)
                    story.log.append((what, value))
                else:
                    await story.happen(what, value)
                self.steps += 1
        except (AssertionError, TimeoutError) as error:
            self._fails(story, "on its way", str(error))
            self.steps += len(history)

    async def _heal(self, story: Story) -> None:
        try:
            await story.heal()
        except (AssertionError, TimeoutError) as error:
            self._fails(story, "while it was put right", str(error))

    async def _shared(self, timeline: Sequence[Step], moments: list[int]) -> None:
        """Each shared event comes when its share of all steps is done."""
        for (what, value), moment in zip(timeline, moments, strict=True):
            while self.steps < moment:
                await self.lab.space.mirror.changed(1.0)
            await self.lab.happen(what, value)
            for story in self.stories:
                story.log.append((what, value))

    async def _look(self, when: str) -> None:
        """Looks until nothing is wrong any more, or it is too late; in the end at all at once."""
        until = time.monotonic() + REST_S
        waiting = self._fine()
        while True:
            snapshot = await self.lab.space.snapshot()
            looks = [(story, faults(story, snapshot, self._planner)) for story in waiting]
            wrong = [(story, found) for story, found in looks if found]
            if not wrong and len(looks) == len(self._fine()):
                return
            if time.monotonic() > until:
                break
            if wrong:
                story, found = wrong[0]
                _log.info("%s: %d not at rest, such as %s: %s", when, len(wrong), story.name, found)
                await asyncio.sleep(LOOK_S)
            waiting = [story for story, _ in wrong] or self._fine()
        for story, found in wrong:
            self._fails(story, when, *found)

    def _count(self) -> None:
        cluster, space = self.lab.cluster, self.lab.space
        written = tallies(cluster.audit_events(self._mark), space.namespace, NAME_WIDTH)
        for story in self._fine():
            found = excesses(story, written[story.name], self.lab.news, self.lab.outages)
            if found:
                self._fails(story, "by the audit log", *found)

    async def _timed(self, what: str, work: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> None:
        began = time.monotonic()
        await work
        self.seconds[what] = time.monotonic() - began


async def run(
    cluster: Cluster, namespace: str, histories: Sequence[list[Step]], timeline: Sequence[Step] = ()
) -> Batch:
    """Runs histories side by side in a new namespace.

    Raises:
        AssertionError: if the operator does not live to the end.
    """
    lab = await Lab.begin(cluster, namespace)
    stories = [Story(lab.space, f"h{number:0{NAME_WIDTH - 1}}") for number in range(len(histories))]
    batch = Batch(lab, stories)
    try:
        await batch.run(histories, timeline)
    finally:
        await lab.end()
    return batch
