"""What happens to objects while the operator is killed: every kind of write comes up here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster.proofs.crash_cells import Cell, History, Step
from tests.cluster.world import LOAD_SECONDS, vld
from videollm_operator.api import names
from videollm_operator.runtime.kinds import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.runtime.kinds import Kind


def quick(name: str = "a", /, **spec: Any) -> dict[str, Any]:
    """A deployment whose pods are ready within a second."""
    template = {"annotations": {LOAD_SECONDS: "1"}, **spec.pop("podTemplate", {})}
    return vld(name, podTemplate=template, **spec)


def applied(reason: str = "Serving", /, **spec: Any) -> Step:
    """The object `a` is applied, and is Ready (or not) for a reason."""
    return Step(lambda cell: cell.apply(quick(**spec)), lambda cell: cell.reason(reason))


def edited(kind: Kind, name: str, body: Mapping[str, Any], path: tuple[str, ...]) -> Step:
    """A child is edited by hand; the value at `path` comes back to what it was."""

    def do(cell: Cell) -> None:
        cell.notes["was"] = value(cell)
        cell.patch(kind, name, dict(body))

    def value(cell: Cell) -> Any:
        found: Any = cell.get(kind, name)
        for key in path:
            found = found[key]
        return found

    return Step(do, lambda cell: value(cell) == cell.notes["was"] and cell.reason("Serving"))


def deleted(kind: Kind, name: str) -> Step:
    """A child is deleted by hand; another comes."""

    def do(cell: Cell) -> None:
        cell.notes["uid"] = (cell.get(kind, name) or {})["metadata"]["uid"]
        cell.delete(kind, name)

    def another(cell: Cell) -> bool:
        found = cell.get(kind, name)
        return found is not None and found["metadata"]["uid"] != cell.notes["uid"]

    return Step(do, lambda cell: another(cell) and cell.reason("Serving"))


def gone(policy: str) -> Step:
    """The object is deleted; with `Orphan` its children stay."""
    return Step(
        lambda cell: cell.delete(DEPLOYMENT, "a", policy),
        lambda cell: not cell.seen[DEPLOYMENT] and (policy == "Orphan" or not cell.pods()),
    )


def recreated(cell: Cell) -> None:
    """The object is deleted and made anew before anybody can look."""
    cell.delete(DEPLOYMENT, "a")
    cell.apply(quick(replicas=2))


def both(cell: Cell, **spec: Any) -> None:
    """Two objects at once."""
    for name in ("a", "b"):
        cell.apply(quick(name, **spec))


def adopting(cell: Cell) -> None:
    """The object comes back, and says that it takes its orphans over."""
    obj = quick()
    obj["metadata"]["annotations"] = {names.ANNOTATION_ADOPT: "true"}
    cell.apply(obj)


def two_serve(cell: Cell) -> bool:
    """Whether both objects serve."""
    return cell.reason("Serving", "a") and cell.reason("Serving", "b")


SERVING = applied()
BAD = {"model": {"name": "no/such-model"}}
UNCLAIMED = {"podTemplate": {"serviceAccountName": "default"}}
VOLUME = {"type": "PersistentVolumeClaim"}
SHARED = {**VOLUME, "accessMode": "ReadWriteMany"}

GRACE = ("spec", "template", "spec", "terminationGracePeriodSeconds")
SELECTOR = ("spec", "selector", "app.kubernetes.io/instance")


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A value in a map in a map."""
    for key in reversed(path):
        value = {key: value}
    body: dict[str, Any] = value
    return body


HISTORIES = (
    History("create", (SERVING,)),
    History("create-own-volumes", (applied(cache=VOLUME),)),
    History("create-shared-volume", (applied(cache=SHARED),)),
    History("create-refused", (applied("ModelUnknown", **BAD),)),
    History("plan-changes", (applied(workload={"framesPerVideo": 16}),), (SERVING,)),
    History("services-change", (applied(network={"port": 9000}),), (SERVING,)),
    History("scale-up", (applied(replicas=2),), (SERVING,)),
    History("scale-to-zero", (applied("ScaledToZero", replicas=0),), (SERVING,)),
    History(
        "refused-then-mended",
        (applied("ModelUnknown", **BAD), applied(workload={"framesPerVideo": 16})),
        (SERVING,),
    ),
    *(
        History(f"{kind.kind.lower()}-deleted", (deleted(kind, "a"),), (SERVING,))
        for kind in (STATEFUL_SET, SERVICE, SERVICE_ACCOUNT, DISRUPTION_BUDGET)
    ),
    History(
        "statefulset-edited",
        (edited(STATEFUL_SET, "a", nested(GRACE, 900), GRACE),),
        (SERVING,),
    ),
    History(
        "service-edited",
        (edited(SERVICE, "a", nested(SELECTOR, "other"), SELECTOR),),
        (SERVING,),
    ),
    History(
        "account-not-wanted",
        (
            Step(
                lambda cell: cell.apply(quick(**UNCLAIMED)),
                lambda cell: cell.reason("Serving") and not cell.get(SERVICE_ACCOUNT, "a"),
            ),
        ),
        (SERVING,),
    ),
    History("restarted", (applied(rollout={"restartToken": "monday"}),), (SERVING,)),
    History(
        "orphans-adopted",
        (Step(adopting, lambda cell: cell.reason("Serving")),),
        (SERVING, gone("Orphan")),
    ),
    History(
        "paused-and-resumed",
        (
            applied("Paused", paused=True, replicas=2, workload={"framesPerVideo": 16}),
            applied(replicas=2, workload={"framesPerVideo": 16}),
        ),
        (SERVING,),
    ),
    History(
        "stalled-scaled-to-zero",
        (
            applied("ModelUnknown", **BAD),
            Step(
                lambda cell: cell.apply(quick(replicas=0, **BAD)),
                lambda cell: (
                    cell.has("Stalled") and cell.reason("ModelUnknown") and not cell.pods()
                ),
            ),
        ),
        (SERVING,),
    ),
    History("two-at-once", (Step(both, two_serve),)),
    History("deleted-while-down", (SERVING,), down=gone("Background")),
    History(
        "recreated-while-down",
        (SERVING,),
        down=Step(recreated, lambda cell: cell.reason("Serving") and cell.pods() == 2),
    ),
    History(
        "changed-back-while-down",
        (applied(network={"port": 9000}, workload={"framesPerVideo": 16}),),
        (SERVING,),
        down=SERVING,
    ),
)
