"""The language model's numbers from config.json; the same keys in the nested and the flat form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.checkpoints.facts import Facts, Source
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from videollm_operator.checkpoints.families import TextFamily
    from videollm_operator.checkpoints.fields import Fields

_SIZES = {
    "num_hidden_layers": "layers",
    "hidden_size": "hiddenSize",
    "intermediate_size": "intermediateSize",
    "num_attention_heads": "attentionHeads",
    "num_key_value_heads": "keyValueHeads",
    "head_dim": "headDim",
    "vocab_size": "vocabSize",
    "max_position_embeddings": "maxPositionEmbeddings",
}


@dataclass(frozen=True, slots=True)
class Biases:
    """What a decoder layer has besides its matrices and two norms."""

    qkv: bool
    out: bool
    mlp: bool
    qk_norm: bool


def read_text(facts: Facts, fields: Fields, family: TextFamily, *, complete: bool) -> Biases:
    """Puts the facts of `architecture.text`.

    Args:
        facts: where they go.
        fields: the part of config.json that describes the language model.
        family: its kind.
        complete: whether the form leaves nothing out: the original one names every size.

    Raises:
        CheckpointProblem: for a missing or impossible number.
    """
    for key, name in _SIZES.items():
        path = f"architecture.text.{name}"
        value = fields.integer(key)
        if value is not None:
            facts.put(path, value, Source.CONFIG, fields.place(key))
        elif key == "num_key_value_heads" and (complete or key not in family.defaults):
            heads = facts["architecture.text.attentionHeads"]
            facts.put(path, heads, Source.LIBRARY, "as many as attention heads")
        elif key == "head_dim" and key not in family.defaults:
            facts.put(path, _head_dim(facts, fields), Source.COMPUTED, "hidden size / heads")
        elif complete or key not in family.defaults:
            problem = (
                f"`{fields.place(key)}` is missing in config.json, and the form has no default for "
                "it: add it, or give the numbers in `spec.model.architecture`"
            )
            raise CheckpointProblem(problem)
        else:
            facts.put(path, family.defaults[key], Source.LIBRARY, f"{family.name}.{key}")
    attention_bias = fields.boolean("attention_bias") or False
    return Biases(
        qkv=family.qkv_bias or attention_bias,
        out=attention_bias and not family.qkv_bias,
        mlp=fields.boolean("mlp_bias") or False,
        qk_norm=family.qk_norm,
    )


def read_tied(facts: Facts, *places: Fields) -> None:
    """Puts whether the head is the embedding; the first place that says so decides."""
    path = "architecture.text.tieWordEmbeddings"
    for fields in places:
        tied = fields.boolean("tie_word_embeddings")
        if tied is not None:
            facts.put(path, tied, Source.CONFIG, fields.place("tie_word_embeddings"))
            return
    facts.put(path, False, Source.LIBRARY, "not tied")


def _head_dim(facts: Facts, fields: Fields) -> int:
    width = int(facts["architecture.text.hiddenSize"])
    heads = int(facts["architecture.text.attentionHeads"])
    if width % heads:
        problem = (
            f"`{fields.place('hidden_size')}` is {width}, which {heads} attention heads do not "
            "divide: correct one of them in config.json, or add `head_dim`"
        )
        raise CheckpointProblem(problem)
    return width // heads
