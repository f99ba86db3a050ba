"""Which files are read of a folder that has several."""

from __future__ import annotations

import json

import pytest

from videollm_operator.checkpoints.shards import weight_files

PAIR = {"model-1-of-2.safetensors", "model-2-of-2.safetensors"}


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ({"config.json", "pytorch_model.bin"}, set()),
        ({"model.safetensors", "consolidated.safetensors", "x.safetensors"}, {"model.safetensors"}),
        ({"consolidated.safetensors", "adapter_model.safetensors"}, set()),
        ({"weights.safetensors", "more.safetensors"}, {"weights.safetensors", "more.safetensors"}),
        (PAIR, PAIR),
    ],
)
def test_without_an_index(names: set[str], read: set[str]) -> None:
    found = weight_files(names, None)
    assert set(found.files) == read
    assert found.placed == {}


def test_an_index_beats_whatever_else_is_there() -> None:
    index = json.dumps({"weight_map": {"a": "b.safetensors"}}).encode()
    found = weight_files({"model.safetensors", "b.safetensors", *PAIR}, index)
    assert found.files == ("b.safetensors",)
    assert found.placed == {"a": "b.safetensors"}
