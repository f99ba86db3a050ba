"""Prediction beside measurement: one comparison for a number, one verdict for a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hack.accuracy import predict, schema
from hack.accuracy.schema import Judged, Term
from videollm_operator.sizing import constants
from videollm_operator.sizing.constants import GIB
from videollm_operator.sizing.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hack.accuracy.facts import Facts
    from hack.accuracy.table import Row

PARTS = (Term.WEIGHTS, Term.ACTIVATION, Term.TORCH_PEAK, Term.RUNTIME, Term.GRAPHS)
"""Terms that leave the KV cache what it is."""

KV_TERMS = (Term.KV_MEMORY, Term.KV_TOKENS, Term.CONCURRENCY)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published number and the product's."""

    judged: Judged
    term: Term
    predicted: float
    """In the row's unit."""
    error_gib: float
    """Predicted less measured, GiB per GPU."""

    @property
    def row(self) -> Row:
        """The published row."""
        return self.judged.row

    @property
    def measured(self) -> float:
        """In the row's unit."""
        return self.judged.value

    @property
    def error_percent(self) -> float:
        """Predicted less measured, in percent of what was measured."""
        scale = abs(self.measured)
        return 100 * (self.predicted - self.measured) / scale if scale else 0.0

    @property
    def close(self) -> bool:
        """Within 1 GiB or 5 %, the aim for the KV cache."""
        return abs(self.error_gib) <= 1 or abs(self.error_percent) <= 5


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """What became of a run, and what the product would have said."""

    row: Row
    """The first row of the run."""
    ran: bool
    predicted: Verdict
    rule: str
    """The rule that forbids the layout; empty if it is legal."""
    headroom_gib: float
    """Left over for the workload's own context; less than the margin makes it tight."""

    @property
    def right(self) -> bool:
        """What failed is not said to fit, and what ran is not called impossible."""
        fits = self.predicted is not Verdict.DOES_NOT_FIT
        return fits if self.ran else self.predicted is not Verdict.FITS


