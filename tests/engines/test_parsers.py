"""The real parsers judge as the project's facts about them say, so that a check by them bites.

Refusals here are what the operator must never render; what the parsers let pass although the
engine would fail later is here too, since the operator's own rules must catch it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.engines.client import SGLANG, VLLM
from tests.engines.quantized import Quantized

if TYPE_CHECKING:
    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder

pytestmark = pytest.mark.engines

MODEL_72B = "llava-hf/llava-onevision-qwen2-72b-ov-hf"
MODEL_7B = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
ORIGINAL_72B = "lmms-lab/LLaVA-Video-72B-Qwen2"

# A whole rendering for the 72B, with every kind of argument: lists, JSON, switches, negations.
RENDERING = [
    *(MODEL_72B, "--revision", "main", "--served-model-name", "llava-video-72b"),
    *("--dtype", "bfloat16", "--tensor-parallel-size", "4", "--pipeline-parallel-size", "1"),
    *("--gpu-memory-utilization", "0.92", "--max-model-len", "16384"),
    *("--max-num-batched-tokens", "12608", "--max-num-seqs", "4"),
    *("--limit-mm-per-prompt", '{"image":0,"video":1}'),
    *("--media-io-kwargs", '{"video":{"num_frames":64}}'),
    *("--no-enable-prefix-caching", "--allowed-media-domains", "a.example", "b.example"),
    *("--host", "0.0.0.0", "--port", "8000", "--shutdown-timeout", "600"),  # noqa: S104 - in a pod
]


class Case(NamedTuple):
    """Arguments after the model, and the refusal's beginning per engine version ("" accepted)."""

    argv: list[str]
    refusal: str | dict[str, str]
    model: str = MODEL_72B
    quantized: Quantized = Quantized.NONE

    def expected(self, engine: str) -> str:
        return self.refusal if isinstance(self.refusal, str) else self.refusal[engine]


