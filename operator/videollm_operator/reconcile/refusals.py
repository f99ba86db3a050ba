"""What the API server's refusals mean for the user: one Problem for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api import names
from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videollm_operator.reconcile.actions import Action
    from videollm_operator.reconcile.world import ChildFacts, ChildKey

CLAIM = "PersistentVolumeClaim"
UNPROCESSABLE = 422


def name_conflict(facts: ChildFacts) -> Problem:
    """An object with a child's name exists and is not ours.

    Of a volume claim nobody is told to delete it: one that only lost the operator's label holds the
    data of this very deployment.
    """
    whose = f"it is controlled by {facts.controller}" if facts.controller else "nobody controls it"
    adopt = (
        ", or, if it is an orphan of this operator, annotate this object with "
        "videollm.io/adopt=true"
        if facts.managed and not facts.controller
        else ""
    )
    way_out = "delete that one"
    if facts.key.kind == CLAIM:
        way_out = (
            "move that one's data elsewhere"
            if facts.controller or facts.managed
            else "if that volume is this object's own, give the claim its label "
            f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY} back"
        )
    return Problem(
        Reason.NAME_CONFLICT,
        f"{facts.key} already exists and {whose}; it is not touched: rename this object, or "
        f"{way_out}{adopt}",
        "metadata.name",
    )


def contested(key: ChildKey, conflict: str) -> Problem:
    """Somebody undoes what is written to a child, again and again.

    Args:
        key: the child.
        conflict: what the API server says about who owns which fields; empty if it is not said.
    """
    said = " ".join(conflict.split())
    who = f" ({said})" if said else ""
    return Problem(
        Reason.CONTESTED,
        f"another program undoes again and again what the operator writes to {key}{who}: stop that "
        "program, or let this object say what it wants; until then the operator writes more and "
        "more rarely",
    )


def fields_dropped(key: ChildKey, paths: Sequence[str]) -> Problem:
    """The server accepted an apply but did not keep these fields."""
    shown = ", ".join(f"`{path}`" for path in paths[:5])
    return Problem(
        Reason.FIELD_NOT_SUPPORTED,
        f"the API server dropped {shown} of {key}: switch on the feature gate of that field, "
        "upgrade the cluster, or remove the setting that needs it",
    )


def problem_of(action: Action, status_code: int, reason: str, message: str) -> Problem:
    """The Problem for an API error that retrying alone does not mend.

    Args:
        action: what was tried.
        status_code: HTTP status.
        reason: `reason` of the Status object.
        message: its `message`.
    """
    said = message.strip().rstrip(".") or reason or f"HTTP status {status_code}"
    if status_code == UNPROCESSABLE and _immutable(said):
        loss = " (what it holds goes with it)" if action.key.kind == CLAIM else ""
        return Problem(
            Reason.IMMUTABLE_FIELD,
            f"{action.key} cannot be changed in place: undo the change, or delete {action.key} so "
            f"that it is made anew{loss}; the API server says: {said}",
        )
    if "field not declared in schema" in said:  # a 500, from server-side apply
        return Problem(
            Reason.FIELD_NOT_SUPPORTED,
            f"the API server does not know a field of {action.key}: upgrade the cluster, or remove "
            f"the setting that needs it; it says: {said}",
        )
    return Problem(
        Reason.CHILD_REFUSED,
        f"{action.key} was refused by the API server: {said}",
    )


def postponed(key: ChildKey, message: str) -> Problem:
    """The API server has no time for a child, or does not answer, again and again.

    Args:
        key: the child.
        message: what it said, or how it failed to answer.
    """
    return Problem(
        Reason.CHILD_REFUSED,
        f"{key} cannot be written at present, and is tried again: {message.strip().rstrip('.')}",
    )


def _immutable(message: str) -> bool:
    return "immutable" in message or "updates to statefulset spec" in message
