"""The catalogue's own models: their files give the catalogue's numbers, to the last parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.checkpoints import generator
from tests.unit.checkpoints.configs import CONFIGS, config, text_of
from videollm_operator.catalog.loader import builtin
from videollm_operator.checkpoints.describe import describe
from videollm_operator.checkpoints.facts import Source
from videollm_operator.cli.checkpoint import described

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from videollm_operator.catalog.entries import ModelEntry
    from videollm_operator.checkpoints.safetensors import Tensor

UNSEEN = "lmms-lab/LLaVA-NeXT-Video-32B-Qwen"
TRAP = "lmms-lab/LLaVA-Video-72B-Qwen2"


def plain(entry: ModelEntry) -> ModelEntry:
    """Without the words for people."""
    return entry.model_copy(update={"note": "", "source": ""})


def known(name: str) -> ModelEntry:
    return plain(builtin().models[name])


def tensors_of(name: str, names: generator.Names | None = None) -> Iterator[Tensor]:
    """The tensors of a catalogue model, named as its files name them."""
    flat = "mm_vision_tower" in CONFIGS[name]
    return generator.tensors(
        builtin().models[name].architecture,
        names or (generator.FLAT if flat else generator.NESTED),
        dtype="BF16" if flat else "F16",
        biases=flat or "onevision" in name,
        newline="llava-1.5" not in name,
    )


def test_all_models_but_the_unseen_one_are_here() -> None:
    assert set(CONFIGS) == set(builtin().models) - {UNSEEN}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_json_alone_gives_the_catalogues_numbers(name: str) -> None:
    found = describe(name, text_of(config(name)), None)
    assert plain(found.entry) == known(name)
    assert found.warnings == ()
    assert found.quantization is None
    assert (found.bytes, found.parts, found.tensors) == (0, (), ())
    assert Source.HEADERS not in {fact.source for fact in found.facts}


@pytest.mark.parametrize("name", CONFIGS)
def test_headers_agree_to_the_byte(name: str) -> None:
    found = describe(name, text_of(config(name)), list(tensors_of(name)))
    assert plain(found.entry) == known(name)
    assert found.warnings == ()
    assert found.bytes == 2 * known(name).architecture.parameters.total
    counts = {str(part.kind): part.parameters for part in found.parts}
    wanted = known(name).architecture.parameters.model_dump()
    assert counts == {kind: count for kind, count in wanted.items() if count}
    sources = {fact.path: fact.source for fact in found.facts}
    assert {sources[f"architecture.parameters.{kind}"] for kind in counts} == {Source.HEADERS}


@pytest.mark.parametrize(
    "name", [TRAP, "llava-hf/llava-onevision-qwen2-7b-ov-hf", "llava-hf/llava-1.5-7b-hf"]
)
def test_full_size_folders_are_read_by_their_headers(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    generator.write(folder, config(name), tensors_of(name))
    shards = len(list(folder.glob("*.safetensors")))
    assert (shards > 1) == (known(name).architecture.parameters.total * 2 > generator.SHARD_BYTES)
    found = described(str(folder), name)
    assert plain(found.entry) == known(name)
    assert found.bytes == 2 * known(name).architecture.parameters.total
    assert len(found.tensors) == len(list(tensors_of(name)))


def test_the_names_of_transformers_5_are_known_too() -> None:
    name = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
    found = describe(name, text_of(config(name)), list(tensors_of(name, generator.NESTED_5)))
    assert plain(found.entry) == known(name)
    assert found.warnings == ()


def test_model_type_llava_does_not_make_a_seven_b_llama_of_the_72b() -> None:
    """What AutoConfig does: `model_type: llava` and no `text_config` become Llama-7B."""
    assert CONFIGS[TRAP]["model_type"] == "llava"
    assert describe(TRAP, text_of(config(TRAP)), None).entry.architecture.text.layers == 80


def test_a_number_says_which_field_it_is_from() -> None:
    found = describe(TRAP, text_of(config(TRAP)), None)
    facts = {fact.path: (fact.source, fact.detail) for fact in found.facts}
    assert facts["architecture.text.layers"] == (Source.CONFIG, "num_hidden_layers")
    assert facts["architecture.vision.layers"] == (Source.TOWER, "mm_vision_tower")
    name = "llava-hf/llava-1.5-7b-hf"
    nested = describe(name, text_of(config(name)), None)
    facts = {fact.path: (fact.source, fact.detail) for fact in nested.facts}
    assert facts["architecture.text.hiddenSize"] == (Source.LIBRARY, "LlamaConfig.hidden_size")
    assert facts["architecture.text.vocabSize"] == (Source.CONFIG, "text_config.vocab_size")
    assert facts["nominalParameters"] == (Source.NAME, "'7b'")
