"""Pods as kubelet and scheduler report them, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

Object = dict[str, Any]

GRACE_SECONDS = 30

FAILURES = {
    "Unschedulable": "Unschedulable",
    "ImagePullBackOff": "ImagePullFailed",
    "CreateContainerConfigError": "ConfigMissing",
    "CrashLoopBackOff": "CrashLoop",
    "OOMKilled": "OutOfMemory",
}
"""What can go wrong with a pod, and the reason by which it is told."""


def written(time: datetime) -> str:
    """A time as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def new(name: str, uid: str, stateful_set: Object, revision: str, now: datetime) -> Object:
    """A pod that was just created."""
    return {
        "metadata": {
            "name": name,
            "uid": uid,
            "creationTimestamp": written(now),
            "labels": {
                **stateful_set["spec"]["template"]["metadata"]["labels"],
                "controller-revision-hash": revision,
            },
            "ownerReferences": [{"uid": stateful_set["metadata"]["uid"], "controller": True}],
        },
        "status": {"conditions": [], "containerStatuses": []},
    }


def condition(pod: Object, kind: str) -> Object:
    """One condition; empty if there is none such."""
    found: Object = next((c for c in pod["status"]["conditions"] if c["type"] == kind), {})
    return found


def is_ready(pod: Object) -> bool:
    """Whether it serves."""
    return condition(pod, "Ready").get("status") == "True"


def step(pod: Object, now: datetime) -> bool:
    """The next good thing that happens to a pod; whether there is one."""
    if condition(pod, "PodScheduled").get("status") != "True":
        set_condition(pod, "PodScheduled", "True", now)
    elif not _engine(pod) or "running" not in _engine(pod)["state"]:
        restarts = _engine(pod).get("restartCount", 0) if _engine(pod) else 0
        set_condition(pod, "Initialized", "True", now)
        _set_engine(pod, {"running": {"startedAt": written(now)}}, restarts)
    elif not is_ready(pod):
        set_condition(pod, "Ready", "True", now)
    else:
        return False
    return True


def fail(pod: Object, failure: str, now: datetime) -> None:
    """One of `FAILURES`."""
    set_condition(pod, "Ready", "False", now)
    if failure == "Unschedulable":
        set_condition(pod, "PodScheduled", "False", now, "Unschedulable", "0/3 nodes are available")
        return
    set_condition(pod, "PodScheduled", "True", now)
    restarts = _engine(pod).get("restartCount", 0)
    if failure in {"CrashLoopBackOff", "OOMKilled"}:
        reason = "OOMKilled" if failure == "OOMKilled" else "Error"
        _set_engine(
            pod,
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
            restarts + 1,
            {"terminated": {"reason": reason, "exitCode": 137 if reason != "Error" else 1}},
        )
    else:
        message = f"why: {failure}"
        _set_engine(pod, {"waiting": {"reason": failure, "message": message}}, restarts)


def run_again(pod: Object, now: datetime) -> None:
    """A container that ended runs once more."""
    engine = _engine(pod)
    engine["state"] = {"running": {"startedAt": written(now)}}


def set_condition(
    pod: Object, kind: str, status: str, now: datetime, reason: str = "", message: str = ""
) -> None:
    """Sets a condition as a kubelet does: its time moves only with its status."""
    old = condition(pod, kind)
    time = old["lastTransitionTime"] if old.get("status") == status else written(now)
    others = [c for c in pod["status"]["conditions"] if c["type"] != kind]
    made = {"type": kind, "status": status, "lastTransitionTime": time}
    if reason:
        made |= {"reason": reason, "message": message}
    pod["status"]["conditions"] = [*others, made]


def _engine(pod: Object) -> Object:
    statuses = pod["status"]["containerStatuses"]
    found: Object = statuses[0] if statuses else {}
    return found


def _set_engine(
    pod: Object, state: Object, restarts: int, last_state: Object | None = None
) -> None:
    last = last_state or _engine(pod).get("lastState", {})
    pod["status"]["containerStatuses"] = [
        {"name": "engine", "state": state, "restartCount": restarts, "lastState": last}
    ]
