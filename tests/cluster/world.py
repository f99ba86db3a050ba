"""What the cluster tests say: objects, and questions with deadlines about one namespace."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devcluster.errors import KubectlError, NotAvailableError
from devcluster.waiting import eventually
from hack.local_operator import ACCOUNT, NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.audit import AuditRecord
    from devcluster.target import Target

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "manifests" / "samples"
OPERATOR_USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
LOAD_SECONDS = "devcluster.videollm.io/load-seconds"
FAIL = "devcluster.videollm.io/fail"
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
CHILDREN = "statefulset,service,serviceaccount,poddisruptionbudget"


def vld(name: str = "a", /, **spec: Any) -> dict[str, Any]:
    """A 7B on one A100-80GB, 8 frames, cache in an emptyDir; `spec` replaces whole sections."""
    base: dict[str, Any] = {
        "model": {"name": SMALL},
        "gpu": {"sku": "A100-80GB"},
        "workload": {"framesPerVideo": 8},
        "cache": {"type": "EmptyDir"},
    }
    return {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": name},
        "spec": {**copy.deepcopy(base), **spec},
    }


def sample(name: str) -> list[dict[str, Any]]:
    """The documents of one file of manifests/samples."""
    return list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))


@dataclass(frozen=True)
class Namespace:
    """One namespace of the cluster."""

    cluster: Target
    name: str

    def apply(self, *objects: dict[str, Any]) -> None:
        """Applies objects as a user would."""
        text = yaml.safe_dump_all(objects)
        self.cluster.kubectl("apply", "-n", self.name, "-f", "-", input=text)

    def kubectl(self, *arguments: str) -> str:
        """kubectl in this namespace."""
        return self.cluster.kubectl("-n", self.name, *arguments)

    def get(self, kind: str, name: str = "a") -> dict[str, Any]:
        """One object."""
        return self.cluster.get(kind, name, "-n", self.name)

    def exists(self, kind: str, name: str = "a") -> bool:
        """Whether the object is there."""
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "-o", "name").strip())

    def children(self) -> list[dict[str, Any]]:
        """All children of all deployments, pods excepted."""
        return self.items(CHILDREN, "app.kubernetes.io/managed-by=videollm-operator")

    def items(self, kinds: str, selector: str = "") -> list[dict[str, Any]]:
        """All objects of some kinds."""
        flags = ["-l", selector] if selector else []
        found: list[dict[str, Any]] = self.cluster.get(kinds, "-n", self.name, *flags)["items"]
        return found

    def patch(self, kind: str, body: dict[str, Any], name: str = "a") -> None:
        """A merge patch, as an editor's save."""
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(body))

    def condition(self, kind: str, name: str = "a") -> dict[str, Any]:
        """One condition of a deployment; empty if it has none such."""
        conditions = self.get("vld", name).get("status", {}).get("conditions", [])
        found: dict[str, Any] = next((c for c in conditions if c["type"] == kind), {})
        return found

    def until(
        self,
        accept: Callable[[dict[str, Any]], object],
        name: str = "a",
        kind: str = "vld",
        within_s: float = 120.0,
    ) -> dict[str, Any]:
        """The object, once `accept` takes it.

        Raises:
            TimeoutError: if it does not come; with the object and the pods as they are then.
        """
        try:
            return eventually(lambda: self.get(kind, name), accept, timeout_s=within_s)
        except TimeoutError as late:
            pods = [(pod["metadata"]["name"], pod["status"]) for pod in self.items("pods")]
            logs = sorted(
                self.cluster.folder.glob("operator*.log"), key=lambda log: log.stat().st_mtime
            )
            said = "\n".join(logs[-1].read_text().splitlines()[-15:]) if logs else "none"
            msg = f"{late}\npods: {pods}\nend of the operator's log:\n{said}"
            raise TimeoutError(msg) from None

    def until_ready(
        self, name: str = "a", reason: str = "Serving", within_s: float = 120.0
    ) -> dict[str, Any]:
        """The deployment, once it is Ready at its own generation."""
        return self.until(
            lambda obj: ready(obj) == ("True", reason) and settled(obj), name, within_s=within_s
        )

    def until_reason(self, reason: str, name: str = "a", within_s: float = 120.0) -> dict[str, Any]:
        """The deployment, once `Ready` is False for this reason at its own generation."""
        return self.until(
            lambda obj: ready(obj) == ("False", reason) and settled(obj), name, within_s=within_s
        )


def ready(obj: dict[str, Any]) -> tuple[str, str]:
    """Status and reason of `Ready`."""
    for condition in obj.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return condition["status"], condition["reason"]
    return "Unknown", ""


def settled(obj: dict[str, Any]) -> bool:
    """Whether the status speaks of this generation."""
    return bool(obj["status"]["observedGeneration"] == obj["metadata"]["generation"])


def condition_types(obj: dict[str, Any]) -> set[str]:
    """Types of the conditions that are there."""
    return {condition["type"] for condition in obj.get("status", {}).get("conditions", [])}


def audit_mark(cluster: Target) -> int:
    """A mark in the API server's audit log; skips the test where that cannot be read."""
    try:
        return cluster.audit_mark()
    except NotAvailableError as why:
        pytest.skip(f"the API server's audit log is the witness here: {why}")


def by_operator(cluster: Target, mark: int) -> Iterator[AuditRecord]:
    """What the operator asked for since a mark; the renewals of its own Lease left out."""
    return (
        record
        for record in cluster.audit_events(mark)
        if record.user == OPERATOR_USER and record.resource != "leases"
    )


def writes(cluster: Target, mark: int) -> list[AuditRecord]:
    """The operator's writes since a mark, Events left out."""
    return [r for r in by_operator(cluster, mark) if r.write and r.resource != "events"]


def refused(action: Callable[[], object]) -> str:
    """The message with which kubectl refuses."""
    try:
        action()
    except KubectlError as error:
        return str(error)
    raise AssertionError("it was not refused")
