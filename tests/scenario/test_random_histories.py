"""Whatever happens, in whatever order: it ends in what the object says, by few writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scenario.objects import CHILDREN, NAME, SMALL, STATEFUL_SET, UNKNOWN_MODEL, fresh
from tests.scenario.pods import FAILURES
from videollm_operator.api import names
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.projection import content, digest
from videollm_operator.reconcile.record import Record, children_in_force, decode

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster

DISTURBING = frozenset({"edit", "hand_edit", "hand_delete", "hand_scale"})

Step = tuple[str, Any]

EDITS = st.one_of(
    st.tuples(st.just("replicas"), st.integers(0, 3)),
    st.tuples(st.just("engine"), st.sampled_from([None, {"extraArgs": ["--seed=7"]}])),
    st.tuples(st.just("model"), st.sampled_from([SMALL["model"], UNKNOWN_MODEL])),
    st.tuples(st.just("paused"), st.booleans()),
    st.tuples(st.just("rollout"), st.sampled_from([{"restartToken": "a"}, {"restartToken": "b"}])),
)
DISTURBANCES = st.one_of(
    st.tuples(st.just("edit"), EDITS),
    st.tuples(st.sampled_from(["hand_edit", "hand_delete"]), st.sampled_from(CHILDREN)),
    st.tuples(st.just("hand_scale"), st.integers(0, 5)),
)
COURSE = st.one_of(
    st.tuples(st.sampled_from(["look", "controllers", "ended", "pods", "restart"]), st.none()),
    st.tuples(st.just("failure"), st.sampled_from(["", *FAILURES])),
    st.tuples(st.just("passes"), st.integers(1, 3600)),
)
HISTORIES = st.lists(st.one_of(DISTURBANCES, COURSE), max_size=15)


def happen(cluster: Cluster, what: str, value: Any) -> None:
    """One step of a history."""
    match what:
        case "edit":
            cluster.edit(NAME, **{value[0]: value[1]})
        case "hand_edit" if value in cluster.children:
            cluster.hand_edit(value, ("metadata", "labels", names.LABEL_NAME), "mine")
        case "hand_delete" if value in cluster.children:
            cluster.hand_delete(value)
        case "hand_scale" if STATEFUL_SET in cluster.children:
            cluster.hand_edit(STATEFUL_SET, ("spec", "replicas"), value)
        case "look":
            cluster.reconcile(NAME)
        case "controllers":
            cluster.controllers()
        case "ended":
            cluster.ended()
        case "pods":
            cluster.pods_step()
        case "restart":
            cluster.restart_operator()
        case "failure":
            cluster.failure = value
        case "passes":
            cluster.passes(seconds=value)


@settings(max_examples=30, deadline=None)
@given(HISTORIES)
def test_any_history_ends_in_what_the_object_says(history: list[Step]) -> None:
    cluster = fresh()
    for what, value in history:
        happen(cluster, what, value)
    cluster.failure = ""
    cluster.edit(NAME, model=SMALL["model"], paused=None)
    cluster.settle()

    replicas = cluster.deployments[NAME]["spec"].get("replicas", 1)
    assert cluster.told(NAME) == ("True Serving" if replicas else "True ScaledToZero")
    assert len(cluster.pods) == replicas
    assert cluster.reconcile(NAME).quiet

    stateful_set = observe.child(cluster.children[STATEFUL_SET])
    assert stateful_set.workload is not None
    record = decode(stateful_set.workload.record)
    assert isinstance(record, Record)
    deployment = VideoLLMDeployment.from_object(cluster.deployments[NAME])
    wanted = children_in_force(record, deployment, replicas)
    assert {(m["kind"], m["metadata"]["name"]) for m in wanted} == {
        (key.kind, key.name) for key in cluster.children
    }
    for manifest in wanted:
        live = observe.child(cluster.child(manifest["kind"], manifest["metadata"]["name"]))
        assert live.owned_digest == digest(content(manifest)), live.key

    disturbances = sum(what in DISTURBING for what, _ in history)
    writes = [write for write in cluster.writes if not write.startswith("status ")]
    assert len(writes) <= len(CHILDREN) + disturbances + 1  # the last edit is one more
