"""A cluster of our own, for tests: `with Cluster() as cluster: cluster.kubectl("get", "nodes")`."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Self

from devcluster import audit, kubelets, launch, processes, state
from devcluster.access import Access
from devcluster.errors import StartError
from devcluster.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from devcluster.audit import AuditRecord
    from devcluster.nodes import NodeGroup
    from devcluster.progress import Progress

_numbers = itertools.count(1)


class Cluster(Access):
    """A local control plane with simulated nodes.

    As a context manager it is started on entering and, unless it was up before, ended on leaving.

    Args:
        name: of a cluster that may be up already and may stay; None for a fresh one of this
            program's own, which is removed later even if this program is killed.
        groups: its nodes; those of nodes.yaml if None.
        pod_cidr: range of the pods' addresses. Only with one outside 127.0.0.0/8 do Services get
            endpoints.
        progress: where steps are shown; nowhere if None.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        groups: Sequence[NodeGroup] | None = None,
        pod_cidr: str = launch.POD_CIDR,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(progress)
        self.name = name if name is not None else f"test-{os.getpid()}-{next(_numbers)}"
        self._own = name is None
        self._groups = groups
        self._pod_cidr = pod_cidr
        self._fresh = False

    @property
    def fresh(self) -> bool:
        """Whether `start` started it, rather than finding it up."""
        return self._fresh

    def start(self) -> Self:
        """Start it, or find it up.

        Raises:
            DevclusterError: if it does not come up; nothing of it is left then.
        """
        owner = None
        if self._own:
            owner = Process(os.getpid(), processes.start_time(os.getpid()))
            launch.remove_orphans(self.progress)
        _, self._fresh = launch.up(
            self.name,
            self.progress,
            groups=self._groups,
            pod_cidr=self._pod_cidr,
            owner=owner,
        )
        return self

    def stop(self) -> None:
        """End it and remove its files."""
        launch.down(self.name)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._fresh:
            self.stop()

    @property
    def _state(self) -> state.State:
        found = state.load(self.name)
        if found is None:
            raise StartError(f"cluster {self.name} is not up: call start() first")
        return found

    @property
    def folder(self) -> Path:
        """Its folder, with logs and the audit log; goes away with it."""
        return state.folder(self.name)

    @property
    def server(self) -> str:
        """URL of the API server."""
        return launch.layout_of(self._state).server

    @property
    def processes(self) -> dict[str, Process]:
        """Its running programs by name."""
        return dict(self._state.processes)

    def stop_api_server(self) -> None:
        """Begin an outage: kill the API server; everything else goes on.

        It is not asked to end: with watches open that takes it half a minute.
        """
        launch.stop_program(self._state, "kube-apiserver", grace_s=0.0)

    def start_api_server(self, *, reconnect: bool = True) -> None:
        """End the outage: same address, same data.

        Args:
            reconnect: also start the controller manager, scheduler and kwok anew. They keep nothing
                in memory that matters, but after a long outage they would first sit out a
                back-off of up to half a minute, and kwok would try again for each pod that it
                had begun with, if need be on another pod of the same name.

        Raises:
            StartError: if a program does not become healthy.
        """
        cluster = self._state
        if reconnect:
            for program in launch.CLIENTS:
                launch.stop_program(cluster, program, grace_s=0.0)
        launch.start_program(cluster, "kube-apiserver")
        launch.wait_healthy(cluster, "kube-apiserver")
        kubelets.delete_ended_pods(self._kubectl)
        if reconnect:
            launch.start_clients(cluster)

    def audit_mark(self) -> int:
        """A mark for `audit_events`: what comes after it."""
        return audit.end_of(self._state.audit_log)

    def audit_events(self, since: int | datetime | None = None) -> Iterator[AuditRecord]:
        """Requests that the API server answered, oldest first.

        A request is written down before its answer is complete, so a program that got its answer
        finds its request here.

        Args:
            since: a mark, or the time of receipt (with time zone) to begin with; None for all.
        """
        return audit.read(self._state.audit_log, since)
