"""vLLM with the plugin against an independent forward: counts, embeddings, probabilities."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.plugin.answers import answers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.answers import Answers
    from tests.serving_env import Serving

pytestmark = pytest.mark.engines
NEWLINES = ("grid", "frame", "one_token", "no_token")
POOLINGS = ("bilinear", "average")
FRAMES = (1, 8, 64)
SIZE = 70
_EMBEDDING = 2e-6
_LOGPROB = 2e-5
"""Largest difference allowed (embeddings: of the largest); float32 sums in another order."""


class Media:
    """Draws videos and images, each another one, and writes them to files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = itertools.count()

    def video(self, frames: int, width: int = SIZE, height: int = SIZE) -> list[str]:
        return ["video", self._save((frames, height, width, 3))]

    def image(self, width: int, height: int) -> list[str]:
        return ["image", self._save((height, width, 3))]

    def _save(self, shape: tuple[int, ...]) -> str:
        number = next(self._number)
        place = self._folder / f"{number}.npy"
        np.save(place, np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8))
        return str(place)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    return Media(tmp_path_factory.mktemp("media"))


def ask(*media: list[str], newlines: str = "grid", pooling: str = "bilinear", **more: str) -> Any:
    question = more.pop("question", "What happens?")
    return {
        "media": list(media),
        "question": question,
        "newlines": newlines,
        "pooling": pooling,
        **more,
    }


@pytest.fixture(scope="module")
def requests(media: Media) -> dict[str, Any]:
    layouts = itertools.product(NEWLINES, POOLINGS, FRAMES)
    asked = {
        f"{newlines} {pooling} {frames}": ask(
            media.video(frames), newlines=newlines, pooling=pooling
        )
        for newlines, pooling, frames in layouts
    }
    return asked | {
        "grid max 3": ask(media.video(3), pooling="max"),
        "resized": ask(media.video(4, width=96, height=64)),
        "square image": ask(media.image(140, 140)),
        "wide image": ask(media.image(150, 60)),
        "tall image": ask(media.image(50, 130)),
        "small image": ask(media.image(40, 30)),
        "two images": ask(media.image(140, 70), media.image(60, 60)),
        "image and video": ask(media.image(70, 140), media.video(2)),
        "first of two": ask(media.video(5), question="What is red?", batch="two"),
        "second of two": ask(media.video(9), question="Who?", batch="two"),
        "no media": ask(question="Say something."),
    }


@pytest.fixture(scope="module")
def wanted(engine: Serving, checkpoint: Path, requests: dict[str, Any]) -> Answers:
    return answers(engine, "reference", checkpoint, requests)


@pytest.fixture(scope="module")
def given(engine: Serving, prepared: Path, requests: dict[str, Any]) -> Answers:
    return answers(engine, "engine", prepared, requests)


def differences(given: Answers, wanted: Answers) -> list[str]:
    """What is not the same, in words; empty if all is."""
    found = []
    for name, answer in given.by_name.items():
        other = wanted.by_name[name]
        found += [
            f"{name}: {what} {answer[what]}, the reference has {other[what]}"
            for what in ("prompt_tokens", "tokens")
            if answer[what] != other[what]
        ]
        apart = np.abs(np.subtract(answer["first"], other["first"])).max()
        if not apart <= _LOGPROB:
            found.append(f"{name}: first log-probabilities are {apart:.2e} apart")
    with np.load(given.embeddings) as ours, np.load(wanted.embeddings) as theirs:
        for name in ours:
            if ours[name].shape != theirs[name].shape:
                found.append(f"{name}: {ours[name].shape} embeddings, not {theirs[name].shape}")
                continue
            apart = np.abs(ours[name] - theirs[name]).max()
            if not apart <= _EMBEDDING * max(1, np.abs(theirs[name]).max()):
                found.append(f"{name}: embeddings are {apart:.2e} apart")
    return found


def test_vllm_serves_the_layout_of_the_training(given: Answers, wanted: Answers) -> None:
    assert given.by_name.keys() == wanted.by_name.keys()
    assert differences(given, wanted) == []
    with np.load(given.embeddings) as ours, np.load(wanted.embeddings) as theirs:
        assert set(ours) == set(theirs)


def test_answers_depend_on_the_video(wanted: Answers) -> None:
    """Else equal answers would show nothing."""
    answers = {tuple(answer["tokens"]) for answer in wanted.by_name.values()}
    assert len(answers) > len(wanted.by_name) // 2


@pytest.mark.parametrize("split", ["TENSOR_PARALLEL", "PIPELINE_PARALLEL"])
def test_two_ranks_answer_as_one(
    engine: Serving, prepared: Path, wanted: Answers, requests: dict[str, Any], split: str
) -> None:
    names = ("grid bilinear 8", "grid bilinear 64", "square image", "two images")
    few = {name: requests[name] for name in names}
    given = answers(engine, "engine", prepared, few, **{split: "2"})
    assert given.by_name.keys() == few.keys()
    assert differences(given, wanted) == []


@pytest.mark.parametrize("mutation", ["drop", "zero"])
def test_a_plugin_without_newlines_is_noticed(
    engine: Serving,
    prepared: Path,
    wanted: Answers,
    requests: dict[str, Any],
    mutation: str,
) -> None:
    few = {name: requests[name] for name in ("grid bilinear 1", "grid bilinear 8")}
    broken = answers(engine, "engine", prepared, few, mutation)
    told = differences(broken, wanted)
    for name in few:
        assert any(line.startswith(f"{name}:") for line in told), told
    if mutation == "drop":
        assert any("prompt_tokens" in line for line in told)
