"""What a Lease says: who may act, since when, for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

RELEASED_SECONDS = 1
"""`leaseDurationSeconds` of a Lease that its holder gave back, as client-go writes it."""

Term = tuple[str, str, int]
"""Whose turn it is: holder, since when, the how manyth. Stays the same while it is renewed."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a Lease says about its holder."""

    holder: str
    acquired: str
    renewed: str
    transitions: int
    seconds: float

    @classmethod
    def of(cls, lease: dict[str, Any]) -> Record:
        """What the object says."""
        spec = lease.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            acquired=spec.get("acquireTime") or "",
            renewed=spec.get("renewTime") or "",
            transitions=spec.get("leaseTransitions") or 0,
            seconds=float(spec.get("leaseDurationSeconds") or 0),
        )

    @property
    def term(self) -> Term:
        """Whose turn it is."""
        return self.holder, self.acquired, self.transitions

    @property
    def given_back(self) -> bool:
        """Whether its holder said that it does not act any more."""
        return not self.holder and self.seconds == RELEASED_SECONDS


NOTHING = Record("", "", "", 0, 0.0)
"""There is no Lease."""


def micro_time(now: datetime) -> str:
    """A metav1.MicroTime."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
