"""Many deployments at once, and what they cost: the tools of `hack.scale`.

Objects are created by as many connections as a busy GitOps controller has, not by kubectl, which
would be the slowest part. Times are those of the API server's audit log.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hack.local_operator import ACCOUNT, NAMESPACE
from videollm_operator.runtime import credentials, requests
from videollm_operator.runtime.client import Client
from videollm_operator.runtime.kinds import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from devcluster.audit import AuditRecord
    from devcluster.cluster import Cluster
    from devcluster.processes import Process

CONNECTIONS = 16
OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
LAST_CHILD = "poddisruptionbudgets"
"""The operator applies it after all other children."""

_TICKS = os.sysconf("SC_CLK_TCK")


class Nobody:
    """An observer that counts nothing."""

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Nothing."""


def create(cluster: Cluster, objects: Sequence[Mapping[str, Any]]) -> None:
    """Creates deployments as fast as the API server takes them.

    Raises:
        APIError: if one is refused.
    """

    async def work(client: Client, waiting: list[Mapping[str, Any]]) -> None:
        while waiting:
            obj = waiting.pop()
            await client.send(requests.create(DEPLOYMENT, obj["metadata"]["namespace"], obj))

    async def everything() -> None:
        access = credentials.find(str(cluster.kubeconfig), {})
        client = Client(access, Nobody(), random.Random())  # noqa: S311 - jitter
        waiting = list(reversed(objects))
        try:
            await asyncio.gather(*(work(client, waiting) for _ in range(CONNECTIONS)))
        finally:
            await client.close()

    asyncio.run(everything())


def cpu_seconds(process: Process) -> float:
    """Processor time that a process has used so far, in seconds."""
    stat = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS


@dataclass(frozen=True)
class Burst:
    """What the audit log says about objects created at once; times in seconds after the first.

    Attributes:
        created: when each object was received.
        workload: when each StatefulSet was.
        complete: when the last child of each object was.
        calls: requests of the operator by verb and resource.
    """

    created: tuple[float, ...]
    workload: tuple[float, ...]
    complete: tuple[float, ...]
    calls: Counter[str]

    @property
    def behind(self) -> float:
        """Seconds from the last create to the last child."""
        return self.complete[-1] - self.created[-1]


def burst(records: Iterable[AuditRecord], namespace: str) -> Burst:
    """Reads a burst from the audit log."""
    created: list[datetime] = []
    applied: dict[str, dict[str, datetime]] = {"statefulsets": {}, LAST_CHILD: {}}
    calls: Counter[str] = Counter()
    for record in records:
        if record.namespace != namespace or record.stage != "ResponseComplete":
            continue
        if record.user == OPERATOR_USER:
            what = "/".join(filter(None, (record.resource, record.subresource)))
            calls[f"{record.verb} {what}"] += 1
            if record.write and record.resource in applied and not record.subresource:
                applied[record.resource].setdefault(record.name, record.time)
        elif record.resource == DEPLOYMENT.plural and record.verb == "create":
            created.append(record.time)
    first = min(created)

    def after(times: Iterable[datetime]) -> tuple[float, ...]:
        return tuple(sorted((time - first).total_seconds() for time in times))

    return Burst(
        after(created),
        after(applied["statefulsets"].values()),
        after(applied[LAST_CHILD].values()),
        calls,
    )
