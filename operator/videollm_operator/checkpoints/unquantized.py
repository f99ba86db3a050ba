"""What of a quantized checkpoint is in 16 bit: by its files, or by the lists in config.json alone.

And whether the two agree, where the engine goes by the lists: it would look for packed weights that
are not there, and end after it has read half of the files.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from videollm_operator.api.sentences import shown
from videollm_operator.api.v1alpha1.compute import Projection, QuantizationFormat
from videollm_operator.catalog.shapes import projection_parameters
from videollm_operator.checkpoints.modules import TensorClass
from videollm_operator.checkpoints.partly import MATRICES, NOTHING, Plain, cover, covered, place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from videollm_operator.checkpoints.facts import Facts
    from videollm_operator.checkpoints.leftout import LeftOut
    from videollm_operator.checkpoints.modules import Module
    from videollm_operator.checkpoints.partly import Place

NEGLIGIBLE = 0.002
"""Share of the decoder's weights that may stay in 16 bit without a word."""

_TOWER = re.compile(r"\.layers\.\d+\.(?:.*\.)?(?:[qkv]_proj|out_proj)$")
"""Linear layers of a tower's attention; SigLIP's MLP vLLM does not quantize, whatever lists say."""
_TOWER_MODULES = (
    "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj",
    "vision_tower.encoder.layers.0.self_attn.q_proj",
    "vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj",
)
"""A linear layer of the tower as transformers 4 and 5 and the originals name it."""


def by_files(facts: Facts, modules: Iterable[Module], share: float) -> Plain:
    """What is in 16 bit by the tensors.

    Args:
        facts: takes the warnings.
        modules: all of the checkpoint.
        share: of the decoder's weights that are, 0 to 1.
    """
    if share <= NEGLIGIBLE:
        return NOTHING
    decoder = [m for m in modules if m.kind is TensorClass.LAYERS and m.weight]
    sizes: Counter[Place] = Counter()
    formats: dict[Place, set[bool]] = {}
    for module in decoder:
        place = place_of(module.name)
        if place is not None and module.weight is not None:
            sizes[place] += module.weight.parameters
            plain = module.weight.format is QuantizationFormat.NONE
            formats.setdefault(place, set()).add(plain)
    mixed = sorted(place for place, found in formats.items() if len(found) > 1)
    if mixed:
        layer, group = mixed[0]
        names = ", ".join(name for name, each in MATRICES.items() if each is group)
        facts.warnings.append(
            f"of {names} in decoder layer {layer} some are quantized and some are not: engines "
            "join them, and refuse to start"
        )
    words = cover(sizes, {place for place, found in formats.items() if True in found})
    counted = _share(sizes, words)
    if counted - share > NEGLIGIBLE:
        facts.warnings.append(
            f"{share:.1%} of the decoder's weights are in 16 or 32 bit ({_names(decoder)}), in an "
            f"order that `spec.quantization` has no words for: {counted:.1%} are counted so"
        )
    return words


def by_config(facts: Facts, lists: LeftOut) -> tuple[Plain, float]:
    """What is in 16 bit by the lists alone, and its share of the decoder's weights."""
    sizes = _sizes(facts)
    if lists.not_followed:
        facts.warnings.append(
            f"`{lists.place}` in config.json has the pattern {shown(lists.not_followed)}, which is "
            "not followed: all of the decoder is counted in 16 bit until its files tell"
        )
        words = Plain(projections=tuple(Projection))
        return words, 1.0
    left = {
        (layer, group)
        for layer, group in sizes
        if any(lists.leaves(name) for name in _names_of(layer, group))
    }
    if sum(sizes[place] for place in left) <= NEGLIGIBLE * sum(sizes.values()):
        left = set()
    words = cover(sizes, left)
    return words, _share(sizes, words)


def compare(facts: Facts, lists: LeftOut, modules: Sequence[Module] | None) -> None:
    """Warns where the engine would take for quantized what the files hold in 16 bit, or reverse.

    Args:
        facts: takes the warnings.
        lists: of config.json.
        modules: None if only config.json was read.
    """
    if not lists.binding or lists.not_followed:
        return
    if modules is None:
        if not any(lists.leaves(name) for name in _TOWER_MODULES):
            facts.warnings.append(
                f"`{lists.place}` in config.json does not leave out the vision tower, so engines "
                "take it for quantized: name it there unless its files are"
            )
        return
    for kind, what in ((TensorClass.VISION, "vision tower"), (TensorClass.LAYERS, "decoder")):
        wrong = [
            module.name
            for module in modules
            if module.kind is kind
            and _linear(module)
            and lists.leaves(module.name) == _packed(module)
        ]
        if wrong:
            facts.warnings.append(
                f"`{lists.place}` in config.json does not agree with the files about the {what} "
                f"(in {len(wrong)} of its matrices, {shown(wrong[0])} the first): engines go by "
                "config.json and do not find the weights that they look for; name there what is in "
                "16 bit, and nothing else"
            )


def _linear(module: Module) -> bool:
    if module.weight is None:
        return False
    return place_of(module.name) is not None or _TOWER.search(module.name) is not None


def _packed(module: Module) -> bool:
    weight = module.weight
    return weight is not None and weight.format is not QuantizationFormat.NONE


def _share(sizes: Counter[Place], words: Plain) -> float:
    return sum(n for place, n in sizes.items() if covered(words, place)) / max(1, sizes.total())


def _names_of(layer: int, group: Projection) -> list[str]:
    """The modules of a group, as transformers names them in a decoder of its own."""
    block = "self_attn" if group in {Projection.QKV_PROJ, Projection.O_PROJ} else "mlp"
    names = [name for name, each in MATRICES.items() if each is group]
    return [f"model.layers.{layer}.{block}.{name}" for name in names]


def _sizes(facts: Facts) -> Counter[Place]:
    """Parameters of every group of matrices, by the widths."""
    text = {name: int(facts[f"architecture.text.{name}"]) for name in _WIDTHS}
    one = projection_parameters(
        hidden_size=text["hiddenSize"],
        attention_heads=text["attentionHeads"],
        key_value_heads=text["keyValueHeads"],
        head_dim=text["headDim"],
        intermediate_size=text["intermediateSize"],
    )
    return Counter(
        {(layer, group): size for layer in range(text["layers"]) for group, size in one.items()}
    )


_WIDTHS = ("layers", "hiddenSize", "intermediateSize", "attentionHeads", "keyValueHeads", "headDim")


def _names(modules: Iterable[Module]) -> str:
    """The kinds of layers that were left out, the largest first: `v_proj 80 times`."""
    sizes: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for module in modules:
        if module.weight is not None and not _packed(module):
            last = module.name.rpartition(".")[2]
            sizes[last] += module.weight.parameters
            times[last] += 1
    return ", ".join(f"{name} {times[name]} times" for name, _ in sizes.most_common(3))
