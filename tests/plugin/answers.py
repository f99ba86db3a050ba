"""Lets the programs of `inside/` answer requests, in the environment where vLLM computes."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.serving_env import ServingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.serving_env import Serving

INSIDE = Path(__file__).resolve().parent / "inside"


@dataclass(frozen=True)
class Answers:
    """What a program answered."""

    by_name: dict[str, Any]
    embeddings: Path


def answers(
    engine: Serving, program: str, model: Path, requests: Mapping[str, Any], *more: str, **env: str
) -> Answers:
    """Let `inside/PROGRAM.py` answer the requests. Raises ServingError if it fails."""
    place = engine.scratch / uuid.uuid4().hex
    place.mkdir()
    (place / "requests.json").write_text(json.dumps(requests), encoding="utf-8")
    files = (place / "requests.json", place / "answers.json")
    done = engine.run(INSIDE / f"{program}.py", model, *files, *more, env=env)
    (place / "log").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise ServingError(f"{program} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return Answers(json.loads(files[1].read_text()), files[1].with_suffix(".npz"))
