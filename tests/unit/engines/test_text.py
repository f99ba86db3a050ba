from __future__ import annotations

import pytest

from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.select import product_labels
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


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("H100", "'H100-80GB' or 'H100-NVL'"),
        ("a100-80", "'A100-80GB'"),
        ("A100_80GB", "'A100-80GB'"),
        ("h200", "'H200-141GB'"),
        ("A100-SXM4-80GB", "'A100-80GB'"),
        ("6000-ada", "'RTX-6000-Ada'"),
        ("pro 6000", "'RTX-PRO-6000'"),
        ("NVIDIA-H100-PCIe", "'H100-80GB'"),
        ("Tesla-T4", "'T4'"),
    ],
)
def test_the_gpu_that_was_meant_comes_first(word: str, meant: str) -> None:
    said = did_you_mean(word, builtin().gpus, product_labels(builtin().gpus.values()))
    assert said.startswith(f" Did you mean {meant.removesuffix('?')}")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("llava-video-72b", "lmms-lab/LLaVA-Video-72B-Qwen2"),
        ("LLaVA-Video-7B", "lmms-lab/LLaVA-Video-7B-Qwen2"),
        ("llava-72b-video", "lmms-lab/LLaVA-Video-72B-Qwen2"),
        ("lmms-lab/LLaVA-Video-72B", "lmms-lab/LLaVA-Video-72B-Qwen2"),
        ("LLaVA-Video-72B-Qwen2-hf", "lmms-lab/LLaVA-Video-72B-Qwen2"),
        ("llava-next-video-34b", "llava-hf/LLaVA-NeXT-Video-34B-hf"),
    ],
)
def test_the_model_that_was_meant_comes_first(word: str, meant: str) -> None:
    assert did_you_mean(word, builtin().models).startswith(f" Did you mean '{meant}'")


@pytest.mark.parametrize("word", ["", "--", "?", "x"])
def test_what_is_like_nothing_gets_no_suggestion(word: str) -> None:
    assert did_you_mean(word, builtin().gpus) == ""


def test_long_text_is_cut_and_put_on_one_line() -> None:
    assert short("a\n b") == "a b"
    assert short("x" * 100, 10) == "xxxxxxx..."


@pytest.mark.parametrize("text", ["$(HF_TOKEN)", "a$b", "$$(X)", "$"])
def test_dollars_are_doubled_so_that_kubernetes_expands_nothing(text: str) -> None:
    doubled = literal(text)
    assert doubled.replace("$$", "$") == text
    assert doubled.count("$") == 2 * text.count("$")
