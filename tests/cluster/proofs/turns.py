"""Whose turn it was: reads the audit log of several replicas that share one Lease.

All use one service account; the User-Agent carries the Lease identity of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.world import OPERATOR_USER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from devcluster.audit import AuditRecord
    from devcluster.target import Target

_IDENTITY = re.compile(r"\(([^()]+)\)$")
_DONE = (200, 201)


@dataclass(frozen=True)
class Request:
    """One request of a replica.

    Attributes:
        time: when the API server received it.
        replica: who asked.
        lease: whether it is about the Lease.
        write: whether it changes something.
        done: whether it was carried out.
        name: of the object.
        what: verb and object, for messages.
    """

    time: datetime
    replica: str
    lease: bool
    write: bool
    done: bool
    name: str
    what: str

    @classmethod
    def of(cls, record: AuditRecord) -> Request:
        """What the audit log says about it."""
        found = _IDENTITY.search(record.user_agent)
        resource = "/".join(filter(None, (record.resource, record.subresource)))
        return cls(
            time=record.time,
            replica=found[1] if found else record.user_agent,
            lease=record.resource == "leases",
            write=record.write,
            done=record.code in _DONE,
            name=record.name,
            what=f"{record.verb} {resource} {record.namespace}/{record.name} ({record.code})",
        )


def since(cluster: Target, mark: int) -> list[Request]:
    """All requests of all replicas since a mark, by the time of receipt."""
    found = [
        Request.of(record)
        for record in cluster.audit_events(mark)
        if record.user == OPERATOR_USER and record.stage == "ResponseComplete"
    ]
    return sorted(found, key=lambda request: request.time)


def renewals(requests: Iterable[Request], replica: str) -> list[datetime]:
    """When a replica took the Lease or renewed it."""
    return [r.time for r in requests if r.lease and r.write and r.done and r.replica == replica]


def looks(requests: Iterable[Request], replica: str) -> list[datetime]:
    """When a replica read the Lease, and got an answer."""
    return [r.time for r in requests if r.lease and not r.write and r.done and r.replica == replica]


def acts(requests: Iterable[Request], replica: str) -> list[Request]:
    """What a replica wrote besides the Lease, or tried to."""
    return [r for r in requests if r.write and not r.lease and r.replica == replica]


def out_of_turn(requests: Collection[Request], lease_seconds: float, holder: str = "") -> list[str]:
    """Writes of a replica that did not hold the Lease, or had not renewed it in time.

    Args:
        requests: see `since`.
        lease_seconds: how long a renewal counts.
        holder: who holds the Lease at the beginning; empty: whoever renews it first.
    """
    renewed: datetime | None = None
    wrong = []
    for request in requests:
        if not request.write:
            continue
        if request.lease:
            if request.done:
                holder, renewed = request.replica, request.time
            continue
        age = (request.time - renewed).total_seconds() if renewed else 0.0
        if (holder and request.replica != holder) or age >= lease_seconds:
            wrong.append(
                f"{request.time:%H:%M:%S.%f} {request.replica}: {request.what}; {holder} has the "
                f"Lease, renewed {age:.3f} s before"
            )
    return wrong
