"""What others do to children: a table of every kind of child by every kind of drift.

Each drift says how many writes of the operator it is worth: one where something that the operator
wrote is not so any more, none where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster.rest import Rest

MESH = "mesh"
"""The field manager of somebody else."""

INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"


@dataclass(frozen=True)
class Role:
    """One child of a deployment, by what it is for; `name` is that of its deployment's `d`."""

    kind: str
    suffix: str
    changed: dict[str, Any]
    removed: str
    item: dict[str, Any]
    item_is_ours: bool = False
    respelt: dict[str, Any] | None = None
    status: dict[str, Any] | None = None


_LABEL_POINTER = f"/metadata/labels/{COMPONENT.replace('/', '~1')}"
_PORT = {"spec": {"ports": [{"name": "mesh", "port": 15001, "protocol": "TCP"}]}}
_SEEN = {
    "type": "example.com/Seen",
    "status": "True",
    "reason": "Seen",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}

ROLES = {
    "StatefulSet": Role(
        "StatefulSet",
        "",
        changed={"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 901}}}},
        removed="/spec/template/spec/terminationGracePeriodSeconds",
        item={
            "spec": {
                "template": {
                    "spec": {
                        "containers": [
                            {"name": "engine", "env": [{"name": "MESH", "value": "on"}]},
                            {"name": "mesh", "image": "example.com/mesh:1"},
                        ]
                    }
                }
            }
        },
        status={"conditions": [_SEEN]},
    ),
    "headless Service": Role(
        "Service",
        "-pods",
        changed={"spec": {"publishNotReadyAddresses": False}},
        removed="/spec/publishNotReadyAddresses",
        item=_PORT,
        status={"conditions": [_SEEN]},
    ),
    "client Service": Role(
        "Service",
        "",
        changed={"spec": {"selector": {INSTANCE: "other"}}},
        removed=f"/spec/selector/{INSTANCE.replace('/', '~1')}",
        item=_PORT,
        status={"conditions": [_SEEN]},
    ),
    "ServiceAccount": Role(
        "ServiceAccount",
        "",
        changed={"automountServiceAccountToken": True},
        removed="/automountServiceAccountToken",
        item={"imagePullSecrets": [{"name": "mesh"}]},
    ),
    "PodDisruptionBudget": Role(
        "PodDisruptionBudget",
        "",
        changed={"spec": {"maxUnavailable": 0}},
        removed="/spec/unhealthyPodEvictionPolicy",
        # A selector is one value: who adds to it takes it over.
        item={"spec": {"selector": {"matchExpressions": [{"key": "mesh", "operator": "Exists"}]}}},
        item_is_ours=True,
        status={"conditions": [_SEEN]},
    ),
    "PersistentVolumeClaim": Role(
        "PersistentVolumeClaim",
        "-cache",
        # Nothing else of a claim that is not bound can be changed.
        changed={"metadata": {"labels": {COMPONENT: "other"}}},
        removed=_LABEL_POINTER,
        item={"metadata": {"finalizers": ["example.com/hold"]}},
        status={"conditions": [{"type": "example.com/Seen", "status": "True"}]},
    ),
}


@dataclass(frozen=True)
class Drift:
    """One kind of drift of one child."""

    role: str
    what: str
    do: Callable[[Rest, str, dict[str, Any]], Any]
    writes: int
    """How many writes repair it."""

    @property
    def kind(self) -> str:
        """The child's kind."""
        return ROLES[self.role].kind

    def __str__(self) -> str:
        return f"{self.role}: {self.what}"

    def child(self, deployment: str) -> str:
        """The child's name."""
        return deployment + ROLES[self.role].suffix


def _drifts(role: str) -> Iterator[Drift]:
    it = ROLES[role]
    kind = it.kind

    def merged(patch: dict[str, Any]) -> Callable[[Rest, str, dict[str, Any]], Any]:
        return lambda rest, name, _: rest.merge(kind, name, patch)

    yield Drift(role, "field changed", merged(it.changed), 1)
    yield Drift(role, "field removed", lambda rest, name, _: rest.remove(kind, name, it.removed), 1)
    yield Drift(
        role,
        "list item added",
        lambda rest, name, _: rest.apply(kind, name, it.item, MESH, force="true"),
        int(it.item_is_ours),
    )
    yield Drift(
        role,
        "label removed",
        merged({"metadata": {"labels": {COMPONENT: None}}}),
        1,
    )
    yield Drift(
        role,
        "label removed by which it is watched",
        merged({"metadata": {"labels": {MANAGED_BY: None}}}),
        1,
    )
    yield Drift(
        role,
        "all labels removed",
        merged({"metadata": {"labels": None}}),
        1,
    )
    yield Drift(
        role, "annotation added", merged({"metadata": {"annotations": {"mesh/on": "1"}}}), 0
    )
    yield Drift(role, "label added", merged({"metadata": {"labels": {"mesh/on": "1"}}}), 0)
    yield Drift(
        role,
        "owner added",
        lambda rest, name, obj: rest.merge(kind, name, _with_owner(obj)),
        0,
    )
    yield Drift(role, "deleted", lambda rest, name, _: rest.delete(kind, name), 1)
    if it.status is not None:
        status = {"status": it.status}
        yield Drift(
            role,
            "status changed",
            lambda rest, name, _: rest.merge(kind, name, status, "status"),
            0,
        )


def _with_owner(obj: dict[str, Any]) -> dict[str, Any]:
    """Somebody else also owns it: a ServiceAccount of the same namespace, which exists."""
    return {"metadata": {"ownerReferences": [*obj["metadata"]["ownerReferences"], obj["other"]]}}


def _respelt(rest: Rest, name: str, obj: dict[str, Any]) -> Any:
    """1Gi as 1024Mi."""
    if obj["kind"] == "PersistentVolumeClaim":
        requests = obj["spec"]["resources"]["requests"]
        spelt = {"storage": _in_mebibytes(requests["storage"])}
        return rest.merge(obj["kind"], name, {"spec": {"resources": {"requests": spelt}}})
    return rest.replace_item(obj["kind"], name, _memory_respelt(obj))


def _taken_over(rest: Rest, name: str, obj: dict[str, Any]) -> Any:
    """The same by server-side apply with force, which makes the field another manager's."""
    return rest.apply(obj["kind"], name, _memory_respelt(obj), MESH, force="true")


def _memory_respelt(obj: dict[str, Any]) -> dict[str, Any]:
    engine = obj["spec"]["template"]["spec"]["containers"][0]
    spelt = {"memory": _in_mebibytes(engine["resources"]["requests"]["memory"])}
    fields = {"containers": [{"name": "engine", "resources": {"requests": spelt}}]}
    return {"spec": {"template": {"spec": fields}}}


def _in_mebibytes(quantity: str) -> str:
    assert quantity.endswith("Gi"), quantity
    return f"{int(quantity.removesuffix('Gi')) * 1024}Mi"


def _scaled(rest: Rest, name: str, _: dict[str, Any]) -> Any:
    return rest.merge("StatefulSet", name, {"spec": {"replicas": 3}}, "scale")


def _record(value: str | None) -> Callable[[Rest, str, dict[str, Any]], Any]:
    annotations = {"metadata": {"annotations": {"videollm.io/record": value}}}
    return lambda rest, name, _: rest.merge("StatefulSet", name, annotations)


DRIFTS = [
    *(drift for role in ROLES for drift in _drifts(role)),
    Drift("StatefulSet", "quantity respelt", _respelt, 0),
    Drift("PersistentVolumeClaim", "quantity respelt", _respelt, 0),
    Drift("StatefulSet", "field taken over by force", _taken_over, 1),
    Drift("StatefulSet", "scaled by hand", _scaled, 1),
    Drift("StatefulSet", "record edited", _record("{}"), 1),
    Drift("StatefulSet", "record removed", _record(None), 1),
    Drift(
        "client Service",
        "labelled as another deployment's",
        lambda rest, name, _: rest.merge(
            "Service", name, {"metadata": {"labels": {INSTANCE: "d0"}}}
        ),
        1,
    ),
]
