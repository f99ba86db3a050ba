"""A pytest plugin: writes down every object that the scenarios bring about, one JSON per line.

`python -m pytest tests/scenario -p tests.cluster.recording`, with the file's path in `RECORDING`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.scenario.simulator import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "RECORDING"

_seen: dict[str, str] = {}


def _note(cluster: Cluster) -> None:
    for obj in cluster.deployments.values():
        text = json.dumps(obj)
        verdict = {
            "metadata": {**obj["metadata"], "uid": "", "deletionTimestamp": ""},
            "deleted": "deletionTimestamp" in obj["metadata"],
            "asked": [obj["spec"].get(key) for key in ("paused", "replicas")]
            if isinstance(obj.get("spec"), dict)
            else [],
            "status": _without_times(obj["status"]),
        }
        _seen.setdefault(json.dumps(verdict, sort_keys=True), text)


def _without_times(status: dict[str, Any]) -> Any:
    kept = {key: status.get(key) for key in ("observedGeneration", "conditions")}
    if not isinstance(kept["conditions"], list):
        return kept
    return {
        **kept,
        "conditions": [{**each, "lastTransitionTime": ""} for each in kept["conditions"]],
    }


def _noting(method: Callable[..., Any]) -> Callable[..., Any]:
    def noted(cluster: Cluster, *args: Any, **options: Any) -> Any:
        result = method(cluster, *args, **options)
        _note(cluster)
        return result

    return noted


def pytest_configure() -> None:
    for name in ("create", "edit", "delete", "reconcile"):
        setattr(Cluster, name, _noting(getattr(Cluster, name)))


def pytest_unconfigure() -> None:
    Path(os.environ[VARIABLE]).write_text("".join(f"{text}\n" for text in _seen.values()))
