from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engines.builders import (
    CATALOG,
    ONEVISION_72B,
    planned,
    refusal,
    spec,
)
from tests.unit.engines.strategies import likely, specs
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.engines.arguments import Grammar, check
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.engines.registry import ENGINES

if TYPE_CHECKING:
    from videollm_operator.api.problem import Problem
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec


def test_every_engine_is_registered_under_its_type() -> None:
    for kind, engine in ENGINES.items():
        assert engine.type == kind


def test_less_memory_on_the_nodes_gives_another_plan() -> None:
    whole = plan_deployment(spec(ONEVISION_72B), CATALOG)
    less = plan_deployment(spec(ONEVISION_72B), CATALOG, visible_mib=40_000)
    assert less.plan.layout.gpus > whole.plan.layout.gpus


def test_a_refusal_of_the_planner_comes_through() -> None:
    problem = refusal(ONEVISION_72B, "T4", gpu={"perReplica": 1})
    assert problem.reason == Reason.DOES_NOT_FIT


def test_what_cannot_run_is_planned_without_a_launch() -> None:
    result = planned("lmms-lab/LLaVA-Video-72B-Qwen2")
    assert result.launch is None
    assert result.not_runnable == result.resolved.not_runnable is not None
    assert result.plan.layout.gpus == 4


@settings(max_examples=400)
@given(specs(), st.sampled_from([None, 10_000, 1_000_000]))
def test_any_spec_is_planned_or_refused_with_a_sentence(
    drawn: VideoLLMDeploymentSpec | None, visible: int | None
) -> None:
    if drawn is None:
        return
    problems: tuple[Problem, ...] = ()
    try:
        result = plan_deployment(drawn, CATALOG, visible_mib=visible)
    except Refused as refused:
        problems = refused.problems
        assert problems
    else:
        assert (result.launch is None) == (result.not_runnable is not None)
        assert plan_deployment(drawn, CATALOG, visible_mib=visible) == result
    for problem in problems:
        assert problem.message
        assert "\n" not in problem.message
        assert problem.field.startswith("spec.")


accepted: Counter[str] = Counter()


@settings(max_examples=300)
@given(likely())
def check_launches(drawn: VideoLLMDeploymentSpec | None) -> None:
    """What must hold for every launch; counts those that it saw."""
    if drawn is None:
        return
    try:
        result = plan_deployment(drawn, CATALOG)
    except Refused:
        return
    launch = result.launch
    if launch is None:
        return
    accepted[launch.type] += 1
    names = [variable.name for variable in launch.env]
    assert len(set(names)) == len(names)
    assert launch.memory_mib > launch.shm_mib
    assert launch.termination_grace_seconds > launch.pre_stop_seconds
    assert launch.startup.period_seconds * launch.startup.failure_threshold >= launch.load_seconds
    assert launch.port == drawn.network.port
    words = [word.replace("$$", "$") for word in launch.args if "$(SGLANG_" not in word]
    own = [word for index, word in enumerate(words) if index or word.startswith("--")]
    assert check(own, result.resolved.flags, Grammar("", {}, dotted=True)).problems == ()


def test_launches_hold_together_and_keep_to_the_flag_tables() -> None:
    accepted.clear()
    check_launches()
    assert min(accepted[kind] for kind in ENGINES) >= 10
    assert accepted.total() >= 100
