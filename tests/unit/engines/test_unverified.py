from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.engines.builders import CATALOG, ONEVISION_7B, launched, planned, refusal, spec
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.engines.select import resolve
from videollm_operator.engines.unverified import unverified

if TYPE_CHECKING:
    from videollm_operator.api.problem import Problem

VLLM = EngineType.VLLM


def told(**engine: Any) -> Problem | None:
    return unverified(spec(engine={"type": "VLLM", **engine}), VLLM, CATALOG)


@pytest.mark.parametrize(
    ("version", "like"),
    [("0.34.0", "0.33.0"), ("0.32.7", "0.32.0"), ("1.0.0", "0.33.0"), ("0.9.2", "0.32.0")],
)
def test_an_unknown_version_runs_like_its_neighbour_in_its_own_image(
    version: str, like: str
) -> None:
    found = resolve(spec(engine={"type": "VLLM", "version": version}), CATALOG)
    assert found.engine.version == version
    assert found.engine.image == f"vllm/vllm-openai:v{version}"
    assert found.flags.version == like
    problem = told(version=version)
    assert problem is not None
    assert (problem.reason, problem.field) == (Reason.ENGINE_VERSION_UNKNOWN, "spec.engine.version")
    assert f"VLLM {version} is in no table: it is planned and run like {like}" in problem.message
    assert "0.32.0 or 0.33.0" in problem.message


def test_an_unknown_version_is_planned_with_a_warning() -> None:
    result = planned(engine={"type": "VLLM", "version": "0.34.0"})
    assert result.launch is not None
    assert result.warnings[0].startswith("VLLM 0.34.0 is in no table")
    assert result.launch.args == launched(engine={"type": "VLLM", "version": "0.33.0"}).args


def test_extra_arguments_are_checked_against_the_neighbours_flags() -> None:
    engine = {"type": "VLLM", "version": "0.34.0", "extraArgs": ["--of-the-future"]}
    assert refusal(engine=engine).reason == Reason.ARGUMENT_REFUSED
    assert planned(engine={**engine, "allowUncheckedArgs": True}).launch is not None


@pytest.mark.parametrize(
    "image", ["own/vllm:1", "own/vllm-openai@sha256:12", "vllm-openai:v0.33.0"]
)
def test_an_image_of_unknown_content_is_told(image: str) -> None:
    problem = told(image=image)
    assert problem is not None
    assert (problem.reason, problem.field) == (Reason.ENGINE_IMAGE_UNKNOWN, "spec.engine.image")
    assert f"'{image}': it is planned and run like 0.32.0" in problem.message


@pytest.mark.parametrize(
    "engine",
    [
        {},
        {"image": "vllm/vllm-openai:v0.32.0"},
        {"image": "mirror.example:5000/x/vllm-openai:v0.32.0@sha256:12"},
        {"image": "own/vllm:1", "version": "0.32.0"},
    ],
)
def test_what_is_known_or_said_is_not_told(engine: dict[str, Any]) -> None:
    assert told(**engine) is None
    assert not planned(ONEVISION_7B, engine={"type": "VLLM", **engine}).warnings


def test_without_any_version_it_is_a_refusal_and_no_warning() -> None:
    without = replace(CATALOG, engines=())
    asked = spec(engine={"type": "VLLM", "version": "0.34.0"})
    assert unverified(asked, VLLM, without) is None
    with pytest.raises(Refused, match="knows VLLM in no version"):
        plan_deployment(asked, without)
