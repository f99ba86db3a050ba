"""Every rendering that the planner accepts is accepted by the engine's real parser.

vLLM and SGLang: parsed, validated, and checked against a config-only folder of the real size. TGI
has no parser that runs without Rust: its arguments are checked against its flag table.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.engines.client import SGLANG, VLLM
from tests.engines.matrix import CATALOG, Rendering, renderings
from tests.engines.models import MODELS
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines.arguments import Grammar, check

if TYPE_CHECKING:
    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder

ALL = tuple(renderings())
LEAST_OF_EACH = 20


def of(engine: str) -> list[Rendering]:
    return [rendering for rendering in ALL if rendering.engine == engine]


def refusal(rendering: Rendering, parser: EngineParser, model_folder: ModelFolder) -> str | None:
    folder = None
    if rendering.model in MODELS:
        folder = model_folder(
            rendering.model,
            rendering.quantized,
            group_size=rendering.group_size,
            intermediate_size=rendering.intermediate_size,
        )
    return parser.check(rendering.engine, rendering.argv, dict(rendering.env), config_dir=folder)


def test_the_matrix_holds_enough_of_every_kind() -> None:
    counts = Counter(kind for rendering in ALL for kind in rendering.kinds)
    print(f"{len(ALL)} renderings: {dict(sorted(counts.items()))}")  # noqa: T201 - shown with -s
    assert len(ALL) >= 500
    assert min(counts.values()) >= LEAST_OF_EACH


@pytest.mark.engines
@pytest.mark.parametrize("engine", [*VLLM, *SGLANG])
def test_every_rendering_is_accepted_by_the_real_parser(
    engine: str, engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    found = of(engine)
    assert len(found) >= LEAST_OF_EACH
    refused = {
        rendering.argv: problem
        for rendering in found
        if (problem := refusal(rendering, engine_parser, model_folder)) is not None
    }
    assert not refused


@pytest.mark.engines
@pytest.mark.parametrize("engine", [*VLLM, *SGLANG])
def test_every_misspelt_flag_of_a_rendering_is_refused(
    engine: str, engine_parser: EngineParser
) -> None:
    longest = max(of(engine), key=lambda rendering: len(rendering.argv))
    for index, word in enumerate(longest.argv):
        if word.startswith("--"):
            mutated = [*longest.argv[:index], f"--x{word[2:]}", *longest.argv[index + 1 :]]
            problem = engine_parser.check(engine, mutated)
            assert problem is not None, word
            assert problem.startswith("parse: ")


@pytest.mark.engines
@pytest.mark.parametrize("engine", VLLM)
@pytest.mark.parametrize(
    ("flag", "bad", "verdict"),
    [
        ("--tensor-parallel-size", "--tensor-parallel-size=3", "config: "),
        ("--dtype", "--dtype=fp16", "parse: "),
        ("--gpu-memory-utilization", "--swap-space=4", "parse: "),
        ("--gpu-memory-utilization", "--quantization=bitsandbytes", "config: "),
        ("--gpu-memory-utilization", "--gpu-memory-utilization=1.2", "config: "),
        ("--max-model-len", "--max-model-len=200000", "config: "),
    ],
)
def test_a_wrong_argument_in_a_rendering_is_refused(
    engine: str,
    flag: str,
    bad: str,
    verdict: str,
    engine_parser: EngineParser,
    model_folder: ModelFolder,
) -> None:
    rendering = next(one for one in of(engine) if "72b" in one.model)
    argv = [bad if word.startswith(f"{flag}=") else word for word in rendering.argv]
    assert bad in argv
    folder = model_folder(rendering.model, rendering.quantized)
    problem = engine_parser.check(engine, argv, dict(rendering.env), config_dir=folder)
    assert problem is not None
    assert problem.startswith(verdict)


def test_every_rendering_for_tgi_keeps_to_its_flag_table() -> None:
    entry = CATALOG.engine(EngineType.TGI)
    assert entry is not None
    table = CATALOG.flags(entry)
    grammar = Grammar("TGI", {}, shell_split=True)
    found = of("tgi-3.3.7")
    assert len(found) >= LEAST_OF_EACH
    for rendering in found:
        assert check(rendering.argv, table, grammar).problems == ()
        flags = dict(word.removeprefix("--").partition("=")[::2] for word in rendering.argv)
        longest_input = int(flags["max-input-tokens"])
        assert 0 < longest_input < int(flags["max-total-tokens"])
        assert longest_input <= int(flags["max-batch-prefill-tokens"])
        assert "quantize" not in flags or "dtype" not in flags


def test_a_wrong_argument_for_tgi_is_refused_by_its_table() -> None:
    entry = CATALOG.engine(EngineType.TGI)
    assert entry is not None
    for bad in ("--num-shards=2", "--num-shard=two", "--dtype=float32", "--num-shard"):
        assert check([bad], CATALOG.flags(entry), Grammar("TGI", {})).problems
