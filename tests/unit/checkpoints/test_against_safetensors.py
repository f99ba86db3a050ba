"""The header reader against the library with which engines read the files."""

from __future__ import annotations

import json
from typing import Any

import pytest
import safetensors
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.checkpoints import generator, tiny
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.safetensors import DTYPE_BITS, header_length, read_header

Found = dict[str, tuple[str, tuple[int, ...], int]]

entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*sorted(DTYPE_BITS), "F61", 7]),
        "shape": st.one_of(
            st.lists(st.integers(-1, 8), max_size=3), st.sampled_from(["2", [2.0], None, {}])
        ),
        "data_offsets": st.one_of(
            st.lists(st.integers(-1, 64), min_size=1, max_size=3), st.sampled_from([None, "0"])
        ),
    }
)
headers = st.dictionaries(st.text(max_size=3), entries, max_size=3)
TWO_BYTES = {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}


def ours(raw: bytes) -> Found | None:
    try:
        length = header_length(raw[:64], len(raw), "'a'")
        tensors = read_header(raw[8 : 8 + length], len(raw), "'a'")
    except CheckpointProblem:
        return None
    return {each.name: (each.dtype, each.shape, each.bytes) for each in tensors}


def theirs(raw: bytes) -> Found | None:
    try:
        listed = safetensors.deserialize(raw)
    except safetensors.SafetensorError:
        return None
    return {name: (each["dtype"], tuple(each["shape"]), len(each["data"])) for name, each in listed}


@settings(max_examples=300)
@given(headers, st.integers(0, 70))
@example({"a": TWO_BYTES}, 2)
@example({"a": TWO_BYTES, "b": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}, 2)
@example({"a": TWO_BYTES, "b": {"dtype": "U8", "shape": [0], "data_offsets": [1, 1]}}, 2)
@example({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 1]}}, 1)
@example({"__metadata__": {"a": 1}, "b": TWO_BYTES}, 2)
@example({"__metadata__": None, "b": TWO_BYTES}, 2)
def test_any_header_is_judged_alike(listed: dict[str, Any], data: int) -> None:
    raw = generator.prefixed(json.dumps(listed).encode()) + bytes(data)
    assert ours(raw) == theirs(raw)


@pytest.mark.parametrize("dtype", sorted(DTYPE_BITS))
def test_every_number_format_is_as_wide_as_there(dtype: str) -> None:
    listed = [generator.tensor("a", dtype, 8)]
    raw = generator.prefixed(generator.header(listed)) + bytes(listed[0].bytes)
    assert ours(raw) == theirs(raw) == {"a": (dtype, (8,), listed[0].bytes)}


@pytest.mark.parametrize("cut", [0, 1, 100, 2_000_000, 2_900_000])
def test_a_whole_model_and_one_that_was_cut_off(cut: int) -> None:
    tensors = tiny.tensors()
    raw = generator.prefixed(generator.header(tensors)) + bytes(sum(t.bytes for t in tensors))
    raw = raw[: len(raw) - cut]
    assert ours(raw) == theirs(raw)
    assert (ours(raw) is None) == (cut > 0)
