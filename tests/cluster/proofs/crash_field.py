"""Many crashes at once: one operator, killed when each namespace is at its own write.

What a crash leaves behind is what the API server holds; which process wrote it, and what that
process did elsewhere, leaves no trace. So one operator serves all cells, and the proxy lets each
cell's writes through up to the one after which it dies. What comes later is held back. When every
cell is at its point, the operator is killed. For the API server that is a hundred crashes.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from devcluster import nodes
from devcluster.waiting import wait_until
from hack import local_operator
from tests.cluster.proofs.crash_cells import Cell, by_namespace, content, news
from tests.cluster.proxy import Proxy, Rule
from tests.cluster.proxy_actions import Break, Late
from tests.cluster.rest import APPLY, MERGE, Rest
from tests.cluster.world import OPERATOR_USER
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT, EVENT, POD, SERVICE_ACCOUNT, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from devcluster.audit import AuditRecord
    from devcluster.target import Target
    from hack.local_operator import LocalOperator
    from tests.cluster.proofs.crash_cells import Content, News, Object

DEADLINE_S = 1800.0
"""Ends what hangs; a loaded computer needs minutes for hundreds of pods."""

QUIET_S = 2.0
POLL_S = 0.5
GPUS_PER_NODE = 8
WORKERS = 16
NAMESPACES = Kind("", "v1", "Namespace", "namespaces", namespaced=False)


class Admin:
    """The user, who works in all namespaces."""

    def __init__(self, cluster: Target) -> None:
        self._rest = Rest(cluster, "")

    def close(self) -> None:
        """Ends the connection."""
        self._rest.close()

    def apply(self, path: str, obj: Object) -> None:
        """Server-side apply."""
        self._do("PATCH", path, obj, content_type=APPLY, fieldManager="user", force="true")

    def patch(self, path: str, body: Object) -> None:
        """A merge patch."""
        self._do("PATCH", path, body, content_type=MERGE)

    def delete(self, path: str, policy: str) -> None:
        """Deletes; what is gone already is fine."""
        self._do("DELETE", path, {"propagationPolicy": policy})

    def get(self, path: str) -> Object | None:
        """One object, or None."""
        return self._do("GET", path)

    def everywhere(self, kind: Kind) -> Mapping[str, dict[str, Object]]:
        """All objects of a kind, by namespace and name."""
        return by_namespace((self._do("GET", kind.path()) or {})["items"])

    def _do(self, method: str, path: str, body: Object | None = None, **how: str) -> Object | None:
        status, answer = self._rest.request(method, path, body, **how)
        assert status < 300 or status == http.client.NOT_FOUND, f"{method} {path}: {answer}"
        return answer if status < 300 else None


class Field:
    """All cells of a run, and the operators that serve them one after another.

    Args:
        cluster: where.
        proxy: through which all operators work.
    """

    def __init__(self, cluster: Target, proxy: Proxy) -> None:
        self.admin = Admin(cluster)
        self.proxy = proxy
        self.cluster = cluster
        self._operators: list[LocalOperator] = []
        self._batch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._operators:
            running.stop(0)
        self.admin.close()

    # Operators

    def start(self) -> None:
        """Starts an operator; the one before it is dead, so it need not wait for its Lease."""
        name = f"operator-crash-{len(self._operators)}"
        options = ("--no-leader-election", f"--workers={WORKERS}")
        running = local_operator.start(
            self.cluster, name=name, options=options, server=self.proxy.server
        )
        self._operators.append(running)

    def kill(self) -> None:
        """Kills the operator that runs, as `kill -9` does; up to now it met no bug of its own."""
        running = self._operators[-1]
        assert running.alive, f"it ended by itself:\n{running.tail()}"
        assert 'videollm_reconciles_total{result="error"} 0.0' in running.metrics()
        running.stop(grace_s=0)

    # Cells

    def prepare(self, cells: Sequence[Cell]) -> None:
        """Makes their namespaces, and nodes for two pods of each; then sets the stage."""
        self._batch += 1
        group = next(group for group in nodes.load() if group.name == "a100-80gb")
        count = -(-2 * len(cells) // GPUS_PER_NODE)
        self.cluster.add_nodes([replace(group, name=f"crash-{self._batch}", count=count)])
        for cell in cells:
            self.admin.apply(
                NAMESPACES.path(name=cell.namespace),
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {"name": cell.namespace},
                },
            )
            cell.todo = list(cell.history.setup)
        wanted = {cell.namespace for cell in cells}
        assert wait_until(
            lambda: wanted <= self.admin.everywhere(SERVICE_ACCOUNT).keys(), DEADLINE_S, 0.2
        )
        self.play(cells)
        self.quiet()

    def play(
        self, cells: Iterable[Cell], stopped: Callable[[Cell], bool] = lambda cell: False
    ) -> None:
        """Does the steps of all cells until each is through, or stopped."""
        cells = list(cells)
        deadline = time.monotonic() + DEADLINE_S
        while busy := [cell for cell in cells if cell.todo and not stopped(cell)]:
            if time.monotonic() > deadline:
                left = "\n".join(f"{cell}: {cell.described()}" for cell in busy[:10])
                raise TimeoutError(f"not through within {DEADLINE_S:g} s:\n{left}")
            self.look(cells)
            for cell in busy:
                cell.go_on()
            time.sleep(POLL_S)

    def look(self, cells: Iterable[Cell]) -> None:
        """Shows deployments and pods to the cells."""
        found = {kind: self.admin.everywhere(kind) for kind in (DEPLOYMENT, POD)}
        for cell in cells:
            cell.seen = {kind: all_.get(cell.namespace, {}) for kind, all_ in found.items()}

    def contents(self, cells: Sequence[Cell]) -> dict[str, tuple[Content, News]]:
        """What is in the namespaces of cells, and the Events there."""
        kinds = (DEPLOYMENT, *CHILDREN, POD, EVENT)
        found = {kind: self.admin.everywhere(kind) for kind in kinds}
        return {
            cell.namespace: (
                content(
                    {k: all_.get(cell.namespace, {}) for k, all_ in found.items()}, cell.namespace
                ),
                news(found[EVENT].get(cell.namespace, {}).values()),
            )
            for cell in cells
        }

    def settled(self, cells: Sequence[Cell]) -> dict[str, tuple[Content, News]]:
        """The same, once it does not change any more."""
        before = self.contents(cells)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            time.sleep(QUIET_S)
            now = self.contents(cells)
            if now == before or time.monotonic() > deadline:
                return now
            before = now

    def quiet(self) -> None:
        """Waits until no write has come for a while."""
        last = (-1, 0.0)

        def still() -> bool:
            nonlocal last
            count = len(self.proxy.writes())
            if count != last[0]:
                last = (count, time.monotonic())
            return time.monotonic() - last[1] >= QUIET_S

        assert wait_until(still, DEADLINE_S, 0.2), "the operator does not stop writing"

    # What the proxy does to cells

    def arm(self, cell: Cell, late: Late) -> Callable[[], bool]:
        """Lets its writes through up to its crash; returns what tells whether it is there."""
        assert cell.writes is not None
        begun_at = self.done(cell)
        here = {"path": f"*/namespaces/{cell.namespace}/*", "writes": True}
        if cell.lost:
            last = Rule(Break(done=True), **here, nth=cell.writes, times=1)
        else:
            last = Rule(late, **here, nth=cell.writes + 1, times=1)
        self.proxy.add(last, Rule(Break(), **here, nth=last.nth + 1))

        reached = False

        def there() -> bool:
            nonlocal reached
            if not reached and last.matched >= last.nth:
                reached = not cell.lost or self.done(cell) >= begun_at + last.nth
            return reached

        return there

    def done(self, cell: Cell) -> int:
        """How many writes in its namespace were answered so far."""
        inside = f"/namespaces/{cell.namespace}/"
        return sum(1 for seen in self.proxy.writes() if inside in seen.path and seen.status)

    def said(self, cell: Cell) -> list[str]:
        """What the statuses in its namespace said, and when, in seconds by the same clock."""
        inside = f"/namespaces/{cell.namespace}/"
        writes = [each for each in self.proxy.writes() if inside in each.path]
        return [
            f"{each.time:.1f}: {each.status} {condition['reason']}: {condition['message']}"
            for each in writes
            if each.path.endswith("/status") and each.status
            for condition in json.loads(each.body)["status"].get("conditions") or ()
            if condition["type"] == "Ready"
        ]

    # The witness

    def audit(self, mark: int) -> Mapping[str, list[AuditRecord]]:
        """The operators' writes since a mark, by namespace."""
        found = self.everybodys(mark).items()
        return {
            namespace: [record for record in records if record.user == OPERATOR_USER]
            for namespace, records in found
        }

    def everybodys(self, mark: int) -> Mapping[str, list[AuditRecord]]:
        """All writes since a mark, by namespace."""
        found: defaultdict[str, list[AuditRecord]] = defaultdict(list)
        for record in self.cluster.audit_events(mark):
            if record.write:
                found[record.namespace].append(record)
        return found
