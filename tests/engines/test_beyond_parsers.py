"""What no real parser catches, and would fail while the engine loads, the operator's rules catch.

`test_parsers` shows that the parsers let each of these pass ("NOT CAUGHT ..."); here each is
refused, by name.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from tests.engines.test_parsers import SGLANG_CASES, VLLM_CASES
from tests.unit.engines.builders import (
    ONEVISION_7B,
    ONEVISION_72B,
    ORIGINAL,
    launched,
    refusal,
    values,
)
from videollm_operator.api.reasons import Reason

SMALL = "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
SGLANG = {"type": "SGLang"}


class Rule(NamedTuple):
    """An object that asks for it, and what it is told."""

    model: str | dict[str, Any]
    spec: dict[str, Any]
    reason: Reason
    says: str


def manual(**sizes: int) -> dict[str, Any]:
    return {"strategy": "Manual", **sizes}


def extra(*items: str) -> dict[str, Any]:
    return {"engine": {"type": "VLLM", "extraArgs": [*items]}}


RULES = {
    "more stages than layers": Rule(
        SMALL,
        {"parallelism": manual(tensor=1, pipeline=25)},
        Reason.LAYOUT_ILLEGAL,
        "24 layers",
    ),
    "vision heads not divisible": Rule(
        ONEVISION_72B,
        {"parallelism": manual(tensor=32)},
        Reason.LAYOUT_ILLEGAL,
        "attention heads of the vision tower (16) does not divide by 32",
    ),
    "group over a partition": Rule(
        {"name": "org/copy", "base": ONEVISION_72B},
        {"quantization": {"format": "INT4", "method": "AWQ"}, "parallelism": manual(tensor=8)},
        Reason.LAYOUT_ILLEGAL,
        "29568",
    ),
    "unknown modality": Rule(
        ONEVISION_7B,
        extra('--limit-mm-per-prompt={"vidoe":1}'),
        Reason.ARGUMENT_REFUSED,
        "which the plan sets",
    ),
    "unknown processor option": Rule(
        ONEVISION_7B,
        extra('--mm-processor-kwargs={"nothing":1}'),
        Reason.ARGUMENT_REFUSED,
        "which the plan sets",
    ),
    "missing folder of local media": Rule(
        ONEVISION_7B,
        extra("--allowed-local-media-path=/none"),
        Reason.ARGUMENT_REFUSED,
        "which no volume of yours is mounted at",
    ),
    "more GPUs than a node has": Rule(
        ONEVISION_72B,
        {"parallelism": manual(tensor=1, pipeline=16)},
        Reason.NEEDS_SEVERAL_NODES,
        "more than a node with A100-80GB has (8)",
    ),
    "heads not divisible": Rule(
        ORIGINAL,
        {"parallelism": manual(tensor=3), "engine": SGLANG},
        Reason.LAYOUT_ILLEGAL,
        "64 attention heads do not divide by 3",
    ),
    "pipeline stages": Rule(
        ORIGINAL,
        {"parallelism": manual(tensor=1, pipeline=2), "engine": SGLANG},
        Reason.FIELD_UNSUPPORTED,
        "no pipeline parallelism",
    ),
    "share of memory above one": Rule(
        ORIGINAL,
        {"engine": {**SGLANG, "extraArgs": ["--mem-fraction-static=1.5"]}},
        Reason.ARGUMENT_REFUSED,
        "which the plan sets",
    ),
}


def test_every_gap_of_the_parsers_has_its_rule() -> None:
    gaps = {name for name in (*VLLM_CASES, *SGLANG_CASES) if name.startswith("NOT CAUGHT ")}
    assert {f"NOT CAUGHT {name}" for name in RULES} == gaps


@pytest.mark.parametrize("name", RULES)
def test_what_the_parsers_let_pass_is_refused(name: str) -> None:
    rule = RULES[name]
    problem = refusal(rule.model, **rule.spec)
    assert problem.reason == rule.reason
    assert rule.says in problem.message


def test_a_rendering_names_no_modality_but_the_models_own() -> None:
    limits = values(launched(ONEVISION_7B).args)["--limit-mm-per-prompt"]
    assert set(json.loads(limits)) == {"image", "video"}