VLLM_CASES = {
    # The parser alone.
    "unknown flag": Case(["--no-such-flag"], "parse: unrecognized arguments"),
    "removed flag": Case(["--swap-space", "4"], "parse: unrecognized arguments"),
    "dtype of another name": Case(["--dtype", "bf16"], "parse: argument --dtype: invalid choice"),
    "size no number": Case(
        ["--tensor-parallel-size", "two"],
        "parse: argument --tensor-parallel-size/-tp: invalid int value",
    ),
    "limits no JSON": Case(["--limit-mm-per-prompt", "video=1"], "parse: argument --limit-mm-"),
    "long form of a short flag": Case(["--tp", "2"], "parse: unrecognized arguments: --tp"),
    "value missing": Case(["--max-model-len"], "parse: argument --max-model-len: expected one"),
    "short flag": Case(["-tp=2"], ""),
    "underscores": Case(["--tensor_parallel_size", "2"], ""),
    "JSON by dots": Case(["--limit-mm-per-prompt.video", "1"], ""),
    "length with a unit": Case(["--max-model-len", "16k"], ""),
    "negation": Case(["--no-enable-prefix-caching"], ""),
    "negation of 0.33": Case(
        ["--disable-prefix-caching"],
        {"vllm-0.32.0": "parse: unrecognized arguments", "vllm-0.33.0": ""},
    ),
    "logging switch of 0.33": Case(
        ["--disable-log-requests"],
        {"vllm-0.32.0": "parse: unrecognized arguments", "vllm-0.33.0": ""},
    ),
    "KV cache type": Case(
        ["--kv-cache-dtype", "int3"],
        {
            "vllm-0.32.0": "parse: argument --kv-cache-dtype: invalid choice",
            "vllm-0.33.0": "config: cache_dtype: Value error, Invalid kv_cache_dtype: 'int3'",
        },
    ),
    # Arguments against each other.
    "tool choice without parser": Case(
        ["--enable-auto-tool-choice"],
        "validate: TypeError: Error: --enable-auto-tool-choice requires",
    ),
    "unknown tool parser": Case(
        ["--enable-auto-tool-choice", "--tool-call-parser", "nobody"],
        "validate: KeyError: 'invalid tool call parser: nobody",
    ),
    # Arguments against the model.
    "heads not divisible": Case(
        ["--tensor-parallel-size", "3"],
        "config: Value error, Total number of attention heads (64) must be divisible",
    ),
    "heads of the 7B": Case(
        ["--tensor-parallel-size", "8"],
        "config: Value error, Total number of attention heads (28) must be divisible",
        MODEL_7B,
    ),
    "tensor times pipeline": Case(
        ["--tensor-parallel-size", "8", "--pipeline-parallel-size", "2"], ""
    ),
    "no tensor parallelism at all": Case(
        ["--tensor-parallel-size", "0"], "config: tensor_parallel_size: Input should be greater"
    ),
    "nodes do not divide": Case(
        ["--tensor-parallel-size", "4", "--nnodes", "3"],
        "config: ValueError: Invalid data-parallel launch options: `--nnodes 3` must evenly divide",
    ),
    "utilization above one": Case(
        ["--gpu-memory-utilization", "1.5"], "config: gpu_memory_utilization: Input should be less"
    ),
    "context beyond positions": Case(
        ["--max-model-len", "200000"],
        "config: Value error, User-specified max_model_len (200000) is greater",
    ),
    "unknown limit option": Case(
        ["--limit-mm-per-prompt", '{"video":{"count":1,"fps":2}}'],
        "config: limit_per_prompt: fps: Unexpected keyword argument",
    ),
    "expert parallelism without experts": Case(
        ["--enable-expert-parallel"],
        "config: Value error, Number of experts in the model must be greater than 0",
    ),
    "quantization unknown": Case(
        ["--quantization", "bitsandbytes"], "config: Value error, Unknown quantization method"
    ),
    "quantization online": Case(["--quantization", "fp8"], ""),
    "quantization of an unquantized checkpoint": Case(
        ["--quantization", "awq"], "config: Value error, Cannot find the config file for awq"
    ),
    "quantization other than the checkpoint's": Case(
        ["--quantization", "fp8"],
        "config: Value error, Quantization method",
        MODEL_72B,
        Quantized.AWQ,
    ),
    "kernel's name for the checkpoint's method": Case(
        ["--quantization", "awq_marlin"],
        "config: Value error, Quantization method",
        MODEL_72B,
        Quantized.AWQ,
    ),
    "AWQ checkpoint": Case([], "", MODEL_72B, Quantized.AWQ),
    "GPTQ checkpoint": Case([], "", MODEL_72B, Quantized.GPTQ_INT8),
    "compressed-tensors checkpoint": Case([], "", MODEL_72B, Quantized.COMPRESSED_TENSORS_INT4),
    "original checkpoint": Case(
        [],
        "config: Value error, Model architectures ['LlavaQwenForCausalLM'] are not supported",
        ORIGINAL_72B,
    ),
    # What the engine only finds while it loads: the operator's rules must know these.
    "NOT CAUGHT more stages than layers": Case(["--pipeline-parallel-size", "81"], ""),
    "NOT CAUGHT vision heads not divisible": Case(["--tensor-parallel-size", "32"], ""),
    "NOT CAUGHT group over a partition": Case(
        ["--tensor-parallel-size", "8"], "", MODEL_72B, Quantized.AWQ
    ),
    "NOT CAUGHT unknown modality": Case(["--limit-mm-per-prompt", '{"vidoe":1}'], ""),
    "NOT CAUGHT missing folder of local media": Case(["--allowed-local-media-path", "/none"], ""),
    "NOT CAUGHT more GPUs than a node has": Case(["--pipeline-parallel-size", "16"], ""),
    "NOT CAUGHT unknown processor option": Case(["--mm-processor-kwargs", '{"nothing":1}'], ""),
}

