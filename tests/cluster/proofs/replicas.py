"""Two replicas of the operator that share one Lease, each behind a proxy, and work for them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import signal
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from devcluster.waiting import eventually
from hack import local_operator
from hack.load import Nobody
from tests.cluster.proxy import Proxy
from tests.cluster.world import settled, vld
from videollm_operator.runtime import credentials
from videollm_operator.runtime.client import Client
from videollm_operator.runtime.kinds import DEPLOYMENT
from videollm_operator.runtime.requests import MERGE, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target
    from hack.local_operator import LocalOperator
    from tests.cluster.world import Namespace

LEASE_S, DEADLINE_S, RETRY_S = 10.0, 7.0, 0.5
"""A loaded computer must not keep the leader from renewing: a test would see another one lead."""

LEASE = "videollm-operator"
TICK = "example.com/tick"
PATIENCE_S = 120.0

AHEAD_S = 3600
OTHER_TIME = Path(__file__).with_name("other_time.py")

PLAIN = ("-m", "videollm_operator")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Replica:
    """One replica.

    Attributes:
        name: its identity.
        operator: its process.
        proxy: between it and the API server.
        ahead: whether its wall clock is an hour ahead.
    """

    name: str
    operator: LocalOperator
    proxy: Proxy
    ahead: bool

    @property
    def role(self) -> str:
        """`leader` or `standby`; empty while it is not ready."""
        return self.operator.role()

    def lost(self) -> float:
        """How often it has lost the Lease; waits where it opens its ports anew just now."""
        line = re.compile(r"^videollm_leadership_lost_total (\S+)$", re.MULTILINE)
        text = eventually(self.operator.metrics, line.search, timeout_s=PATIENCE_S)
        return float(line.findall(text)[0])

    def freeze(self) -> None:
        """Stops the process where it is."""
        os.kill(self.operator.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        os.kill(self.operator.process.pid, signal.SIGCONT)

    def until_standby(self) -> None:
        """Waits until it says so."""
        eventually(lambda: self.role, lambda role: role == "standby", timeout_s=PATIENCE_S)


class Pair:
    """Two replicas; the second one's wall clock is an hour ahead.

    Attributes:
        replicas: both.
    """

    def __init__(self, cluster: Target) -> None:
        self.cluster = cluster
        self._ends = contextlib.ExitStack()
        self._prefix = uuid.uuid4().hex[:4]
        seconds = cluster.folder / "ahead"
        seconds.write_text(str(AHEAD_S))
        self._ahead = (str(OTHER_TIME), str(seconds))
        self.replicas = [self.start(ahead=ahead) for ahead in (False, True)]

    def start(self, *, ahead: bool = False) -> Replica:
        """Starts one more replica; does not wait for it."""
        name = f"replica-{self._prefix}-{next(_numbers)}"
        proxy = self._ends.enter_context(Proxy(self.cluster))
        operator = local_operator.start(
            self.cluster,
            name=name,
            options=(
                f"--lease-seconds={LEASE_S:.0f}",
                f"--renew-deadline-seconds={DEADLINE_S}",
                f"--retry-seconds={RETRY_S}",
            ),
            wait_s=0,
            server=proxy.server,
            program=self._ahead if ahead else PLAIN,
        )
        self._ends.callback(operator.stop, 0)
        return Replica(name, operator, proxy, ahead)

    def replace(self, dead: Replica) -> Replica:
        """Starts a replica in place of another one, which has ended."""
        new = self.start(ahead=dead.ahead)
        self.replicas[self.replicas.index(dead)] = new
        return new

    def close(self) -> None:
        """Ends everything."""
        self._ends.close()

    def mend(self) -> None:
        """Takes back what a test did to the replicas and their lines."""
        for replica in self.replicas:
            replica.proxy.clear()
            replica.proxy.restore()
            if replica.operator.alive:
                replica.thaw()

    def roles(self) -> tuple[Replica, Replica]:
        """The leader and the standby, once there is one of each."""
        eventually(
            lambda: sorted(replica.role for replica in self.replicas),
            lambda roles: roles == ["leader", "standby"],
            timeout_s=PATIENCE_S,
        )
        leader, standby = sorted(self.replicas, key=lambda replica: replica.role)
        return leader, standby

    def lease(self) -> dict[str, Any]:
        """The Lease's spec."""
        spec: dict[str, Any] = self.cluster.get("lease", LEASE, "-n", local_operator.NAMESPACE)[
            "spec"
        ]
        return spec

    def edit_lease(self, **spec: Any) -> None:
        """Edits the Lease by hand."""
        self.cluster.kubectl(
            "patch", "lease", LEASE, "-n", local_operator.NAMESPACE, "--type=merge",
            "-p", json.dumps({"spec": spec}),
        )  # fmt: skip

    def delete_lease(self) -> None:
        """Deletes it by hand."""
        self.cluster.kubectl(
            "delete", "lease", LEASE, "-n", local_operator.NAMESPACE, "--ignore-not-found",
            "--wait=false",
        )  # fmt: skip


