"""How far the pods are: counted from pods, never from endpoints, and said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from videollm_operator.api.reasons import Reason
from videollm_operator.reconcile.observe import in_order
from videollm_operator.reconcile.ownership import own_workload
from videollm_operator.reconcile.pods import own_pods, pods_before

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from videollm_operator.reconcile.world import PodFacts, WorkloadFacts, World

PATIENCE = timedelta(seconds=60)
"""How long the StatefulSet controller may take to create a pod before that is called a failure.
Its own retries are seconds apart at first, later up to minutes."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of the pods of one deployment."""

    wanted: int
    pods: int
    """Pods that exist and are not ending."""
    ready: int
    updated: int
    """Pods of the newest revision."""
    settled: bool
    """Exactly the wanted pods exist, all of the newest revision, all ready."""
    reason: Reason
    message: str
    moved_at: datetime | None
    """When any pod last took a step; a rollout moves on as pods become ready one after another."""


def said(world: World) -> Mapping[str, Any]:
    """The spec as it stands in the object, whether it can be read or not."""
    spec = world.deployment.get("spec")
    return spec if isinstance(spec, dict) else {}


def replicas_wanted(world: World) -> int:
    """`spec.replicas`, which holds in whatever state the rest of the spec is."""
    number = said(world).get("replicas")
    if number is None:
        return 1
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        return number
    workload = own_workload(world)
    return workload.replicas if workload else 0


def settled(world: World, wanted: int) -> bool:
    """Whether exactly the wanted pods exist, all of the newest revision, all ready."""
    workload, pods = own_workload(world), own_pods(world)
    return (
        workload is not None
        and workload.observed_generation >= workload.generation
        and workload.replicas == wanted
        and len(pods) == wanted
        and all(
            pod.ready and not pod.deleting and pod.revision == workload.update_revision
            for pod in pods
        )
    )


def progress(world: World, wanted: int, since: datetime, now: datetime) -> Progress:
    """Where the pods are on their way to `wanted` ready ones.

    Args:
        world: after the actions of this reconcile.
        wanted: replicas.
        since: when the deployment began to wait, as far as its status knows.
        now: the present time.
    """
    workload = own_workload(world)
    pods, before = own_pods(world), pods_before(world)
    living = in_order(pod for pod in pods if not pod.deleting)
    current = tuple(pod for pod in living if workload and pod.revision == workload.update_revision)
    steps = (pod.progressed_at for pod in (*pods, *before))
    moved_at = max(filter(None, steps), default=None)
    ready = sum(pod.ready for pod in living)
    waited = now - max(since, moved_at or since)
    reason, message = _stage(workload, wanted, (*pods, *before), current, waited)
    return Progress(
        wanted=wanted,
        pods=len(living),
        ready=ready,
        updated=len(current),
        settled=settled(world, wanted),
        reason=reason,
        message=message,
        moved_at=moved_at,
    )


def _stage(
    workload: WorkloadFacts | None,
    wanted: int,
    pods: Iterable[PodFacts],
    current: tuple[PodFacts, ...],
    waited: timedelta,
) -> tuple[Reason, str]:
    """The reason and sentence for what is being waited for; the most telling first."""
    if workload is None:
        return Reason.CREATING, "children are being created"
    if workload.observed_generation < workload.generation:
        new = workload.observed_generation == 0
        reason = Reason.CREATING if new else Reason.ROLLING_OUT
        return reason, "the StatefulSet is written; its controller has not seen that yet"
    unready = [pod for pod in current if not pod.ready]
    for pod in unready:
        if pod.problem is not None:
            return pod.problem, f"pod '{pod.name}': {pod.message}"
    others = in_order(pod for pod in pods if pod not in current)
    if others:
        return Reason.ROLLING_OUT, _replacing(others, wanted, len(current) - len(unready))
    if len(current) < wanted:
        return _missing(wanted, len(current), waited)
    if not unready:
        return Reason.ROLLING_OUT, f"{len(current)} pods exist, {wanted} are wanted"
    return _loading(unready, wanted)


def _replacing(others: tuple[PodFacts, ...], wanted: int, ready: int) -> str:
    ending = [pod.name for pod in others if pod.deleting]
    what = f"pod '{ending[0]}' is ending" if ending else f"pod '{others[0].name}' is to be replaced"
    return f"{ready} of {wanted} replicas are ready with the present layout; {what}"


def _missing(wanted: int, found: int, waited: timedelta) -> tuple[Reason, str]:
    if waited < PATIENCE:
        return Reason.CREATING, f"{found} of {wanted} pods are created"
    message = (
        f"{found} of {wanted} pods exist, and the StatefulSet controller creates no more: look at "
        "the Events of the StatefulSet (quota, admission policy, service account)"
    )
    return Reason.POD_CREATION_FAILED, message


def _loading(unready: list[PodFacts], wanted: int) -> tuple[Reason, str]:
    first = unready[0]
    counted = f"{wanted - len(unready)} of {wanted} replicas ready"
    if not first.scheduled:
        return Reason.SCHEDULING, f"{counted}; pod '{first.name}' waits for a node"
    if not first.started:
        return Reason.CREATING, f"{counted}; pod '{first.name}' starts its container"
    return Reason.LOADING, f"{counted}; pod '{first.name}' loads the model"
