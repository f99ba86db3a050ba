"""Many deployments side by side in one namespace: brought about, looked at, and judged."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any, cast

from devcluster import binaries
from devcluster.errors import KubectlError
from devcluster.waiting import wait_until
from tests.cluster.world import condition_types, ready
from tests.verdicts import seen, true_conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.cluster.proofs.states import Told
    from tests.cluster.world import Namespace
    from videollm_operator.api.reasons import Reason

INSTANCE = "app.kubernetes.io/instance"

Row = tuple[str, str, str]

HOPELESS_S = 100.0
"""Longer than a deadline of the table: if nothing more came right for so long, nothing will."""


@dataclass(frozen=True)
class Sight:
    """A deployment and its pods, at about the same time."""

    obj: dict[str, Any]
    pods: tuple[dict[str, Any], ...]

    @property
    def counts(self) -> tuple[int, int]:
        """Pods that exist and pods that are ready, those that are ending left out."""
        living = [pod for pod in self.pods if "deletionTimestamp" not in pod["metadata"]]
        return len(living), sum(map(_is_ready, living))

    @property
    def conditions(self) -> dict[str, dict[str, Any]]:
        """The conditions by type."""
        return {c["type"]: c for c in self.obj["status"].get("conditions", [])}


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def mistakes(sight: Sight, told: Told) -> list[str]:
    """In what the object and its pods differ from what must be told; empty if in nothing."""
    obj, status, found = sight.obj, sight.obj["status"], sight.conditions
    checks = {
        "generation": (seen(obj), True),
        "Ready": (ready(obj), (told.ready, told.reason)),
        "true": (true_conditions(obj), set(told.true)),
        "there": (set(found), set(told.true) | {"Ready", "Sized"}),
        "pods": ((status.get("replicas"), status.get("readyReplicas")), sight.counts),
        "generations": (
            {c["observedGeneration"] for c in found.values()},
            {obj["metadata"]["generation"]},
        ),
    }
    wrong = [f"{what}: {is_} for {must}" for what, (is_, must) in checks.items() if is_ != must]
    for kind in ("Stalled", "Reconciling"):
        same = ("reason", "message")
        if kind in found and any(found[kind][key] != found["Ready"][key] for key in same):
            wrong.append(f"{kind} says something else than Ready")
    return wrong


def ready_is(status: str, reason: str) -> Callable[[Sight], object]:
    """Whether `Ready` says this of the present generation."""
    return lambda sight: ready(sight.obj) == (status, reason) and seen(sight.obj)


def is_told(told: Told) -> Callable[[Sight], object]:
    """Whether an object is as it must be."""
    return lambda sight: not mistakes(sight, told)


def stalled_by(reason: Reason) -> Callable[[Sight], object]:
    """Whether it is stalled for this reason."""
    return lambda sight: sight.conditions.get("Stalled", {}).get("reason") == reason


def has(kind: str) -> Callable[[Sight], object]:
    """Whether a condition is there."""
    return lambda sight: kind in condition_types(sight.obj)


def has_no(kind: str) -> Callable[[Sight], object]:
    """Whether a condition is absent."""
    return lambda sight: kind not in condition_types(sight.obj)


@dataclass
class Stage:
    """One namespace full of deployments."""

    space: Namespace

    def apply(self, objects: Iterable[dict[str, Any]]) -> None:
        """Applies objects as a user would, all in one call."""
        items = list(objects)
        if items:
            self.space.apply(*items)

    def look(self) -> dict[str, Sight]:
        """Every deployment with its pods."""
        pods: dict[str, list[dict[str, Any]]] = {}
        for pod in self._raw("/api/v1", "pods"):
            pods.setdefault(pod["metadata"]["labels"].get(INSTANCE, ""), []).append(pod)
        return {
            obj["metadata"]["name"]: Sight(obj, tuple(pods.get(obj["metadata"]["name"], ())))
            for obj in self._raw("/apis/videollm.io/v1alpha1", "videollmdeployments")
        }

    def until(
        self, accept: Mapping[str, Callable[[Sight], object]], within_s: float
    ) -> dict[str, Sight]:
        """Every deployment as soon as each named one is accepted; or as they are if it is too late.

        That is no error here: the test of each deployment says what is wrong with it.
        """
        sights: dict[str, Sight] = {}
        best, moved = -1, time.monotonic()

        def over() -> bool:
            nonlocal best, moved
            sights.clear()
            sights.update(self.look())
            good = sum(name in sights and bool(take(sights[name])) for name, take in accept.items())
            if good > best:
                best, moved = good, time.monotonic()
            return good == len(accept) or time.monotonic() - moved > HOPELESS_S

        wait_until(over, within_s, 0.5)
        return sights

    def rows(self) -> dict[str, Row]:
        """DESIRED, READY and STATUS of each line that `kubectl get vld` prints."""
        header, *lines = self.space.kubectl("get", "vld").splitlines()
        starts = [header.index(f"  {name}") + 2 for name in ("DESIRED", "READY", "STATUS", "AGE")]
        columns = list(pairwise(starts))
        return {
            line.split()[0]: cast("Row", tuple(line[a:b].strip() for a, b in columns))
            for line in lines
        }

    def waits(self, condition: str, names: Sequence[str]) -> set[str]:
        """The deployments for which `kubectl wait --for=condition=...` ends at once."""
        try:
            said = self.space.kubectl(
                "wait", f"--for=condition={condition}", "--timeout=0", "vld", *names
            )
        except KubectlError as error:
            said = error.stdout
        return {
            line.removeprefix("videollmdeployment.videollm.io/").removesuffix(" condition met")
            for line in said.splitlines()
            if line.endswith(" condition met")
        }

    def watch(self, file: Path) -> subprocess.Popen[str]:
        """Writes every change of every deployment into a file, until it is killed."""
        path = f"/apis/videollm.io/v1alpha1/namespaces/{self.space.name}/videollmdeployments"
        with file.open("w") as out:
            return self._started("get", "--raw", f"{path}?watch=true", stdout=out)

    def wait(self, name: str, within_s: float) -> subprocess.Popen[str]:
        """`kubectl wait` for a deployment's readiness, as a script would call it."""
        return self._started(
            "wait", "--for=condition=Ready", f"--timeout={within_s:.0f}s", f"vld/{name}"
        )

    def _started(self, *arguments: str, stdout: IO[str] | None = None) -> subprocess.Popen[str]:
        kubectl = [str(binaries.kubectl()), f"--kubeconfig={self.space.cluster.kubeconfig}"]
        where = [f"--namespace={self.space.name}"]
        out = stdout or subprocess.DEVNULL
        return subprocess.Popen([*kubectl, *where, *arguments], stdout=out, text=True)

    def _raw(self, group: str, plural: str) -> list[dict[str, Any]]:
        path = f"{group}/namespaces/{self.space.name}/{plural}"
        items: list[dict[str, Any]] = json.loads(self.space.kubectl("get", "--raw", path))["items"]
        return items


def history(file: Path) -> list[dict[str, Any]]:
    """What `Stage.watch` has written, but for a line that is not whole."""
    events = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    return [event["object"] for event in events if event["type"] in {"ADDED", "MODIFIED"}]
