"""Constants that rest on measurements: what they mean, and how well others' rows give them.

For each source, a constant is fitted on all other sources, and the rows of that source are
predicted with it. Where the error is as small as with the product's own value, the constant is not
tuned to these rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from hack.accuracy import engines, predict
from hack.accuracy.schema import Term
from videollm_operator.sizing import constants
from videollm_operator.sizing.constants import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hack.accuracy.compare import Result


@dataclass(frozen=True, slots=True)
class Sample:
    """One row seen through a constant: `memory = constant x scale + rest`."""

    source: str
    value: float
    """The constant that this row alone gives."""
    scale_gib: float
    """GiB for one unit of the constant."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A calibrated constant of the product."""

    name: str
    unit: str
    used: float
    meaning: str
    choice: str
    """How it follows from its rows: "median" or "largest"."""
    samples: tuple[Sample, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Sources that have rows for it, in the order of the file."""
        return tuple(dict.fromkeys(sample.source for sample in self.samples))

    def fitted(self, without: str = "") -> float | None:
        """The constant that the rows give; None if only the source left out has any."""
        values = [sample.value for sample in self.samples if sample.source != without]
        if not values:
            return None
        return _CHOICES[self.choice](values)

    def errors(self, source: str, value: float) -> tuple[float, float]:
        """Errors with a value over the rows of one source, GiB with sign: median and worst."""
        errors = [
            (value - sample.value) * sample.scale_gib
            for sample in self.samples
            if sample.source == source
        ]
        return median(errors), max(errors, key=abs)


_CHOICES: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "largest": max}


def calibrated(result: Result) -> tuple[Constant, ...]:
    """All constants of the product that follow from rows of the table."""
    return (
        Constant(
            "VLLM_OLD_SAMPLER_BYTES_PER_LOGIT",
            "bytes",
            constants.VLLM_OLD_SAMPLER_BYTES_PER_LOGIT,
            "What the sampler holds for one sequence and vocabulary entry: logits in 16 and 32 "
            "bit, their sorted copy, indices in 64 bit, probabilities and their sums. vLLM before "
            "its second model runner.",
            "median",
            _sampler(result),
        ),
        Constant(
            "decoder tensors",
            "x",
            3,
            "Tensors of a decoder layer that live at once, each tokens x (hidden size + MLP width "
            "/ TP): residual, input and output, and the gate, up and product of the MLP. The `3` "
            "of `Activation.decoder`.",
            "median",
            _decoder(result),
        ),
        Constant(
            "RUNTIME_MIB_SINGLE without SMALL_BUFFERS_MIB",
            "MiB",
            constants.RUNTIME_MIB_SINGLE - constants.SMALL_BUFFERS_MIB,
            "What CUDA's libraries take after the engine's first look at the card, with one GPU: "
            "workspaces of cuBLAS, and code that is loaded on first use.",
            "largest",
            _runtime(result, several=False),
        ),
        Constant(
            "RUNTIME_MIB_MULTI without SMALL_BUFFERS_MIB",
            "MiB",
            constants.RUNTIME_MIB_MULTI - constants.SMALL_BUFFERS_MIB,
            "The same with several GPUs: NCCL's and the custom all-reduce's buffers come on top.",
            "largest",
            _runtime(result, several=True),
        ),
        Constant(
            "SMALL_BUFFERS_MIB",
            "MiB",
            constants.SMALL_BUFFERS_MIB,
            "What loading takes beyond the weights: RoPE tables, workspaces, rounding of the "
            "allocator. Kept on the safe side: no row needs as much.",
            "largest",
            _small_buffers(result),
        ),
        Constant(
            "GRAPHS_MIB",
            "MiB",
            constants.GRAPHS_MIB,
            "CUDA graphs of all batch sizes. An estimate between what is seen, not a fit; the "
            "bound of the term covers the rest.",
            "median",
            _graphs(result),
        ),
        Constant(
            "CONTEXT_MIB_SINGLE (of this table only)",
            "MiB",
            engines.CONTEXT_MIB_SINGLE,
            "CUDA's own memory, which vLLM before 0.7 counted as the engine's. From what other "
            "start-up logs show as taken before the engine starts, not from these rows.",
            "median",
            _context(result),
        ),
    )


def _sampler(result: Result) -> tuple[Sample, ...]:
    """Rows whose peak is the sampler; what is kept beside it is taken off."""
    found = []
    for one in result.of(Term.ACTIVATION):
        asked = predict.asked(one.judged.facts)
        peak = asked.peak
        kept = (peak.batched + peak.cached_tokens) * peak.hidden * peak.value_bytes
        if peak.sampler() > peak.decoder(asked.layout.tensor):
            logits = peak.sequences * peak.rows
            alone = one.measured * GIB - kept
            found.append(Sample(one.row.source, alone / logits, logits / GIB))
    return tuple(found)


def _decoder(result: Result) -> tuple[Sample, ...]:
    """Rows whose peak is the decoder; the weights are taken off where the row holds them."""
    found = []
    for one in result.of(Term.ACTIVATION, Term.TORCH_PEAK):
        asked = predict.asked(one.judged.facts)
        peak, tensor = asked.peak, asked.layout.tensor
        if peak.decoder(tensor) >= peak.sampler():
            weights = asked.weights_gib if one.term is Term.TORCH_PEAK else 0.0
            unit = peak.decoder(tensor) / 3
            kept = (peak.batched + peak.cached_tokens) * peak.hidden * peak.value_bytes
            alone = (one.measured - weights) * GIB - kept
            found.append(Sample(one.row.source, alone / unit, unit / GIB))
    return tuple(found)


def _runtime(result: Result, *, several: bool) -> tuple[Sample, ...]:
    found = result.of(Term.RUNTIME)
    return tuple(
        Sample(one.row.source, one.measured * 1024, 1 / 1024)
        for one in found
        if predict.several(one.judged.facts) is several
        and not engines.generation(one.judged.facts).context_inside
    )


def _context(result: Result) -> tuple[Sample, ...]:
    """What vLLM before 0.7 counts with one GPU, less what later versions count."""
    return tuple(
        Sample(one.row.source, one.measured * 1024 - constants.RUNTIME_MIB_SINGLE, 1 / 1024)
        for one in result.of(Term.RUNTIME)
        if not predict.several(one.judged.facts)
        and engines.generation(one.judged.facts).context_inside
    )


def _small_buffers(result: Result) -> tuple[Sample, ...]:
    """Loaded less computed weights of dense models."""
    return tuple(
        Sample(one.row.source, -one.error_gib * 1024, 1 / 1024)
        for one in result.of(Term.WEIGHTS)
        if one.judged.facts.model is not None and one.judged.facts.model.dense
    )


def _graphs(result: Result) -> tuple[Sample, ...]:
    return tuple(
        Sample(one.row.source, one.measured * 1024, 1 / 1024) for one in result.of(Term.GRAPHS)
    )
