"""Extra arguments that the operator lets through are taken by the engine's real parser.

Every flag that the plan does not own, with good and bad values of every kind: what the operator's
check passes, the engine parses and validates. What it refuses beyond the flag tables (`flag_rules`)
the engine refuses too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.client import ENGINES, VLLM
from videollm_operator.catalog import flags
from videollm_operator.engines import flag_rules, owned
from videollm_operator.engines.arguments import Checked, Grammar, check

if TYPE_CHECKING:
    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder

pytestmark = pytest.mark.engines

NUMBERS = ["0", "1", "-1", "7", "0.5", "32k", "1.5K", "x", ""]
JSON = ["{}", "[]", "1", "null", '"x"', '{"no_such_part": 1}', "{"]
VALUES = {
    "integer": NUMBERS,
    "count": NUMBERS,
    "number": NUMBERS,
    "string": ["x", "a.b", ""],
    "json": JSON,
}

FILES = {"--chat-template": [__file__, "{{ messages }}", ""]}
"""Flags that name a file in the pod, where the operator cannot look: one that is here."""


def grammar(engine: str) -> Grammar:
    if engine in VLLM:
        needs, least = flag_rules.VLLM_NEEDS, flag_rules.VLLM_LEAST
        return Grammar(engine, owned.VLLM, needs, least, flag_rules.VLLM_TEXTS, dotted=True)
    return Grammar(engine, owned.SGLANG, flag_rules.SGLANG_NEEDS, flag_rules.SGLANG_LEAST)


def head(engine: str) -> list[str]:
    return ["model"] if engine in VLLM else ["--model-path=model"]


def extras(engine: str) -> list[tuple[str, Checked]]:
    """Each flag with each value, and what the operator says of it."""
    table, rules = flags.load(engine), grammar(engine)
    words = []
    for flag in table.flags:
        if flag.type == "boolean":
            words += [flag.name, *flag.negation, f"{flag.name}=true"]
        else:
            values = [*flag.choices, "no-such-choice"] if flag.choices else VALUES[flag.type]
            values = FILES.get(flag.name, values)
            words += [f"{flag.name}={value}" for value in values]
        words += [f"{flag.name}.{part}=1" for part in ("no-such-part",) if flag.parts is not None]
    return [(word, check([word], table, rules)) for word in words]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_operator_lets_through_is_parsed_and_validated(
    engine: str, engine_parser: EngineParser
) -> None:
    refused, passed, kept = {}, 0, 0
    for word, checked in extras(engine):
        if checked.problems:
            kept += 1
            continue
        passed += 1
        problem = engine_parser.check(engine, [*head(engine), *checked.args])
        if problem is not None:
            refused[word] = problem
    print(f"{engine}: {passed} passed, {kept} refused")  # noqa: T201 - shown with -s
    assert refused == {}
    assert passed > 500
    assert kept > 500


RULES = [
    *((engine, flag_rules.VLLM_NEEDS, flag_rules.VLLM_LEAST) for engine in VLLM),
    ("sglang-0.5.23", flag_rules.SGLANG_NEEDS, flag_rules.SGLANG_LEAST),
]


@pytest.mark.parametrize(("engine", "needs", "least"), RULES)
def test_every_rule_is_one_of_the_engines(
    engine: str,
    needs: dict[str, str],
    least: dict[str, float],
    engine_parser: EngineParser,
    model_folder: ModelFolder,
) -> None:
    name = "llava-hf/llava-onevision-qwen2-7b-ov-hf" if engine in VLLM else ORIGINAL
    folder, table = model_folder(name), flags.load(engine)
    accepted = []
    for flag_name in needs:
        flag = table.get(flag_name)
        assert flag is not None, flag_name
        assert table.get(needs[flag_name]) is not None, needs[flag_name]
        values = {"boolean": "", "integer": "=1", "number": "=1", "json": "={}"}
        value = f"={flag.choices[0]}" if flag.choices else values.get(flag.type, "=1")
        if engine_parser.check(engine, [*head(engine), flag_name + value], {}, folder) is None:
            accepted.append(flag_name)
    for flag_name, smallest in least.items():
        assert table.get(flag_name) is not None, flag_name
        below = f"{flag_name}={int(smallest) - 1}"
        if engine_parser.check(engine, [*head(engine), below], {}, folder) is None:
            accepted.append(below)
    assert accepted == []


ORIGINAL = "lmms-lab/LLaVA-Video-7B-Qwen2"
