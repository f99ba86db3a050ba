"""Updates that objects take up by themselves (`spec.rollout.updates: Automatic`), a few at a time.

An object that takes an update up holds one of few places until all its replicas serve with it. An
annotation of its StatefulSet says so from the same write that begins the update, so who holds a
place can be read from the cluster at any time, by any operator. One that fails keeps its place: an
update that breaks things stops after that many objects. Decision 20 has the rules and the reasons.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.operations import Updates
from videollm_operator.reconcile.ownership import own_workload
from videollm_operator.reconcile.pods import own_pods
from videollm_operator.reconcile.progress import replicas_wanted, said, settled
from videollm_operator.reconcile.world import Line

if TYPE_CHECKING:
    from videollm_operator.reconcile.decision import Decision
    from videollm_operator.reconcile.world import Turn, World

TOLD = 20
"""So many of those that wait are told who takes the update up now; for the others that would be a
write of their status at each step of each object before them."""

_NAMED = 5
_REQUEST = "set a new `spec.rollout.restartToken` to take it up"


def holds_place(world: World) -> bool:
    """Whether a deployment is taking an update up by itself, and does not serve yet."""
    workload = own_workload(world)
    return (
        workload is not None
        and "deletionTimestamp" not in world.deployment["metadata"]
        and bool(unfinished(world, workload.taking_up))
    )


def unfinished(world: World, taking_up: str) -> str:
    """The update that was begun, as long as it goes on; empty once it is over.

    It is over when all replicas serve, or when somebody does not want it any more.
    """
    goes_on = _automatic(world) and not settled(world, replicas_wanted(world))
    return taking_up if goes_on else ""


def turn(world: World, decision: Decision) -> Decision:
    """Takes up what is on offer, if that is this object's turn; else tells what it waits for."""
    offer = decision.offer
    if offer is None:
        return decision
    if not _automatic(world):
        return _told(decision, _REQUEST)
    if offer.obstacle:
        return _told(decision, f"not taken up by itself, because {offer.obstacle}: {_REQUEST}")
    if decision.paused:
        return _told(decision, "taken up by itself once `spec.paused` is false")
    line = _line(world, decision)
    disturbed = world.turn.held or decision.taking_up != ""
    if disturbed or (line is not None and line is world.turn.line and _is_next(line, world.turn)):
        unmarked = line is Line.FAILING and not decision.taking_up
        return replace(
            decision, record=offer.record, update="", taking_up="" if unmarked else offer.what
        )
    if not world.turn.limit:
        return _told(
            decision,
            "not taken up by itself, because the operator runs with `--max-concurrent-updates` 0: "
            f"{_REQUEST}",
        )
    if line is None:
        return _told(decision, f"taken up by itself once all replicas serve; or {_REQUEST} now")
    return replace(_told(decision, _waits_for(line, world.turn)), line=line)


def _automatic(world: World) -> bool:
    rollout = said(world).get("rollout")
    return isinstance(rollout, dict) and rollout.get("updates") == Updates.AUTOMATIC


def _told(decision: Decision, how: str) -> Decision:
    return replace(decision, update=f"{decision.update}; {how}")


def _line(world: World, decision: Decision) -> Line | None:
    """Where an object waits; None while it is on its way, or serves only in part."""
    if decision.conflicts or decision.leaving:
        return None
    if settled(world, replicas_wanted(world)):
        return Line.SERVING
    pods = own_pods(world)
    serves = any(pod.ready for pod in pods)
    fails = any(pod.problem is not None for pod in pods)
    return Line.FAILING if fails and not serves else None


def _is_next(line: Line, at: Turn) -> bool:
    """One that serves needs a place; one that fails waits until no other is disturbed by it."""
    if line is Line.SERVING:
        return len(at.taking) + at.ahead < at.limit
    return at.limit > 0 and not at.taking and not at.ahead


def _waits_for(line: Line, at: Turn) -> str:
    if line is Line.FAILING:
        return "taken up by itself once no object that serves takes it up or waits for that"
    objects = "1 object" if at.limit == 1 else f"{at.limit} objects"
    text = f"taken up by itself when its turn comes: at most {objects} at the same time"
    if at.ahead >= TOLD:
        return f"{text}, and many wait before it"
    if at.taking:
        names = [str(key) for key in at.taking[:_NAMED]]
        more = len(at.taking) - len(names)
        text += f", now {', '.join(names)}" + (f" and {more} more" if more else "")
    return text + (f"; {at.ahead} wait before it" if at.ahead else "")