SGLANG_CASES = {
    "whole rendering": Case(
        [
            "--served-model-name",
            "llava",
            "--tp-size",
            "4",
            "--dtype",
            "float16",
            "--host",
            "0.0.0.0",  # noqa: S104 - in a pod
            "--port",
            "30000",
            "--enable-metrics",
            "--mem-fraction-static",
            "0.85",
            "--context-length",
            "16384",
            "--chat-template",
            "chatml-llava",
        ],
        "",
        ORIGINAL_72B,
    ),
    "unknown flag": Case(["--no-such-flag"], "parse: unrecognized arguments"),
    "quantization unknown": Case(
        ["--quantization", "int4"], "parse: argument --quantization: invalid choice"
    ),
    "dtype of another name": Case(["--dtype", "bf16"], "parse: argument --dtype: invalid choice"),
    "nodes do not divide": Case(
        ["--tp-size", "4", "--nnodes", "3"],
        "config: AssertionError: tp_size must be divisible by number of nodes",
    ),
    "data parallelism over nodes": Case(
        ["--dp-size", "2", "--nnodes", "2", "--tp-size", "2"],
        "config: AssertionError: multi-node data-parallel replicas are not supported",
    ),
    "colon in the served name": Case(
        ["--served-model-name", "a:b"],
        "config: AssertionError: served_model_name cannot contain a colon",
    ),
    "AWQ checkpoint": Case([], "", ORIGINAL_72B, Quantized.AWQ),
    "GPTQ checkpoint": Case([], "", ORIGINAL_72B, Quantized.GPTQ_INT4),
    "NOT CAUGHT share of memory above one": Case(["--mem-fraction-static=1.5"], "", ORIGINAL_72B),
    "NOT CAUGHT heads not divisible": Case(["--tp-size", "3"], "", ORIGINAL_72B),
    "NOT CAUGHT pipeline stages": Case(["--pp-size", "2"], "", ORIGINAL_72B),
}


def _agrees(refusal: str | None, expected: str) -> bool:
    return refusal is None if not expected else (refusal or "").startswith(expected)


@pytest.mark.parametrize("engine", VLLM)
def test_vllm_accepts_a_whole_rendering(
    engine: str, engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    for argv in (RENDERING, ["vllm", "serve", *RENDERING]):
        assert engine_parser.check(engine, argv, config_dir=model_folder(MODEL_72B)) is None


@pytest.mark.parametrize("engine", VLLM)
@pytest.mark.parametrize("name", VLLM_CASES)
def test_vllm_judges_as_known(
    engine: str, name: str, engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    case = VLLM_CASES[name]
    folder = model_folder(case.model, case.quantized)
    refusal = engine_parser.check(engine, [case.model, *case.argv], config_dir=folder)
    assert _agrees(refusal, case.expected(engine)), refusal


@pytest.mark.parametrize("engine", SGLANG)
@pytest.mark.parametrize("name", SGLANG_CASES)
def test_sglang_judges_as_known(
    engine: str, name: str, engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    case = SGLANG_CASES[name]
    folder = model_folder(case.model, case.quantized)
    argv = ["sglang", "serve", case.model, *case.argv]
    refusal = engine_parser.check(engine, argv, config_dir=folder)
    assert _agrees(refusal, case.expected(engine)), refusal


@pytest.mark.parametrize("engine", VLLM)
def test_vllm_judges_environment_variables(engine: str, engine_parser: EngineParser) -> None:
    good = {"VLLM_API_KEY": "key", "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0", "HF_HOME": "/cache"}
    assert engine_parser.check(engine, ["model"], good) is None
    for name, value in {
        "VLLM_PORT": "tcp://10.0.0.1:8000",  # what a Service called "vllm" would inject
        "VLLM_NO_SUCH_VARIABLE": "1",
        "VLLM_ENGINE_READY_TIMEOUT_S": "soon",
    }.items():
        refusal = engine_parser.check(engine, ["model"], {name: value})
        assert refusal is not None
        assert refusal.startswith("environment: ")
        assert name in refusal


@pytest.mark.parametrize("engine", VLLM)
def test_a_check_leaves_nothing_behind_for_the_next(
    engine: str, engine_parser: EngineParser
) -> None:
    refused = engine_parser.check(engine, ["model"], {"VLLM_PORT": "tcp://10.0.0.1:8000"})
    assert refused is not None
    assert engine_parser.check(engine, ["model"]) is None


@pytest.mark.parametrize("engine", VLLM)
def test_every_mutation_of_a_rendering_is_refused(
    engine: str, engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    """Misspelling any one flag of an accepted rendering makes the parser refuse it."""
    folder = model_folder(MODEL_72B)
    flags = [index for index, word in enumerate(RENDERING) if word.startswith("--")]
    for index in flags:
        mutated = list(RENDERING)
        mutated[index] = f"--x{mutated[index][2:]}"
        refusal = engine_parser.check(engine, mutated, config_dir=folder)
        assert refusal is not None, mutated[index]
        assert refusal.startswith("parse: "), refusal
