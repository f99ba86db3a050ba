from __future__ import annotations

import pytest

from videollm_operator.engines.text import did_you_mean, listed, literal, quoted, short


@pytest.mark.parametrize(
    ("words", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
)
def test_words_are_listed_as_a_person_would(words: list[str], text: str) -> None:
    assert listed(words) == text


def test_words_are_quoted() -> None:
    assert quoted(["a", "b"], "and") == "'a' and 'b'"


def test_near_words_are_asked_for_whatever_their_case() -> None:
    assert did_you_mean("l40", ["L40", "L40S", "T4"]) == " Did you mean 'L40' or 'L40S'?"
    assert did_you_mean("zzz", ["L40"]) == ""


def test_long_text_is_cut_and_put_on_one_line() -> None:
    assert short("a\n b") == "a b"
    assert short("x" * 100, 10) == "xxxxxxx..."


@pytest.mark.parametrize("text", ["$(HF_TOKEN)", "a$b", "$$(X)", "$"])
def test_dollars_are_doubled_so_that_kubernetes_expands_nothing(text: str) -> None:
    doubled = literal(text)
    assert doubled.replace("$$", "$") == text
    assert doubled.count("$") == 2 * text.count("$")
