"""What must hold over the published measurements: the rules by name, then the committed figures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hack.accuracy import compare, cover, outputs, predict, scores
from hack.accuracy.schema import Term
from videollm_operator.sizing.types import Verdict

if TYPE_CHECKING:
    from hack.accuracy.compare import Result


def test_no_run_that_failed_is_predicted_to_fit(result: Result) -> None:
    failed = [one for one in result.verdicts if not one.ran]
    assert len(failed) >= 5
    assert [one for one in failed if one.predicted is Verdict.FITS] == []


def test_no_run_that_ran_is_called_impossible(result: Result) -> None:
    ran = [one for one in result.verdicts if one.ran]
    assert len(ran) >= 22
    assert [one for one in ran if one.predicted is Verdict.DOES_NOT_FIT] == []


def test_few_runs_that_ran_are_called_tight(result: Result) -> None:
    assert scores.tight_percent(result) <= 15


def test_weights_of_dense_models_are_exact_enough(result: Result) -> None:
    mean, worst = scores.dense_weights(result)
    assert len([one for one in result.of(Term.WEIGHTS) if scores.dense(one)]) >= 14
    assert mean <= 0.5
    assert worst <= 1.5


def test_no_process_holds_less_than_its_weights(result: Result) -> None:
    """INT8 and INT4 checkpoints among them; a process holds up to 1.2 GiB more."""
    found = result.of(Term.PROCESS)
    assert len(found) >= 12
    assert all(-1.25 <= one.error_gib <= 0 for one in found)


def test_a_prompt_with_a_video_has_the_videos_tokens_and_a_few_of_text(result: Result) -> None:
    """The one published number of a LLaVA video model that the table can be held against."""
    (one,) = result.of(Term.PROMPT)
    assert one.predicted == 32 * 144
    assert 0 < one.measured - one.predicted < 100


def test_nine_in_ten_kv_caches_are_within_a_gib_or_five_percent(result: Result) -> None:
    assert len(result.of(Term.KV_MEMORY)) >= 14
    assert scores.close_percent(result.of(Term.KV_MEMORY)) >= 90


def test_tokens_of_a_known_kv_cache_are_exact_to_the_rounding_of_the_log(result: Result) -> None:
    """Logs round GiB to 0.01, tokens to a block."""
    found = result.of(Term.KV_FORMULA)
    assert len(found) >= 6
    assert all(abs(one.error_gib) <= 0.006 for one in found)


def test_a_kv_cache_is_over_predicted_only_within_the_margin_of_its_run(result: Result) -> None:
    for one in result.of(*compare.KV_TERMS):
        margin = predict.asked(one.judged.facts).fit.margin / 1024
        assert one.error_gib <= max(0.5, margin)


def test_the_planners_bounds_cover_what_was_measured(result: Result) -> None:
    found = {one.term: one for one in cover.covers(result)}
    assert {term: one.beyond for term, one in found.items()} == dict.fromkeys(cover.TERMS, ())
    assert found[Term.WEIGHTS].rows >= 14
    assert found[Term.ACTIVATION].rows >= 11
    assert found[Term.RUNTIME].rows >= 10
    assert found[Term.GRAPHS].rows >= 11


def test_no_rule_is_broken_and_nothing_got_worse(result: Result) -> None:
    assert scores.problems(result) == []


def test_files_are_up_to_date(result: Result) -> None:
    for path, text in outputs.files(result).items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m hack.accuracy`"


# ---------------------------------------------------------------- the gates themselves


def test_a_wrong_verdict_breaks_a_rule(result: Result) -> None:
    first = result.verdicts[0]
    refused = replace(first, ran=True, predicted=Verdict.DOES_NOT_FIT)
    hopeful = replace(first, ran=False, predicted=Verdict.FITS)
    found = scores.broken(replace(result, verdicts=(refused, hopeful, *result.verdicts[1:])))
    assert [text.split(": ")[1] for text in found] == [
        "ran, but is called impossible",
        "failed, but is predicted to fit",
    ]


def test_too_many_tight_runs_break_a_rule(result: Result) -> None:
    tight = tuple(replace(one, predicted=Verdict.TIGHT) for one in result.verdicts)
    assert scores.broken(replace(result, verdicts=tight)) == [
        "100 % of the runs that ran are called tight"
    ]


@pytest.mark.parametrize(
    ("term", "factor", "expected"),
    [
        (Term.WEIGHTS, 0.9, "weights of dense models: "),
        (Term.KV_MEMORY, 2.0, "only "),
        (Term.KV_MEMORY, 1.2, "KV cache over-predicted by "),
        (Term.RUNTIME, 0.1, "runtime under-predicted by "),
    ],
)
def test_wrong_numbers_break_a_rule(
    result: Result, term: Term, factor: float, expected: str
) -> None:
    def changed(one: compare.Comparison) -> compare.Comparison:
        if one.term is not term:
            return one
        predicted = one.predicted * factor
        return replace(one, predicted=predicted, error_gib=predicted - one.measured)

    moved = tuple(changed(one) for one in result.comparisons)
    assert any(expected in text for text in scores.broken(replace(result, comparisons=moved)))


def test_worse_figures_are_named() -> None:
    before = {"KV cache, median GiB": 0.3, "wrong verdicts": 0.0, "gone": 1.0}
    now = {"KV cache, median GiB": 0.32, "wrong verdicts": 0.0}
    assert scores.worse(now, before) == [
        "gone: not measured any more",
        "KV cache, median GiB: 0.32, was 0.3",
    ]
    assert scores.worse(before, before) == []


def test_the_nearest_rank_is_a_value_that_was_seen() -> None:
    assert scores.percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert scores.percentile([1.0, 2.0, 3.0, 4.0], 90) == 4.0
    assert scores.percentile([1.0], 50) == 1.0
