from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videollm_operator.api.reasons import Reason
from videollm_operator.catalog.flags import Flag, FlagTable
from videollm_operator.engines.arguments import Checked, Grammar, check

TABLE = FlagTable(
    engine="VLLM",
    version="0.32.0",
    source="by hand",
    flags=(
        Flag("--seed", "integer"),
        Flag("--temperature", "number"),
        Flag("--chat-template", "string"),
        Flag("--chat-template-content-format", "string", choices=("auto", "openai", "string")),
        Flag("--enforce-eager", "boolean", negation=("--no-enforce-eager",)),
        Flag("--trust-remote-code", "boolean"),
        Flag("--pooler-config", "json"),
        Flag("--middleware", "string", nargs="many"),
        Flag("--log-config", "string", nargs="optional"),
        Flag("--tensor-parallel-size", "integer", aliases=("-tp",)),
        Flag("--limit-mm-per-prompt", "json"),
    ),
)
GRAMMAR = Grammar(
    "vLLM 0.32.0",
    {
        "--tensor-parallel-size": "set `spec.parallelism` instead",
        "--limit-mm-per-prompt": "set `spec.workload` instead",
        "--hidden-flag": "leave it",
    },
    dotted=True,
)


def checked(*items: str, unchecked: bool = False, grammar: Grammar = GRAMMAR) -> Checked:
    return check(items, TABLE, grammar, unchecked=unchecked)


@pytest.mark.parametrize(
    ("items", "args"),
    [
        ([], []),
        (["--seed=7"], ["--seed=7"]),
        (["--seed", "7"], ["--seed=7"]),
        (["--seed", "-7"], ["--seed=-7"]),
        (["--temperature=1e-3"], ["--temperature=1e-3"]),
        (["--temperature", "-.5"], ["--temperature=-.5"]),
        (["--chat_template=a_b"], ["--chat-template=a_b"]),
        (["--chat-template=--seed"], ["--chat-template=--seed"]),
        (["--chat-template="], ["--chat-template="]),
        (["--chat-template-content-format=auto"], ["--chat-template-content-format=auto"]),
        (["--enforce-eager"], ["--enforce-eager"]),
        (["--no-enforce-eager"], ["--no-enforce-eager"]),
        (['--pooler-config={"a": 1}'], ['--pooler-config={"a": 1}']),
        (["--pooler-config.kind", "x"], ["--pooler-config.kind=x"]),
        (["--middleware", "a", "b"], ["--middleware", "a", "b"]),
        (["--middleware=a"], ["--middleware=a"]),
        (["--log-config"], ["--log-config"]),
        (["--log-config", "x"], ["--log-config=x"]),
        (["--seed=1", "--enforce-eager"], ["--seed=1", "--enforce-eager"]),
    ],
)
def test_good_arguments_are_passed_on_in_the_flags_own_spelling(
    items: list[str], args: list[str]
) -> None:
    assert checked(*items) == Checked(tuple(args), ())


