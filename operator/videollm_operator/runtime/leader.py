"""Leader election by a Lease: at most one process acts.

Only this machine's forward-running clock counts. The holder acts for `renew_deadline_seconds`
after it *began* its last successful renewal; the others wait for the whole lease duration after
they *saw* the last change of the record. Since the deadline is shorter than the duration, and a
write may not outlive the duration, two never act at once, whatever wall clocks say.

A Lease that is deleted or emptied by hand frees nobody: its last holder may still act, so it is
waited for just the same. Only a holder that gives up itself (`release`) says so in the record.
Who starts while there is none cannot tell a first start from that, and waits for two renewals: a
holder writes it anew, or finds another's and stops.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from videollm_operator.runtime import errors, requests
from videollm_operator.runtime.kinds import LEASE
from videollm_operator.runtime.leadership import LeadershipLost, Unheard
from videollm_operator.runtime.lease import NOTHING, RELEASED_SECONDS, Record, micro_time

if TYPE_CHECKING:
    import random
    from collections import deque

    from videollm_operator.runtime.client import Client
    from videollm_operator.runtime.clock import Clock
    from videollm_operator.runtime.lease import Term
    from videollm_operator.runtime.settings import Settings

_log = logging.getLogger(__name__)

UNHEARD_SECONDS = 60.0
"""So long a candidate asks in vain. Then it is of no use as a standby, and its connections may be
to blame: they know the certificate authority of the day on which they were opened."""


class Elector:
    """One candidate.

    Args:
        client: must not be guarded by this elector.
        settings: name, identity and times.
        clock: of this machine.
        rng: for jitter.
        terms: that this very process had or asked for, and does not act in; new ones are added.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        clock: Clock,
        rng: random.Random,
        terms: deque[Term],
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._random = rng
        self._lease: dict[str, Any] | None = None
        self._seen: Record | None = None
        self._heard_at = 0.0
        self._free_at = 0.0
        self._terms = terms
        self._term: Term | None = None
        self._renewed_at = 0.0
        self._said = ""

    @property
    def heard(self) -> bool:
        """Whether the API server has answered about the Lease."""
        return self._seen is not None

    def holds(self) -> bool:
        """Whether this process may act now."""
        age = self._clock.monotonic() - self._renewed_at
        return self._term is not None and 0 <= age < self._settings.renew_deadline_seconds

    def remaining(self) -> float:
        """Seconds until another process may act; 0 if this one may not begin anything now."""
        if not self.holds():
            return 0.0
        return self._renewed_at + self._settings.lease_seconds - self._clock.monotonic()

    async def acquire(self) -> None:
        """Waits until this process holds the Lease.

        Raises:
            Unheard: if the Lease could not be read for a minute.
        """
        self._heard_at = self._clock.monotonic()
        while True:
            try:
                if await self._try_to_acquire():
                    _log.info("acting: this process holds the Lease")
                    return
            except errors.Conflict:
                _log.debug("another process was faster")
            except errors.APIError as error:
                self._say(f"the Lease cannot be read or written: {error}")
                if self._clock.monotonic() - self._heard_at > UNHEARD_SECONDS:
                    raise Unheard(
                        f"the Lease could not be read for {UNHEARD_SECONDS:.0f} seconds: {error}"
                    ) from error
            pause = self._settings.retry_seconds * (0.8 + 0.4 * self._random.random())
            left = self._free_at - self._clock.monotonic()
            await asyncio.sleep(min(pause, left) if left > 0 else pause)

    async def keep(self) -> None:
        """Renews the Lease for as long as that works.

        Raises:
            LeadershipLost: when it does not any more; nothing may be written then.
        """
        while True:
            await asyncio.sleep(self._settings.retry_seconds)
            if not self.holds():
                raise LeadershipLost("the Lease was not renewed in time")
            try:
                await self._renew()
            except errors.APIError as error:
                self._say(f"the Lease was not renewed, trying again: {error}")

    async def release(self) -> None:
        """Gives the Lease back, so that another process can act at once."""
        if not self.holds() or self._lease is None:
            return
        term, self._term = self._term, None
        try:
            try:
                await self._give_back(self._lease)
            except errors.Conflict:  # the last renewal was cut short, but carried out
                lease = await self._read()
                if lease is None or Record.of(lease).term != term:
                    return
                await self._give_back(lease)
            _log.info("the Lease is given back")
        except errors.APIError as error:
            _log.warning("the Lease was not given back; others wait until it runs out: %s", error)

    async def _give_back(self, lease: dict[str, Any]) -> None:
        spec = {
            **lease["spec"],
            "holderIdentity": "",
            "leaseDurationSeconds": RELEASED_SECONDS,
            "renewTime": micro_time(self._clock.now()),
        }
        await self._replace({**lease, "spec": spec}, seconds=2.0)

    async def _try_to_acquire(self) -> bool:
        lease = await self._read()
        began = self._heard_at = self._clock.monotonic()
        record = Record.of(lease) if lease else NOTHING
        self._look_at(record, began)
        if began < self._free_at:
            return False
        spec = self._spec(record.transitions + 1 if lease else 0)
        # Before it is sent: should the answer get lost, the next look finds a term of our own.
        self._terms.append(Record.of({"spec": spec}).term)
        if lease is None:
            fresh = {
                "apiVersion": LEASE.api_version,
                "kind": LEASE.kind,
                "metadata": {
                    "name": self._settings.lease_name,
                    "namespace": self._settings.lease_namespace,
                },
                "spec": spec,
            }
            taken = await self._client.send(
                requests.create(LEASE, self._settings.lease_namespace, fresh)
            )
        else:
            taken = await self._replace({**lease, "spec": spec})
        self._took(taken, began)
        self._term = Record.of(taken).term
        return True

    def _look_at(self, record: Record, now: float) -> None:
        """Takes note of what the Lease says, and of when its holder cannot be acting any more."""
        if record == self._seen:
            return
        if self._seen is None or record.holder != self._seen.holder:
            _log.info("standby: the Lease is held by %s", record.holder or "nobody")
        if record.given_back or record.term in self._terms:
            patience = 0.0
        elif self._seen is None and not record.holder:
            patience = 2 * self._settings.retry_seconds
        else:
            patience = max(record.seconds, self._settings.lease_seconds)
        self._seen, self._free_at = record, now + patience

    async def _renew(self) -> None:
        if self._lease is None or self._term is None:
            raise LeadershipLost("the Lease is not held")
        try:
            await self._renew_on(self._lease)
        except (errors.NotFound, errors.Conflict):
            # Somebody touched the Lease, deleted it, or has it.
            lease = await self._read()
            if lease is None:
                await self._renew_anew(self._lease)
            elif Record.of(lease).term == self._term:
                await self._renew_on(lease)
            else:
                self._term = None
                holder = Record.of(lease).holder or "nobody"
                raise LeadershipLost(f"the Lease is held by {holder} now") from None

    async def _renew_on(self, lease: dict[str, Any]) -> None:
        """Renews a Lease that exists."""
        began = self._clock.monotonic()
        spec = {
            **lease["spec"],
            "renewTime": micro_time(self._clock.now()),
            "leaseDurationSeconds": int(self._settings.lease_seconds),  # as it was, if edited
        }
        self._took(await self._replace({**lease, "spec": spec}, seconds=self._left()), began)

    async def _renew_anew(self, lost: dict[str, Any]) -> None:
        """Writes a Lease again that was deleted; the others wait for its whole duration."""
        _log.warning("the Lease was deleted; writing it anew")
        began = self._clock.monotonic()
        fresh = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {key: lost["metadata"][key] for key in ("name", "namespace")},
            "spec": {**lost["spec"], "renewTime": micro_time(self._clock.now())},
        }
        request = requests.create(LEASE, self._settings.lease_namespace, fresh)
        self._took(await self._client.send(request, seconds=self._left()), began)

    def _say(self, problem: str) -> None:
        """Warns of a problem, once until it is another or gone."""
        if problem != self._said:
            _log.warning("%s", problem)
        self._said = problem

    def _took(self, lease: dict[str, Any], began: float) -> None:
        self._said = ""
        self._lease = lease
        self._renewed_at = began
        self._seen = Record.of(lease)

    def _left(self) -> float:
        """Seconds until the deadline, for the time limit of a renewal."""
        deadline = self._renewed_at + self._settings.renew_deadline_seconds
        return max(0.1, min(5.0, deadline - self._clock.monotonic()))

    async def _read(self) -> dict[str, Any] | None:
        try:
            return await self._client.send(
                requests.get(LEASE, self._settings.lease_namespace, self._settings.lease_name),
                seconds=5.0,
            )
        except errors.NotFound:
            return None

    async def _replace(self, lease: dict[str, Any], seconds: float = 5.0) -> dict[str, Any]:
        return await self._client.send(
            requests.replace(
                LEASE, self._settings.lease_namespace, self._settings.lease_name, lease
            ),
            seconds=seconds,
        )

    def _spec(self, transitions: int) -> dict[str, Any]:
        now = micro_time(self._clock.now())
        return {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": int(self._settings.lease_seconds),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
