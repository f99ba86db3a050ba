"""Whatever happens, in whatever order: it ends in what the object says, by few writes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scenario.histories import DISTURBANCES
from tests.scenario.objects import CHILDREN, NAME, SMALL, STATEFUL_SET, spec
from tests.scenario.pods import FAILURES
from tests.scenario.simulator import Cluster, Turn
from videollm_operator.api import names
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.catalog.loader import builtin
from videollm_operator.reconcile import observe
from videollm_operator.reconcile.nodes import MEMORY_LABEL
from videollm_operator.reconcile.projection import content, digest
from videollm_operator.reconcile.record import Record, children_in_force, decode, in_force
from videollm_operator.reconcile.world import NodeFacts

if TYPE_CHECKING:
    from tests.scenario.histories import Step
    from videollm_operator.catalog.catalog import Catalog

DISTURBING = frozenset({"edit", "hand_edit", "hand_delete", "hand_scale", "record"})
"""What the operator may answer with a write; everything else must cost none."""

INPUTS = frozenset({"catalogue", "nodes"})
"""What it may answer with two writes where updates are automatic: one begins, one says that it is
over."""

AUTOMATIC: Step = ("edit", ("rollout", {"updates": "Automatic"}))
COURSE = st.one_of(
    st.tuples(st.sampled_from(["look", "controllers", "ended", "pods", "restart"]), st.none()),
    st.tuples(st.just("failure"), st.sampled_from(["", *FAILURES])),
    st.tuples(st.just("catalogue"), st.sampled_from(["vllm/vllm-openai:v0.32.0", "mirror:1"])),
    st.tuples(st.just("nodes"), st.sampled_from([81920, 40000, 9000])),
    st.tuples(st.just("passes"), st.integers(1, 3600)),
)
HISTORIES = st.lists(st.one_of(DISTURBANCES, COURSE, st.just(AUTOMATIC)), max_size=15)


class Watched(Cluster):
    """A cluster that notes which layouts were accepted, and what may never be."""

    def __init__(self) -> None:
        super().__init__()
        self.accepted: list[str] = []
        self.create(NAME, spec())

    def reconcile(self, name: str) -> Turn:
        turn = super().reconcile(name)
        decision = turn.decision
        if decision.paused:
            assert turn.deeds == []
        elif decision.record is not None and not decision.refusals:
            self.accepted.append(decision.record.encode())
        return turn

    def happen(self, what: str, value: Any) -> None:
        """One step of a history."""
        match what:
            case "edit":
                self.edit(NAME, **{value[0]: value[1]})
            case "hand_edit" if value in self.children:
                self.hand_edit(value, ("metadata", "labels", names.LABEL_NAME), "mine")
            case "hand_delete" if value in self.children:
                self.hand_delete(value)
            case "hand_scale" if STATEFUL_SET in self.children:
                self.hand_edit(STATEFUL_SET, ("spec", "replicas"), value)
            case "record" if STATEFUL_SET in self.children:
                path = ("metadata", "annotations", names.ANNOTATION_RECORD)
                self.hand_edit(STATEFUL_SET, path, value)
            case "look":
                self.reconcile(NAME)
            case "controllers":
                self.controllers()
            case "ended":
                self.ended()
            case "pods":
                self.pods_step()
            case "restart":
                self.restart_operator()
            case "failure":
                self.failure = value
            case "catalogue":
                self.catalog = with_image(value)
            case "nodes":
                self.nodes = frozenset({node(value)})
            case "passes":
                self.passes(seconds=value)

    def record(self) -> Record | None:
        """What is recorded on the StatefulSet."""
        obj = self.children.get(STATEFUL_SET)
        workload = observe.child(obj).workload if obj else None
        found = decode(workload.record) if workload else None
        assert found is None or isinstance(found, Record)
        return found

    def assert_children_are_those_of(self, record: Record) -> None:
        """Every child is as the record says, and there are no others."""
        deployment = self.deployments[NAME]
        replicas = deployment["spec"].get("replicas", 1)
        wanted = in_force(record, deployment["metadata"], replicas)
        assert {(m["kind"], m["metadata"]["name"]) for m in wanted} == {
            (key.kind, key.name) for key in self.children
        }
        for manifest in wanted:
            live = observe.child(self.child(manifest["kind"], manifest["metadata"]["name"]))
            assert live.owned_digest == digest(content(manifest)), live.key


def with_image(image: str) -> Catalog:
    engines = tuple(e.model_copy(update={"image": image}) for e in builtin().engines)
    return replace(builtin(), engines=engines)


def node(mib: int) -> NodeFacts:
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-80GB-PCIe", MEMORY_LABEL: str(mib)}
    return NodeFacts(tuple(sorted(labels.items())))


def run(history: list[Step]) -> Watched:
    """A cluster after a history."""
    cluster = Watched()
    for what, value in history:
        cluster.happen(what, value)
    return cluster


def writes(cluster: Cluster) -> list[str]:
    """All writes to children."""
    return [write for write in cluster.writes if not write.startswith("status ")]


@settings(max_examples=30)
@given(HISTORIES)
def test_any_history_ends_in_what_the_object_says(history: list[Step]) -> None:
    cluster = run(history)
    cluster.failure = ""
    cluster.edit(NAME, model=SMALL["model"], workload=SMALL["workload"], paused=None)
    cluster.settle()

    replicas = cluster.deployments[NAME]["spec"].get("replicas", 1)
    assert cluster.told(NAME) == ("True Serving" if replicas else "True ScaledToZero")
    assert len(cluster.pods) == replicas
    assert cluster.reconcile(NAME).quiet
    record = cluster.record()
    assert record is not None
    assert record.encode() == cluster.accepted[-1]
    cluster.assert_children_are_those_of(record)
    deployment = VideoLLMDeployment.from_object(cluster.deployments[NAME])
    assert children_in_force(record, deployment, replicas) == in_force(
        record, cluster.deployments[NAME]["metadata"], replicas
    )

    disturbances = sum(what in DISTURBING for what, _ in history)
    # Five children at first; the last edit is one more; a record that is gone may cost a new plan.
    inputs = 1 + sum(what in INPUTS for what, _ in history)
    updates = 2 * inputs if AUTOMATIC in history else 0
    assert len(writes(cluster)) <= len(CHILDREN) + disturbances + 1 + updates


@settings(max_examples=30)
@given(HISTORIES)
def test_any_history_comes_to_rest_where_it_is_left(history: list[Step]) -> None:
    cluster = run(history)
    cluster.settle()
    turn = cluster.reconcile(NAME)
    assert turn.quiet
    assert cluster.conditions(NAME) & {"Ready", "Reconciling", "Stalled", "Paused"}
    record = cluster.record()
    if turn.decision.paused or record is None:
        return
    # Also a refused object keeps what was accepted last; only a lost record can bring back none.
    assert record.encode() in cluster.accepted
    lost = any(step == ("hand_delete", STATEFUL_SET) or step[0] == "record" for step in history)
    if not lost:
        assert record.encode() == cluster.accepted[-1]
    cluster.assert_children_are_those_of(record)
