"""Figures over all comparisons, the rules that must hold, and whether anything got worse."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hack.accuracy import cover, engines, predict
from hack.accuracy.compare import KV_TERMS, Comparison, Result
from hack.accuracy.schema import Term
from videollm_operator.sizing.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FIGURES = Path(__file__).resolve().parent / "figures.json"
"""Committed figures; `python -m hack.accuracy` does not write worse ones unless told to."""

WEIGHTS_MEAN_PERCENT = 0.5
WEIGHTS_WORST_PERCENT = 1.5
TIGHT_PERCENT = 15
KV_CLOSE_PERCENT = 90
KV_OVER_GIB = 0.5
DENSE = "weights, dense models"
EXPERTS = "weights, mixture of experts"
WORSE = 0.01
"""How much a figure may grow before it counts as worse: rounding."""


@dataclass(frozen=True, slots=True)
class Score:
    """How far predictions of one term are off; GiB per GPU."""

    name: str
    rows: int
    median: float
    p90: float
    worst: float
    under: float
    """Largest of the measured beyond the predicted: what a bound of the term must cover."""
    over: float
    """Largest of the predicted beyond the measured."""


def score(name: str, comparisons: Sequence[Comparison]) -> Score:
    """The figures of some comparisons."""
    errors = sorted(abs(one.error_gib) for one in comparisons)
    signed = [one.error_gib for one in comparisons]
    return Score(
        name,
        len(errors),
        percentile(errors, 50),
        percentile(errors, 90),
        errors[-1],
        max(0.0, -min(signed)),
        max(0.0, *signed),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def scores(result: Result) -> tuple[Score, ...]:
    """The figures of all terms that have a comparison; weights of dense models by themselves."""
    groups: list[tuple[str, list[Comparison]]] = []
    for term in Term:
        found = result.of(term)
        if term is Term.WEIGHTS:
            groups.append((DENSE, [one for one in found if dense(one)]))
            groups.append((EXPERTS, [one for one in found if not dense(one)]))
        else:
            groups.append((str(term), list(found)))
    return tuple(score(name, comparisons) for name, comparisons in groups if comparisons)


def dense_weights(result: Result) -> tuple[float, float]:
    """Mean and worst error of the weights of dense models, percent."""
    errors = [abs(one.error_percent) for one in result.of(Term.WEIGHTS) if dense(one)]
    return sum(errors) / len(errors), max(errors)


def dense(one: Comparison) -> bool:
    """Whether the row's model is known, and no mixture of experts."""
    return one.judged.facts.model is not None and one.judged.facts.model.dense


def close_percent(comparisons: Sequence[Comparison]) -> float:
    """How many are within 1 GiB or 5 %, percent."""
    return 100 * sum(one.close for one in comparisons) / len(comparisons)


def tight_percent(result: Result) -> float:
    """How many of the runs that ran are called tight, percent."""
    ran = [one for one in result.verdicts if one.ran]
    return 100 * sum(one.predicted is Verdict.TIGHT for one in ran) / len(ran)


def bounds(result: Result) -> dict[tuple[str, Term], float]:
    """Largest under-prediction of each term in each generation of engines, GiB.

    Weights of dense models only: the product plans no others.
    """
    found: dict[tuple[str, Term], float] = {}
    for term in (Term.WEIGHTS, Term.ACTIVATION, Term.RUNTIME, Term.GRAPHS):
        for one in result.of(term):
            if term is Term.WEIGHTS and not dense(one):
                continue
            key = (engines.generation(one.judged.facts).name, term)
            found[key] = max(found.get(key, 0.0), -one.error_gib)
    return found


def broken(result: Result) -> list[str]:
    """The rules that do not hold, as sentences; empty if all do."""
    found = [
        f"{one.row.model} on {one.row.gpu} (line {one.row.line}): "
        + ("ran, but is called impossible" if one.ran else "failed, but is predicted to fit")
        for one in result.verdicts
        if not one.right
    ]
    mean, worst = dense_weights(result)
    if mean > WEIGHTS_MEAN_PERCENT or worst > WEIGHTS_WORST_PERCENT:
        found.append(f"weights of dense models: {mean:.2f} % mean and {worst:.2f} % worst error")
    tight = tight_percent(result)
    if tight > TIGHT_PERCENT:
        found.append(f"{tight:.0f} % of the runs that ran are called tight")
    close = close_percent(result.of(Term.KV_MEMORY))
    if close < KV_CLOSE_PERCENT:
        found.append(f"only {close:.0f} % of KV caches are within 1 GiB or 5 %")
    found.extend(_unexplained(result))
    return found


def _unexplained(result: Result) -> Iterable[str]:
    """KV caches over-predicted by more than the run's margin, which follows from the bounds."""
    for one in result.of(*KV_TERMS):
        margin = predict.asked(one.judged.facts).fit.margin / 1024
        if one.error_gib > max(KV_OVER_GIB, margin):
            yield (
                f"{one.row.model} (line {one.row.line}): KV cache over-predicted by "
                f"{one.error_gib:.2f} GiB, and the margin is {margin:.2f}"
            )
    for term in cover.covers(result):
        for one in term.beyond:
            yield (
                f"{one.row.model or one.row.source} (line {one.row.line}): {term.term} "
                f"under-predicted by {-one.error_gib:.2f} GiB, and the bound is "
                f"{cover.bound_gib(one):.2f}"
            )


def figures(result: Result) -> dict[str, float]:
    """What must not get worse: less is better for all of them."""
    mean, worst = dense_weights(result)
    found: dict[str, float] = {
        "unusable rows": len(result.unusable),
        "wrong verdicts": sum(not one.right for one in result.verdicts),
        "tight runs that ran, percent": tight_percent(result),
        f"{DENSE}, mean percent": mean,
        f"{DENSE}, worst percent": worst,
        "KV caches not within 1 GiB or 5 %, percent": 100
        - close_percent(result.of(Term.KV_MEMORY)),
    }
    for one in scores(result):
        found[f"{one.name}, median GiB"] = one.median
        found[f"{one.name}, 90th percentile GiB"] = one.p90
        found[f"{one.name}, worst GiB"] = one.worst
    return {name: round(value, 3) for name, value in found.items()}


def worse(now: Mapping[str, float], before: Mapping[str, float]) -> list[str]:
    """Figures that are gone or larger than committed, as sentences."""
    found = [f"{name}: not measured any more" for name in before if name not in now]
    found += [
        f"{name}: {now[name]:g}, was {value:g}"
        for name, value in before.items()
        if name in now and now[name] > value + WORSE
    ]
    return found


def problems(result: Result) -> list[str]:
    """Broken rules, and figures that are worse than committed; empty if all is well."""
    return broken(result) + [
        f"worse than committed: {line}" for line in worse(figures(result), committed())
    ]


def committed(path: Path = FIGURES) -> dict[str, float]:
    """The committed figures; none if there is no file yet."""
    if not path.is_file():
        return {}
    read: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return read
