"""What extra arguments must be beyond their type: shapes, parts, bounds, companions."""

from __future__ import annotations

import pytest

from tests.unit.engines.builders import ORIGINAL_7B, planned, refusal
from videollm_operator.api.reasons import Reason
from videollm_operator.catalog.flags import Flag, FlagTable
from videollm_operator.engines.arguments import Checked, Grammar, check

TABLE = FlagTable(
    engine="VLLM",
    version="0.32.0",
    source="by hand",
    flags=(
        Flag("--attention-config", "json", shape="object", parts=("backend", "flash_version")),
        Flag("--engram-config", "json", shape="object", parts=()),
        Flag("--hf-overrides", "json", shape="object"),
        Flag("--allowed-origins", "json", shape="list"),
        Flag("--anything", "json"),
        Flag("--scalar", "json", shape="scalar"),
        Flag("--queued", "count"),
        Flag("--interval", "integer"),
        Flag("--share", "number"),
        Flag("--names", "string", nargs="many"),
        Flag("--tools", "boolean", negation=("--no-tools",)),
        Flag("--parser", "string"),
        Flag("--efforts", "json"),
        Flag("--outputs", "boolean"),
        Flag("--requests", "boolean", negation=("--no-requests",)),
    ),
)
GRAMMAR = Grammar(
    "vLLM 0.32.0",
    {},
    needs={"--tools": "--parser", "--outputs": "--requests"},
    least={"--interval": 0, "--share": 0.5, "--queued": 1},
    texts=frozenset({"--efforts"}),
    dotted=True,
)


def checked(*items: str) -> Checked:
    return check(items, TABLE, GRAMMAR)


@pytest.mark.parametrize(
    "items",
    [
        ['--attention-config={"backend": "X"}'],
        ["--attention-config.flash-version=3"],
        ["--engram-config={}"],
        ['--hf-overrides={"any": [1]}'],
        ["--allowed-origins=[]"],
        ["--anything=[]"],
        ["--anything=1"],
        ["--scalar=1"],
        ["--queued=32k"],
        ["--queued=1.5m"],
        ["--queued=4K"],
        ["--queued=7"],
        ["--interval=0"],
        ["--share=0.5"],
        ["--tools", "--parser=hermes"],
        ["--parser=hermes", "--tools"],
        ["--no-tools"],
        ["--outputs", "--requests"],
        ['--efforts={"low": "x"}'],
    ],
)
def test_what_the_engine_takes_passes(items: list[str]) -> None:
    assert checked(*items).problems == ()
    assert list(checked(*items).args)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        (["--attention-config=[]"], "but it takes a JSON object"),
        (["--attention-config=1"], "but it takes a JSON object"),
        (["--attention-config={"], "but it takes a JSON object"),
        (["--allowed-origins={}"], "but it takes a JSON list"),
        (["--scalar=[]"], "but it takes a JSON number or string"),
        (["--anything=x"], "but it takes JSON"),
        (
            ['--attention-config={"backends": 1}'],
            "a part 'backends', which it does not have. Did you mean 'backend'? Correct or remove",
        ),
        (["--attention-config.none=1"], "a part 'none', which it does not have"),
        (['--engram-config={"a": 1}'], "a part 'a', which it does not have. Correct"),
        (["--queued=auto"], "but it takes a whole number, also with a unit as in 32k"),
        (["--queued=1.5K"], "but it takes a whole number, also with a unit as in 32k"),
        (["--queued=0"], "the value '0', but it takes 1 or more"),
        (["--interval=-1"], "gives --interval the value '-1', but it takes 0 or more"),
        (["--share=0.25"], "but it takes 0.5 or more"),
        (["--interval=x"], "but it takes a whole number"),
        (["--tools"], "is '--tools', which vLLM 0.32.0 takes only with --parser: add it, or"),
        (["--outputs", "--no-requests"], "takes only with --requests: add it, or remove --outputs"),
        (["--efforts=[]"], "but it takes a JSON object of strings"),
        (['--efforts={"low": 1}'], "but it takes a JSON object of strings"),
        (["--efforts={"], "but it takes JSON"),
    ],
)
def test_what_the_engine_refuses_is_refused_by_name(items: list[str], says: str) -> None:
    (problem,) = checked(*items).problems
    assert problem.reason == Reason.ARGUMENT_REFUSED
    assert problem.field == "spec.engine.extraArgs[0]"
    assert says in problem.message


def test_a_switch_and_its_negation_are_one_flag() -> None:
    for items in (["--requests", "--no-requests"], ["--no-requests", "--requests"]):
        (problem,) = checked(*items).problems
        assert "a second time" in problem.message


def test_a_flag_without_its_companion_is_told_where_it_stands() -> None:
    (problem,) = checked("--interval=3", "--tools").problems
    assert problem.field == "spec.engine.extraArgs[1]"


@pytest.mark.parametrize(
    "items",
    [
        ["--enable-auto-tool-choice"],
        ["--enable-log-outputs"],
        ["--sse-keep-alive-interval=-1"],
        ["--max-num-queued-tokens=many"],
        ["--attention-config=[]"],
        ['--attention-config={"backends": 1}'],
    ],
)
@pytest.mark.parametrize("version", ["0.32.0", "0.33.0"])
def test_vllms_rules_are_in_force(items: list[str], version: str) -> None:
    engine = {"type": "VLLM", "version": version, "extraArgs": items}
    assert refusal(engine=engine).reason == Reason.ARGUMENT_REFUSED


def test_sglangs_rules_are_in_force() -> None:
    engine = {"type": "SGLang", "extraArgs": ["--export-metrics-to-file"]}
    frames = {"framesPerVideo": 32}
    problem = refusal(ORIGINAL_7B, engine=engine, workload=frames)
    assert "takes only with --export-metrics-to-file-dir" in problem.message
    engine["extraArgs"].append("--export-metrics-to-file-dir=/tmp")  # type: ignore[attr-defined] # a list
    assert planned(ORIGINAL_7B, engine=engine, workload=frames).launch is not None
