"""What `videollm_operator.sizing` promises: documented, frozen, the same each time."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from tests.unit.sizing.asking import VIDEO_72B, request
from videollm_operator import sizing


@pytest.mark.parametrize("name", sizing.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert getattr(sizing, name).__doc__
    assert sorted(sizing.__all__, key=lambda each: (each.islower(), each)) == sizing.__all__


def frozen(value: Any, seen: list[str]) -> bool:
    """Whether a value and all that it holds refuse to be changed."""
    seen.append(type(value).__name__)
    if isinstance(value, tuple):
        return all(frozen(each, seen) for each in value)
    if isinstance(value, BaseModel):
        return bool(value.model_config.get("frozen"))
    if is_dataclass(value):
        own = type(value).__dataclass_params__.frozen  # type: ignore[attr-defined] # of CPython
        return own and all(frozen(getattr(value, each.name), seen) for each in fields(value))
    return isinstance(value, (str, int, float, bool, type(None)))


def test_a_plan_is_frozen_to_the_bottom() -> None:
    seen: list[str] = []
    assert frozen(sizing.plan(request(VIDEO_72B, "A100-80GB")), seen)
    assert {"Plan", "Layout", "Term", "MemoryPerGPU", "LayoutAlternative"} <= set(seen)


def test_the_same_question_has_the_same_answer() -> None:
    asked = request(VIDEO_72B, "L40")
    assert sizing.plan(asked) == sizing.plan(asked)
