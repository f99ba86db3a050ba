"""One reconcile: look into the caches, decide, act, tell.

Level-triggered: it does not know why it was called, and can be killed anywhere and called again.
A settled deployment costs no request at all.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from videollm_operator.api.reasons import Reason
from videollm_operator.reconcile import refusals
from videollm_operator.reconcile.actions import Apply, Result, allowed, taken
from videollm_operator.runtime import errors, events, requests
from videollm_operator.runtime.contests import HELD_SECONDS
from videollm_operator.runtime.kinds import DEPLOYMENT, EVENT, STATEFUL_SET
from videollm_operator.runtime.merge import merge_patch
from videollm_operator.runtime.queue import Outcome

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.reconcile.actions import Action, Report
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import Key, World
    from videollm_operator.runtime.cache import Caches
    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.clock import Clock
    from videollm_operator.runtime.execute import Executor
    from videollm_operator.runtime.turns import Turns

_log = logging.getLogger(__name__)

_ENDS_THE_LOOK = (
    errors.Conflict,
    errors.NamespaceTerminating,
    errors.NotLeader,
    errors.NotSent,
    errors.Unauthorized,
)
"""After these nothing more is written: all must be decided anew, or no write comes through."""


class Decide(Protocol):
    """`reconcile.decide.decide`."""

    def __call__(self, world: World, catalog: Catalog) -> Decision:
        """What to do about one deployment."""


class Tell(Protocol):
    """`reconcile.report.report`."""

    def __call__(
        self, world: World, decision: Decision, results: Sequence[Result], now: datetime
    ) -> Report:
        """What is told about it."""


@dataclass(frozen=True)
class Mind:
    """The pure part: what decides, and what is told."""

    decide: Decide
    tell: Tell
    catalog: Callable[[], Catalog]


class Reconciler:
    """Looks at one deployment at a time; the work queue calls it.

    Args:
        client: guarded, so that only the leader writes.
        caches: what is known of the cluster.
        executor: carries out actions.
        mind: decides.
        turns: knows who may take an update up by itself.
        clock: for the times that status shows.
        identity: name of this process, for Events.
        resync_seconds: about how soon a settled deployment is looked at again.
        rng: for jitter.
    """

    def __init__(
        self,
        client: Client,
        caches: Caches,
        executor: Executor,
        mind: Mind,
        turns: Turns,
        clock: Clock,
        *,
        identity: str,
        resync_seconds: float,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._caches = caches
        self._executor = executor
        self._mind = mind
        self._turns = turns
        self._clock = clock
        self._identity = identity
        self._resync_seconds = resync_seconds
        self._random = rng
        self._troubled: set[Key] = set()
        """Deployments whose last look ended with something that time may mend."""

    async def __call__(self, key: Key) -> Outcome:
        """Looks at one deployment; what it raises is a bug."""
        world = self._caches.world(key)
        try:
            return await self._reconcile(key, world) if world else self._gone(key)
        except errors.NamespaceTerminating as error:
            _log.debug("nothing is to be done any more: %s", error, extra={"object": str(key)})
            return Outcome()
        except errors.APIError as error:
            usual = isinstance(error, errors.Conflict) and key not in self._troubled
            level = logging.DEBUG if usual else logging.WARNING
            _log.log(level, "to be tried again: %s", error, extra={"object": str(key)})
            self._troubled.add(key)
            return Outcome(after=error.retry_after, failed=True)
        finally:
            self._turns.look()

    def _gone(self, key: Key) -> Outcome:
        """There is no such deployment any more."""
        self._turns.gone(key)
        self._troubled.discard(key)
        return Outcome()

    async def _reconcile(self, key: Key, world: World) -> Outcome:
        turn = self._turns.turn(key)
        decision = self._decide(key, replace(world, turn=turn))
        if decision.actions:
            fresh = await self._confirmed(key, decision.actions)
            if fresh is None:
                return self._gone(key)
            if fresh != world:
                # Others may have taken places meanwhile; in the line it stands as when it came.
                turn = replace(self._turns.turn(key), line=turn.line)
                world, decision = fresh, self._decide(key, replace(fresh, turn=turn))
        results, postponed = await self._carry_out(key, decision.actions, world.deployment)
        if all(result.problem is None for result in results):
            self._turns.written(key)
        after = self._caches.world(key)
        if after is None:
            return Outcome()
        # Children as they are now, but the object as it was decided upon: status describes that
        # generation, and its write is refused if the object has changed since.
        after = replace(after, deployment=world.deployment)
        contested = self._executor.contested(key.namespace, after.children)
        told = [*self._caches.unsupported(key, after), *contested]
        report = self._mind.tell(after, decision, [*results, *told], self._clock.now())
        # Events first: once the status says it, nobody knows any more that it was not told.
        for draft in report.events:
            _log.info("%s: %s", draft.reason, draft.message, extra={"object": str(key)})
            await self._post(events.event(draft, world.deployment, self._identity, self._now()))
        if not await self._write_status(key, world.deployment, report.status):
            return Outcome()
        reasons = {result.problem.reason for result in results if result.problem is not None}
        if postponed is not None:
            return Outcome(after=postponed.retry_after, failed=True)
        if decision.conflicts or reasons - {Reason.CONTESTED}:
            return Outcome(failed=True)  # its cause may go without any event that we see
        resync = self._resync_seconds * (0.8 + 0.4 * self._random.random())
        soon = report.requeue_after_seconds
        if contested or reasons:
            resync = HELD_SECONDS  # by then it has stood for long enough, or may be tried again
        return Outcome(after=resync if soon is None else min(soon, resync))

    async def _carry_out(
        self, key: Key, actions: Sequence[Action], deployment: Mapping[str, Any]
    ) -> tuple[list[Result], errors.APIError | None]:
        """Does what was decided; what came of it, and what is to be tried again.

        A child about which the API server gives no answer twice in a row must keep neither the
        other children waiting nor the status.
        """
        results: list[Result] = []
        postponed = None
        for decided in actions:
            action = allowed(decided, taken(results))
            if action is None:
                continue
            try:
                results.append(await self._executor.carry_out(action, deployment))
            except _ENDS_THE_LOOK:
                raise
            except errors.APIError as error:
                if key not in self._troubled:
                    raise
                postponed = error
                results.append(Result(action, refusals.postponed(action.key, error.message)))
        if postponed is None:
            self._troubled.discard(key)
        return results, postponed

    def _decide(self, key: Key, world: World) -> Decision:
        """What to do; a place that it takes is kept from now on."""
        decision = self._mind.decide(world, self._mind.catalog())
        self._turns.decided(key, decision)
        return decision

    async def _confirmed(self, key: Key, actions: Sequence[Action]) -> World | None:
        """The world with the object as the API server has it now; None if it is gone.

        What watches deliver can be late, and what lists answer can be behind. That an older spec
        is carried out once more, or the children of an object that is gone, costs running pods. So
        does a layout that is planned anew only because the record of an older one was seen: a
        StatefulSet that is to be changed is read too.
        """
        stateful_sets = (
            self._executor.reread(key.namespace, action.key, action.uid)
            for action in actions
            if isinstance(action, Apply) and action.uid and action.key.kind == STATEFUL_SET.kind
        )
        exists, *_ = await asyncio.gather(self._refresh(key), *stateful_sets)
        return self._caches.world(key) if exists else None

    async def _write_status(
        self, key: Key, deployment: Mapping[str, Any], status: Mapping[str, Any] | None
    ) -> bool:
        """Writes the status, if it is another one; whether the deployment still exists."""
        if status is None:
            return True
        patch = merge_patch(deployment.get("status", {}), status)
        if not patch:
            return True
        metadata = deployment["metadata"]
        request = requests.patch_status(
            DEPLOYMENT,
            key.namespace,
            key.name,
            patch,
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
        )
        try:
            self._caches.put_deployment(await self._client.send(request))
        except errors.Conflict:
            await self._refresh(key)
            raise
        except errors.NotFound:
            return await self._refresh(key)
        return True

    async def _refresh(self, key: Key) -> bool:
        """Reads a deployment anew; whether it still exists."""
        try:
            self._caches.put_deployment(await self._client.get(DEPLOYMENT, key.namespace, key.name))
        except errors.NotFound:
            self._caches.deployment_is_gone(key)
            return False
        return True

    async def _post(self, event: dict[str, Any]) -> None:
        """Posts an Event, unless it was posted before; none is worth holding the status up."""
        namespace = event["metadata"]["namespace"]
        request = requests.create(EVENT, namespace, event, repeatable=True)
        try:
            await self._client.send(request)
        except errors.AlreadyExists:
            _log.debug("an Event was posted already", extra={"object": namespace})
        except (errors.NotLeader, errors.NamespaceTerminating):
            raise
        except errors.APIError as error:
            _log.warning("an Event was not posted: %s", error, extra={"object": namespace})

    def _now(self) -> datetime:
        return self._clock.now()
