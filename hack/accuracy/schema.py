"""Which rows can be compared with a prediction: decided by their columns, never by name.

Written before the first comparison was run. A row is usable for its term if each column that the
term needs can be read, and if what its run reports does not contradict itself. Otherwise the first
thing that a reader of the table would have to supply is listed as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hack.accuracy.facts import Facts, number, read_facts
from hack.accuracy.models import latent_attention

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hack.accuracy.table import Row


class Term(StrEnum):
    """What is compared."""

    WEIGHTS = "weights"
    ACTIVATION = "activation"
    PROCESS = "weights in a process of transformers"
    TORCH_PEAK = "weights + activation"
    LOADED = "weights + runtime"
    RUNTIME = "runtime"
    GRAPHS = "CUDA graphs"
    VISIBLE = "visible memory"
    BUDGET = "budget"
    KV_MEMORY = "KV cache"
    KV_TOKENS = "KV tokens"
    KV_FORMULA = "KV tokens of the measured GiB"
    CONCURRENCY = "requests at once"
    PROMPT = "tokens of a prompt with a video"
    VERDICT = "ran or refused"
    LAYOUT = "layout refused"


TERMS = {
    "model_loading_memory": (Term.WEIGHTS, "GiB"),
    "peak_memory_input_len_1 (unit labelled GB, behaves as GiB)": (Term.PROCESS, "GiB"),
    "torch_peak_activation_increase": (Term.ACTIVATION, "GiB"),
    "peak_torch_memory": (Term.TORCH_PEAK, "GiB"),
    "consumed_weights_plus_non_torch": (Term.LOADED, "GiB"),
    "non_torch_memory": (Term.RUNTIME, "GiB"),
    "cuda_graph_memory": (Term.GRAPHS, "GiB"),
    "total_gpu_memory": (Term.VISIBLE, "GiB"),
    "usable_memory": (Term.BUDGET, "GiB"),
    "requested_memory": (Term.BUDGET, "GiB"),
    "available_kv_cache_memory": (Term.KV_MEMORY, "GiB"),
    "gpu_kv_cache_size": (Term.KV_TOKENS, "tokens"),
    "num_gpu_blocks": (Term.KV_TOKENS, "blocks"),
    "max_concurrency": (Term.CONCURRENCY, "x"),
    "prompt_length_with_video": (Term.PROMPT, "tokens"),
    "gpu_count_that_ran": (Term.VERDICT, "GPUs"),
    "startup_result_no_kv_room": (Term.VERDICT, "bool_ok"),
    "startup_result_group_size_refused": (Term.LAYOUT, "bool_ok"),
}
"""What a reported quantity is a measurement of, and in which unit. Others are of no term of a plan:
sums of a process or of several terms."""

_MODEL = ("engine", "model", "dtype_or_quant", "tp", "pp")
_STEP = (*_MODEL, "version", "gpu", "max_model_len")

REQUIRED: Mapping[Term, tuple[str, ...]] = {
    Term.WEIGHTS: _MODEL,
    Term.PROCESS: ("model", "dtype_or_quant"),
    Term.ACTIVATION: _STEP,
    Term.TORCH_PEAK: _STEP,
    Term.LOADED: (*_MODEL, "version"),
    Term.RUNTIME: ("engine", "version", "tp", "pp"),
    Term.GRAPHS: ("engine", "version"),
    Term.VISIBLE: ("catalogue",),
    Term.BUDGET: ("engine", "version", "gpu", "gpu_mem_utilization"),
    Term.KV_MEMORY: (*_STEP, "gpu_mem_utilization"),
    Term.KV_TOKENS: (*_STEP, "gpu_mem_utilization"),
    Term.KV_FORMULA: (*_MODEL, "available_kv"),
    Term.CONCURRENCY: (*_STEP, "gpu_mem_utilization"),
    Term.PROMPT: ("model", "frames"),
    Term.VERDICT: (*_STEP, "gpu_mem_utilization"),
    Term.LAYOUT: _MODEL,
}
"""Columns that a term needs. `version` decides what an engine counts and which defaults it has.
The peak of a process with one token is that of the weights and a little more, on all GPUs together,
whatever runs them."""

MISSING = {
    "engine": "engine: none that videollm plans for",
    "version": "version",
    "model": "model",
    "dtype_or_quant": "dtype_or_quant",
    "tp": "tp: no number",
    "pp": "pp: no number",
    "gpu": "gpu: no memory size, and none in the catalogue",
    "catalogue": "gpu: not in the catalogue",
    "gpu_mem_utilization": "gpu_mem_utilization",
    "max_model_len": "max_model_len",
    "frames": "model: no number of frames",
    "reported_quantity": "reported_quantity: no term of a plan",
    "unit": "unit: not that of the quantity",
    "value": "value: no number",
    "contradiction": "gpu_mem_utilization: contradicts the run's own terms",
    "latent": "model: its KV cache is of a kind that videollm cannot size (latent attention)",
}
"""Column -> what is said of a row that lacks it."""

CONTRADICTION_GIB = 0.5
"""A run whose own terms add up to another budget than it states, by more than this, cannot be used
where its budget counts. Published terms are rounded to 0.01 GiB; four of them make 0.02."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A row, what it says, and what it lacks."""

    row: Row
    term: Term | None
    facts: Facts
    missing: tuple[str, ...]
    """Columns; empty if the row is usable."""

    run: tuple[Row, ...] = ()
    """All rows of the same start, itself included."""

    @property
    def usable(self) -> bool:
        """Whether a prediction can be compared with it."""
        return not self.missing

    @property
    def value(self) -> float:
        """The published number."""
        return float(self.row.value)


