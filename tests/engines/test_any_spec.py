"""Whatever spec the planner accepts, the engine's real parser takes what is rendered for it.

Specs are drawn (`drawn`), the same ones in every run. Of those that the planner accepts every
rendering goes to the real parser: parsed, validated and, for a model folder of the real size, built
into the engine's configuration. Counts are printed (`pytest -s`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.client import ENGINES
from tests.engines.drawn import ENGINES as DRAWN
from tests.engines.drawn import QUANTIZATIONS, SOURCES, STRATEGIES, Drawn, drawn
from tests.engines.faults import FAULTS, OBJECTS, Fault
from tests.engines.matrix import CATALOG, started
from tests.engines.models import MODELS
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.api.validation import validate
from videollm_operator.engines.arguments import Grammar, check
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder
    from videollm_operator.api.problem import Problem
    from videollm_operator.engines.base import DeploymentPlan

SAME_EVERY_TIME = settings(derandomize=True, database=None, max_examples=900)
LEAST, LEAST_OF_EACH = 500, 20


def accepted(spec: dict[str, object]) -> DeploymentPlan | None:
    """The plan with what is rendered for it, or None if the object is refused."""
    try:
        planned = plan_deployment(VideoLLMDeploymentSpec.read(spec), CATALOG)
    except Refused:
        return None
    return planned if planned.launch is not None else None


def refusal(
    planned: DeploymentPlan, what: Drawn, parser: EngineParser, model_folder: ModelFolder
) -> str | None:
    """What the real software has against the rendering."""
    assert planned.launch is not None
    argv, env = started(planned.launch)
    engine = f"{planned.launch.type.lower()}-{planned.launch.version}"
    if engine not in ENGINES:  # TGI, whose launcher is a Rust program
        table = planned.resolved.flags
        problems = check(argv, table, Grammar("TGI", {}, shell_split=True)).problems
        return "; ".join(problem.message for problem in problems) or None
    asked = what.spec.get("quantization", {})
    folder = None
    if what.model in MODELS and not what.needs_plugin:  # that: see test_bitsandbytes
        folder = model_folder(
            what.model,
            what.quantized,
            group_size=asked.get("groupSize", 128),
            intermediate_size=asked.get("intermediateSize"),
        )
    return parser.check(engine, argv, dict(env), config_dir=folder)


@pytest.mark.engines
def test_no_rendering_of_an_accepted_spec_is_rejected(
    engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    counts: Counter[str] = Counter()
    asked: set[str] = set()

    def judge(what: Drawn) -> None:
        planned = accepted(what.spec)
        if planned is None or (text := repr(what.spec)) in asked:
            return
        assert refusal(planned, what, engine_parser, model_folder) is None
        asked.add(text)
        layout = "several" if planned.plan.layout.gpus > 1 else "one"
        counts.update([*(f"{kind} {name}" for kind, name in what.kinds.items()), f"GPUs {layout}"])

    each = [*((0, engine) for engine in DRAWN), *((i, None) for i in range(1, len(QUANTIZATIONS)))]
    for only, engine in each:  # one after another, so that none is left to chance
        settings(SAME_EVERY_TIME, max_examples=70)(given(drawn(only, engine))(judge))()
    print(f"{len(asked)} accepted specs: {dict(sorted(counts.items()))}")  # noqa: T201 - shown with -s
    assert len(asked) >= LEAST
    wanted = [
        *(f"engine {' '.join(pair)}" for pair in DRAWN),
        *(f"quantization {' '.join(each.values()) or 'None'}" for _, each in QUANTIZATIONS),
        *(f"strategy {name}" for name in STRATEGIES),
        *(f"source {name}" for name in SOURCES),
    ]
    assert {name: counts[name] for name in wanted if counts[name] < LEAST_OF_EACH} == {}


def problems(spec: dict[str, object]) -> list[Problem]:
    """Everything that the operator has against an object with this spec."""
    found = validate(
        {
            "apiVersion": "videollm.io/v1alpha1",
            "kind": "VideoLLMDeployment",
            "metadata": {"name": "video", "namespace": "default"},
            "spec": spec,
        }
    )
    if found:
        return list(found)
    try:
        planned = plan_deployment(VideoLLMDeploymentSpec.read(spec), CATALOG)
    except Refused as refused:
        return list(refused.problems)
    return [] if planned.not_runnable is None else [planned.not_runnable]


def test_what_is_wrong_with_one_thing_is_refused_for_one_reason() -> None:
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    specs: list[Drawn] = []

    def refused(what: Drawn, fault: Fault) -> None:
        spec = fault.change(what)
        if spec is None:
            return
        found = problems(spec)
        told = [problem.message for problem in found]
        assert [problem.reason for problem in found] == [fault.reason], (fault.name, told)
        seen.add(fault.name)
        counts.update([fault.reason, *(f"{kind} {name}" for kind, name in what.kinds.items())])

    @SAME_EVERY_TIME
    @given(drawn(), st.lists(st.sampled_from(OBJECTS), min_size=8, max_size=8))
    def every(what: Drawn, faults: list[Fault]) -> None:
        if accepted(what.spec) is None:
            return
        specs.append(what)
        for fault in (*faults, FAULTS[len(specs) % len(FAULTS)]):
            refused(what, fault)

    every()
    for fault in FAULTS:  # what chance has left out
        if fault.name not in seen:
            for what in specs[:40]:
                refused(what, fault)
    total = sum(counts[reason] for reason in Reason)
    print(f"{total} refused specs: {dict(sorted(counts.items()))}")  # noqa: T201 - shown with -s
    assert total >= LEAST
    assert {name: count for name, count in counts.items() if count < LEAST_OF_EACH} == {}
    assert [fault.name for fault in FAULTS if fault.name not in seen] == []
