"""Columns decide which rows can be compared with a prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hack.accuracy import schema, table
from hack.accuracy.facts import read_facts
from hack.accuracy.schema import Term
from hack.accuracy.table import Row

ROW = Row(
    line=2,
    source="somebody/somewhere#1",
    engine="vllm",
    version="0.11.0",
    model="meta-llama/Llama-3.1-8B-Instruct",
    dtype_or_quant="bf16",
    tp="1",
    pp="1",
    gpu="H100 80GB",
    gpu_mem_utilization="0.9",
    max_model_len="16000",
    reported_quantity="available_kv_cache_memory",
    value="51.4",
    unit="GiB",
)


def missing(*rows: Row) -> tuple[str, ...]:
    return schema.judge(rows)[0].missing


def test_a_row_with_every_column_is_usable() -> None:
    (judged,) = schema.judge([ROW])
    assert judged.usable
    assert judged.term is Term.KV_MEMORY
    assert judged.value == 51.4


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("engine", "transformers"),
        ("version", "2026 (V1)"),
        ("model", "model not stated"),
        ("dtype_or_quant", ""),
        ("dtype_or_quant", "nvfp4"),
        ("tp", "device_map"),
        ("pp", ""),
        ("gpu", "not stated"),
        ("gpu_mem_utilization", ""),
        ("max_model_len", ""),
        ("unit", "GB"),
        ("value", "unknown"),
    ],
)
def test_a_row_lacks_what_cannot_be_read(column: str, text: str) -> None:
    assert missing(replace(ROW, **{column: text})) == (column,)


def test_what_a_row_lacks_is_always_explained() -> None:
    for judged in schema.judge(table.read()):
        assert judged.usable or all(schema.MISSING[name] for name in judged.missing)


def test_weights_need_no_gpu_and_graphs_no_model() -> None:
    weights = replace(
        ROW, reported_quantity="model_loading_memory", gpu="", max_model_len="", version=""
    )
    assert missing(weights) == ()
    graphs = replace(ROW, reported_quantity="cuda_graph_memory", model="", tp="", gpu="")
    assert missing(graphs) == ()


def test_a_quantity_of_no_term_is_not_compared() -> None:
    assert missing(replace(ROW, reported_quantity="process_gpu_memory")) == ("reported_quantity",)


def test_a_run_that_contradicts_its_own_utilization_is_not_compared() -> None:
    weights = replace(ROW, reported_quantity="model_loading_memory", value="14.99")
    activation = replace(ROW, reported_quantity="torch_peak_activation_increase", value="4.76")
    runtime = replace(ROW, reported_quantity="non_torch_memory", value="0.13")
    assert missing(ROW, weights, activation, runtime) == ()
    other = [
        replace(row, gpu_mem_utilization="0.95") for row in (ROW, weights, activation, runtime)
    ]
    judged = schema.judge(other)
    assert [one.missing for one in judged] == [("contradiction",), (), (), ()]


def test_a_kv_cache_of_another_kind_is_not_compared() -> None:
    assert missing(replace(ROW, model="moonshotai/Kimi-K2-Thinking")) == ("latent",)


def test_tokens_can_be_counted_from_the_memory_that_the_run_reports() -> None:
    tokens = replace(ROW, reported_quantity="gpu_kv_cache_size", unit="tokens", version="2026 (V1)")
    assert schema.judge([tokens])[0].missing == ("version",)
    with_memory = schema.judge([tokens, replace(ROW, version="2026 (V1)")])
    assert (with_memory[0].term, with_memory[0].usable) == (Term.KV_FORMULA, True)


def test_tokens_of_a_video_need_its_frames() -> None:
    prompt = replace(ROW, reported_quantity="prompt_length_with_video", unit="tokens")
    assert missing(prompt) == ("frames",)
    frames = replace(prompt, model="lmms-lab/LLaVA-NeXT-Video-7B-DPO (32 frames)", engine="")
    assert missing(frames) == ()


@pytest.mark.parametrize(
    ("gpu", "gib"),
    [
        ("H100 80GB (79.18 GiB visible)", 79.18),
        ("RTX 5090 (31.86 GiB)", 31.86),
        ("94.97 GiB visible", 94.97),
        ("A100 80GB x2", 81039 / 1024),
        ("RTX 4060 8GB", 8),
        ("not stated (8 GPUs)", None),
    ],
)
def test_memory_of_a_gpu(gpu: str, gib: float | None) -> None:
    assert read_facts(replace(ROW, gpu=gpu)).visible_gib == gib


def test_memory_that_the_same_source_states_for_a_gpu_counts() -> None:
    total = replace(ROW, gpu="RTX 3090", reported_quantity="total_gpu_memory", value="23.58")
    judged = schema.judge([replace(ROW, gpu="RTX 3090"), total])
    assert judged[0].facts.visible_gib == 23.58
    assert judged[1].missing == ("catalogue",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fp8 w8a8 per-channel", ("FP8", "CompressedTensors", -1)),
        ("gptq int8", ("INT8", "GPTQ", 128)),
        ("awq int4 g128", ("INT4", "AWQ", 128)),
        ("int4 g64 (inferred from size)", ("INT4", "CompressedTensors", 64)),
    ],
)
def test_number_formats(text: str, expected: tuple[str, str, int]) -> None:
    found = read_facts(replace(ROW, dtype_or_quant=text)).quantization
    assert found is not None
    assert (str(found.format), str(found.method), found.group) == expected


def test_the_file_has_all_published_rows() -> None:
    rows = table.read()
    assert len(rows) == 153
    assert all(row.source for row in rows)
