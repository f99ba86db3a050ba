"""What a reconcile found and wants to do; the value between deciding and reporting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm_operator.api.problem import Problem
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.api.v1alpha1.status import SizingStatus
    from videollm_operator.reconcile.actions import Action
    from videollm_operator.reconcile.record import Record
    from videollm_operator.reconcile.world import ChildKey, Line


@dataclass(frozen=True, slots=True)
class Offer:
    """Today's layout, where it is another one than the layout in force."""

    record: Record
    what: str
    """What it changes."""
    obstacle: str = ""
    """Why it is never taken up without a person; empty if it may be."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reconcile found and wants to do."""

    deployment: VideoLLMDeployment | None
    """None if the object cannot be read; then `refusals` says why."""
    deleting: bool = False
    refusals: tuple[Problem, ...] = ()
    """Why today's spec cannot run."""
    sizing: SizingStatus | None = None
    """Today's plan; what is in force is read from the StatefulSet, once there is one."""
    sizing_refused: bool = False
    """Whether it is sizing that refuses (`Sized=False`), not something after it."""
    record: Record | None = None
    """The layout that the actions put in force; None if no layout is touched."""
    conflicts: tuple[Problem, ...] = ()
    """Children that exist and are not ours."""
    leaving: tuple[ChildKey, ...] = ()
    """Children that are being deleted, or that an earlier object of this name left to the garbage
    collector; they are made anew once they are gone."""
    actions: tuple[Action, ...] = ()
    paused: bool = False
    withheld: bool = False
    """Paused, and there would be something to do."""
    update: str = ""
    """What is different today from the layout in force, and what to do; empty if nothing is."""
    offer: Offer | None = None
    """The layout that a new `restartToken` would take up."""
    taking_up: str = ""
    """The update that the layout in force is taking up by itself; empty once it serves."""
    line: Line | None = None
    """Where it waits for its turn to take up the offer by itself."""
    memory: str = ""
    """How the memory that nodes report differs from what the layout counted, where it changes
    nothing; empty if it does not."""
    no_node: str = ""
    """Why no node offers the GPU though some have it; empty if one does, or none has it."""
    unverified: Problem | None = None
    """What no table says of the engine of the layout that the spec gets; None if one does."""
    unsafe: str = ""
    """Why the running layout is now known to be unsafe; empty if it is not."""

    @property
    def takes_up(self) -> bool:
        """Whether the actions take up the offer."""
        return self.offer is not None and self.record is self.offer.record