class Editor:
    """A user who edits deployments without end, so that whoever leads has to write without end.

    Args:
        space: where they are.
        names: of the deployments, which have no replicas.
    """

    def __init__(self, space: Namespace, names: list[str]) -> None:
        self._space = space
        self._names = names
        self._ticks = dict.fromkeys(names, 0)
        self._going = threading.Event()
        self._end = threading.Event()
        self._idle = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._edit()), name="editor")

    def __enter__(self) -> Self:
        self._space.apply(*(idle(name) for name in self._names))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Edits all the time; in the end everything must be as it was edited last."""
        self._idle.clear()
        self._going.set()
        try:
            yield
        finally:
            self._going.clear()
            assert self._idle.wait(PATIENCE_S)
        self.until_taken_up()

    def until_taken_up(self) -> None:
        """Waits until all children and all status are as the last edits want them."""

        def behind() -> dict[str, tuple[str, int]]:
            found = {obj["metadata"]["name"]: obj for obj in self._space.items("vld")}
            ticks = {
                child["metadata"]["name"]: tick_of(child)
                for child in self._space.items("statefulset")
            }
            return {
                name: (ticks.get(name, "none"), tick)
                for name, tick in self._ticks.items()
                if ticks.get(name) != str(tick) or not settled(found[name])
            }

        eventually(behind, lambda late: not late, timeout_s=PATIENCE_S)

    async def _edit(self) -> None:
        access = credentials.find(str(self._space.cluster.kubeconfig), {})
        client = Client(access, Nobody(), random.Random())  # noqa: S311 - jitter
        try:
            for name in itertools.cycle(self._names):
                while not self._going.is_set() and not self._end.is_set():
                    self._idle.set()
                    await asyncio.sleep(0.02)
                if self._end.is_set():
                    break
                self._ticks[name] += 1
                await client.send(edit(self._space.name, name, self._ticks[name]))
                await asyncio.sleep(0.05)
        finally:
            await client.close()


def idle(name: str) -> dict[str, Any]:
    """A deployment without replicas: children, but no pods."""
    return vld(name, replicas=0)


def tick_of(statefulset: dict[str, Any]) -> str:
    """The last edit that has reached a StatefulSet."""
    annotations = statefulset["spec"]["template"]["metadata"].get("annotations", {})
    return str(annotations.get(TICK, "0"))


def edit(namespace: str, name: str, tick: int) -> Request:
    """An edit that reaches the StatefulSet's template."""
    body = {"spec": {"podTemplate": {"annotations": {TICK: str(tick)}}}}
    return Request(
        "PATCH",
        DEPLOYMENT.path(namespace, name),
        body=json.dumps(body).encode(),
        content_type=MERGE,
        write=True,
    )
