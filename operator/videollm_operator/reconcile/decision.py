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


@dataclass(frozen=True, slots=True)
class Decision:
    """What a reconcile found and wants to do."""

    deployment: VideoLLMDeployment | None
    """None if the object cannot be read; then `refusals` says why."""
    deleting: bool = False
    refusals: tuple[Problem, ...] = ()
    """Why today's spec cannot run."""
    sizing: SizingStatus | None = None
    """The plan to show: of the record in force, else today's."""
    sizing_refused: bool = False
    """Whether it is sizing that refuses (`Sized=False`), not something after it."""
    record: Record | None = None
    """The layout in force once the actions are done."""
    conflicts: tuple[Problem, ...] = ()
    """Children that exist and are not ours."""
    actions: tuple[Action, ...] = ()
    withheld: bool = False
    """Paused, and there would be something to do."""
    update: str = ""
    """What today's inputs would change; empty if nothing."""
    unsafe: str = ""
    """Why the running layout is now known to be unsafe; empty if it is not."""
