"""Whether the planner's own bounds cover what was measured: the safety margin rests on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hack.accuracy import engines, predict
from hack.accuracy.schema import Term
from videollm_operator.sizing import constants

if TYPE_CHECKING:
    from hack.accuracy.compare import Comparison, Result


@dataclass(frozen=True, slots=True)
class Cover:
    """The measurements of one term and the bounds that the planner gives it."""

    term: Term
    rows: int
    excess_gib: float
    """The most by which a measurement exceeds its prediction; 0 if none does."""
    bound_gib: float
    """The bound of that row; the least of all rows if none exceeds its prediction."""
    beyond: tuple[Comparison, ...]
    """Rows that exceed their prediction by more than their bound."""


TERMS = (Term.WEIGHTS, Term.ACTIVATION, Term.RUNTIME, Term.GRAPHS)


def covers(result: Result) -> tuple[Cover, ...]:
    """One cover for each term with a bound."""
    return tuple(_cover(term, result) for term in TERMS)


def _cover(term: Term, result: Result) -> Cover:
    rows = [one for one in result.of(term) if _planned(one)]
    allowed = {one.row.line: bound_gib(one) for one in rows}
    excess = max(rows, key=lambda one: -one.error_gib)
    least = min(allowed.values())
    return Cover(
        term,
        len(rows),
        max(0.0, -excess.error_gib),
        allowed[excess.row.line] if excess.error_gib < 0 else least,
        tuple(one for one in rows if -one.error_gib > allowed[one.row.line]),
    )


def _planned(one: Comparison) -> bool:
    """Leaves out what the planner plans for nobody: experts, and versions that count CUDA's own."""
    facts = one.judged.facts
    if one.term is Term.RUNTIME:
        return not engines.generation(facts).context_inside
    return facts.model is None or facts.model.dense


def bound_gib(one: Comparison) -> float:
    """By how much the planner says that this row may exceed its prediction, GiB."""
    facts = one.judged.facts
    if one.term is Term.GRAPHS:
        return constants.GRAPHS_BOUND_MIB / 1024
    if one.term is Term.RUNTIME:
        return predict.runtime_bound_gib(facts)
    bounds = predict.asked(facts).fit.bounds
    return (bounds.weights if one.term is Term.WEIGHTS else bounds.activation) / 1024
