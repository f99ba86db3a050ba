"""The real kstatus on every status that the scenarios bring about; and our own rules beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import permutations, product
from typing import TYPE_CHECKING, Any

import pytest

from hack.markdown import ROOT
from tests.cluster import recording
from tests.scenario.kstatus import verdict
from tests.verdicts import (
    health,
    kstatus,
    promised,
    promised_health,
    seen,
    true_conditions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.cluster

Object = dict[str, Any]

PLUGINS = ("-p", recording.__name__, "-p", "no:cacheprovider")


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """Every object that some scenario of tests/scenario brings about."""
    file = tmp_path_factory.mktemp("recording") / "objects"
    path = os.pathsep.join([str(ROOT / "operator"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/scenario", *PLUGINS],
        cwd=ROOT,
        env={**os.environ, recording.VARIABLE: str(file), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_real_kstatus_says_what_we_promise_of_every_status(reached: list[Object]) -> None:
    found = kstatus(reached)
    false = [
        (word.status, promised(obj), obj)
        for obj, word in zip(reached, found, strict=True)
        if word.status != promised(obj)
    ]
    assert false == []
    assert {word.status for word in found} == {"Current", "InProgress", "Failed", "Terminating"}
    assert len({tuple(sorted(true_conditions(obj))) for obj in reached}) > 20


def test_kstatus_tells_our_own_sentence(reached: list[Object]) -> None:
    objects = [obj for obj in reached if seen(obj) and promised(obj) in {"Failed", "InProgress"}]
    for obj, word in zip(objects, kstatus(objects), strict=True):
        ready = next(c for c in obj["status"]["conditions"] if c["type"] == "Ready")
        assert word.message == ready["message"]


def test_argo_cd_says_the_same_as_kstatus(reached: list[Object]) -> None:
    for obj in reached:
        if promised(obj) == "Terminating" or not isinstance(obj.get("spec"), dict):
            continue  # Argo CD says Progressing of what is being deleted, and asks no script
        said = health(obj)
        assert said.status == promised_health(obj), obj
        assert said.message


def objects_of_every_form() -> Iterator[Object]:
    """Ready, Reconciling and Stalled with each status, absent, and in each order."""
    words = (None, "True", "False", "Unknown")
    for statuses in product(words, repeat=3):
        conditions = [
            {"type": kind, "status": status, "reason": kind, "message": f"{kind} {status}"}
            for kind, status in zip(("Ready", "Reconciling", "Stalled"), statuses, strict=True)
            if status is not None
        ]
        for order in permutations(conditions):
            for generation, observed, deleted in product((None, 2), (None, -1, 1, 2, 3), (0, 1)):
                yield formed(list(order), generation, observed, deleted=bool(deleted))
    yield {**formed([], 1, None, deleted=False), "status": {}}
    without = formed([], 1, None, deleted=False)
    del without["status"]
    yield without


def formed(
    conditions: list[Object], generation: int | None, observed: int | None, *, deleted: bool
) -> Object:
    metadata: Object = {"name": "a", "namespace": "video"}
    if generation is not None:
        metadata["generation"] = generation
    if deleted:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    status: Object = {"conditions": [{"type": "Sized", "status": "True"}, *conditions]}
    if observed is not None:
        status["observedGeneration"] = observed
    return {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": metadata,
        "status": status,
    }


def test_our_own_rules_of_kstatus_are_the_librarys() -> None:
    objects = list(objects_of_every_form())
    assert len(objects) > 2000
    for obj, word in zip(objects, kstatus(objects), strict=True):
        assert verdict(obj) == word.status, obj
