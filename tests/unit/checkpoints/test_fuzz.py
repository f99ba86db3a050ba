"""Readers of strangers' files: whatever is in them, only the documented error comes out."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import CONFIGS
from videollm_operator.checkpoints import shards
from videollm_operator.checkpoints.describe import describe
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.safetensors import DTYPE_BITS, Tensor, header_length, read_header

numbers = st.one_of(
    st.integers(-3, 200),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([1e308, 4096.0, 10**30]),
)
words = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["llava", "qwen2", "float16", "grid", "anyres_max_9", "mlp2x_gelu", "gptq", "fp8", "block"]
    ),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, words)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=8,
)
MADE = (*CONFIGS.values(), tiny.config())
KEYS = sorted(
    {key for made in MADE for key in made}
    | {
        f"{part}.{key}"
        for made in MADE
        for part in ("text_config", "vision_config")
        for key in made.get(part, {})
    }
    | {"quantization_config", "head_dim", "attention_bias", "dtype", "mlp_bias"}
)
quantizations = st.dictionaries(
    st.sampled_from(
        [
            *("quant_method", "bits", "group_size", "weight_block_size", "config_groups"),
            *("load_in_4bit", "sym", "ignore", "modules_to_not_convert", "dynamic"),
            *("modules_in_block_to_quantize", "llm_int8_skip_modules"),
        ]
    ),
    st.one_of(
        values,
        st.sampled_from(["gptq", "awq", "fp8", "compressed-tensors", "bitsandbytes"]),
        st.lists(st.one_of(values, st.text(max_size=20), st.text(max_size=20).map("re:{}".format))),
        st.dictionaries(
            words,
            st.fixed_dictionaries({"weights": st.dictionaries(
                st.sampled_from(["num_bits", "type", "strategy", "group_size", "block_structure"]),
                values,
            )}),
            max_size=2,
        ),
    ),
)  # fmt: skip


def described(config: bytes, tensors: list[Tensor] | None) -> None:
    """Describes, and lets only the documented error pass."""
    with contextlib.suppress(CheckpointProblem):
        found = describe("my-org/some-7b", config, tensors)
        assert found.entry.architecture.parameters.total > 0
        assert all("\n" not in warning for warning in found.warnings)


@given(st.binary(max_size=300))
@example(b'{"a":' * 100_000)
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_as_config(raw: bytes) -> None:
    described(raw, None)


@given(values)
def test_any_json_as_config(value: Any) -> None:
    described(json.dumps(value).encode(), None)


@given(
    st.sampled_from(sorted(CONFIGS)),
    st.dictionaries(st.sampled_from(KEYS), values, min_size=1, max_size=4),
)
def test_real_configs_with_any_values(name: str, changes: dict[str, Any]) -> None:
    described(changed(CONFIGS[name], changes), None)


@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=3), st.one_of(values, quantizations))
def test_headers_under_a_config_of_any_values(changes: dict[str, Any], quantization: Any) -> None:
    made = {**changes, "quantization_config": quantization}
    described(changed(tiny.config(), made), tiny.tensors())


def changed(config: dict[str, Any], changes: dict[str, Any]) -> bytes:
    made = json.loads(json.dumps(config))
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = made
        for parent in parents:
            inner = place.get(parent)
            place[parent] = inner if isinstance(inner, dict) else {}
            place = place[parent]
        place[last] = value
    return json.dumps(made).encode()


def read_file(raw: bytes, size: int | None = None) -> tuple[Tensor, ...]:
    """As the readers at the edge do it."""
    size = len(raw) if size is None else size
    length = header_length(raw[:64], size, "'a'")
    return read_header(raw[8 : 8 + length], size, "'a'")


@given(st.binary(max_size=200), st.integers(0, 2**40))
def test_any_bytes_as_weights(raw: bytes, size: int) -> None:
    with contextlib.suppress(CheckpointProblem):
        read_file(raw, size)


@given(st.binary(max_size=200))
def test_any_bytes_as_a_header(raw: bytes) -> None:
    with contextlib.suppress(CheckpointProblem):
        read_file(generator.prefixed(raw))


entries = st.one_of(
    values,
    st.fixed_dictionaries(
        {
            "dtype": st.one_of(st.sampled_from(sorted(DTYPE_BITS)), values),
            "shape": st.one_of(st.lists(st.integers(-1, 20), max_size=4), values),
            "data_offsets": st.one_of(st.lists(st.integers(-1, 500), max_size=3), values),
        }
    ),
)


@given(st.dictionaries(words, entries, max_size=5), st.integers(0, 600))
def test_any_entries_in_a_header(listed: dict[str, Any], data: int) -> None:
    raw = generator.prefixed(json.dumps(listed).encode())
    with contextlib.suppress(CheckpointProblem):
        tensors = read_file(raw, len(raw) + data)
        assert sum(tensor.bytes for tensor in tensors) == data


NAMES = sorted({tensor.name for tensor in tiny.tensors()})
SUFFIXES = (
    *("qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_shape"),
    *("weight_scale_inv", "weight.absmax", "weight.quant_state.bitsandbytes__nf4", "SCB"),
    *("weight", "bias"),
)
odd = st.builds(
    lambda name, suffix, dtype, shape: generator.tensor(
        f"{name.rpartition('.')[0]}.{suffix}", dtype, *shape
    ),
    st.sampled_from(NAMES),
    st.sampled_from(SUFFIXES),
    st.sampled_from(sorted(DTYPE_BITS)),
    st.lists(st.integers(0, 300), max_size=3),
)


@given(st.lists(odd, max_size=12), st.booleans())
def test_any_tensors(extra: list[Tensor], alone: bool) -> None:
    listed = {tensor.name: tensor for tensor in [*([] if alone else tiny.tensors()), *extra]}
    described(tiny.json_of(tiny.config()), list(listed.values()))


@given(st.binary(max_size=100), st.sets(words, max_size=4))
def test_any_bytes_as_an_index(raw: bytes, names: set[str]) -> None:
    with contextlib.suppress(CheckpointProblem):
        shards.weight_files(names, raw)


@given(values, st.sets(st.sampled_from(["a-1-of-2.safetensors", "model.safetensors", "x"])))
def test_any_map_in_an_index(placed: Any, names: set[str]) -> None:
    raw = json.dumps({"weight_map": placed}).encode()
    for index in (raw, None):
        with contextlib.suppress(CheckpointProblem):
            assert set(shards.weight_files(names, index).files) <= names


@given(st.lists(odd, max_size=8, unique_by=lambda tensor: tensor.name))
def test_a_written_header_is_read_back(listed: list[Tensor]) -> None:
    raw = generator.prefixed(generator.header(listed))
    size = len(raw) + sum(tensor.bytes for tensor in listed)
    whole = all(
        DTYPE_BITS[t.dtype] % 8 == 0 or t.elements * DTYPE_BITS[t.dtype] % 8 == 0 for t in listed
    )
    with contextlib.suppress(*(() if whole else (CheckpointProblem,))):
        assert sorted(read_file(raw, size), key=lambda t: t.name) == sorted(
            listed, key=lambda t: t.name
        )
