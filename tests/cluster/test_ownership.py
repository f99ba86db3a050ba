"""Ownership: what is not the operator's is never touched, and what goes is let go.

All objects live side by side in one namespace, under one operator. It talks to the API server
through the fault proxy, which can hold a write back while the world changes under it.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually
from hack import local_operator
from tests.cluster.proxy import Proxy, Rule
from tests.cluster.proxy_actions import Late
from tests.cluster.rest import KINDS, Rest
from tests.cluster.world import (
    LOAD_SECONDS,
    Namespace,
    audit_mark,
    by_operator,
    condition_types,
    ready,
    vld,
    writes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.audit import AuditRecord
    from devcluster.target import Target
    from hack.local_operator import LocalOperator

pytestmark = pytest.mark.cluster

DEPLOYMENT = "VideoLLMDeployment"
OURS = {"app.kubernetes.io/managed-by": "videollm-operator"}
ADOPT = {"metadata": {"annotations": {"videollm.io/adopt": "true"}}}
SHARED = {"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany"}
QUICK = {"annotations": {LOAD_SECONDS: "0.5"}}
WITHIN_S = 120.0
FIRST_ERROR = 400
FORBIDDEN = 403

FOREIGN: dict[str, tuple[str, str, dict[str, Any]]] = {
    "client-service": ("Service", "", {"spec": {"ports": [{"port": 80}]}}),
    "headless-service": ("Service", "-pods", {"spec": {"ports": [{"port": 80}]}}),
    "claim": (
        "PersistentVolumeClaim",
        "-cache",
        {
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            }
        },
    ),
    "stateful-set": (
        "StatefulSet",
        "",
        {
            "spec": {
                "replicas": 0,
                "serviceName": "theirs",
                "selector": {"matchLabels": {"app": "theirs"}},
                "template": {
                    "metadata": {"labels": {"app": "theirs"}},
                    "spec": {"containers": [{"name": "x", "image": "example.com/x"}]},
                },
            }
        },
    ),
    "account": ("ServiceAccount", "", {}),
    "budget": (
        "PodDisruptionBudget",
        "",
        {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "theirs"}}}},
    ),
}
"""What others may have under the name of each child: kind, suffix of the name, content."""


@dataclass
class Place:
    """A namespace, and the operator that works in it."""

    space: Namespace
    rest: Rest
    proxy: Proxy
    operator: LocalOperator

    def make(self, *objects: dict[str, Any]) -> None:
        """Creates deployments."""
        for obj in objects:
            self.rest.create(DEPLOYMENT, obj["metadata"]["name"], obj)

    def version(self, kind: str, name: str) -> tuple[str, str]:
        """What changes when somebody writes."""
        found = self.rest.find(kind, name)
        assert found is not None, f"{kind} {name} is gone"
        return found["metadata"]["uid"], found["metadata"]["resourceVersion"]

    def children(self, deployment: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Everything that has the label of a deployment, pods excepted."""
        return {
            (kind, name): obj
            for kind in KINDS
            if kind != DEPLOYMENT
            for name, obj in self.rest.items(
                kind, f"app.kubernetes.io/instance={deployment}"
            ).items()
        }

    def writes(self, mark: int, *names: str) -> list[AuditRecord]:
        """Writes to objects of these names that the API server took."""
        return [
            write
            for write in writes(self.space.cluster, mark)
            if write.namespace == self.space.name
            and write.resource != KINDS[DEPLOYMENT].plural
            and write.name in names
            and write.code < FIRST_ERROR
        ]

    def until(self, name: str, status: str, reason: str) -> dict[str, Any]:
        """The deployment, once its `Ready` is so, and speaks of its generation."""

        def is_so(obj: dict[str, Any] | None) -> bool:
            return (
                obj is not None
                and ready(obj) == (status, reason)
                and obj["status"]["observedGeneration"] == obj["metadata"]["generation"]
            )

        found = eventually(
            lambda: self.rest.find(DEPLOYMENT, name), is_so, timeout_s=WITHIN_S, interval_s=0.1
        )
        assert found is not None
        return found

    def until_gone(self, kind: str, name: str) -> None:
        """Waits for the end of an object."""
        eventually(
            lambda: self.rest.find(kind, name),
            lambda found: found is None,
            timeout_s=WITHIN_S,
            interval_s=0.1,
        )

    def look(self, name: str) -> None:
        """Makes the operator look at a deployment again, and waits for it."""
        obj = self.rest.find(DEPLOYMENT, name)
        assert obj is not None
        seconds = 900 + obj["metadata"]["generation"]
        patch = {"spec": {"rollout": {"progressDeadlineSeconds": seconds}}}
        self.rest.merge(DEPLOYMENT, name, patch)
        eventually(
            lambda: self.rest.find(DEPLOYMENT, name),
            lambda now: (
                now and now["status"]["observedGeneration"] == now["metadata"]["generation"]
            ),
            timeout_s=WITHIN_S,
            interval_s=0.1,
        )


