"""Carries out one action on the cluster, and puts what came of it into the caches.

What the user must hear about becomes a `Problem` in the result. What time or another look mends
is raised: the whole reconcile is then done again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.reconcile import observe, projection, refusals
from videollm_operator.reconcile.actions import Apply, Delete, Result, Scale
from videollm_operator.reconcile.world import AppliedDigest
from videollm_operator.runtime import errors, requests
from videollm_operator.runtime.cache import Unsupported
from videollm_operator.runtime.contests import Contests
from videollm_operator.runtime.kinds import CHILD_KINDS, STATEFUL_SET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from videollm_operator.reconcile.actions import Action
    from videollm_operator.reconcile.world import ChildKey
    from videollm_operator.runtime.cache import Caches
    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.clock import Clock
    from videollm_operator.runtime.kinds import Kind

_log = logging.getLogger(__name__)

_REFUSALS = 1000
"""Refusals that are remembered; children that are refused may go without ever being made."""


class Stale(errors.Conflict):
    """The caches did not know of an object; they do now: decide again."""


class Executor:
    """Carries out actions for one operator.

    Args:
        client: guarded, so that only the leader writes.
        caches: take in what the API server answers.
        clock: for what is remembered for a while.
    """

    def __init__(self, client: Client, caches: Caches, clock: Clock) -> None:
        self._client = client
        self._caches = caches
        self._clock = clock
        self._refused: dict[tuple[str, ChildKey], str] = {}
        self._contests = Contests(clock)

    async def carry_out(self, action: Action, deployment: Mapping[str, Any]) -> Result:
        """Does one thing.

        Args:
            action: what to do.
            deployment: whose child it is about, as it was decided upon.

        Raises:
            APIError: if only time or another decision can mend it (`transient`).
        """
        namespace: str = deployment["metadata"]["namespace"]
        try:
            match action:
                case Apply():
                    result = await self._apply(action, namespace, deployment["metadata"]["uid"])
                case Delete():
                    result = await self._delete(action, namespace)
                case Scale():
                    result = await self._scale(action, namespace)
        except errors.Conflict as conflict:
            if not isinstance(conflict, Stale):
                await self._refresh(namespace, action.key)
            raise
        except errors.APIError as error:
            if error.transient:
                raise
            self._complain(namespace, action.key, error, deployment)
            if isinstance(action, Apply) and action.otherwise is not None:
                await self.carry_out(action.otherwise, deployment)
            return Result(
                action, refusals.problem_of(action, error.status, error.reason, error.message)
            )
        self._refused.pop((namespace, action.key), None)
        if result.problem is None:
            _log.info("%s", _deed(action), extra={"object": _shown(deployment)})
        return result

    def _complain(
        self,
        namespace: str,
        key: ChildKey,
        error: errors.APIError,
        deployment: Mapping[str, Any],
    ) -> None:
        """Logs a refusal, once until it is another one."""
        level = (
            logging.DEBUG if self._refused.get((namespace, key)) == str(error) else logging.WARNING
        )
        if len(self._refused) >= _REFUSALS:
            self._refused.clear()
        self._refused[namespace, key] = str(error)
        _log.log(level, "%s: %s", key, error, extra={"object": _shown(deployment)})

    def contested(self, namespace: str, children: Iterable[ChildKey]) -> list[Result]:
        """What still holds of children that others were changing back, though nothing is due."""
        told = (self._contests.told((namespace, key)) for key in children)
        return [result for result in told if result is not None]

    async def _apply(self, action: Apply, namespace: str, owner: str) -> Result:
        kind = CHILD_KINDS[action.key.kind]
        if not self._contests.may_write((namespace, action.key), action.digest):
            return await self._contested(action, kind, namespace)
        try:
            obj = await self._client.apply(kind, action.manifest, uid=action.uid)
        except errors.Conflict:
            found = None if action.uid else await self._find(kind, namespace, action.key)
            if found is None:
                raise
            return self._in_the_way(action, found, owner)
        facts = observe.child(obj)
        self._contests.wrote((namespace, action.key), action.digest)
        self._caches.put_child(obj)
        self._caches.remember_applied(
            namespace, action.key, AppliedDigest(action.digest, facts.owned_digest)
        )
        dropped = projection.dropped(action.manifest, obj, names.FIELD_MANAGER)
        problem = refusals.fields_dropped(action.key, dropped) if dropped else None
        result = Result(action, problem)
        told = Unsupported(action.digest, result, self._clock.monotonic()) if problem else None
        self._caches.remember_unsupported(namespace, action.key, told)
        return result

    async def _contested(self, action: Apply, kind: Kind, namespace: str) -> Result:
        """What is told instead of writing once more what others undo; once for each pause."""
        child = namespace, action.key
        told = self._contests.known(child)
        if told is None:
            conflict = ""
            if action.uid:
                request = requests.contenders(kind, action.manifest, uid=action.uid)
                try:
                    await self._client.send(request)
                except errors.FieldConflict as found:
                    conflict = found.message
            told = Result(action, refusals.contested(action.key, conflict))
            self._contests.tell(child, told)
        return told

    def _in_the_way(self, action: Apply, found: Mapping[str, Any], owner: str) -> Result:
        """What it means that an object was not created because there is one of that name.

        Raises:
            Stale: if it is ours, perhaps without the label by which we watch: what it records must
                be part of the decision.
        """
        facts = observe.child(found)
        if not facts.managed and facts.controller_uid != owner:
            return Result(action, refusals.name_conflict(facts))
        self._caches.read_child(found)
        raise Stale(f"{action.key} exists, and the cache did not know")

    async def _delete(self, action: Delete, namespace: str) -> Result:
        kind = CHILD_KINDS[action.key.kind]
        try:
            await self._client.send(
                requests.delete(kind, namespace, action.key.name, uid=action.uid)
            )
        except errors.NotFound:
            _log.debug("%s is gone already", action.key)
        await self._refresh(namespace, action.key)
        return Result(action)

    async def _scale(self, action: Scale, namespace: str) -> Result:
        await self._client.send(
            requests.scale(
                STATEFUL_SET, namespace, action.key.name, action.replicas, uid=action.uid
            )
        )
        await self._refresh(namespace, action.key)
        return Result(action)

    async def _find(self, kind: Kind, namespace: str, key: ChildKey) -> dict[str, Any] | None:
        try:
            return await self._client.get(kind, namespace, key.name)
        except errors.NotFound:
            return None

    async def reread(self, namespace: str, key: ChildKey, uid: str) -> None:
        """Brings the cache up to what the API server says now of a child that is to be changed.

        It may have lost the label by which it is watched, and be known all the same.

        Raises:
            APIError: if it does not say.
        """
        found = await self._find(CHILD_KINDS[key.kind], namespace, key)
        if found is not None and found["metadata"]["uid"] == uid:
            self._caches.read_child(found)
        else:
            self._caches.child_is_gone(namespace, key)

    async def _refresh(self, namespace: str, key: ChildKey) -> None:
        """Brings the cache up to what the API server says now of a child, if it is watched."""
        found = await self._find(CHILD_KINDS[key.kind], namespace, key)
        if found is not None and observe.child(found).managed:
            self._caches.read_child(found)
        else:
            self._caches.child_is_gone(namespace, key)  # or not watched by us


def _deed(action: Action) -> str:
    match action:
        case Apply():
            return f"{action.key} is applied"
        case Delete():
            return f"{action.key} is deleted: it is not wanted any more"
        case Scale():
            return f"{action.key} is scaled to {action.replicas}"


def _shown(deployment: Mapping[str, Any]) -> str:
    metadata = deployment["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
