"""The main job on a real control plane: one apply, the right GPUs, Ready."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from devcluster.waiting import eventually
from tests.cluster.world import (
    LOAD_SECONDS,
    SAMPLES,
    Namespace,
    audit_mark,
    condition_types,
    ready,
    sample,
    vld,
    writes,
)

if TYPE_CHECKING:
    from hack.local_operator import LocalOperator

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

PRODUCTS = {
    "L4": "NVIDIA-L4",
    "L40": "NVIDIA-L40",
    "A100-40GB": "NVIDIA-A100-SXM4-40GB",
    "A100-80GB": "NVIDIA-A100-SXM4-80GB",
    "H100-80GB": "NVIDIA-H100-80GB-HBM3",
}
NAMES = sorted(path.stem for path in SAMPLES.glob("*.yaml"))


def deployment_of(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return next(d for d in documents if d["kind"] == "VideoLLMDeployment")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "impossible"])
def test_each_sample_becomes_ready_on_the_nodes_it_names(space: Namespace, name: str) -> None:
    documents = sample(name)
    asked = deployment_of(documents)
    promise = re.search(
        r"Expected plan: (\d+) x (\S+), tensor (\d+), pipeline (\d+), engine (\w+)",
        (SAMPLES / f"{name}.yaml").read_text(),
    )
    assert promise is not None
    space.apply(*documents)
    obj = space.until_ready(asked["metadata"]["name"])

    sizing = obj["status"]["sizing"]
    assert sizing["gpusPerReplica"] == int(promise[1])
    assert sizing["tensorParallelSize"] == int(promise[3])
    assert sizing["pipelineParallelSize"] == int(promise[4])
    assert obj["status"]["engine"]["type"] == promise[5]
    pods = space.items("pods")
    assert len(pods) == obj["spec"]["replicas"]
    for pod in pods:
        resources = pod["spec"]["containers"][0]["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == promise[1]
        node = space.cluster.get("node", pod["spec"]["nodeName"])
        assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == PRODUCTS[promise[2]]


def test_the_impossible_sample_says_what_the_command_line_says(space: Namespace) -> None:
    documents = sample("impossible")
    name = deployment_of(documents)["metadata"]["name"]
    space.apply(*documents)
    obj = space.until(lambda o: "Stalled" in condition_types(o), name)
    message = next(c for c in obj["status"]["conditions"] if c["type"] == "Stalled")["message"]

    told = subprocess.run(
        [sys.executable, "-m", "videollm_operator", "plan", "-f", "-", "-o", "json"],
        input=json.dumps(deployment_of(documents)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 3
    assert json.loads(told.stdout)["problems"][0]["message"] == message
    events = eventually(lambda: space.items("events.events.k8s.io"), bool)
    assert message[:1023] in {event["note"].rstrip("…") for event in events}
    assert space.children() == []
    assert ready(obj)[0] == "False"


def test_the_first_reconcile_makes_everything_without_waiting(space: Namespace) -> None:
    mark = audit_mark(space.cluster)
    space.apply(vld())
    space.until_ready()
    made = [
        (record.resource, record.subresource)
        for record in writes(space.cluster, mark)
        if record.namespace == space.name
    ]
    # One reconcile, in the order of creation; the first status comes after the children.
    assert made[:5] == [
        ("serviceaccounts", ""),
        ("services", ""),
        ("services", ""),
        ("statefulsets", ""),
        ("poddisruptionbudgets", ""),
    ]
    assert set(made[5:]) == {("videollmdeployments", "status")}
    assert all(
        record.code < 300
        for record in writes(space.cluster, mark)
        if record.namespace == space.name
    )


def test_status_follows_every_stage(space: Namespace) -> None:
    slow = vld(podTemplate={"annotations": {LOAD_SECONDS: "100000"}})
    space.apply(slow)
    loading = space.until_reason("Loading")
    assert {"Ready", "Reconciling", "Sized"} <= condition_types(loading)
    assert "Stalled" not in condition_types(loading)
    assert loading["status"]["readyReplicas"] == 0
    space.kubectl("annotate", "pod", "a-0", f"{LOAD_SECONDS}=0", "--overwrite")
    space.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "vld/a")
    status = space.get("vld")["status"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (1, 1, 1)
    assert status["url"] == f"http://a.{space.name}.svc:8000/v1"
    assert status["sizing"]["totalGPUs"] == 1
    assert {c["type"] for c in status["conditions"]} == {"Ready", "Sized"}
    row = space.kubectl("get", "vld", "a", "-o", "wide")
    for word in ("A100-80GB", "VLLM", "Serving", status["url"]):
        assert word in row


def test_the_arguments_follow_the_plan(space: Namespace) -> None:
    documents = sample("llava-video-72b-int8")
    space.apply(*documents)
    name = deployment_of(documents)["metadata"]["name"]
    obj = space.until(lambda o: o.get("status", {}).get("sizing"), name)
    container = eventually(lambda: space.get("statefulset", name), bool)["spec"]["template"][
        "spec"
    ]["containers"][0]
    sizing = obj["status"]["sizing"]
    assert f"--tensor-parallel-size={sizing['tensorParallelSize']}" in container["args"]
    assert f"--max-model-len={sizing['maxModelLen']}" in container["args"]
    # A quantized checkpoint says itself how it is quantized; naming it again is an error in vLLM.
    assert not any(arg.startswith("--quantization") for arg in container["args"])


def test_the_original_checkpoint_on_vllm_is_refused_with_the_way_out(space: Namespace) -> None:
    space.apply(vld(model={"name": "lmms-lab/LLaVA-Video-72B-Qwen2"}, workload={}))
    obj = space.until_reason("EngineUnsupported")
    message = space.condition("Stalled")["message"]
    assert "spec.model.base" in message
    assert "SGLang" in message
    assert obj["status"]["sizing"]["gpusPerReplica"] == 4
    assert space.children() == []


def test_a_scheduler_that_finds_no_node_is_quoted(
    space: Namespace, operator: LocalOperator
) -> None:
    assert operator.alive
    space.apply(vld(gpu={"sku": "H200-141GB"}))
    obj = space.until_reason("Unschedulable")
    assert "nodes are available" in space.condition("Ready")["message"]
    assert "Stalled" not in condition_types(obj)  # a node often comes minutes later