@pytest.fixture(scope="module")
def place(installed: Target) -> Iterator[Place]:
    """One namespace for all tests here."""
    audit_mark(installed)
    space = Namespace(installed, f"t-{uuid.uuid4().hex[:8]}")
    installed.create_namespace(space.name)
    with Proxy(installed) as proxy, Rest(installed, space.name) as rest:
        name = f"operator-{uuid.uuid4().hex[:6]}"
        operator = local_operator.start(installed, name=name, server=proxy.server)
        try:
            yield Place(space, rest, proxy, operator)
            assert operator.alive, operator.tail()
            assert "this is a bug" not in operator.log.read_text()
            space.kubectl("delete", "vld", "--all", "--wait=false")
            space.kubectl("delete", "namespace", space.name, "--wait=false")
        finally:
            operator.stop()


# The object goes


def test_foreground_deletion_gets_no_write_to_children(place: Place) -> None:
    place.make(vld("fore", replicas=0), vld("witness", replicas=0))
    place.until("fore", "True", "ScaledToZero")
    place.until("witness", "True", "ScaledToZero")
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    place.rest.merge("PodDisruptionBudget", "fore", hold)
    mark = audit_mark(place.space.cluster)
    place.rest.delete(DEPLOYMENT, "fore", "Foreground")
    for kind in ("Service", "StatefulSet", "ServiceAccount"):
        place.until_gone(kind, "fore")
    going = place.rest.find(DEPLOYMENT, "fore")
    assert going is not None
    assert going["metadata"]["deletionTimestamp"]
    place.rest.merge(DEPLOYMENT, "fore", {"spec": {"replicas": 1}})  # an edit changes nothing
    place.look("witness")
    place.look("witness")
    place.rest.merge("PodDisruptionBudget", "fore", {"metadata": {"finalizers": None}})
    place.until_gone(DEPLOYMENT, "fore")
    assert place.children("fore") == {}
    assert place.writes(mark, "fore", "fore-pods") == []


def test_background_deletion_takes_all_children_and_gets_no_write(place: Place) -> None:
    place.make(vld("back", replicas=0, cache=SHARED))
    place.until("back", "True", "ScaledToZero")
    mark = audit_mark(place.space.cluster)
    place.rest.delete(DEPLOYMENT, "back", "Background")
    eventually(lambda: place.children("back"), lambda left: not left, timeout_s=WITHIN_S)
    assert place.writes(mark, "back", "back-pods", "back-cache") == []


def test_orphans_stay_and_are_adopted_on_request_without_a_restart(place: Place) -> None:
    place.make(vld("orphan", cache=SHARED, podTemplate=QUICK))
    place.until("orphan", "True", "Serving")
    (pod,) = place.space.items("pods", "app.kubernetes.io/instance=orphan")
    before = place.children("orphan")
    assert len(before) == len(FOREIGN)
    mark = audit_mark(place.space.cluster)
    place.rest.delete(DEPLOYMENT, "orphan", "Orphan")
    place.until_gone(DEPLOYMENT, "orphan")
    orphans = place.children("orphan")
    assert orphans.keys() == before.keys()
    assert not any("ownerReferences" in obj["metadata"] for obj in orphans.values())

    place.make(vld("orphan", cache=SHARED, podTemplate=QUICK))
    place.until("orphan", "False", "NameConflict")
    place.look("orphan")
    said = place.space.condition("Stalled", "orphan")["message"]
    assert "annotate this object with videollm.io/adopt=true" in said
    names = ("orphan", "orphan-pods", "orphan-cache")
    assert place.writes(mark, *names) == []

    obj = place.rest.merge(DEPLOYMENT, "orphan", ADOPT)
    place.until("orphan", "True", "Serving")
    assert len(place.writes(mark, *names)) == len(before)  # each child once
    after = place.children("orphan")
    for key, child in after.items():
        assert child["metadata"]["uid"] == before[key]["metadata"]["uid"]
        (reference,) = child["metadata"]["ownerReferences"]
        assert reference["uid"] == obj["metadata"]["uid"]
    (same,) = place.space.items("pods", "app.kubernetes.io/instance=orphan")
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]


