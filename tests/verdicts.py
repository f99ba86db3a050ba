"""What tools make of an object: what we promise, the real kstatus, Argo CD's health script."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

from devcluster import binaries
from devcluster.progress import silent
from tests import argocd

if TYPE_CHECKING:
    from collections.abc import Sequence

Object = dict[str, Any]


class Verdict(NamedTuple):
    """One word, and the sentence with it."""

    status: str
    message: str


def true_conditions(obj: Object) -> set[str]:
    """Types of the conditions that are true."""
    return {c["type"] for c in obj.get("status", {}).get("conditions", []) if c["status"] == "True"}


def seen(obj: Object) -> bool:
    """Whether the status speaks of this generation of the object."""
    observed = obj.get("status", {}).get("observedGeneration", -1)
    return bool(observed == obj["metadata"]["generation"])


def promised(obj: Object) -> str:
    """kstatus' word as our conditions promise it: what they mean, not how a tool reads them."""
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    true = true_conditions(obj)
    if seen(obj) and "Stalled" in true:
        return "Failed"
    return "Current" if seen(obj) and "Ready" in true else "InProgress"


def kstatus(objects: Sequence[Object]) -> list[Verdict]:
    """The verdicts of kstatus itself: the Go library that Flux and Helm use."""
    done = subprocess.run(
        [binaries.kstatus(silent())],
        input="".join(f"{json.dumps(obj)}\n" for obj in objects),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts = [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(objects)
    return verdicts


def health(obj: Object) -> Verdict:
    """The verdict of our health script, as Argo CD would run it."""
    return Verdict(**argocd.health(obj))


def promised_health(obj: Object) -> str:
    """Argo CD's word for what kstatus' word says; a pause is its own word there."""
    if seen(obj) and obj["spec"].get("paused") and "Stalled" not in true_conditions(obj):
        return "Suspended"
    return {"Failed": "Degraded", "Current": "Healthy", "InProgress": "Progressing"}[promised(obj)]
