"""config.json: which of the two forms it is, and what both have in common.

The originals (LLaVA, LLaVA-NeXT, LLaVA-Video) write one flat object with `mm_*` keys, and many of
them say `model_type: llava`. transformers' AutoConfig then finds no `text_config`, fills in a
Llama-7B without a word, and everything computed from it is plausible and wrong. So the raw keys are
read here, and a config without a language model is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.sentences import choice, shown
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.checkpoints import flat, nested
from videollm_operator.checkpoints.facts import Facts, Source
from videollm_operator.checkpoints.families import FLAT_CLASSES, NESTED_CLASSES
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from videollm_operator.checkpoints.fields import Fields
    from videollm_operator.checkpoints.parameters import Parts

_DTYPES = {
    "bfloat16": DType.BFLOAT16,
    "float16": DType.FLOAT16,
    "half": DType.FLOAT16,
    "float32": DType.FLOAT32,
    "float": DType.FLOAT32,
}
_CLASS_NAME = re.compile("[A-Za-z][A-Za-z0-9]{0,99}")
KNOWN = (*NESTED_CLASSES.values(), *FLAT_CLASSES)


@dataclass(frozen=True, slots=True)
class Configured:
    """What config.json says that is no number of the architecture."""

    parts: Parts
    text: Fields
    """Where the language model is described."""


def read_config(facts: Facts, config: Fields) -> Configured:
    """Puts the facts of `className`, `family`, `dtype` and all of `architecture` but parameters.

    Raises:
        CheckpointProblem: if it is no config.json of a LLaVA model, or contradicts itself.
    """
    name, detail = _class_name(config)
    facts.put("architecture.className", name, Source.CONFIG, detail)
    if name in FLAT_CLASSES:
        text, parts = config, flat.read(facts, config, name)
    else:
        text, parts = nested.read(facts, config, name)
    _check_heads(facts)
    _read_dtype(facts, config, text)
    return Configured(parts, text)


def _class_name(config: Fields) -> tuple[str, str]:
    """The checkpoint's class, and the field that says so."""
    listed = config.items("architectures")
    if listed:
        found = listed[0]
        if not isinstance(found, str) or not _CLASS_NAME.fullmatch(found):
            problem = (
                f"`architectures[0]` in config.json is {shown(found)}, but must be a class name"
            )
            raise CheckpointProblem(problem)
        detail = "architectures[0]"
    else:
        kind = config.text("model_type")
        found = NESTED_CLASSES.get(kind or "", "")
        if "mm_vision_tower" in config and kind in {"llava_qwen", "llava_llama", "llava_mistral"}:
            found = f"Llava{kind[6:].capitalize()}ForCausalLM"
        if not found:
            problem = (
                f"config.json names no class in `architectures`, and its `model_type` is "
                f"{shown(kind)}: it must describe one of {choice(KNOWN)}"
            )
            raise CheckpointProblem(problem)
        detail = "model_type"
    if found not in KNOWN:
        sees = any(key in config for key in ("vision_config", "mm_vision_tower", "visual"))
        what = "a model of another family" if sees else "no vision language model"
        problem = (
            f"config.json describes a {found}, {what}: what can be read is {choice(KNOWN)}; for "
            "others write the numbers into `spec.model.architecture`"
        )
        raise CheckpointProblem(problem)
    return found, detail


def _check_heads(facts: Facts) -> None:
    heads = facts["architecture.text.attentionHeads"]
    groups = facts["architecture.text.keyValueHeads"]
    if heads % groups:
        problem = (
            f"config.json gives {heads} attention heads and {groups} key/value heads, but the "
            "second must divide the first: correct one of them"
        )
        raise CheckpointProblem(problem)


def _read_dtype(facts: Facts, config: Fields, text: Fields) -> None:
    for fields in (config, text):
        for key in ("dtype", "torch_dtype"):
            said = fields.text(key)
            if said is None:
                continue
            dtype = _DTYPES.get(said.removeprefix("torch."))
            if dtype is None:
                problem = (
                    f"`{fields.place(key)}` in config.json is {shown(said)}, but weights that are "
                    f"not quantized are {choice(('bfloat16', 'float16', 'float32'))}: correct it"
                )
                raise CheckpointProblem(problem)
            facts.put("dtype", dtype, Source.CONFIG, fields.place(key))
            return
    facts.put("dtype", DType.BFLOAT16, Source.ASSUMED, "config.json does not say")