def test_a_removed_owner_reference_makes_an_orphan_and_one_write_adopts_it(place: Place) -> None:
    freed = {f"freed-{name}": (kind, suffix) for name, (kind, suffix, _) in FOREIGN.items()}
    place.make(*(vld(name, replicas=0, cache=SHARED) for name in freed))
    for name in freed:
        place.until(name, "True", "ScaledToZero")
    mark = audit_mark(place.space.cluster)
    for name, (kind, suffix) in freed.items():
        place.rest.remove(kind, name + suffix, "/metadata/ownerReferences")
    for name in freed:
        place.until(name, "False", "NameConflict")
        place.look(name)
        assert place.writes(mark, name, f"{name}-pods", f"{name}-cache") == []
        place.rest.merge(DEPLOYMENT, name, ADOPT)
    for name, (kind, suffix) in freed.items():
        place.until(name, "True", "ScaledToZero")
        place.look(name)
        made = place.writes(mark, name, f"{name}-pods", f"{name}-cache")
        assert [(w.resource, w.name) for w in made] == [(KINDS[kind].plural, name + suffix)]


def test_a_claim_in_use_that_is_deleted_is_waited_for_and_made_anew(place: Place) -> None:
    place.make(vld("used", cache=SHARED, podTemplate=QUICK))
    place.until("used", "True", "Serving")
    claim = place.version("PersistentVolumeClaim", "used-cache")[0]
    mark = audit_mark(place.space.cluster)
    place.rest.delete("PersistentVolumeClaim", "used-cache")  # Kubernetes keeps it for its pod
    obj = place.until("used", "False", "Creating")
    assert "'used-cache' is being deleted" in place.space.condition("Ready", "used")["message"]
    assert "Serving" in condition_types(obj)
    place.look("used")
    assert place.writes(mark, "used", "used-pods", "used-cache") == []
    place.rest.merge(DEPLOYMENT, "used", {"spec": {"replicas": 0}})
    place.until("used", "True", "ScaledToZero")
    assert place.version("PersistentVolumeClaim", "used-cache")[0] != claim
    made = [w.resource for w in place.writes(mark, "used", "used-pods", "used-cache")]
    assert sorted(made) == ["persistentvolumeclaims", "statefulsets"]


def test_recreated_within_the_same_second_it_gets_children_of_its_own(place: Place) -> None:
    names = [f"again{number}" for number in range(4)]
    objects = [vld(name, replicas=0, cache=SHARED) for name in names[1:]]
    objects.append(vld(names[0], cache=SHARED, podTemplate=QUICK))
    place.make(*objects)
    place.until(names[0], "True", "Serving")
    for name in names[1:]:
        place.until(name, "True", "ScaledToZero")
    took = []
    for obj in objects:
        began = time.monotonic()
        place.rest.delete(DEPLOYMENT, obj["metadata"]["name"])
        place.make(obj)
        took.append(time.monotonic() - began)
    assert min(took) < 1, "else this shows nothing"
    place.until(names[0], "True", "Serving")
    for name in names[1:]:
        place.until(name, "True", "ScaledToZero")
    for name in names:
        now = place.rest.find(DEPLOYMENT, name)
        assert now is not None
        children = place.children(name)
        assert len(children) == len(FOREIGN)
        assert {
            reference["uid"]
            for child in children.values()
            for reference in child["metadata"]["ownerReferences"]
        } == {now["metadata"]["uid"]}


# Objects of others are in the way


