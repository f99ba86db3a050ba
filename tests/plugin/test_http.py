"""`vllm serve` of the prepared folder, asked over HTTP as a client asks."""

from __future__ import annotations

import base64
import io
import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.serving_env import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.serving_env import Serving

pytestmark = pytest.mark.engines

README = PLUGIN / "README.md"


@pytest.fixture(scope="module")
def server(engine: Serving, prepared: Path) -> Iterator[str]:
    """Its address."""
    arguments = [
        *("--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager"),
        *("--max-model-len", "2048", "--max-num-seqs", "2"),
        *("--kv-cache-memory-bytes", str(32 << 20)),
        *("--media-io-kwargs", '{"video": {"num_frames": 8}}'),
    ]
    with engine.server(prepared, *arguments) as url:
        yield url


def video(seed: int, frames: int) -> dict[str, Any]:
    """A part of a message: frames as JPEG files in a data URL."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(frames):
        colours = random.integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(24, 0).repeat(24, 1)
        written = io.BytesIO()
        Image.fromarray(colours).save(written, "JPEG")
        pictures.append(base64.b64encode(written.getvalue()).decode())
    return {
        "type": "video_url",
        "video_url": {"url": f"data:video/jpeg;base64,{','.join(pictures)}"},
    }


def ask(server: str, *parts: dict[str, Any]) -> dict[str, Any]:
    body = {
        "model": "tiny",
        "temperature": 0,
        "max_tokens": 8,
        "return_token_ids": True,
        "messages": [{"role": "user", "content": list(parts)}],
    }
    request = urllib.request.Request(  # noqa: S310 - our own server's http address
        f"{server}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - as above
        return dict(json.load(answer))


def test_a_video_is_answered_in_the_layout_of_the_training(server: str) -> None:
    question = {"type": "text", "text": "What happens?"}
    without = ask(server, question)
    one, other = ask(server, video(1, 8), question), ask(server, question, video(2, 8))
    words = without["usage"]["prompt_tokens"] + len("\n")
    for answer in (one, other):
        assert answer["usage"]["prompt_tokens"] == words + 8 * 3 * (3 + 1)
        assert answer["prompt_token_ids"].count(260) == 8 * 3 * (3 + 1)
    start = [answer["prompt_token_ids"].index(260) for answer in (one, other)]
    assert start[0] == start[1]  # the video is first, wherever the request has it
    assert one["choices"][0]["token_ids"] != other["choices"][0]["token_ids"]


def test_the_sample_of_the_readme_is_answered(engine: Serving, server: str, tmp_path: Path) -> None:
    (sample,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    clip = str(tmp_path / "clip.mp4")
    ours = {"http://localhost:8000": server, "/prepared/model": "tiny", "clip.mp4": clip}
    for word, instead in ours.items():
        assert sample.count(word) == 1
        sample = sample.replace(word, instead)
    filmed = engine.run("-c", FILM, clip)
    assert filmed.returncode == 0, filmed.stderr
    done = engine.run("-c", sample)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


FILM = """
import sys

import cv2
import numpy

film = cv2.VideoWriter(sys.argv[1], cv2.VideoWriter_fourcc(*"mp4v"), 8, (64, 64))
assert film.isOpened()
for number in range(80):
    film.write(numpy.full((64, 64, 3), 3 * number, numpy.uint8))
film.release()
"""
