"""A running layout changes only with its object (design principle 9)."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.scenario.objects import LARGE, NAME, STATEFUL_SET, UNKNOWN_MODEL, serving
from tests.scenario.simulator import Cluster
from videollm_operator.api import names
from videollm_operator.api.validation import parse
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.reconcile import choose
from videollm_operator.reconcile.nodes import MEMORY_LABEL
from videollm_operator.reconcile.projection import canonical, digest
from videollm_operator.reconcile.world import NodeFacts
from videollm_operator.sizing import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from videollm_operator.catalog.catalog import Catalog

RECORD = ("metadata", "annotations", names.ANNOTATION_RECORD)


def large() -> Cluster:
    """The 72B on four A100-80GB, serving."""
    cluster = Cluster()
    cluster.create(NAME, LARGE)
    cluster.settle()
    cluster.writes.clear()
    cluster.events.clear()
    return cluster


def with_gpu(catalog: Catalog, sku: str, **changes: Any) -> Catalog:
    gpu = catalog.gpus[sku].model_copy(update=changes)
    return replace(catalog, gpus={**catalog.gpus, sku: gpu})


def without_engine(catalog: Catalog, version: str) -> Catalog:
    return replace(catalog, engines=tuple(e for e in catalog.engines if e.version != version))


def another_image(catalog: Catalog) -> Catalog:
    engines = tuple(e.model_copy(update={"image": "mirror/vllm:new"}) for e in catalog.engines)
    return replace(catalog, engines=engines)


def another_default(catalog: Catalog) -> Catalog:
    engines = tuple(
        e.model_copy(update={"default": e.version != "0.32.0"}) for e in catalog.engines
    )
    return replace(catalog, engines=engines)


CATALOGUES: dict[str, tuple[Callable[[Catalog], Catalog], str]] = {
    "another image": (another_image, "image vllm/vllm-openai:v0.32.0 -> mirror/vllm:new"),
    "another default version": (another_default, "engine VLLM 0.32.0 -> VLLM 0.33.0"),
    "a card with other labels": (
        lambda catalog: with_gpu(
            catalog, "A100-80GB", node_labels=[{"nvidia.com/gpu.product": ["A100X"]}]
        ),
        "the catalogue's entries for this model, GPU or engine",
    ),
}


@pytest.mark.parametrize(("change", "said"), CATALOGUES.values(), ids=list(CATALOGUES))
def test_a_change_of_the_catalogue_restarts_nothing_and_is_told(
    change: Callable[[Catalog], Catalog], said: str
) -> None:
    cluster = large()
    pod = cluster.pods["a-0"]["metadata"]["uid"]
    cluster.catalog = change(cluster.catalog)
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized", "UpdateAvailable"}
    message = cluster.condition(NAME, "UpdateAvailable")["message"]
    assert said in message
    assert message.endswith("set a new `spec.rollout.restartToken` to take it up")
    assert [event.type for event in cluster.events] == ["Normal"]
    assert cluster.reconcile(NAME).quiet
    cluster.edit(NAME, rollout={"restartToken": "now"})
    cluster.settle()
    assert cluster.conditions(NAME) == {"Ready", "Sized"}
    assert cluster.pods["a-0"]["metadata"]["uid"] != pod


@pytest.mark.parametrize(("change", "said"), CATALOGUES.values(), ids=list(CATALOGUES))
def test_the_next_change_of_the_spec_takes_an_update_up(
    change: Callable[[Catalog], Catalog], said: str
) -> None:
    cluster = large()
    cluster.catalog = change(cluster.catalog)
    cluster.edit(NAME, replicas=2)  # no change of the layout
    cluster.settle()
    assert "UpdateAvailable" in cluster.conditions(NAME)
    cluster.edit(NAME, workload={"framesPerVideo": 32})
    cluster.settle()
    assert cluster.conditions(NAME) == {"Ready", "Sized"}
    assert said not in json.dumps(cluster.status(NAME))


def test_an_update_that_is_taken_back_is_not_offered_any_more() -> None:
    cluster = large()
    cluster.catalog = another_image(builtin())
    cluster.reconcile(NAME)
    cluster.catalog = builtin()
    cluster.reconcile(NAME)
    assert cluster.conditions(NAME) == {"Ready", "Sized"}


def test_an_entry_that_is_not_used_changes_nothing() -> None:
    cluster = large()
    cluster.catalog = with_gpu(builtin(), "L4", visible_mib=20000)
    assert cluster.reconcile(NAME).quiet


def test_another_version_of_the_operator_restarts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = large()
    monkeypatch.setattr(choose, "__version__", "99.0")
    assert cluster.reconcile(NAME).quiet  # it would render the same
    cluster.catalog = another_image(cluster.catalog)
    assert cluster.reconcile(NAME).deeds == []
    assert " -> 99.0, image" in cluster.condition(NAME, "UpdateAvailable")["message"]


def test_another_rendering_restarts_nothing_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = large()
    render = choose.render

    def another(*arguments: Any) -> Any:
        manifests = render(*arguments)
        manifests[-1]["spec"]["maxUnavailable"] = 2
        return manifests

    monkeypatch.setattr(choose, "render", another)
    assert cluster.reconcile(NAME).quiet  # nobody looks again while the inputs are the same
    monkeypatch.setattr(choose, "__version__", "99.0")
    assert cluster.reconcile(NAME).deeds == []
    assert "UpdateAvailable" in cluster.conditions(NAME)
    cluster.edit(NAME, rollout={"restartToken": "now"})
    assert "Apply PodDisruptionBudget 'a'" in cluster.reconcile(NAME).deeds


def node(sku: str, mib: int) -> NodeFacts:
    (key, products), *_ = builtin().gpus[sku].node_labels[0].items()
    return NodeFacts(tuple(sorted({key: products[0], MEMORY_LABEL: str(mib)}.items())))


def test_a_node_with_a_little_less_memory_is_an_update() -> None:
    cluster = large()
    cluster.nodes = frozenset({node("A100-80GB", 81000)})
    assert cluster.reconcile(NAME).deeds == []  # the same layout fits
    assert cluster.conditions(NAME) == {"Ready", "Sized"}
    assert cluster.condition(NAME, "Sized")["message"].endswith(
        "By what nodes report now, CUDA shows 80119 MiB of a GPU instead of the 81039 MiB that "
        "were counted; the layout is the same with it."
    )
    assert cluster.reconcile(NAME).quiet
    cluster.nodes = frozenset()
    cluster.reconcile(NAME)
    assert "By what nodes report" not in cluster.condition(NAME, "Sized")["message"]
    cluster.nodes = frozenset({node("L4", 10000)})
    assert cluster.reconcile(NAME).quiet  # another card


def test_a_node_with_much_less_memory_makes_the_running_plan_unsafe() -> None:
    cluster = large()
    cluster.nodes = frozenset({node("A100-80GB", 40000)})
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized", "UpdateAvailable", "Degraded"}
    update = cluster.condition(NAME, "UpdateAvailable")["message"]
    assert "memory per GPU" in update
    assert "it would take 8 GPUs per replica instead of 4" in update
    degraded = cluster.condition(NAME, "Degraded")
    assert degraded["reason"] == "RunningPlanUnsafe"
    assert "TP4 x PP1 on 4 GPUs, would be refused today" in degraded["message"]
    assert {event.reason for event in cluster.events} == {"UpdateAvailable", "RunningPlanUnsafe"}
    assert cluster.reconcile(NAME).quiet
    cluster.nodes = frozenset()
    cluster.reconcile(NAME)
    assert cluster.conditions(NAME) == {"Ready", "Sized"}


def test_a_new_object_counts_what_nodes_report_and_says_so() -> None:
    cluster = Cluster()
    cluster.nodes = frozenset({node("A100-80GB", 81251)})
    cluster.create(NAME, LARGE)
    cluster.settle()
    message = cluster.condition(NAME, "Sized")["message"]
    assert message == cluster.deployments[NAME]["status"]["sizing"]["explanation"]
    assert "report 81 251 MiB of memory instead of the table's 81 920 MiB" in message


@pytest.mark.parametrize("selection", ["Auto", "None"])
def test_pods_that_find_no_node_are_told_what_the_nodes_with_the_gpu_are(selection: str) -> None:
    shared = NodeFacts((("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-80GB-SHARED"),))
    cluster = Cluster()
    cluster.nodes = frozenset({shared})
    cluster.failure = "Unschedulable"
    cluster.create(NAME, {**LARGE, "gpu": {"sku": "A100-80GB", "nodeSelection": selection}})
    cluster.reconcile(NAME)
    cluster.controllers()
    cluster.pods_step()
    cluster.reconcile(NAME)
    message = cluster.condition(NAME, "Ready")["message"]
    assert "0/3 nodes are available" in message
    assert ("none offers A100-80GB: shared" in message) == (selection == "Auto")


def tight_mib(sku: str, spec: dict[str, Any]) -> int:
    """Memory with which this spec fits by the formula, but not with its margin."""
    cluster = Cluster()
    cluster.create(NAME, spec)
    read, gpu = parse(cluster.deployments[NAME]).spec, builtin().gpus[sku]
    for visible in range(gpu.visible_mib, 0, -500):
        if plan_deployment(read, builtin(), visible_mib=visible).plan.verdict is Verdict.TIGHT:
            return visible + gpu.nvml_mib - gpu.visible_mib
    raise AssertionError("there is no such memory")


def test_a_running_plan_that_has_lost_its_margin_is_unsafe_unless_that_was_chosen() -> None:
    chosen = {**LARGE, "parallelism": {"strategy": "Manual", "tensor": 4}}
    tight = frozenset({node("A100-80GB", tight_mib("A100-80GB", chosen))})
    cluster = large()
    cluster.nodes = tight
    cluster.reconcile(NAME)
    assert "without its safety margin" in cluster.condition(NAME, "Degraded")["message"]
    cluster = Cluster()
    cluster.create(NAME, chosen)
    cluster.settle()
    cluster.nodes = tight
    cluster.reconcile(NAME)
    assert "Degraded" not in cluster.conditions(NAME)


def test_a_plan_that_would_be_refused_today_goes_on() -> None:
    cluster = large()
    cluster.nodes = frozenset({node("A100-80GB", 8000)})
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert {"UpdateAvailable", "Degraded"} <= cluster.conditions(NAME)
    update = cluster.condition(NAME, "UpdateAvailable")["message"]
    assert update.startswith("by what is known today this object would be refused")
    assert "restartToken" not in update


@pytest.mark.parametrize("what", ["model", "gpu", "engine"])
def test_an_entry_that_is_gone_stops_nothing_and_makes_nothing_unsafe(what: str) -> None:
    cluster = large()
    catalog = cluster.catalog
    gone = {
        "model": replace(catalog, models={}),
        "gpu": replace(catalog, gpus={}),
        "engine": without_engine(catalog, "0.32.0"),
    }
    cluster.catalog = gone[what]
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized", "UpdateAvailable"}
    cluster.edit(NAME, replicas=2)
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"


def test_a_model_that_is_found_not_to_run_goes_on_where_it_runs() -> None:
    cluster = large()
    base, original = LARGE["model"]["base"], "lmms-lab/LLaVA-Video-72B-Qwen2"
    entry = cluster.catalog.models[original].model_copy(update={"name": base})
    cluster.catalog = replace(cluster.catalog, models={**cluster.catalog.models, base: entry})
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert cluster.conditions(NAME) == {"Ready", "Sized", "UpdateAvailable"}
    assert "no released vLLM loads" in cluster.condition(NAME, "UpdateAvailable")["message"]


GARBAGE = {
    "empty": "",
    "no JSON": "{",
    "another type": "[]",
    "deeply nested": "[" * 100_000,
    "no checksum": "{}",
    "a huge number": '{"format": 1e999}',
}


@pytest.mark.parametrize("text", GARBAGE.values(), ids=list(GARBAGE))
def test_a_record_that_is_garbage_is_written_anew(text: str) -> None:
    cluster = large()
    before = cluster.child("StatefulSet", NAME)["metadata"]["annotations"]
    before = before[names.ANNOTATION_RECORD]
    cluster.hand_edit(STATEFUL_SET, RECORD, text)
    pod = cluster.pods["a-0"]["metadata"]["uid"]
    assert cluster.reconcile(NAME).deeds == [f"Apply {STATEFUL_SET}"]
    cluster.settle()
    after = cluster.child("StatefulSet", NAME)["metadata"]["annotations"]
    assert after[names.ANNOTATION_RECORD] == before
    assert cluster.pods["a-0"]["metadata"]["uid"] == pod


def record_of(cluster: Cluster) -> dict[str, Any]:
    annotations = cluster.child("StatefulSet", NAME)["metadata"]["annotations"]
    found: dict[str, Any] = json.loads(annotations[names.ANNOTATION_RECORD])
    return found


def sealed(body: dict[str, Any]) -> str:
    """A record with the right checksum, as another version of the operator would write it."""
    body = {key: value for key, value in body.items() if key != "checksum"}
    return canonical({**body, "checksum": digest(body)})


def test_an_edited_record_is_not_believed() -> None:
    cluster = large()
    record = record_of(cluster)
    record["manifests"][3]["spec"]["template"]["spec"]["containers"][0]["image"] = "evil:latest"
    cluster.hand_edit(STATEFUL_SET, RECORD, json.dumps(record))
    cluster.settle()
    assert "evil" not in json.dumps(cluster.child("StatefulSet", NAME))


def test_a_forged_record_reaches_no_object_but_the_children() -> None:
    cluster = large()
    record = record_of(cluster)
    forged = json.loads(json.dumps(record["manifests"][2]))
    elsewhere = {**forged, "metadata": {**forged["metadata"], "namespace": "kube-system"}}
    another = {**forged, "metadata": {**forged["metadata"], "name": "somebody-elses"}}
    kind = {**forged, "kind": "Secret"}
    record["manifests"] += [elsewhere, another, kind]
    cluster.hand_edit(STATEFUL_SET, RECORD, sealed(record))
    applied = {action.key for action in cluster.reconcile(NAME).decision.actions}
    assert applied <= {STATEFUL_SET}
    cluster.settle()
    assert len(cluster.children) == 5


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        {},
        {"kind": 1, "metadata": {"name": "a", "namespace": "video"}},
        {"kind": "Service", "metadata": {"name": "a", "namespace": "video"}, "spec": []},
        {"kind": "StatefulSet", "metadata": {"name": "a", "namespace": "video"}},
        {
            "kind": "Service",
            "metadata": {"name": "a", "namespace": "video", "ownerReferences": ["x"]},
        },
    ],
    ids=str,
)
def test_a_forged_record_that_is_no_layout_is_written_anew(manifest: Any) -> None:
    cluster = large()
    record = record_of(cluster)
    record["manifests"].append(manifest)
    cluster.hand_edit(STATEFUL_SET, RECORD, sealed(record))
    cluster.settle()
    assert len(record_of(cluster)["manifests"]) == 5
    assert cluster.told(NAME) == "True Serving"


@pytest.mark.parametrize(
    ("part", "forged"),
    [
        ("sizing", {"tensorParallelSize": 0}),
        ("sizing", "none"),
        ("port", 0),
        ("loadSeconds", 10**30),
        ("loadSeconds", float("inf")),
        ("inputs", {}),
    ],
)
def test_a_forged_layout_that_no_engine_has_is_written_anew(part: str, forged: Any) -> None:
    cluster = large()
    before = record_of(cluster)
    cluster.hand_edit(STATEFUL_SET, RECORD, sealed({**before, part: forged}))
    cluster.settle()
    assert record_of(cluster) == before
    assert cluster.told(NAME) == "True Serving"


def test_a_downgraded_operator_leaves_a_layout_alone_that_it_cannot_read() -> None:
    cluster = large()
    record = {**record_of(cluster), "format": 2, "manifests": "elsewhere"}
    cluster.hand_edit(STATEFUL_SET, RECORD, sealed(record))
    assert cluster.reconcile(NAME).deeds == []
    assert cluster.told(NAME) == "True Serving"
    assert "format 2" in cluster.condition(NAME, "UpdateAvailable")["message"]
    assert "only the replicas" in cluster.condition(NAME, "UpdateAvailable")["message"]
    assert cluster.reconcile(NAME).quiet
    cluster.edit(NAME, replicas=2)
    assert cluster.reconcile(NAME).deeds == [f"Scale {STATEFUL_SET}"]
    cluster.settle()
    assert record_of(cluster)["format"] == 2
    cluster.edit(NAME, rollout={"restartToken": "now"})
    cluster.settle()
    assert record_of(cluster)["format"] == 1
    assert cluster.conditions(NAME) == {"Ready", "Sized"}


def unreadable(cluster: Cluster) -> Cluster:
    """The same after a downgrade: a later version has recorded what runs."""
    record = {**record_of(cluster), "format": 2, "manifests": "elsewhere"}
    cluster.hand_edit(STATEFUL_SET, RECORD, sealed(record))
    return cluster


def test_a_downgraded_operator_goes_on_telling_what_the_later_version_told() -> None:
    cluster = large()
    before = copy.deepcopy(cluster.status(NAME))
    cluster = unreadable(cluster)
    cluster.reconcile(NAME)
    after = cluster.status(NAME)
    assert after["url"] == before["url"] != ""
    assert after["engine"] == before["engine"] != {}
    assert after["sizing"] == before["sizing"]
    sized = cluster.condition(NAME, "Sized")
    assert (sized["status"], sized["reason"]) == ("True", "Sized")
    assert "format, 2," in sized["message"]
    assert sized["message"].endswith("`status.sizing` is what that version told of it")
    cluster.edit(NAME, replicas=3)
    cluster.settle()
    assert cluster.status(NAME)["sizing"]["totalGPUs"] == 12
    assert cluster.reconcile(NAME).quiet


def test_a_downgraded_operator_does_not_make_up_what_nobody_told() -> None:
    cluster = unreadable(large())
    cluster.deployments[NAME]["status"] = {}
    cluster.reconcile(NAME)
    assert "sizing" not in cluster.status(NAME)
    assert cluster.condition(NAME, "Sized")["message"].endswith("empty until it is planned anew")


def test_what_cannot_be_read_is_what_runs_until_a_new_spec_is_in_force() -> None:
    cluster = large()
    before = copy.deepcopy(cluster.status(NAME)["sizing"])
    cluster = unreadable(cluster)
    cluster.edit(NAME, paused=True, workload={"framesPerVideo": 16})
    cluster.reconcile(NAME)
    assert cluster.status(NAME)["sizing"] == before
    cluster.edit(NAME, paused=False)
    cluster.settle()
    assert cluster.status(NAME)["sizing"] != before


def test_a_downgraded_operator_leaves_children_alone_whose_kind_it_does_not_know() -> None:
    cluster = large()
    record = record_of(cluster)
    policy = {"kind": "NetworkPolicy", "metadata": {"name": "a", "namespace": "video"}}
    record["manifests"].append({**policy, "apiVersion": "networking.k8s.io/v1", "spec": {}})
    cluster.hand_edit(STATEFUL_SET, RECORD, sealed(record))
    cluster.settle()
    assert cluster.told(NAME) == "True Serving"
    assert record_of(cluster)["manifests"][-1]["kind"] == "NetworkPolicy"


def test_a_refused_change_does_not_change_what_is_in_force_whatever_else_changes() -> None:
    cluster = large()
    before = cluster.child("StatefulSet", NAME)["spec"]["template"]
    cluster.edit(NAME, model=UNKNOWN_MODEL)
    cluster.catalog = another_image(cluster.catalog)
    cluster.nodes = frozenset({node("A100-80GB", 40000)})
    cluster.settle()
    assert cluster.child("StatefulSet", NAME)["spec"]["template"] == before
    cluster.edit(NAME, **LARGE)
    cluster.settle()
    assert cluster.child("StatefulSet", NAME)["spec"]["template"] == before
    assert "UpdateAvailable" in cluster.conditions(NAME)


def test_a_recorded_engine_version_is_kept_when_the_default_moves() -> None:
    cluster = serving()
    cluster.catalog = another_default(cluster.catalog)
    cluster.restart_operator()
    cluster.hand_delete(STATEFUL_SET, lingers=True)
    cluster.reconcile(NAME)
    assert cluster.status(NAME)["engine"]["version"] == "0.32.0"
