"""Others undo what the operator writes, for ever; the API server drops or rewrites it.

All cases run side by side. The audit log counts what each costs: writes stay few, the status says
who it is, and everything heals when the cause goes.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually, wait_until
from tests.cluster.rest import Rest
from tests.cluster.world import Namespace, audit_mark, by_operator, ready, settled, vld, writes
from videollm_operator.runtime.contests import FREE_WRITES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.target import Target

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

DEPLOYMENT = "VideoLLMDeployment"
WITHIN_S = 180.0
WATCHED_S = 15.0
FIRST_ERROR = 400
GRACE = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 901}}}}
REWRITTEN = 902
INSTANCE = "app.kubernetes.io/instance"


@dataclass
class Place:
    """A namespace and an administrator's connection."""

    space: Namespace
    rest: Rest

    def until(self, name: str, status: str, reason: str) -> dict[str, Any]:
        """The deployment, once its `Ready` is so at its own generation."""
        return self.space.until(
            lambda obj: ready(obj) == (status, reason) and settled(obj), name, within_s=WITHIN_S
        )

    def writes(self, mark: int, resource: str, name: str) -> int:
        """How often the operator wrote an object of its own namespace."""
        return len(
            [
                write
                for write in writes(self.space.cluster, mark)
                if (write.namespace, write.resource, write.name)
                == (self.space.name, resource, name)
                and write.code < FIRST_ERROR
            ]
        )

    def stalled(self, name: str) -> str:
        """The message of `Stalled`."""
        said: str = self.space.condition("Stalled", name)["message"]
        return said


@pytest.fixture(scope="module")
def place(installed: Target) -> Iterator[Place]:
    audit_mark(installed)
    space = Namespace(installed, f"t-{uuid.uuid4().hex[:8]}")
    installed.create_namespace(space.name)
    with Rest(installed, space.name) as rest:
        yield Place(space, rest)
    space.kubectl("delete", "vld", "--all", "--wait=false")
    space.kubectl("delete", "namespace", space.name, "--wait=false")


class Enemy:
    """A program that insists: it does its deed again whenever it was undone."""

    def __init__(self, cluster: Target, namespace: str, deed: Callable[[Rest], object]) -> None:
        self._rest = Rest(cluster, namespace)
        self._deed = deed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with self._rest:
            while not self._stop.wait(0.05):
                self._deed(self._rest)

    def __enter__(self) -> Enemy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def insist(rest: Rest) -> None:
    """Another field manager takes a field over by force."""
    found = rest.find("StatefulSet", "forced")
    grace = found and found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    if grace != GRACE["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]:
        rest.apply("StatefulSet", "forced", GRACE, "mesh", force="true")


def remove(rest: Rest) -> None:
    """A janitor deletes a child wherever it sees it."""
    if rest.find("PodDisruptionBudget", "janitor"):
        rest.send("DELETE", "PodDisruptionBudget", "janitor")


def test_who_undoes_it_for_ever_is_told_and_costs_few_writes(place: Place) -> None:
    cluster = place.space.cluster
    place.space.apply(vld("forced", replicas=0), vld("janitor", replicas=0))
    place.until("forced", "True", "ScaledToZero")
    place.until("janitor", "True", "ScaledToZero")
    mark = audit_mark(cluster)
    with (
        Enemy(cluster, place.space.name, insist),
        Enemy(cluster, place.space.name, remove),
    ):
        place.until("forced", "False", "Contested")
        place.until("janitor", "False", "Contested")
        said = place.stalled("forced")
        assert 'conflict with "mesh"' in said
        assert ".spec.template.spec.terminationGracePeriodSeconds" in said
        assert "PodDisruptionBudget 'janitor'" in place.stalled("janitor")
        calm = audit_mark(cluster)
        assert not wait_until(
            lambda: ready(place.space.get("vld", "forced"))[0] == "True", WATCHED_S
        )
        asked = [r for r in by_operator(cluster, calm) if r.namespace == place.space.name]
        assert len([r for r in asked if r.write]) <= 2 * 3  # a try after 10 s, and its status
        # An object that others keep changing is looked at every two seconds at most.
        assert len(asked) <= 2 * 4 * WATCHED_S
    fought = place.writes(mark, "statefulsets", "forced")
    assert FREE_WRITES - 1 <= fought <= FREE_WRITES + 3
    made = place.writes(mark, "poddisruptionbudgets", "janitor")
    assert FREE_WRITES - 1 <= made <= FREE_WRITES + 3
    place.until("forced", "True", "ScaledToZero")
    place.until("janitor", "True", "ScaledToZero")
    assert place.writes(mark, "statefulsets", "forced") <= fought + 1


def policy(namespace: str, name: str) -> list[dict[str, Any]]:
    """An admission policy that rewrites a field of one StatefulSet, whoever writes it."""
    group = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": namespace}}
    path = ["spec", "template", "spec"]
    value = f"terminationGracePeriodSeconds: {REWRITTEN}"
    expression = "Object" + "".join(
        f"{{{part}: Object.{'.'.join(path[: depth + 1])}" for depth, part in enumerate(path)
    )
    return [
        {
            **group,
            "kind": "MutatingAdmissionPolicy",
            "spec": {
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": ["apps"],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE", "UPDATE"],
                            "resources": ["statefulsets"],
                        }
                    ],
                    "namespaceSelector": {
                        "matchLabels": {"kubernetes.io/metadata.name": namespace}
                    },
                    "objectSelector": {"matchLabels": {INSTANCE: name}},
                },
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {
                            "expression": f"{expression}{{{value}}}" + "}" * len(path)
                        },
                    }
                ],
            },
        },
        {
            **group,
            "kind": "MutatingAdmissionPolicyBinding",
            "spec": {"policyName": namespace},
        },
    ]