def test_objects_of_others_are_never_touched_and_it_heals_when_they_go(place: Place) -> None:
    for name, (kind, suffix, content) in FOREIGN.items():
        place.rest.create(kind, name + suffix, content)
    versions = {
        name: place.version(kind, name + suffix) for name, (kind, suffix, _) in FOREIGN.items()
    }
    mark = audit_mark(place.space.cluster)
    place.make(*(vld(name, replicas=0, cache=SHARED) for name in FOREIGN))
    for name, (kind, suffix, _) in FOREIGN.items():
        place.until(name, "False", "NameConflict")
        assert (
            f"{kind} '{name}{suffix}' already exists and nobody controls it"
            in place.space.condition("Stalled", name)["message"]
        )
        place.rest.merge(DEPLOYMENT, name, ADOPT)  # it is no orphan of ours
        place.look(name)
        place.until(name, "False", "NameConflict")
        if kind in ("PersistentVolumeClaim", "ServiceAccount"):  # pods would use it
            assert place.rest.find("StatefulSet", name) is None
        if kind != "StatefulSet":  # its status is its controller's
            assert place.version(kind, name + suffix) == versions[name]
    for name, (kind, suffix, _) in FOREIGN.items():
        made = [w for w in place.writes(mark, name + suffix) if w.resource == KINDS[kind].plural]
        assert made == []
        place.rest.delete(kind, name + suffix)
    for name in FOREIGN:
        place.until(name, "True", "ScaledToZero")


@pytest.mark.parametrize("whose", ["controlled", "unlabelled"])
def test_only_orphans_of_ours_are_adopted(place: Place, whose: str) -> None:
    account = place.rest.find("ServiceAccount", "default")
    assert account is not None
    owner = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "name": "default",
        "uid": account["metadata"]["uid"],
        "controller": True,
    }
    metadata: dict[str, Any] = (
        {"labels": OURS, "ownerReferences": [owner]} if whose == "controlled" else {}
    )
    place.rest.create("ServiceAccount", whose, {"metadata": metadata})
    version = place.version("ServiceAccount", whose)
    obj = vld(whose, replicas=0)
    obj["metadata"].update(ADOPT["metadata"])
    place.make(obj)
    place.until(whose, "False", "NameConflict")
    place.look(whose)
    whom = "ServiceAccount 'default'" if whose == "controlled" else "nobody"
    assert whom in place.space.condition("Stalled", whose)["message"]
    assert place.version("ServiceAccount", whose) == version


@pytest.mark.parametrize("value", ["false", "yes", "True"])
def test_no_other_value_of_the_annotation_adopts(place: Place, value: str) -> None:
    name = f"adopt-{value.lower()}"
    place.rest.create("ServiceAccount", name, {"metadata": {"labels": OURS}})
    version = place.version("ServiceAccount", name)
    obj = vld(name, replicas=0)
    obj["metadata"]["annotations"] = {"videollm.io/adopt": value}
    place.make(obj)
    place.until(name, "False", "NameConflict")
    place.look(name)
    assert place.version("ServiceAccount", name) == version


@pytest.mark.parametrize("seen", ["before it is created", "before it is repaired"])
def test_a_namesake_that_comes_between_look_and_write_is_not_touched(
    place: Place, seen: str
) -> None:
    name = seen.split()[-1]
    held = Late()
    rule = Rule(held, path=f"*/services/{name}", writes=True)
    if name == "created":
        place.proxy.add(rule)
        place.make(vld(name, replicas=0))
    else:
        place.make(vld(name, replicas=0))
        place.until(name, "True", "ScaledToZero")
        place.proxy.add(rule)
        place.rest.merge("Service", name, {"spec": {"publishNotReadyAddresses": True}})
        place.rest.remove("Service", name, "/spec/selector")
    eventually(lambda: rule.matched, bool, timeout_s=WITHIN_S, interval_s=0.02)
    if place.rest.find("Service", name):
        place.rest.delete("Service", name)
    place.rest.create("Service", name, {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}})
    version = place.version("Service", name)
    place.proxy.let_go(held)
    place.until(name, "False", "NameConflict")
    place.proxy.clear()
    place.look(name)
    assert place.version("Service", name) == version
    place.rest.delete("Service", name)
    place.until(name, "True", "ScaledToZero")


def test_of_two_objects_whose_children_collide_one_wins_and_the_other_says_so(
    place: Place,
) -> None:
    first = "collide.one"
    second = f"collide-one-{hashlib.sha256(first.encode()).hexdigest()[:8]}"
    place.make(vld(first, replicas=0))
    place.until(first, "True", "ScaledToZero")
    mark = audit_mark(place.space.cluster)
    place.make(vld(second, replicas=0))
    place.until(second, "False", "NameConflict")
    said = place.space.condition("Stalled", second)["message"]
    assert f"it is controlled by VideoLLMDeployment '{first}'" in said
    for _ in range(3):
        place.look(first)
        place.look(second)
    place.until(first, "True", "ScaledToZero")
    place.until(second, "False", "NameConflict")
    assert place.writes(mark, second) == []
    place.rest.delete(DEPLOYMENT, first)
    place.until(second, "True", "ScaledToZero")


