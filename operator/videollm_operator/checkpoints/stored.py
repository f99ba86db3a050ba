"""How the weights are really quantized, by the tensors; config.json may say otherwise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import (
    PER_CHANNEL,
    QuantizationFormat,
    VisionTowerFormat,
)
from videollm_operator.checkpoints.modules import TensorClass
from videollm_operator.checkpoints.partly import NOTHING, Plain
from videollm_operator.checkpoints.quantization import Said, checked
from videollm_operator.checkpoints.unquantized import by_config, by_files, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from videollm_operator.checkpoints.facts import Facts
    from videollm_operator.checkpoints.leftout import LeftOut
    from videollm_operator.checkpoints.modules import Module, Stored

TENSORS = "the tensors"
"""`Said.place` of a quantization that config.json does not tell of, or tells wrongly."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """The quantization in force."""

    said: Said | None
    """None for 16 and 32 bit."""
    vision_tower: VisionTowerFormat
    left_plain: float
    """Share of the decoder's weights that are in 16 or 32 bit all the same."""
    plain: Plain = NOTHING
    """Which of them, as `spec.quantization` says it."""
    plain_place: str = TENSORS
    """Where that stands."""


def said_alone(facts: Facts, said: Said | None, lists: LeftOut | None) -> Quantized:
    """What config.json says, where there are no tensors to look at."""
    if said is None or lists is None:
        return Quantized(None, VisionTowerFormat.UNQUANTIZED, 0.0)
    plain, left = by_config(facts, lists)
    compare(facts, lists, None)
    return Quantized(said, VisionTowerFormat.UNQUANTIZED, left, plain, lists.place)


def quantized(
    facts: Facts, said: Said | None, lists: LeftOut | None, modules: Sequence[Module]
) -> Quantized:
    """Compares what config.json says with the tensors; the tensors win, and a difference is told.

    Args:
        facts: takes the warnings.
        said: what config.json says.
        lists: what it leaves out.
        modules: all of the checkpoint.

    Raises:
        CheckpointProblem: if the tensors have groups that no engine takes.
    """
    decoder = [m.weight for m in modules if m.kind is TensorClass.LAYERS and m.weight]
    form, weight = _prevailing(decoder)
    if form is QuantizationFormat.NONE or weight is None:
        if said is not None:
            facts.warnings.append(
                f"`{said.place}` in config.json says {said.format} ({said.method}), but the files "
                "hold the decoder in 16 or 32 bit; the files win: it is counted unquantized"
            )
        return Quantized(None, VisionTowerFormat.UNQUANTIZED, 0.0)
    found = checked(form, weight.method, _group(weight), TENSORS)
    if said is None:
        facts.warnings.append(
            f"the files hold {form} weights ({weight.method}), but config.json has no "
            "`quantization_config`: engines would not know how to load them"
        )
    elif said.format is not form:
        facts.warnings.append(
            f"`{said.place}` in config.json says {said.format}, but the files hold {form} weights; "
            "the files win"
        )
    else:
        found = said
        _compare_groups(facts, said, weight)
    left = _left_plain(decoder)
    plain = by_files(facts, modules, left)
    if lists is not None:
        compare(facts, lists, modules)
    vision = any(
        m.weight.format is not QuantizationFormat.NONE
        for m in modules
        if m.kind is TensorClass.VISION and m.weight
    )
    tower = VisionTowerFormat.QUANTIZED if vision else VisionTowerFormat.UNQUANTIZED
    return Quantized(found, tower, left, plain)


def _prevailing(weights: Iterable[Stored]) -> tuple[QuantizationFormat, Stored | None]:
    """The quantized format with the most weights, and one of them; None if there is none."""
    counts: Counter[QuantizationFormat] = Counter()
    example: dict[QuantizationFormat, Stored] = {}
    for weight in weights:
        if weight.format is not QuantizationFormat.NONE:
            counts[weight.format] += weight.parameters
            example.setdefault(weight.format, weight)
    if not counts:
        return QuantizationFormat.NONE, None
    form = counts.most_common(1)[0][0]
    return form, example[form]


def _compare_groups(facts: Facts, said: Said, weight: Stored) -> None:
    """Groups of config.json against the scales; a hidden shape tells nothing."""
    group = _group(weight)
    if weight.outputs and group != said.group_size:
        scales = "whole channels" if group == PER_CHANNEL else group
        facts.warnings.append(
            f"`{said.place}` in config.json says groups of {said.group_size}, but the scales in "
            f"the files are for {scales}: engines go by config.json"
        )


def _group(weight: Stored) -> int:
    """Weights that share a scale; a group as wide as the matrix is a channel."""
    return PER_CHANNEL if weight.group_size == weight.inputs else weight.group_size


def _left_plain(weights: Sequence[Stored]) -> float:
    plain = sum(w.parameters for w in weights if w.format is QuantizationFormat.NONE)
    return plain / max(1, sum(w.parameters for w in weights))