def grace_of(place: Place, name: str) -> int:
    found = place.space.get("statefulset", name)
    grace: int = found["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    return grace


def test_what_an_admission_policy_rewrites_is_written_once_and_left(place: Place) -> None:
    cluster = place.space.cluster
    both = policy(place.space.name, "ruled")
    cluster.apply(both)
    try:
        # A policy is in force a moment after it was made.
        probe = {"metadata": {"labels": {INSTANCE: "ruled"}}, "spec": probe_spec()}
        eventually(
            lambda: place.rest.apply("StatefulSet", "probe", probe, "probe", force="true"),
            lambda made: (
                made["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == REWRITTEN
            ),
            timeout_s=WITHIN_S,
        )
        mark = audit_mark(cluster)
        place.space.apply(vld("ruled", replicas=0))
        place.until("ruled", "True", "ScaledToZero")
        for seconds in (901, 902):
            place.space.patch(
                "vld", {"spec": {"rollout": {"progressDeadlineSeconds": seconds}}}, "ruled"
            )
            place.until("ruled", "True", "ScaledToZero")
        assert place.writes(mark, "statefulsets", "ruled") == 1
        assert grace_of(place, "ruled") == REWRITTEN
        place.rest.merge("StatefulSet", "ruled", {"spec": {"replicas": 2}})  # a real drift
        place.space.until(lambda obj: obj["spec"]["replicas"] == 0, "ruled", "statefulset")
        place.until("ruled", "True", "ScaledToZero")
        assert place.writes(mark, "statefulsets", "ruled") == 2
    finally:
        place.space.kubectl(
            "delete", "mutatingadmissionpolicybinding,mutatingadmissionpolicy", place.space.name
        )


def probe_spec() -> dict[str, Any]:
    return {
        "replicas": 0,
        "serviceName": "probe",
        "selector": {"matchLabels": {"app": "probe"}},
        "template": {
            "metadata": {"labels": {"app": "probe"}},
            "spec": {"containers": [{"name": "x", "image": "example.com/x"}]},
        },
    }


def test_a_field_that_the_server_drops_is_told_and_written_once(place: Place) -> None:
    # Its feature gate, ClusterTrustBundleProjection, is off unless somebody switches it on.
    source = {"clusterTrustBundle": {"name": "company", "path": "ca.pem"}}
    volume = {"name": "ca", "projected": {"sources": [source]}}
    mark = audit_mark(place.space.cluster)
    place.space.apply(vld("dropped", replicas=0, podTemplate={"extraVolumes": [volume]}))
    place.until("dropped", "False", "FieldNotSupported")
    said = place.stalled("dropped")
    assert "projected.sources[0].clusterTrustBundle` of StatefulSet 'dropped'" in said
    for seconds in (901, 902):
        place.space.patch(
            "vld", {"spec": {"rollout": {"progressDeadlineSeconds": seconds}}}, "dropped"
        )
        place.until("dropped", "False", "FieldNotSupported")
    assert place.writes(mark, "statefulsets", "dropped") == 1
    # A hand edit is repaired all the same, and what is told stays.
    place.rest.merge("StatefulSet", "dropped", {"spec": {"replicas": 2}})
    place.space.until(lambda obj: obj["spec"]["replicas"] == 0, "dropped", "statefulset")
    place.until("dropped", "False", "FieldNotSupported")
    assert place.writes(mark, "statefulsets", "dropped") == 2
    place.space.patch("vld", {"spec": {"podTemplate": {"extraVolumes": None}}}, "dropped")
    place.until("dropped", "True", "ScaledToZero")
    assert place.writes(mark, "statefulsets", "dropped") == 3
