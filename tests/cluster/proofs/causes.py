"""What status may follow: the API server's audit log says how often there was reason to write it.

Status is written at most once when an object is new, once for each write of somebody else to the
object, its children or its pods, and once for each write of the operator to its children. It never
answers itself. How many writes the controllers and the kubelet make, and how many of them are told
apart, depends on how fast the machine is; this bound follows them, and so is the same on each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.cluster.world import OPERATOR_USER
from videollm_operator.runtime.kinds import CHILDREN, DEPLOYMENT, POD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devcluster.audit import AuditRecord

OBJECTS = {kind.plural for kind in (DEPLOYMENT, *CHILDREN, POD)}
"""What the operator looks at; nodes and catalogue excepted."""

REFUSED = 400


@dataclass(frozen=True)
class Causes:
    """Writes about the objects of one namespace; those that were accepted, but for `refused`.

    Attributes:
        statuses: of the operator, to deployments.
        children: of the operator, to children.
        others: of everybody else, to all that the operator looks at.
        refused: of the operator.
    """

    statuses: int = 0
    children: int = 0
    others: int = 0
    refused: int = 0

    def allowed(self, objects: int = 1, more: int = 0) -> int:
        """How often status may be written; see `too_many`."""
        return objects + self.others + self.children + more

    def too_many(self, objects: int = 1, more: int = 0) -> str:
        """What is wrong; empty if nothing is.

        Args:
            objects: how many deployments were new.
            more: reasons that left no write: what was refused, and is told, and is over.
        """
        allowed = self.allowed(objects, more)
        if self.statuses <= allowed:
            return ""
        return f"status was written {self.statuses} times, where {allowed} may be: {self}, {more}"


def of(records: Iterable[AuditRecord]) -> Causes:
    """What records of one namespace show."""
    about = [r for r in records if r.write and r.resource in OBJECTS]
    told = [r for r in about if r.code < REFUSED]
    ours = [r for r in told if r.user == OPERATOR_USER]
    statuses = sum(r.resource == DEPLOYMENT.plural for r in ours)
    return Causes(
        statuses=statuses,
        children=len(ours) - statuses,
        others=len(told) - len(ours),
        refused=sum(r.code >= REFUSED and r.user == OPERATOR_USER for r in about),
    )
