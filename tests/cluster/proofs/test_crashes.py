"""The operator is killed after each of its writes, in every history; the next one ends the work.

First each history runs undisturbed: that is the reference, and shows the writes. Then it runs once
more for every number of writes after which the operator can die, from none to all. Killed just
before a write, just after it, or before its answer came: the API server holds the same. Half of the
crashes lose the answer to their last write. In the others the next write is already on its way: it
arrives when the next operator has ended the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devcluster import target
from hack import local_operator, rights
from tests.cluster.proofs import causes
from tests.cluster.proofs.crash_cells import Cell
from tests.cluster.proofs.crash_field import Field
from tests.cluster.proofs.crash_histories import HISTORIES
from tests.cluster.proofs.crash_verdict import Reference, Trace, judge
from tests.cluster.proxy import Proxy
from tests.cluster.proxy_actions import Late
from tests.cluster.world import audit_mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from tests.cluster.proofs.crash_cells import History

pytestmark = pytest.mark.cluster


def undisturbed(field: Field) -> dict[str, Reference]:
    """Runs each history to its end."""
    cells = [Cell(field.admin, history, f"all-{history.name}") for history in HISTORIES]
    field.prepare(cells)
    mark = audit_mark(field.cluster)
    for cell in cells:
        cell.todo = list(cell.history.acts)
    field.play(cells)
    field.quiet()
    acts = field.audit(mark)
    for cell in cells:
        cell.todo = [cell.history.down] if cell.history.down else []
    field.play(cells)
    field.quiet()
    all_, looks = field.audit(mark), field.settled(cells)
    return {
        cell.history.name: Reference(
            *looks[cell.namespace], acts.get(cell.namespace, []), all_.get(cell.namespace, [])
        )
        for cell in cells
    }


def crash_points(field: Field, references: Mapping[str, Reference]) -> list[Cell]:
    """A cell for each history and number of writes."""
    return [
        Cell(
            field.admin,
            history,
            f"{history.name}-{writes}",
            writes,
            lost=bool(writes) and (number + writes) % 2 == 0,
        )
        for number, history in enumerate(HISTORIES)
        for writes in range(len(references[history.name].acts) + 1)
    ]


def crash(field: Field, cells: list[Cell]) -> list[Trace]:
    """Kills the operator when each cell is at its point, and lets the next one end the work."""
    field.prepare(cells)
    late = Late(wait=False)
    marks = [audit_mark(field.cluster)]
    there = {cell.namespace: field.arm(cell, late) for cell in cells}
    for cell in cells:
        cell.todo = list(cell.history.acts)
    field.play(cells, lambda cell: there[cell.namespace]())
    field.kill()
    marks.append(audit_mark(field.cluster))
    through = {cell.namespace for cell in cells if not cell.todo}
    for cell in cells:
        if cell.history.down:
            cell.todo, cell.begun = [cell.history.down], False
            cell.go_on()
    field.proxy.clear()
    field.start()
    field.play(cells)
    field.quiet()
    looks = [field.settled(cells)]
    marks.append(audit_mark(field.cluster))
    field.proxy.let_go(late)
    field.quiet()
    looks.append(field.settled(cells))
    field.kill()
    audits = [field.audit(mark) for mark in marks]
    everybodys = field.everybodys(marks[0])
    traces = []
    for cell in cells:
        all_, later, latest = (audit.get(cell.namespace, []) for audit in audits)
        traces.append(
            Trace(
                cell,
                cell.namespace in through,
                before=all_[: len(all_) - len(later)],
                after=later[: len(later) - len(latest)],
                late=latest,
                causes=causes.of(everybodys.get(cell.namespace, [])),
                said=field.said(cell),
                looks=[look[cell.namespace] for look in looks],
            )
        )
    return traces


@pytest.fixture(scope="module")
def cluster(begun: list[tuple[datetime, str]]) -> Iterator[target.Target]:
    """One for this file alone: hundreds of namespaces would be in the way of other tests."""
    with target.choose() as running:
        audit_mark(running)
        local_operator.install(running)
        yield running
        rights.write_down(running, begun)


@pytest.fixture(scope="module")
def problems(cluster: target.Target) -> dict[str, list[str]]:
    """What is not as it must be, by history; all of them run at the same time."""
    with Proxy(cluster) as proxy, Field(cluster, proxy) as field:
        field.start()
        references = undisturbed(field)
        traces = crash(field, crash_points(field, references))
        found: dict[str, list[str]] = {history.name: [] for history in HISTORIES}
        for trace in traces:
            name = trace.cell.history.name
            found[name] += judge(trace, references[name])
        return found


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.name)
def test_killed_after_each_write_the_next_operator_ends_the_work(
    problems: dict[str, list[str]], history: History
) -> None:
    assert problems[history.name] == []
