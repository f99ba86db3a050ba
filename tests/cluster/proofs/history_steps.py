"""Random histories: what happens to one deployment, and what happens to the cluster meanwhile.

A step is a pair of words and data, so that a history can be printed, pasted and made shorter.
Steps about a child name it as that of a deployment `a`; whoever carries them out puts in the
name of its own deployment.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.cluster.world import FAIL, LOAD_SECONDS
from tests.scenario.histories import DISTURBANCES, Step
from tests.scenario.objects import CHILDREN, SMALL, STATEFUL_SET
from videollm_operator.api import names

QUICK = {
    LOAD_SECONDS: "0",
    "devcluster.videollm.io/terminate-seconds": "0",
    "devcluster.videollm.io/crash-after-seconds": "0",
}
"""Pods that come and go at once."""

SPEC: dict[str, Any] = {**SMALL, "podTemplate": {"annotations": QUICK}}
"""What every history begins with."""

_THEIRS = {"app": "theirs"}
STRANGERS: dict[str, Any] = {
    "ServiceAccount": {},
    "Service": {"spec": {"ports": [{"port": 80}], "selector": _THEIRS}},
    "PodDisruptionBudget": {"spec": {"minAvailable": 1, "selector": {"matchLabels": _THEIRS}}},
    "StatefulSet": {
        "spec": {
            "replicas": 0,
            "serviceName": "theirs",
            "selector": {"matchLabels": _THEIRS},
            "template": {
                "metadata": {"labels": _THEIRS},
                "spec": {"containers": [{"name": "theirs", "image": "theirs"}]},
            },
        }
    },
}
"""Objects of somebody else, by kind; they get the name of a child."""

NOWHERE = {"sku": "T4"}
"""A GPU that fits, but that no node has."""

READY = "devcluster.videollm.io/ready"
BACKOFF = "devcluster.videollm.io/backoff-seconds"
HEALTHY = {FAIL: None, READY: None, BACKOFF: "0"}
_KILLED, _CRASHED = ({FAIL: why, BACKOFF: "3600"} for why in ("OOMKilled", "CrashLoopBackOff"))
"""A pod that crashed stays down until it is made healthy."""

_SHARED_CACHE = {"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany", "size": "20Gi"}

_FURTHER_EDITS = st.one_of(
    st.tuples(st.just("gpu"), st.sampled_from([{"sku": "A100-80GB"}, {"sku": "H100-80GB"}])),
    st.tuples(
        st.just("gpu"),
        st.sampled_from([NOWHERE, {"sku": "L4", "perReplica": 3}, {"sku": "no GPU"}]),
    ),
    st.tuples(
        st.just("cache"),
        st.sampled_from([SMALL["cache"], _SHARED_CACHE, {**_SHARED_CACHE, "retain": "Retain"}]),
    ),
    st.tuples(
        st.just("podTemplate"),
        st.sampled_from(
            [
                SPEC["podTemplate"],
                {**SPEC["podTemplate"], "serviceAccountName": "default"},
                {**SPEC["podTemplate"], "labels": {"team": "video"}},
            ]
        ),
    ),
    st.tuples(st.just("engine"), st.sampled_from([{"extraArgs": ["--no-such-flag"]}])),
)

_HAND_EDITS = st.one_of(
    st.tuples(
        st.sampled_from(CHILDREN),
        st.sampled_from(
            [
                {"metadata": {"labels": {names.LABEL_MANAGED_BY: None}}},
                {"metadata": {"labels": {names.LABEL_INSTANCE: "other"}}},
                {"metadata": {"annotations": {"example.com/mesh": "on"}}},
            ]
        ),
    ),
    st.tuples(
        st.just(STATEFUL_SET),
        st.sampled_from(
            [
                {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 900}}}},
                {"metadata": {"annotations": {names.ANNOTATION_RECORD: None}}},
            ]
        ),
    ),
)

_LIFE = st.one_of(
    st.tuples(st.just("delete"), st.sampled_from(["Background", "Foreground", "Orphan"])),
    st.tuples(st.sampled_from(["create", "recreate"]), st.none()),
    st.tuples(st.just("adopt"), st.booleans()),
)
_PODS = st.one_of(
    st.tuples(
        st.just("pod"),
        st.sampled_from([HEALTHY, _KILLED, _CRASHED, {READY: "false"}]),
    ),
    st.tuples(st.just("pod_delete"), st.none()),
)
_BEFORE: list[list[Step]] = [[("rest", None)], [("seen", None)], [], []]
"""What is waited for before a step; half of the time nothing is."""

OWN = st.one_of(
    DISTURBANCES,
    st.tuples(st.just("edit"), _FURTHER_EDITS),
    st.tuples(st.just("scale"), st.integers(0, 3)),
    st.tuples(st.just("patch"), _HAND_EDITS),
    st.tuples(st.just("stranger"), st.sampled_from(CHILDREN)),
    _LIFE,
    _PODS,
)
"""What happens to one deployment."""

SHARED_STEPS = frozenset({"crash", "catalogue", "memory", "cordon", "node", "api_server"})

_CATALOGUES = st.tuples(
    st.just("catalogue"), st.sampled_from(["mirror", "newer", "known", "broken", ""])
)
_MEMORY = st.tuples(st.just("memory"), st.sampled_from([70000, 40000, 9000, None]))
SHARED = st.tuples(
    st.just(("crash", None)),
    st.just(("crash", None)),
    st.just(("api_server", None)),
    _CATALOGUES,
    _CATALOGUES,
    _MEMORY,
    _MEMORY,
    st.tuples(st.just("cordon"), st.booleans()),
    st.tuples(st.just("node"), st.sampled_from(["gone and back", "not ready"])),
)
"""What happens to everybody."""

HISTORIES = st.lists(st.tuples(st.sampled_from(_BEFORE), OWN), min_size=3, max_size=10).map(
    lambda paced: [step for before, own in paced for step in (*before, own)]
)
TIMELINES = SHARED.flatmap(lambda events: st.permutations(events))


def draw(strategy: st.SearchStrategy[list[Step]], count: int, number: int) -> list[list[Step]]:
    """So many examples of a strategy; the same ones for the same seed number."""
    drawn: list[list[Step]] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: list[Step]) -> None:
        drawn.append(example)

    collect()
    return drawn