@pytest.mark.parametrize(
    ("items", "index", "sentence"),
    [
        (["7"], 0, "is '7', which belongs to no flag: write flag and value as one item"),
        (["--"], 0, "is '--', which is not a flag: remove it"),
        (["-"], 0, "is '-', which is not a flag"),
        (
            ["--sed=1"],
            0,
            "is '--sed', a flag that vLLM 0.32.0 does not have. Did you mean '--seed'",
        ),
        (["--seed=1", "--xyz"], 1, "is '--xyz', a flag that vLLM 0.32.0 does not have. Correct"),
        (["--temp=1"], 0, "is '--temp', an abbreviation of --temperature: write the flag out"),
        (
            ["--chat=1"],
            0,
            "an abbreviation of --chat-template or --chat-template-content-format: write",
        ),
        (
            ["--tensor-parallel-size=2"],
            0,
            "'--tensor-parallel-size', which the plan sets: remove it and set `spec.parallelism`",
        ),
        (["--tensor_parallel_size", "2"], 0, "which the plan sets"),
        (["-tp", "2"], 0, "is '-tp', which the plan sets"),
        (["-tp=2"], 0, "is '-tp', which the plan sets"),
        (["--limit-mm-per-prompt.video", "9"], 0, "is '--limit-mm-per-prompt.video', which the"),
        (["--hidden-flag"], 0, "which the plan sets: remove it and leave it"),
        (["--seed.x=1"], 0, "is '--seed.x', but --seed has no parts: write '--seed=...'"),
        (["--seed"], 0, "gives --seed no value: write '--seed=...'"),
        (["--pooler-config.kind"], 0, "gives --pooler-config.kind no value of its own"),
        (["--seed", "1", "2"], 0, "gives --seed the values '1' and '2', but it takes one: keep"),
        (["--seed=1", "2"], 0, "gives --seed the values '1' and '2', but it takes one: keep one"),
        (["--middleware=a", "b"], 0, "takes one after `=`: keep one, or write flag and values as"),
        (["--middleware"], 0, "gives --middleware no value"),
        (["--seed=x"], 0, "gives --seed the value 'x', but it takes a whole number"),
        (["--seed=1.5"], 0, "but it takes a whole number"),
        (["--temperature=warm"], 0, "gives --temperature the value 'warm', but it takes a number"),
        (["--pooler-config={"], 0, "gives --pooler-config the value '{', but it takes JSON"),
        (
            ["--chat-template-content-format=x"],
            0,
            "the value 'x', but it takes 'auto', 'openai' or 'string'",
        ),
        (
            ["--enforce-eager=true"],
            0,
            "value 'true', but it takes none: write --enforce-eager alone, or --no-enforce-eager",
        ),
        (["--trust-remote-code", "yes"], 0, "takes none: write --trust-remote-code alone"),
        (["--seed=1", "--seed=2"], 1, "gives --seed a second time: keep one of them"),
        (["--enforce-eager", "--no-enforce-eager"], 1, "gives --enforce-eager a second time"),
        (["--pooler-config.a=1", "--pooler-config.a=2"], 1, "gives --pooler-config.a a second"),
    ],
)
def test_bad_arguments_are_refused_by_name(items: list[str], index: int, sentence: str) -> None:
    (problem,) = checked(*items).problems
    assert problem.reason == Reason.ARGUMENT_REFUSED
    assert problem.field == f"spec.engine.extraArgs[{index}]"
    assert problem.message.startswith(f"`spec.engine.extraArgs[{index}]` ")
    assert sentence in problem.message


def test_every_bad_argument_is_told_at_once() -> None:
    assert len(checked("x", "--seed=x", "--enforce-eager", "--xyz").problems) == 3


def test_a_long_value_is_cut_in_the_message() -> None:
    (problem,) = checked("--seed=" + "9x" * 500).problems
    assert len(problem.message) < 200


def test_unknown_flags_pass_unchecked_when_allowed() -> None:
    args = checked("--new-flag", "a", "b", "--other_new=1", "--alone", unchecked=True)
    assert args == Checked(("--new-flag", "a", "b", "--other-new=1", "--alone"), ())


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ("--tensor-parallel-size=2", "which the plan sets"),
        ("--tensor-par=2", "an abbreviation of --tensor-parallel-size"),
        ("--limit-mm.video=2", "an abbreviation of --limit-mm-per-prompt"),
        ("-q=fp8", "only flags written out with two dashes can pass unchecked"),
        ("--seed=x", "takes a whole number"),
    ],
)
def test_unchecked_does_not_open_what_the_plan_owns(item: str, sentence: str) -> None:
    (problem,) = checked(item, unchecked=True).problems
    assert sentence in problem.message


def test_a_part_of_an_unowned_abbreviation_passes_unchecked() -> None:
    assert checked("--temp=1", unchecked=True).args == ("--temp=1",)


@pytest.mark.parametrize("value", ["a b", "a\tb", "*", "a?", "[a]"])
def test_what_a_shell_would_split_is_refused_where_one_reads_the_arguments(value: str) -> None:
    grammar = Grammar("TGI 3.3.7", {}, shell_split=True)
    (problem,) = checked(f"--chat-template={value}", grammar=grammar).problems
    assert "TGI 3.3.7's entry script would split it" in problem.message
    assert checked(f"--chat-template={value}").problems == ()


def test_a_dot_is_part_of_the_name_where_flags_have_no_parts() -> None:
    (problem,) = checked("--pooler-config.a=1", grammar=Grammar("SGLang 0.5.23", {})).problems
    assert "does not have" in problem.message


@given(st.lists(st.text(max_size=12), max_size=6), st.booleans())
def test_any_text_gives_arguments_or_problems_and_owned_flags_never_pass(
    items: list[str], unchecked: bool
) -> None:
    result = check(items, TABLE, GRAMMAR, unchecked=unchecked)
    for word in result.args:
        assert not word.startswith(("--tensor-p", "-tp", "--limit"))
    for problem in result.problems:
        assert "\n" not in problem.message