def test_of_two_such_objects_made_at_once_one_wins(place: Place) -> None:
    first = "tie.one"
    second = f"tie-one-{hashlib.sha256(first.encode()).hexdigest()[:8]}"
    place.make(vld(first, replicas=0), vld(second, replicas=0))

    def ended(found: list[str]) -> bool:
        return sorted(found) == ["NameConflict", "ScaledToZero"]

    def reasons() -> list[str]:
        return [ready(place.rest.find(DEPLOYMENT, name) or {})[1] for name in (first, second)]

    won = eventually(reasons, ended, timeout_s=WITHIN_S)
    for _ in range(2):
        place.look(first)
        place.look(second)
    assert reasons() == won


@pytest.mark.parametrize("name", ["a", "a-pods", "a-cache", "a-0"])
def test_names_that_look_like_those_of_children_do_not_collide(place: Place, name: str) -> None:
    place.make(vld(name, replicas=0, cache=SHARED))
    place.until(name, "True", "ScaledToZero")
    assert len(place.children(name)) == len(FOREIGN)


# What was recorded goes with the StatefulSet


def test_a_stateful_set_deleted_while_its_spec_is_refused_is_not_made_anew(place: Place) -> None:
    place.make(vld("lost", replicas=0))
    place.until("lost", "True", "ScaledToZero")
    place.rest.merge(DEPLOYMENT, "lost", {"spec": {"model": {"name": "no/such-model"}}})
    place.until("lost", "False", "ModelUnknown")
    mark = audit_mark(place.space.cluster)
    place.rest.delete("StatefulSet", "lost")
    place.until_gone("StatefulSet", "lost")
    place.look("lost")
    obj = place.until("lost", "False", "ModelUnknown")
    assert "Serving" not in condition_types(obj)
    assert place.writes(mark, "lost") == []
    place.rest.merge(DEPLOYMENT, "lost", {"spec": {"model": vld()["spec"]["model"]}})
    place.until("lost", "True", "ScaledToZero")


# The namespace goes


def test_a_namespace_that_is_being_deleted_costs_no_storm(place: Place) -> None:
    cluster = place.space.cluster
    doomed = Namespace(cluster, f"{place.space.name}-doomed")
    cluster.create_namespace(doomed.name)
    names = [f"n{number}" for number in range(5)]
    with Rest(cluster, doomed.name) as rest:
        for name in names:
            replicas = 1 if name == "n0" else 0
            rest.create(
                DEPLOYMENT, name, vld(name, replicas=replicas, cache=SHARED, podTemplate=QUICK)
            )
        eventually(
            lambda: [ready(obj)[0] for obj in rest.items(DEPLOYMENT).values()],
            lambda found: found == ["True"] * len(names),
            timeout_s=WITHIN_S,
        )
        mark = audit_mark(cluster)
        log = len(place.operator.log.read_text())
        cluster.kubectl("delete", "namespace", doomed.name, "--wait", timeout_s=180)
    asked = [r for r in by_operator(cluster, mark) if r.namespace == doomed.name]
    # One attempt for each child that went before its deployment did, and no Event about it.
    assert len([r for r in asked if r.code == FORBIDDEN]) <= len(FOREIGN) * len(names)
    assert not [r for r in asked if r.write and r.resource == "events"]
    assert len(asked) <= 4 * len(FOREIGN) * len(names)
    # The operator serves what other tests left behind, too: only lines about this one count.
    text = place.operator.log.read_text()
    assert doomed.name in text[:log]
    said = [line for line in text[log:].splitlines() if doomed.name in line]
    assert [line for line in said if "warning" in line or "error" in line] == []
    place.make(vld("after", replicas=0))
    place.until("after", "True", "ScaledToZero")
    left = cluster.get("vld", "--all-namespaces")["items"]
    eventually(lambda: remembered(place.operator), lambda n: n == len(left), timeout_s=WITHIN_S)
    assert place.operator.alive


def remembered(operator: LocalOperator) -> int:
    """How many deployments the operator knows."""
    lines = operator.metrics().splitlines()
    return sum(int(float(x.split()[-1])) for x in lines if x.startswith("videollm_deployments{"))
