"""What the tensors' shapes say of a model: they replace what config.json says."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import DType, QuantizationFormat
from videollm_operator.checkpoints.families import TowerKind
from videollm_operator.checkpoints.modules import TensorClass
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from videollm_operator.checkpoints.facts import Facts
    from videollm_operator.checkpoints.modules import Module
    from videollm_operator.checkpoints.parameters import Parts

_NUMBER = re.compile(r"(?:^|\.)layers\.(\d+)(?:\.|$)")
_PLAIN = {"BF16": DType.BFLOAT16, "F16": DType.FLOAT16, "F32": DType.FLOAT32}


@dataclass(frozen=True, slots=True)
class ClassSize:
    """One part of the checkpoint, as its headers tell it."""

    kind: TensorClass
    parameters: int
    bytes: int
    """In the files, scales and zero points included."""
    dtypes: tuple[tuple[str, int], ...]
    """Bytes by number format, the largest first."""


def sizes(modules: Iterable[Module]) -> tuple[ClassSize, ...]:
    """Parameters and bytes of each part, in the order of `TensorClass`; empty parts left out."""
    parameters: Counter[TensorClass] = Counter()
    stored: dict[TensorClass, Counter[str]] = {}
    for module in modules:
        parameters[module.kind] += module.parameters
        for tensor in module.tensors:
            stored.setdefault(module.kind, Counter())[tensor.dtype] += tensor.bytes
    return tuple(
        ClassSize(kind, parameters[kind], stored[kind].total(), tuple(stored[kind].most_common()))
        for kind in TensorClass
        if kind in stored
    )


def correct_numbers(facts: Facts, modules: Sequence[Module], parts: Parts) -> None:
    """Replaces what the shapes know better: widths, layers, heads, tied, number format.

    Raises:
        CheckpointProblem: if layers are missing, or the shapes cannot be those of a decoder.
    """
    by_kind: dict[TensorClass, list[Module]] = {kind: [] for kind in TensorClass}
    for module in modules:
        by_kind[module.kind].append(module)
    _embedding(facts, by_kind[TensorClass.EMBEDDING])
    _decoder(facts, by_kind[TensorClass.LAYERS])
    _head(facts, by_kind[TensorClass.HEAD])
    _tower(facts, by_kind[TensorClass.VISION], parts)
    _dtype(facts, modules)


def correct_parameters(facts: Facts, found: Iterable[ClassSize]) -> None:
    """Replaces computed counts by those of the headers.

    A tower that the files lack keeps its computed count. What belongs to no known part is counted
    with the projector, which is on every GPU.
    """
    counts = {each.kind: each.parameters for each in found}
    other = counts.pop(TensorClass.OTHER, 0)
    if other:
        facts.warnings.append(
            f"{other} parameters in the files belong to no part that is known; they are counted "
            "with the projector, which is on every GPU"
        )
        counts[TensorClass.PROJECTOR] = counts.get(TensorClass.PROJECTOR, 0) + other
    for kind, name in (
        (TensorClass.VISION, "vision tower"),
        (TensorClass.PROJECTOR, "projector"),
    ):
        if kind not in counts:
            facts.warnings.append(
                f"the files hold no {name}: the engine must find it elsewhere (SGLang fetches "
                "towers by name); its size is computed"
            )
    for kind, count in counts.items():
        facts.correct(f"architecture.parameters.{kind}", count, "the shapes of the tensors")


def _embedding(facts: Facts, modules: Sequence[Module]) -> None:
    shape = next((m.weight for m in modules if m.weight and m.weight.outputs), None)
    if shape is None:
        problem = (
            "the safetensors files hold no embedding (`embed_tokens.weight`): they are not a whole "
            "language model; finish the download, or take the merged model instead of an adapter"
        )
        raise CheckpointProblem(problem)
    facts.correct("architecture.text.vocabSize", shape.outputs, "rows of embed_tokens")
    facts.correct("architecture.text.hiddenSize", shape.inputs, "columns of embed_tokens")


def _numbered(modules: Iterable[Module], what: str) -> int:
    """How many layers there are.

    Raises:
        CheckpointProblem: if one between is missing.
    """
    numbers = {int(match[1][:7]) for m in modules if (match := _NUMBER.search(m.name))}
    count = len(numbers)
    if count and max(numbers) + 1 != count:
        missing = next(n for n in range(count + 1) if n not in numbers)
        problem = (
            f"the safetensors files hold {what} layers up to {max(numbers)}, but not layer "
            f"{missing}: finish the download"
        )
        raise CheckpointProblem(problem)
    return count


def _decoder(facts: Facts, modules: Sequence[Module]) -> None:
    count = _numbered(modules, "decoder")
    if not count:
        problem = (
            "the safetensors files hold no decoder layers (`layers.0...`): they are not a whole "
            "language model; finish the download"
        )
        raise CheckpointProblem(problem)
    facts.correct("architecture.text.layers", count, "decoder layers")
    widths = {name: _outputs(modules, name) for name in ("gate_proj", "q_proj", "k_proj")}
    if widths["gate_proj"]:
        loads = "the engine goes by config.json, so correct it there, or the files do not load"
        path = "architecture.text.intermediateSize"
        facts.correct(path, widths["gate_proj"], "outputs of gate_proj", loads)
    head = facts["architecture.text.headDim"]
    for name, path in (("q_proj", "attentionHeads"), ("k_proj", "keyValueHeads")):
        outputs = widths[name]
        if outputs % head:
            problem = (
                f"{name} has {outputs} outputs in the files, which heads of {head} do not divide: "
                "correct `head_dim` or the heads in config.json"
            )
            raise CheckpointProblem(problem)
        if outputs:
            facts.correct(f"architecture.text.{path}", outputs // head, f"outputs of {name}")


def _outputs(modules: Iterable[Module], last: str) -> int:
    """Outputs of a linear layer that every decoder layer has; 0 if no shape tells.

    Raises:
        CheckpointProblem: if layers differ; nothing in the plan would hold for all of them.
    """
    found = {
        module.weight.outputs
        for module in modules
        if module.weight and module.weight.outputs and module.name.endswith(f".{last}")
    }
    if len(found) > 1:
        few, many = min(found), max(found)
        problem = (
            f"{last} has {few} outputs in one decoder layer and {many} in another: models whose "
            "layers differ in width cannot be planned"
        )
        raise CheckpointProblem(problem)
    return found.pop() if found else 0


def _head(facts: Facts, modules: Sequence[Module]) -> None:
    path = "architecture.text.tieWordEmbeddings"
    if modules:
        facts.correct(path, False, "an `lm_head` of its own", "it is counted as one")
    else:
        facts.correct(path, True, "no `lm_head`", "an engine that follows config.json looks for it")


def _tower(facts: Facts, modules: Sequence[Module], parts: Parts) -> None:
    count = _numbered(modules, "vision")
    if not count:
        return
    facts.correct("architecture.vision.layers", count, "layers of the tower")
    for module in modules:
        if module.weight is None or not module.weight.outputs:
            continue
        last = module.name.rpartition(".")[2]
        if last == "fc1":
            inter, width = module.weight.outputs, module.weight.inputs
            facts.correct("architecture.vision.hiddenSize", width, "inputs of fc1")
            facts.correct("architecture.vision.intermediateSize", inter, "outputs of fc1")
        elif last == "position_embedding":
            rows = module.weight.outputs - (1 if parts.tower.kind is TowerKind.CLIP else 0)
            side = math.isqrt(max(1, rows))
            facts.correct("architecture.vision.patchesPerSide", side, "rows of position_embedding")


def _dtype(facts: Facts, modules: Iterable[Module]) -> None:
    stored: Counter[str] = Counter()
    for module in modules:
        weight = module.weight
        if weight and weight.format is QuantizationFormat.NONE and weight.dtype in _PLAIN:
            stored[weight.dtype] += weight.parameters
    if stored:
        name, _ = stored.most_common(1)[0]
        facts.correct("dtype", _PLAIN[name], f"most weights ({name})")
