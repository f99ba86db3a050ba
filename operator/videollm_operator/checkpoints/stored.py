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
from videollm_operator.checkpoints.quantization import Said, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from videollm_operator.checkpoints.facts import Facts
    from videollm_operator.checkpoints.modules import Module, Stored

TENSORS = "the tensors"
"""`Said.place` of a quantization that config.json does not tell of, or tells wrongly."""

NEGLIGIBLE = 0.002
"""Share of the decoder's weights that may stay in 16 bit without a word: routers, small gates."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """The quantization in force."""

    said: Said | None
    """None for 16 and 32 bit."""
    vision_tower: VisionTowerFormat
    left_plain: float
    """Share of the decoder's weights that are in 16 or 32 bit all the same."""


def quantized(facts: Facts, said: Said | None, modules: Sequence[Module]) -> Quantized:
    """Compares what config.json says with the tensors; the tensors win, and a difference is told.

    Args:
        facts: takes the warnings.
        said: what config.json says.
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
    if left > NEGLIGIBLE:
        examples = _plain_names(modules)
        facts.warnings.append(
            f"{left:.1%} of the decoder's weights are not {form} but in 16 or 32 bit ({examples}): "
            f"a plan that counts all of them as {form} is too small"
        )
    vision = any(
        m.weight.format is not QuantizationFormat.NONE
        for m in modules
        if m.kind is TensorClass.VISION and m.weight
    )
    tower = VisionTowerFormat.QUANTIZED if vision else VisionTowerFormat.UNQUANTIZED
    return Quantized(found, tower, left)


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


def _plain_names(modules: Iterable[Module]) -> str:
    """The kinds of layers that were left out, the largest first: `v_proj 80 times`."""
    sizes: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for module in modules:
        weight = module.weight
        if module.kind is not TensorClass.LAYERS or weight is None:
            continue
        if weight.format is QuantizationFormat.NONE:
            last = module.name.rpartition(".")[2]
            sizes[last] += weight.parameters
            times[last] += 1
    named = [f"{name} {times[name]} times" for name, _ in sizes.most_common(3)]
    return ", ".join(named)
