"""The shipped flag tables say what the engines' own parsers say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.client import ENGINES, VLLM
from tests.engines.dump_flags import TABLES, table
from videollm_operator.catalog import flags

if TYPE_CHECKING:
    from tests.engines.client import EngineParser

pytestmark = pytest.mark.engines

REMOVED_FROM_VLLM = [
    "--swap-space",
    "--task",
    "--device",
    "--guided-decoding-backend",
    "--use-v2-block-manager",
    "--max-seq-len-to-capture",
    "--disable-mm-preprocessor-cache",
    "--rope-scaling",
    "--override-neuron-config",
]


@pytest.mark.parametrize("engine", ENGINES)
def test_shipped_table_is_what_the_real_parser_has(
    engine: str, engine_parser: EngineParser
) -> None:
    shipped = (TABLES / f"{engine}.yaml").read_text(encoding="utf-8")
    assert shipped == table(engine, engine_parser.flags(engine)), (
        f"{engine}: run `python tests/engines/dump_flags.py` and look at the difference"
    )


@pytest.mark.parametrize("engine", VLLM)
@pytest.mark.parametrize("flag", REMOVED_FROM_VLLM)
def test_flag_that_vllm_removed_is_neither_in_the_table_nor_parsed(
    engine: str, flag: str, engine_parser: EngineParser
) -> None:
    assert flags.load(engine).get(flag) is None
    refusal = engine_parser.check(engine, ["model", flag, "1"])
    assert refusal is not None
    # "ambiguous" where longer flags begin so: --device-ids, --device-memory-utilization
    assert refusal.startswith(
        (f"parse: unrecognized arguments: {flag}", f"parse: ambiguous option: {flag} could match")
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_parser_takes_every_spelling_of_every_switch(
    engine: str, engine_parser: EngineParser
) -> None:
    """A spelling in the table is one that the parser takes, hidden negations included."""
    head = ["model"] if engine in VLLM else ["--model-path", "model"]
    spellings = [
        spelling
        for flag in flags.load(engine).flags
        if flag.type == "boolean"
        for spelling in (flag.name, *flag.aliases, *flag.negation)
    ]
    refused = {}
    for spelling in spellings:
        refusal = engine_parser.check(engine, [*head, spelling])
        if refusal is not None and refusal.startswith("parse:"):
            refused[spelling] = refusal
    assert not refused
    assert len(spellings) > 100


@pytest.mark.parametrize("engine", ENGINES)
def test_parser_refuses_a_value_that_the_table_calls_wrong(
    engine: str, engine_parser: EngineParser
) -> None:
    head = ["model"] if engine in VLLM else ["--model-path", "model"]
    wrong = {"integer": "1.5x", "count": "1.5x", "number": "much", "json": "{no json"}
    accepted = {}
    for flag in flags.load(engine).flags:
        value = "no-such-choice" if flag.choices else wrong.get(flag.type)
        if value is None:
            continue
        refusal = engine_parser.check(engine, [*head, flag.name, value])
        if refusal is None:
            accepted[flag.name] = value
    assert not accepted


@pytest.mark.parametrize("engine", ENGINES)
def test_parser_takes_every_choice_and_default_of_the_table(
    engine: str, engine_parser: EngineParser
) -> None:
    head = ["model"] if engine in VLLM else ["--model-path", "model"]
    refused = {}
    for flag in flags.load(engine).flags:
        values = list(flag.choices)
        if flag.type in ("integer", "number") and flag.default is not None:
            values.append(str(flag.default))
        for value in values:
            refusal = engine_parser.check(engine, [*head, f"{flag.name}={value}"])
            if refusal is not None and refusal.startswith("parse:"):
                refused[f"{flag.name}={value}"] = refusal
    assert not refused


def test_tgi_table_has_the_launchers_54_arguments() -> None:
    tgi = flags.load("tgi-3.3.7")
    assert len(tgi.flags) == 54
    assert tgi.names.isdisjoint({"-p", "--tensor-parallel-size"})
    quantize = tgi.get("--quantize")
    assert quantize is not None
    assert {"awq", "gptq", "compressed-tensors", "bitsandbytes-nf4"} <= set(quantize.choices)
