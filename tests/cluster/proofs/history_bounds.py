"""How often the operator may write, counted from the API server's audit log.

Two bounds, for each deployment:

- A child is written at most once for each change that may concern it. Such changes are: the object
  is made, its layout is edited, adopting is switched; somebody edits or deletes that child; the
  StatefulSet, and with it the record of the layout, is lost. Replicas concern the StatefulSet only.
  Catalogue and nodes add none: they can only make acceptable what an edit asked for before. A crash
  adds none either. An API server that goes away may cut an answer off: one write is done again.
- Status is written at most once for each write of somebody else to the object, its children or its
  pods, for each write of the operator to its children, and for each change of catalogue and nodes:
  it never answers itself. The same number bounds writes that are refused, since each lost a race
  with one of them, but for those that find an object of somebody else in the way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.proofs.causes import OBJECTS, REFUSED
from tests.cluster.proofs.history_story import EVERYTHING
from tests.cluster.world import OPERATOR_USER
from videollm_operator.reconcile.world import ChildKey
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devcluster.audit import AuditRecord
    from tests.cluster.proofs.history_story import Story

_KIND_OF = {kind.plural: kind.kind for kind in CHILDREN}

RETRIES = 20
"""An object in the way is run into again and again, with pauses that grow up to minutes."""


@dataclass
class Tally:
    """Writes about one deployment."""

    children: Counter[ChildKey] = field(default_factory=Counter)
    status: int = 0
    refused: int = 0
    others: int = 0


def tallies(records: Iterable[AuditRecord], namespace: str, width: int) -> Mapping[str, Tally]:
    """Writes by deployment; all names there begin with that of the deployment, `width` long."""
    found: defaultdict[str, Tally] = defaultdict(Tally)
    for record in records:
        if record.namespace != namespace or not record.write or record.resource not in OBJECTS:
            continue
        tally = found[record.name[:width]]
        if record.user != OPERATOR_USER:
            tally.others += record.code < REFUSED
        elif record.code >= REFUSED:
            tally.refused += 1
        elif record.resource == DEPLOYMENT.plural:
            tally.status += 1
        else:
            tally.children[ChildKey(_KIND_OF[record.resource], record.name)] += 1
    return found


def excesses(story: Story, tally: Tally, news: int, outages: int) -> list[str]:
    """Where the operator wrote more often than it may.

    Args:
        story: what happened to the deployment.
        tally: what was written.
        news: number of changes of catalogue and nodes.
        outages: number of times that the API server went away.
    """
    found = []
    changes = {story.mine(key): n for key, n in story.changes.items() if isinstance(key, ChildKey)}
    for key, written in tally.children.items():
        allowed = story.changes[EVERYTHING] + changes.get(key, 0) + outages
        if written > allowed:
            found.append(f"{key} was written {written} times for {allowed} changes")
    causes = 1 + tally.others + tally.children.total() + news + outages
    if tally.status > causes:
        found.append(f"status was written {tally.status} times for {causes} causes")
    if tally.refused > causes + RETRIES:
        found.append(f"{tally.refused} writes were refused, for {causes} causes")
    return found
