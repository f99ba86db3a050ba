"""Objects that cannot run: told at once, with the last good children kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.apiserver import ServerError
from tests.scenario.kstatus import verdict
from tests.scenario.objects import (
    CHILDREN,
    NAME,
    STATEFUL_SET,
    UNKNOWN_MODEL,
    fresh,
    serving,
    spec,
)
from videollm_operator.catalog.loader import builtin, extended

if TYPE_CHECKING:
    from tests.scenario.simulator import Cluster

INVALID: list[dict[str, Any]] = [
    {"gpu": {"sku": 4}},
    {"gpu": {}},
    {"unknownField": True},
    {"workload": {"framesPerVideo": 0}},
]


def test_a_new_object_that_is_refused_gets_no_children() -> None:
    cluster = fresh(model=UNKNOWN_MODEL)
    turn = cluster.reconcile(NAME)
    assert turn.deeds == []
    assert cluster.told(NAME) == "False ModelUnknown"
    assert cluster.conditions(NAME) == {"Stalled"}
    assert cluster.condition(NAME, "Sized")["status"] == "False"
    messages = {cluster.condition(NAME, kind)["message"] for kind in ("Ready", "Stalled", "Sized")}
    assert len(messages) == 1
    assert "'no/such-model', which the catalogue does not have" in messages.pop()
    assert verdict(cluster.deployments[NAME]) == "Failed"
    assert turn.report.requeue_after_seconds is None
    assert cluster.reconcile(NAME).quiet


@pytest.mark.parametrize("sections", INVALID, ids=str)
def test_an_object_that_does_not_match_the_schema_is_refused(sections: dict[str, Any]) -> None:
    cluster = fresh(**sections)
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False InvalidSpec"
    assert f"spec.{next(iter(sections))}" in cluster.condition(NAME, "Ready")["message"]


def test_all_that_is_wrong_is_told_together() -> None:
    cluster = fresh(workload={"framesPerVideo": 0, "promptTokens": "many"})
    cluster.reconcile(NAME)
    message = cluster.condition(NAME, "Ready")["message"]
    assert "framesPerVideo" in message
    assert "promptTokens" in message


@pytest.mark.parametrize(
    "sections", [{"model": UNKNOWN_MODEL}, *INVALID], ids=lambda sections: str(sections)
)
def test_a_change_that_is_refused_leaves_the_last_good_children_as_they_are(
    sections: dict[str, Any],
) -> None:
    cluster = serving()
    url, sizing = cluster.status(NAME)["url"], cluster.status(NAME)["sizing"]
    cluster.edit(NAME, **sections)
    cluster.settle()
    assert [write for write in cluster.writes if not write.startswith("status")] == []
    assert cluster.told(NAME).startswith("False")
    assert cluster.conditions(NAME) == {"Stalled", "Serving"}
    assert cluster.condition(NAME, "Serving")["message"] == "1 of 1 replicas answer"
    assert cluster.status(NAME)["url"] == url
    assert cluster.status(NAME)["sizing"] == sizing
    assert verdict(cluster.deployments[NAME]) == "Failed"
    # They are kept, not only left: what is done to them by hand is still undone.
    cluster.hand_edit(STATEFUL_SET, ("spec", "template", "spec", "containers", 0, "image"), "x")
    assert cluster.reconcile(NAME).deeds == [f"Apply {STATEFUL_SET}"]
    for child in CHILDREN[:3]:
        cluster.hand_delete(child)
    assert len(cluster.reconcile(NAME).deeds) == 3
    cluster.edit(NAME, **spec(), unknownField=None)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


@pytest.mark.parametrize(
    "sections", [{"model": UNKNOWN_MODEL}, *INVALID], ids=lambda sections: str(sections)
)
def test_replicas_of_a_refused_object_are_honoured(sections: dict[str, Any]) -> None:
    cluster = serving()
    pod = cluster.pods["a-0"]["metadata"]["uid"]
    cluster.edit(NAME, **sections)
    cluster.edit(NAME, replicas=3)
    cluster.settle()
    assert len(cluster.pods) == 3
    assert cluster.pods["a-0"]["metadata"]["uid"] == pod
    assert cluster.status(NAME)["sizing"]["totalGPUs"] == 3
    cluster.edit(NAME, replicas=0)
    cluster.settle()
    assert cluster.pods == {}  # the GPUs are free
    assert cluster.conditions(NAME) == {"Stalled"}


@pytest.mark.parametrize("replicas", ["3", -1, True, None])
def test_replicas_that_are_no_number_change_nothing(replicas: Any) -> None:
    cluster = serving(replicas=2)
    cluster.deployments[NAME]["spec"]["replicas"] = replicas
    cluster.reconcile(NAME)
    assert cluster.child("StatefulSet", NAME)["spec"]["replicas"] == (1 if replicas is None else 2)


def test_replicas_are_honoured_even_where_no_record_tells_the_layout() -> None:
    cluster = serving()
    cluster.hand_edit(STATEFUL_SET, ("metadata", "annotations"), None)
    cluster.edit(NAME, model=UNKNOWN_MODEL, replicas=2)
    assert cluster.reconcile(NAME).deeds == [f"Scale {STATEFUL_SET}"]
    assert cluster.reconcile(NAME).deeds == []
    assert len(cluster.children) == len(CHILDREN)
    cluster.hand_delete(STATEFUL_SET, lingers=True)
    cluster.edit(NAME, replicas=0)
    assert cluster.reconcile(NAME).deeds == []


VOLUME = {"type": "PersistentVolumeClaim", "size": "100Gi"}


@pytest.mark.parametrize("replicas", [0, 3])
@pytest.mark.parametrize("refusal", ["immutable", "denied"])
def test_replicas_are_honoured_also_where_the_api_server_refuses_the_stateful_set(
    refusal: str, replicas: int
) -> None:
    cluster = serving(cache=VOLUME)
    if refusal == "immutable":
        cluster.edit(NAME, cache={**VOLUME, "size": "200Gi"}, replicas=replicas)
    else:
        cluster.refusing["StatefulSet"] = ServerError(403, "Forbidden", "denied by a policy")
        cluster.edit(NAME, workload={"framesPerVideo": 16}, replicas=replicas)
    assert cluster.reconcile(NAME).deeds == [f"Apply {STATEFUL_SET}"]
    assert cluster.writes[:2] == [f"Apply {STATEFUL_SET}", f"Scale {STATEFUL_SET}"]
    cluster.writes.clear()
    for _ in range(5):
        cluster.controllers()
        cluster.ended()
        cluster.pods_step()
        cluster.reconcile(NAME)
    assert len(cluster.pods) == replicas  # at 0 the GPUs are free
    assert f"Scale {STATEFUL_SET}" not in cluster.writes
    reason = "ImmutableField" if refusal == "immutable" else "ChildRefused"
    assert cluster.told(NAME) == f"False {reason}"


def test_an_object_without_a_spec_is_refused_and_not_a_fault() -> None:
    cluster = serving()
    cluster.deployments[NAME]["spec"] = "none"
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False InvalidSpec"
    assert len(cluster.pods) == 1
    cluster = fresh()
    del cluster.deployments[NAME]["spec"]
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False InvalidSpec"


def original() -> Cluster:
    """The 72B as it was published, on vLLM, which cannot load it yet."""
    return fresh(model={"name": "lmms-lab/LLaVA-Video-72B-Qwen2"}, workload={})


def test_a_model_that_can_be_sized_but_not_run_is_refused_with_its_plan() -> None:
    cluster = original()
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False EngineUnsupported"
    assert cluster.conditions(NAME) == {"Stalled", "Sized"}
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 4
    assert cluster.status(NAME)["engine"]["type"] == ""
    message = cluster.condition(NAME, "Ready")["message"]
    assert "spec.model.base" in message
    assert "SGLang" in message
    cluster.edit(NAME, engine={"type": "SGLang"})
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_changing_to_what_cannot_be_run_shows_the_plan_that_runs() -> None:
    cluster = serving()
    cluster.edit(NAME, model={"name": "lmms-lab/LLaVA-Video-72B-Qwen2"}, workload={})
    cluster.settle()
    assert cluster.told(NAME) == "False EngineUnsupported"
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 1
    assert cluster.status(NAME)["engine"]["type"] == "VLLM"


def test_an_object_that_cannot_be_rendered_is_sized_and_refused() -> None:
    volume = {"name": "cache", "emptyDir": {}}
    cluster = fresh(podTemplate={"extraVolumes": [volume]})
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False InvalidSpec"
    assert "Sized" in cluster.conditions(NAME)
    assert cluster.status(NAME)["sizing"]["gpusPerReplica"] == 1


def test_an_object_too_large_to_be_recorded_is_refused_and_not_tried() -> None:
    annotations = {f"example.com/{n}": "ü" * 4000 for n in range(31)}
    cluster = fresh(podTemplate={"annotations": annotations})
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "False InvalidSpec"
    assert "recorded in an annotation" in cluster.condition(NAME, "Ready")["message"]


def test_a_refusal_clears_when_the_spec_is_corrected() -> None:
    cluster = fresh(model=UNKNOWN_MODEL)
    cluster.reconcile(NAME)
    cluster.passes(hours=72)
    cluster.edit(NAME, **spec())
    cluster.reconcile(NAME)
    assert cluster.told(NAME) == "False Creating"  # three days of refusal are no waiting
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_a_refusal_clears_when_the_catalogue_learns_the_model() -> None:
    cluster = fresh(model=UNKNOWN_MODEL)
    cluster.reconcile(NAME)
    cluster.passes(hours=72)
    known = builtin().models["llava-hf/llava-onevision-qwen2-7b-ov-hf"]
    entry = known.model_copy(update={"name": UNKNOWN_MODEL["name"]}).model_dump_json(
        by_alias=True, exclude_none=True
    )
    cluster.catalog = extended(builtin(), f'{{"models": [{entry}]}}', "admin.yaml")
    assert cluster.catalog.problems == ()
    cluster.reconcile(NAME)
    assert cluster.conditions(NAME) == {"Sized", "Reconciling"}
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
