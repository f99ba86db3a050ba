"""From API objects to facts. Pure: called on each watch event, and on what an apply returns."""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.api.reasons import Reason
from videollm_operator.reconcile.projection import digest, owned
from videollm_operator.reconcile.world import (
    ChildFacts,
    ChildKey,
    NodeFacts,
    PodFacts,
    WorkloadFacts,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

ENGINE_CONTAINER = "engine"
"""Name of the container that runs the engine."""

_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)
_CONFIG_REASONS = frozenset({"CreateContainerConfigError"})
_CRASH_REASONS = frozenset({"CrashLoopBackOff", "RunContainerError", "CreateContainerError"})

CRASHES = 2
"""Restarts from which on a container that is not ready counts as crashing also while it runs: a
crash loop runs most of the time, and would else be told as loading again and again."""


def child(obj: Mapping[str, Any]) -> ChildFacts:
    """Facts of a StatefulSet, Service, ServiceAccount, volume claim or disruption budget."""
    metadata = obj["metadata"]
    controller = _controller(metadata)
    return ChildFacts(
        key=ChildKey(obj["kind"], metadata["name"]),
        uid=metadata.get("uid", ""),
        controller_uid=controller["uid"] if controller else "",
        controller=f"{controller['kind']} '{controller['name']}'" if controller else "",
        managed=metadata.get("labels", {}).get(names.LABEL_MANAGED_BY) == names.MANAGED_BY,
        deleting="deletionTimestamp" in metadata,
        owned_digest=digest(owned(obj, names.FIELD_MANAGER)),
        workload=_workload(obj) if obj["kind"] == "StatefulSet" else None,
    )


def _controller(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    owners: Iterable[Mapping[str, Any]] = metadata.get("ownerReferences", ())
    return next((owner for owner in owners if owner.get("controller")), None)


def _workload(obj: Mapping[str, Any]) -> WorkloadFacts:
    status = obj.get("status", {})
    annotations = obj["metadata"].get("annotations", {})
    record = annotations.get(names.ANNOTATION_RECORD, "")
    return WorkloadFacts(
        generation=obj["metadata"].get("generation", 0),
        observed_generation=status.get("observedGeneration", 0),
        replicas=obj["spec"].get("replicas", 1),
        created_replicas=status.get("replicas", 0),
        update_revision=status.get("updateRevision", ""),
        record=zlib.compress(record.encode()) if record else b"",
        taking_up=annotations.get(names.ANNOTATION_TAKING_UP, ""),
    )


def pod(obj: Mapping[str, Any]) -> PodFacts:
    """Facts of one pod."""
    metadata, status = obj["metadata"], obj.get("status", {})
    controller = _controller(metadata)
    conditions = {entry["type"]: entry for entry in status.get("conditions", ())}
    engine: Mapping[str, Any] = next(
        (c for c in status.get("containerStatuses", ()) if c["name"] == ENGINE_CONTAINER), {}
    )
    problem, message = _pod_problem(status, conditions)
    return PodFacts(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        controller_uid=controller["uid"] if controller else "",
        revision=metadata.get("labels", {}).get("controller-revision-hash", ""),
        ready=conditions.get("Ready", {}).get("status") == "True",
        deleting="deletionTimestamp" in metadata,
        scheduled=conditions.get("PodScheduled", {}).get("status") == "True",
        started="running" in engine.get("state", {}),
        progressed_at=_progressed_at(metadata, status, conditions),
        problem=problem,
        message=message,
    )


def _progressed_at(
    metadata: Mapping[str, Any],
    status: Mapping[str, Any],
    conditions: Mapping[str, Mapping[str, Any]],
) -> datetime | None:
    """The latest step: forward to being ready, or (a pod that makes room) to its end."""
    times = [metadata.get("creationTimestamp"), metadata.get("deletionTimestamp")]
    times += [
        conditions[kind].get("lastTransitionTime")
        for kind in ("PodScheduled", "Initialized", "PodReadyToStartContainers", "Ready")
        if conditions.get(kind, {}).get("status") == "True"
    ]
    # A restarted container is no step forward: a crash loop restarts for ever.
    times += [
        container.get("state", {}).get("running", {}).get("startedAt")
        for container in _containers(status)
        if container.get("restartCount", 0) == 0
    ]
    parsed = [datetime.fromisoformat(time) for time in times if time]
    return max(parsed, default=None)


def _containers(status: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    return (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))


def _pod_problem(
    status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]
) -> tuple[Reason | None, str]:
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable":
        return Reason.UNSCHEDULABLE, scheduled.get("message") or "no node takes it"
    for container in _containers(status):
        reason, message = _container_problem(container)
        if reason is not None:
            return reason, message
    if status.get("phase") == "Failed":
        why, said = status.get("reason", ""), status.get("message", "")
        return Reason.CRASH_LOOP, f"failed ({': '.join(filter(None, (why, said))) or 'no reason'})"
    return None, ""


def _container_problem(container: Mapping[str, Any]) -> tuple[Reason | None, str]:
    waiting = container.get("state", {}).get("waiting", {})
    why = waiting.get("reason", "")
    if why in _PULL_REASONS:
        return Reason.IMAGE_PULL_FAILED, waiting.get("message") or why
    if why in _CONFIG_REASONS:
        return Reason.CONFIG_MISSING, waiting.get("message") or why
    ended = container.get("lastState", {}).get("terminated", {}) or container.get("state", {}).get(
        "terminated", {}
    )
    if ended.get("reason") == "OOMKilled":
        return (
            Reason.OUT_OF_MEMORY,
            f"container '{container['name']}' was killed for want of memory",
        )
    failed = ended.get("exitCode", 0) != 0 and container.get("restartCount", 0) >= CRASHES
    if why in _CRASH_REASONS or failed:
        return Reason.CRASH_LOOP, _last_words(container["name"], waiting, ended)
    return None, ""


def _last_words(name: str, waiting: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    parts = [f"container '{name}' keeps ending"]
    if "exitCode" in ended:
        parts.append(f"with exit code {ended['exitCode']}")
    said = (ended.get("message") or waiting.get("message") or "").strip()
    return " ".join(parts) + (f": {said[-500:]}" if said else "")


def node(obj: Mapping[str, Any], keys: Collection[str]) -> NodeFacts | None:
    """Facts of a node: its labels among `keys`; None if it has none of them."""
    labels = obj["metadata"].get("labels", {})
    found = tuple(sorted((key, labels[key]) for key in keys if key in labels))
    return NodeFacts(found) if found else None


def instance_of(obj: Mapping[str, Any]) -> str:
    """The instance label of a child or pod: which deployment of its namespace it belongs to."""
    label: str = obj["metadata"].get("labels", {}).get(names.LABEL_INSTANCE, "")
    return label


def in_order(pods: Iterable[PodFacts]) -> tuple[PodFacts, ...]:
    """Pods in a stable order: by name, shorter first, so that 2 comes before 10."""
    return tuple(sorted(pods, key=lambda p: (len(p.name), p.name)))
