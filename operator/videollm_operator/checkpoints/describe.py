"""A checkpoint's own files as a catalogue entry, with where each number came from.

Headers beat config.json, config.json beats names. Where two of them disagree, that is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from videollm_operator.api import sentences
from videollm_operator.api.v1alpha1.compute import QuantizationSpec
from videollm_operator.catalog.entries import ModelEntry
from videollm_operator.catalog.shapes import contradictions
from videollm_operator.checkpoints import jsontext
from videollm_operator.checkpoints.config import read_config
from videollm_operator.checkpoints.facts import Fact, Facts, Source
from videollm_operator.checkpoints.fields import LONGEST_CONFIG, Fields
from videollm_operator.checkpoints.leftout import left_out
from videollm_operator.checkpoints.modules import TensorClass, modules
from videollm_operator.checkpoints.parameters import put_parameters
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.quantization import said_quantization, unloadable
from videollm_operator.checkpoints.shapes import (
    ClassSize,
    correct_numbers,
    correct_parameters,
    sizes,
)
from videollm_operator.checkpoints.stored import TENSORS, Quantized, quantized, said_alone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videollm_operator.checkpoints.safetensors import Tensor

_NOMINAL = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,3})?)b(?![a-z0-9])")


@dataclass(frozen=True, slots=True)
class Description:
    """What a checkpoint is.

    Attributes:
        entry: as the catalogue would have it.
        quantization: as `spec.quantization` would say it; None for 16 and 32 bit.
        left_plain: share of the decoder's quantized-to-be weights that are stored in 16 or 32 bit
            all the same, 0 to 1; `quantization` says which.
        facts: every number with its source.
        warnings: what disagrees, one sentence each.
        parts: sizes in the files; empty if only config.json was read.
        tensors: every tensor in the files; empty if only config.json was read.
    """

    entry: ModelEntry
    quantization: QuantizationSpec | None
    left_plain: float
    facts: tuple[Fact, ...]
    warnings: tuple[str, ...]
    parts: tuple[ClassSize, ...]
    tensors: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all tensors in the files; 0 if only config.json was read."""
        return sum(part.bytes for part in self.parts)


def describe(name: str, config: bytes, tensors: Sequence[Tensor] | None) -> Description:
    """Describes a checkpoint.

    Args:
        name: hub id, or what to call it.
        config: text of its config.json.
        tensors: all tensors of its safetensors headers; None if there are none to read.

    Raises:
        CheckpointProblem: if it is no LLaVA checkpoint, or its files contradict each other beyond
            what can be settled; nothing else is raised.
    """
    fields = Fields(jsontext.read_object(config, "config.json", LONGEST_CONFIG))
    facts = Facts()
    configured = read_config(facts, fields)
    said = said_quantization(fields, configured.text)
    lists = left_out(fields, configured.text)
    facts.warnings += [why] if (why := unloadable(fields, configured.text)) else []
    found: tuple[ClassSize, ...] = ()
    if tensors is None:
        stored = said_alone(facts, said, lists)
    else:
        grouped = modules(tensors, said.bits if said else None)
        correct_numbers(facts, grouped, configured.parts)
        found = sizes(grouped)
        stored = quantized(facts, said, lists, grouped)
    put_parameters(facts, configured.parts)
    if tensors is not None:
        correct_parameters(facts, found)
    _name(facts, name)
    return Description(
        entry=_entry(facts, name, from_headers=tensors is not None),
        quantization=_quantization(facts, stored),
        left_plain=stored.left_plain,
        facts=facts.all(),
        warnings=tuple(facts.warnings),
        parts=found,
        tensors=tuple(tensors or ()),
    )


def _name(facts: Facts, name: str) -> None:
    """Puts the number in the name, which the rule of thumb uses."""
    counts = [facts[f"architecture.parameters.{kind}"] for kind in list(TensorClass)[:-1]]
    total = sum(counts)
    match = _NOMINAL.search(name.lower())
    nominal = round(float(match[1]) * 1e9) if match else 0
    if match and nominal and 0.4 <= total / nominal <= 2:
        facts.put("nominalParameters", nominal, Source.NAME, f"'{match[0]}'")
        return
    if nominal:
        facts.warnings.append(
            f"the name says {nominal / 1e9:g}B parameters, but there are {total / 1e9:.1f}B: "
            "these are counted"
        )
    facts.put("nominalParameters", total, Source.COMPUTED, "all parameters")


def _entry(facts: Facts, name: str, *, from_headers: bool) -> ModelEntry:
    values: dict[str, Any] = {"name": name}
    for fact in facts.all():
        place = values
        *parents, last = fact.path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = fact.value
    read = "config.json and safetensors headers" if from_headers else "config.json"
    values["source"] = f"Its own {read}."
    try:
        entry = ModelEntry.read(values)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        problem = (
            f"`{sentences.path(first['loc'])}` would be {sentences.shown(first['input'])}, which "
            f"no model has ({first['msg'].lower()}): correct the numbers in config.json"
        )
        raise CheckpointProblem(problem) from None
    wrong = contradictions(entry.architecture)
    if wrong:
        path, sentence = wrong[0]
        raise CheckpointProblem(f"`architecture.{path}`: {sentence}")
    return entry


def _quantization(facts: Facts, stored: Quantized) -> QuantizationSpec | None:
    said = stored.said
    if said is None:
        return None
    source = Source.HEADERS if said.place == TENSORS else Source.CONFIG
    facts.put("quantization.format", said.format, source, said.place)
    facts.put("quantization.method", said.method, source, said.place)
    facts.put("quantization.groupSize", said.group_size, source, said.place)
    plain, where = stored.plain, stored.plain_place
    source = Source.HEADERS if where == TENSORS else Source.CONFIG
    for name, left in (
        ("unquantizedLayers", [*plain.layers]),
        ("unquantizedProjections", [str(each) for each in plain.projections]),
    ):
        if left:
            facts.put(f"quantization.{name}", left, source, where)
    return QuantizationSpec(
        format=said.format,
        method=said.method,
        group_size=said.group_size,
        vision_tower=stored.vision_tower,
        unquantized_layers=[*plain.layers],
        unquantized_projections=[*plain.projections],
    )