@dataclass(frozen=True, slots=True)
class Result:
    """All of the table."""

    judged: tuple[Judged, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[RunVerdict, ...]

    def of(self, *terms: Term) -> tuple[Comparison, ...]:
        """Comparisons of some terms, in the order of the file."""
        return tuple(one for one in self.comparisons if one.term in terms)

    @property
    def unusable(self) -> tuple[Judged, ...]:
        """Rows that lack a column."""
        return tuple(one for one in self.judged if not one.usable)


def compare(rows: Iterable[Row]) -> Result:
    """Judges all rows and compares those that are usable."""
    judged = schema.judge(rows)
    comparisons: list[Comparison] = []
    runs: dict[tuple[str, ...], list[Judged]] = {}
    for one in judged:
        runs.setdefault(one.row.run, []).append(one)
        if one.usable and one.term not in (Term.VERDICT, Term.LAYOUT):
            comparisons.extend(_compared(one))
    verdicts = [verdict for run in runs.values() if (verdict := _verdict(run)) is not None]
    return Result(judged, tuple(comparisons), tuple(verdicts))


def _compared(judged: Judged) -> list[Comparison]:
    """One comparison; two for tokens of KV cache whose run says how many GiB they are."""
    term, facts = judged.term, judged.facts
    assert term is not None  # noqa: S101 - usable rows have one
    if term is Term.BUDGET:
        return [_comparison(judged, (facts.visible_gib or 0) * (facts.utilization or 0))]
    if term is Term.GRAPHS:
        return [_comparison(judged, constants.GRAPHS_MIB / 1024)]
    if term is Term.VISIBLE:
        assert facts.gpu is not None  # noqa: S101 - the schema has seen to it
        return [_comparison(judged, facts.gpu.visible_mib / 1024)]
    if term is Term.RUNTIME:
        return [_comparison(judged, predict.runtime_gib(facts))]
    if term is Term.PROMPT:
        return [_comparison(judged, *predict.video_tokens(facts))]
    if term is Term.PROCESS:  # its context is a single token
        whole = replace(facts, tensor=1, pipeline=1, context=None)
        return [_comparison(judged, predict.asked(whole).weights_gib)]
    asked = predict.asked(facts)
    if term is Term.WEIGHTS:
        return [_comparison(judged, asked.weights_gib)]
    if term is Term.ACTIVATION:
        return [_comparison(judged, asked.fit.activation / 1024)]
    if term is Term.TORCH_PEAK:
        return [_comparison(judged, asked.weights_gib + asked.fit.activation / 1024)]
    if term is Term.LOADED:
        return [_comparison(judged, asked.weights_gib + predict.runtime_gib(facts))]
    if term is Term.KV_MEMORY:
        return [_comparison(judged, asked.kv_gib)]
    return _tokens(judged, asked)


def _comparison(judged: Judged, predicted: float, scale: float = 1.0) -> Comparison:
    """A number in GiB, or in a unit of which `scale` GiB are one."""
    assert judged.term is not None  # noqa: S101 - usable rows have one
    error = (predicted - judged.value) * scale
    return Comparison(judged, judged.term, predicted, error)


def _tokens(judged: Judged, asked: predict.Asked) -> list[Comparison]:
    """Tokens, blocks of 16 tokens, or requests of the run's context."""
    facts = judged.facts
    block = asked.demand.request.budget.kv_block_tokens
    unit = {"blocks": block, "x": facts.context or 0}.get(judged.row.unit, 1)
    gib = unit * asked.token_bytes / GIB
    found = []
    if judged.term is not Term.KV_FORMULA:
        found.append(_comparison(judged, asked.fit.kv_cache_tokens / unit, gib))
    if judged.term is not Term.CONCURRENCY and schema.formula_usable(facts, judged.run):
        held = max(0.0, schema.available_gib(judged.run) or 0.0)
        tokens = held * GIB / asked.token_bytes / unit
        error = (tokens - judged.value) * gib
        found.append(Comparison(judged, Term.KV_FORMULA, tokens, error))
    return found


def _verdict(run: Sequence[Judged]) -> RunVerdict | None:
    """The verdict of a run; None if the product cannot be asked, or its end is not known."""
    facts = run[0].facts
    layout_only = any(one.usable and one.term is Term.LAYOUT for one in run)
    if not layout_only and not _complete(run):
        return None
    asked = predict.asked(facts)
    ran = _ran(run, asked)
    if ran is None:
        return None
    verdict = Verdict.DOES_NOT_FIT if asked.rule else asked.fit.verdict
    return RunVerdict(run[0].row, ran, verdict, asked.rule, asked.fit.headroom / 1024)


def _complete(run: Sequence[Judged]) -> bool:
    """Whether a run has all columns for a verdict, and does not contradict itself."""
    rows = [one.row for one in run]
    return schema.complete(run[0].facts, rows)


def _ran(run: Sequence[Judged], asked: predict.Asked) -> bool | None:
    """Whether the engine started, by what the run reports; None if that does not show."""
    facts: Facts = run[0].facts
    context = facts.context or 0
    signs: list[bool] = []
    for one in run:
        value = one.value
        match one.row.reported_quantity:
            case "gpu_count_that_ran":
                signs.append(True)
            case "startup_result_no_kv_room" | "startup_result_group_size_refused":
                signs.append(value != 0)
            case "max_concurrency":
                signs.append(value >= 1)
            case "available_kv_cache_memory":
                signs.append(value > 0 and value * GIB / asked.token_bytes >= context)
    return all(signs) if signs else None


def deciding(comparison: Comparison, result: Result) -> str:
    """The part whose error moves a KV cache most, with that error in GiB."""
    run = comparison.row.run
    parts = {
        str(one.term): one.error_gib
        for one in result.of(*PARTS)
        if one.row.run == run and _counts(one)
    }
    if Term.WEIGHTS in parts:
        parts.pop(Term.TORCH_PEAK, None)
    # What is used more leaves less for the KV cache.
    parts["what the run does not report"] = -comparison.error_gib - sum(parts.values())
    name, error = max(parts.items(), key=lambda part: abs(part[1]))
    return f"{name} ({error:+.2f} GiB)"


def _counts(part: Comparison) -> bool:
    """Whether a part is inside the budget of its engine version."""
    return part.term is not Term.GRAPHS or predict.graphs_inside(part.judged.facts)