def judge(rows: Iterable[Row]) -> tuple[Judged, ...]:
    """Every row with its term, and with what it lacks for it."""
    rows = tuple(rows)
    runs: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        runs.setdefault(row.run, []).append(row)
    totals = {
        (row.source, row.gpu): float(row.value)
        for row in rows
        if row.reported_quantity == "total_gpu_memory"
    }
    return tuple(_judge(row, runs[row.run], totals) for row in rows)


def _judge(row: Row, run: list[Row], totals: Mapping[tuple[str, str], float]) -> Judged:
    facts = read_facts(row, totals.get((row.source, row.gpu)))
    term, unit = TERMS.get(row.reported_quantity, (None, ""))
    if term is None:
        lacks = [name for name in ("engine", "tp") if not _has(facts, name)]
        return Judged(row, None, facts, ("reported_quantity", *lacks), tuple(run))
    missing = [name for name in REQUIRED[term] if not _has(facts, name)]
    if term is Term.KV_TOKENS and missing and formula_usable(facts, run):
        term, missing = Term.KV_FORMULA, []
    if row.model in latent_attention() and "model" in missing:
        missing[missing.index("model")] = "latent"
    if row.unit != unit:
        missing.append("unit")
    if number(row.value) is None:
        missing.append("value")
    if "gpu_mem_utilization" in REQUIRED[term] and not missing and _contradicts(facts, run):
        missing.append("contradiction")
    return Judged(row, term, facts, tuple(missing), tuple(run))


def complete(facts: Facts, run: list[Row]) -> bool:
    """Whether a run can be given a verdict, whatever it reports."""
    return all(_has(facts, name) for name in REQUIRED[Term.VERDICT]) and not _contradicts(
        facts, run
    )


def available_gib(run: Iterable[Row]) -> float | None:
    """The KV cache that a run reports, GiB; None if it does not."""
    found = (row.value for row in run if row.reported_quantity == "available_kv_cache_memory")
    return number(next(found, ""))


def formula_usable(facts: Facts, run: Iterable[Row]) -> bool:
    """Whether tokens of KV cache can be counted from the GiB that the same run reports."""
    columns = REQUIRED[Term.KV_FORMULA][:-1]
    return available_gib(run) is not None and all(_has(facts, name) for name in columns)


def _has(facts: Facts, column: str) -> bool:
    read = {
        "engine": facts.engine,
        "version": facts.version,
        "model": facts.model,
        "dtype_or_quant": facts.quantization,
        "tp": facts.tensor,
        "pp": facts.pipeline,
        "gpu": facts.visible_gib,
        "catalogue": facts.gpu,
        "gpu_mem_utilization": facts.utilization,
        "max_model_len": facts.context,
        "frames": facts.frames,
    }
    return read[column] is not None


def _contradicts(facts: Facts, run: list[Row]) -> bool:
    """Whether weights, activation, runtime and KV cache of a run miss its own budget."""
    told = {row.reported_quantity: number(row.value) for row in run}
    parts = [
        told.get(name)
        for name in (
            "model_loading_memory",
            "torch_peak_activation_increase",
            "non_torch_memory",
            "available_kv_cache_memory",
        )
    ]
    if None in parts or facts.visible_gib is None or facts.utilization is None:
        return False
    total = sum(part for part in parts if part is not None)
    return abs(total - facts.visible_gib * facts.utilization) > CONTRADICTION_GIB
