"""Where pods land, by the real scheduler: nodes of every kind side by side, all requests at once.

A request asks for more replicas than there are nodes that it may use, no two of them on one node.
So its pods land on every one of these, and the others stay Pending: the set of nodes is exact.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devcluster import contents, nodes
from devcluster.waiting import eventually
from hack import local_operator
from tests.cluster.world import Namespace, ready, vld
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from devcluster.target import Target
    from hack.local_operator import LocalOperator

pytestmark = pytest.mark.cluster

KIND = "test.videollm.io/kind"
AWAY = "test.videollm.io/away"
GPU = nodes.GPU
SHARED = "nvidia.com/gpu.shared"
SLICE = "nvidia.com/mig-1g.18gb"
PROFILE = "H200-141GB-MIG-1g.18gb"
PRODUCT = "NVIDIA-H200"
H200 = nodes.Gpu(PRODUCT, 8, 143771, "hopper", "9.0", mig=True)
GPU_TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
MANY = "100"
TINY = {"name": "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"}


@dataclass(frozen=True)
class Kind:
    """One kind of node: labels beside those of every node, what it offers, what keeps pods off."""

    labels: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=lambda: {GPU: MANY})
    taints: tuple[Mapping[str, str], ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)


def gfd(product: str = PRODUCT, **labels: str) -> dict[str, str]:
    """What GPU Feature Discovery writes; `gpu__slices__gi` is the label `gpu.slices.gi`."""
    (plain,) = nodes.manifests([nodes.NodeGroup("n", 1, "sim.h200.8", 1, 1, 1, H200)])
    found = {k: v for k, v in plain["metadata"]["labels"].items() if k.startswith("nvidia.com/")}
    changes = {key.replace("__", ".").replace("_", "-"): value for key, value in labels.items()}
    return (
        found
        | {f"nvidia.com/{key}": value for key, value in changes.items()}
        | {"nvidia.com/gpu.product": product}
    )


TIME_SLICED = {"gpu__sharing_strategy": "time-slicing", "gpu__replicas": "4"}
MIG_SINGLE = {"gpu__slices__gi": "1", "gpu__slices__ci": "1", "gpu__memory": "16384"}
MIG_MIXED = {
    "nvidia.com/mig.strategy": "mixed",
    f"{SLICE}.product": f"{PRODUCT}-MIG-1g.18gb",
    f"{SLICE}.count": "7",
    f"{SLICE}.memory": "16384",
}
OLD_GFD = {
    "nvidia.com/gpu.product": f"{PRODUCT}-SHARED",
    "nvidia.com/gpu.replicas": "4",
    "nvidia.com/gpu.memory": "143771",
}
GKE = {
    "cloud.google.com/gke-accelerator": "nvidia-h200-141gb",
    "cloud.google.com/gke-nodepool": "a",
}
KARPENTER = {
    "karpenter.k8s.aws/instance-gpu-name": "h200",
    "karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia",
    "karpenter.k8s.aws/instance-gpu-count": "8",
    "karpenter.k8s.aws/instance-gpu-memory": "144384",
    "node.kubernetes.io/instance-type": "p5en.48xlarge",
}
AKS = {
    "node.kubernetes.io/instance-type": "Standard_ND96isr_H200_v5",
    "kubernetes.azure.com/accelerator": "nvidia",
    "agentpool": "gpu",
}
AKS_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
TEAM_TAINT = {"key": "dedicated", "value": "team", "effect": "NoSchedule"}

KINDS: dict[str, Kind] = {
    # Whole GPUs that GPU Feature Discovery describes.
    "plain": Kind(gfd(), taints=(GPU_TAINT,)),
    "untainted": Kind(gfd()),
    "taint-no-value": Kind(gfd(), taints=({"key": GPU, "effect": "NoSchedule"},)),
    "tainted": Kind(gfd(), taints=(GPU_TAINT, TEAM_TAINT)),
    "cordoned": Kind(gfd(), taints=(GPU_TAINT,), spec={"unschedulable": True}),
    # Shared GPUs: the product's suffix, or another resource.
    "time-sliced": Kind(gfd(f"{PRODUCT}-SHARED", **TIME_SLICED), taints=(GPU_TAINT,)),
    "mps": Kind(gfd(f"{PRODUCT}-SHARED", gpu__sharing_strategy="mps", gpu__replicas="4")),
    "renamed": Kind(gfd(**TIME_SLICED), {SHARED: MANY}, (GPU_TAINT,)),
    # Cut in slices: all alike under the name of whole GPUs, or each by its own resource.
    "mig-single": Kind(gfd(f"{PRODUCT}-MIG-1g.18gb", **MIG_SINGLE), taints=(GPU_TAINT,)),
    "mig-mixed": Kind(gfd() | MIG_MIXED, {GPU: MANY, SLICE: MANY}, (GPU_TAINT,)),
    "mig-mixed-only": Kind(gfd() | MIG_MIXED, {SLICE: MANY}, (GPU_TAINT,)),
    "mig-single-shared": Kind(
        gfd(f"{PRODUCT}-MIG-1g.18gb-SHARED", **MIG_SINGLE, **TIME_SLICED), taints=(GPU_TAINT,)
    ),
    # Labels of clouds, alone and with those of GPU Feature Discovery.
    "gke": Kind(GKE, taints=(GPU_TAINT,)),
    "gke-shared": Kind({**GKE, "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"}),
    "gke-mps": Kind({**GKE, "cloud.google.com/gke-gpu-sharing-strategy": "mps"}),
    "gke-sliced": Kind({**GKE, "cloud.google.com/gke-gpu-partition-size": "1g.18gb"}),
    "gke-gfd-shared": Kind(GKE | gfd(f"{PRODUCT}-SHARED", **TIME_SLICED)),
    "karpenter": Kind(KARPENTER),
    "karpenter-gfd": Kind(KARPENTER | gfd()),
    "karpenter-shared": Kind(KARPENTER | gfd(f"{PRODUCT}-SHARED", **TIME_SLICED)),
    "karpenter-old-gfd": Kind(KARPENTER | OLD_GFD),
    "karpenter-renamed": Kind(KARPENTER | gfd(**TIME_SLICED), {SHARED: MANY}),
    "karpenter-sliced": Kind(KARPENTER | gfd(f"{PRODUCT}-MIG-1g.18gb", **MIG_SINGLE)),
    "aks": Kind(AKS),
    "aks-tainted": Kind(AKS, taints=(AKS_TAINT,)),
    "aks-shared": Kind(AKS | gfd(f"{PRODUCT}-SHARED", **TIME_SLICED)),
    "aks-sliced": Kind(AKS | gfd(f"{PRODUCT}-MIG-1g.18gb", **MIG_SINGLE)),
    # GPUs that nothing describes, none at all, and other ones.
    "unlabelled": Kind(),
    "no-gpu": Kind(gfd(), {}),
    "l40s": Kind(gfd("NVIDIA-L40S", gpu__memory="46068"), taints=(GPU_TAINT,)),
    "l40s-eks": Kind({"k8s.amazonaws.com/accelerator": "nvidia-l40s"}),
    "l40s-karpenter": Kind({"karpenter.k8s.aws/instance-gpu-name": "l40s"}),
    "a30-shared": Kind(gfd("NVIDIA-A30-SHARED", **TIME_SLICED)),
}

WHOLE = {
    *("plain", "untainted", "taint-no-value", "mig-mixed"),
    *("gke", "karpenter", "karpenter-gfd", "aks"),
}
"""Where one whole H200 is to be had by whoever tolerates the GPU's own taint."""
L40S = {"l40s", "l40s-eks", "l40s-karpenter"}
UNFIT = {"tainted", "cordoned", "aks-tainted"}
WITH_GPUS = {name for name, kind in KINDS.items() if GPU in kind.resources}

CATALOGUE = {
    "gpus": [
        {
            "sku": sku,
            "product": sku,
            "nominalGB": 18,
            "nvmlMiB": 16384,
            "visibleMiB": 16000,
            "computeCapability": "9.0",
            "gpusPerNode": 1,
            "nodeLabels": [labels],
            **({"resourceName": resource} if resource else {}),
        }
        for sku, resource, labels in (
            ("Our-slice", "", {"nvidia.com/gpu.product": [f"{PRODUCT}-MIG-1g.18gb"]}),
            ("Our-mixed-slice", SLICE, {"nvidia.com/gpu.product": [PRODUCT]}),
            ("Our-share", "", {"nvidia.com/gpu.product": [f"{PRODUCT}-SHARED"]}),
        )
    ]
}
"""What an administrator writes who has names of his own; the share is refused."""


A30_SHARED = (
    "Nodes with A30 are there, but none offers A30: shared by time slicing: every pod sees the "
    "whole card's memory, and the engine takes nearly all of it"
)


def kinds(*names: str) -> dict[str, Any]:
    """A node selector term for some kinds of nodes."""
    return {"matchExpressions": [{"key": KIND, "operator": "In", "values": list(names)}]}


def terms(*alternatives: dict[str, Any]) -> dict[str, Any]:
    """The user's own required node affinity."""
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    return {"nodeAffinity": {required: {"nodeSelectorTerms": list(alternatives)}}}


@dataclass(frozen=True)
class Request:
    """What a user asks for, and the kinds of nodes where its pods may go."""

    lands: set[str]
    gpu: Mapping[str, Any] = field(default_factory=lambda: {"sku": "H200-141GB"})
    scheduling: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, str] | None = None


NONE = {"sku": "H200-141GB", "nodeSelection": "None"}
EVERYTHING = {"tolerations": [{"operator": "Exists"}]}

REQUESTS: dict[str, Request] = {
    "auto": Request(WHOLE),
    "selector": Request({"gke"}, scheduling={"nodeSelector": {KIND: "gke"}}),
    "selector-shared": Request(set(), scheduling={"nodeSelector": {KIND: "time-sliced"}}),
    "affinity": Request(
        {"plain", "karpenter"},
        scheduling={"affinity": terms(kinds("plain", "karpenter", "time-sliced", "l40s"))},
    ),
    "affinity-or": Request(
        {"plain", "aks", "karpenter"},
        scheduling={
            "affinity": terms(
                kinds("plain", "mig-single", "gke-shared"),
                kinds("aks", "aks-sliced"),
                {"matchFields": [
                    {"key": "metadata.name", "operator": "In", "values": ["karpenter"]}
                ]},
            )
        },
    ),
    "affinity-shared": Request(
        set(),
        scheduling={
            "affinity": terms(
                kinds("time-sliced", "mps", "mig-single", "karpenter-old-gfd"),
                kinds("gke-sliced", "aks-shared", "unlabelled"),
            )
        },
    ),
    "both": Request(
        {"plain"},
        scheduling={
            "nodeSelector": {"nvidia.com/gpu.present": "true"},
            "affinity": terms(kinds("plain", "gke"), kinds("aks")),
        },
    ),
    "tolerate-team": Request(
        WHOLE | {"tainted"},
        scheduling={"tolerations": [{**TEAM_TAINT, "operator": "Equal"}]},
    ),
    "tolerate-aks": Request(
        WHOLE | {"aks-tainted"},
        scheduling={"tolerations": [{"key": "sku", "operator": "Exists"}]},
    ),
    "tolerate-all": Request(WHOLE | UNFIT, scheduling=EVERYTHING),
    "none": Request(WITH_GPUS - UNFIT, NONE),
    "none-selector": Request({"time-sliced"}, NONE, {"nodeSelector": {KIND: "time-sliced"}}),
    "none-affinity": Request(
        {"mig-single", "unlabelled"}, NONE, {"affinity": terms(kinds("mig-single", "unlabelled"))}
    ),
    "none-all": Request(
        WITH_GPUS,
        NONE,
        {**EVERYTHING, "affinity": terms(kinds(*KINDS))},
    ),
    "l40s": Request(L40S, {"sku": "L40S"}),
    "l40s-selector": Request({"l40s-eks"}, {"sku": "L40S"}, {"nodeSelector": {KIND: "l40s-eks"}}),
    "a30": Request(set(), {"sku": "A30"}),
    "b200": Request(set(), {"sku": "B200"}),
    "slice": Request({"mig-single", "karpenter-sliced", "aks-sliced", "gke-sliced"},
                     {"sku": PROFILE}, model=TINY),
    "mixed-slice": Request({"mig-mixed", "mig-mixed-only"}, {"sku": f"{PROFILE}-mixed"},
                           model=TINY),
    "our-slice": Request({"mig-single", "karpenter-sliced", "aks-sliced"}, {"sku": "Our-slice"},
                         model=TINY),
    "our-mixed-slice": Request({"mig-mixed", "mig-mixed-only"}, {"sku": "Our-mixed-slice"},
                               model=TINY),
}  # fmt: skip


def node(name: str, kind: Kind) -> dict[str, Any]:
    """A node with room for all requests."""
    group = nodes.NodeGroup(name, 1, "sim.cpu", cpu=2000, memory_gib=65536, ephemeral_gib=262144)
    (made,) = nodes.manifests([group])
    made = copy.deepcopy(made)
    made["metadata"]["name"] = name
    made["metadata"]["labels"] |= {**kind.labels, KIND: name, "kubernetes.io/hostname": name}
    made["spec"] |= {"taints": [dict(taint) for taint in kind.taints], **kind.spec}
    for figures in ("capacity", "allocatable"):
        made["status"][figures] |= kind.resources
    return made


def asked(name: str, request: Request) -> dict[str, Any]:
    """The object: a replica for each node, each on another one."""
    apart = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": name}},
                    "topologyKey": "kubernetes.io/hostname",
                }
            ]
        }
    }
    scheduling = {**request.scheduling}
    scheduling["affinity"] = {**scheduling.get("affinity", {}), **apart}
    changes = {"model": dict(request.model)} if request.model else {}
    # Two more than there are nodes: they would take a node that is taken by mistake.
    replicas = len(request.lands) + 2
    return vld(name, gpu=dict(request.gpu), scheduling=scheduling, replicas=replicas, **changes)


@pytest.fixture(scope="module")
def all_kinds(installed: Target) -> Iterator[None]:
    """All kinds of nodes; the cluster's own ones take no pods meanwhile."""
    own = [item["metadata"]["name"] for item in installed.get("nodes")["items"]]
    installed.kubectl("taint", "node", *own, f"{AWAY}=:NoExecute")
    installed.apply([node(name, kind) for name, kind in KINDS.items()])
    eventually(lambda: unready(installed), lambda left: not left, timeout_s=90)
    yield
    installed.kubectl("delete", "node", "-l", KIND)
    installed.kubectl("taint", "node", *own, f"{AWAY}:NoExecute-")


@pytest.fixture(scope="module")
def catalogue(installed: Target) -> Iterator[None]:
    """The administrator's entries for parts of GPUs."""
    name = ("configmap", "videollm-catalog", "-n", local_operator.NAMESPACE)
    installed.kubectl("create", *name, f"--from-literal=catalog.yaml={yaml.safe_dump(CATALOGUE)}")
    yield
    installed.kubectl("delete", *name)


@pytest.fixture(scope="module")
def world(
    installed: Target, all_kinds: None, catalogue: None, operator: LocalOperator
) -> Iterator[Namespace]:
    """All requests, once everything is decided."""
    namespace = Namespace(installed, "nodes")
    installed.create_namespace(namespace.name)
    namespace.apply(*(asked(name, request) for name, request in REQUESTS.items()))
    eventually(lambda: undecided(namespace), lambda left: not left, timeout_s=240, interval_s=1)
    yield namespace
    namespace.kubectl("delete", "vld", "--all", "--wait=false")
    namespace.kubectl("delete", "pod", "--all", "--force", "--grace-period=0", "--wait=false")
    installed.kubectl("delete", "namespace", namespace.name, timeout_s=240)


def unready(cluster: Target) -> list[str]:
    """Nodes of this test that do not take pods yet."""
    items = cluster.get("nodes", "-l", KIND)["items"]
    cordon = "node.kubernetes.io/unschedulable"
    for item in items:
        taints = item["spec"].get("taints", [])
        item["spec"]["taints"] = [taint for taint in taints if taint["key"] != cordon]
    return [item["metadata"]["name"] for item in items if not contents.is_ready(item)]


def pods_by_request(world: Namespace) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in REQUESTS}
    for pod in world.items("pods"):
        found[pod["metadata"]["labels"]["app.kubernetes.io/instance"]].append(pod)
    return found


def refusal(pod: dict[str, Any]) -> str:
    """What the scheduler says of a pod that it cannot place; empty if it said nothing."""
    return next(
        (
            condition["message"]
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ),
        "",
    )


def undecided(world: Namespace) -> list[str]:
    """Requests with pods that are missing, or of which the scheduler has said nothing."""
    return [
        name
        for name, pods in pods_by_request(world).items()
        if len(pods) < len(REQUESTS[name].lands) + 2
        or not all(pod["spec"].get("nodeName") or refusal(pod) for pod in pods)
    ]


@pytest.fixture(scope="module")
def placed(world: Namespace) -> dict[str, list[dict[str, Any]]]:
    """The pods of each request."""
    return pods_by_request(world)


@pytest.mark.parametrize("name", REQUESTS)
def test_pods_land_exactly_where_they_may(
    placed: dict[str, list[dict[str, Any]]], name: str
) -> None:
    landed = {pod["spec"].get("nodeName") for pod in placed[name]} - {None}
    assert landed == REQUESTS[name].lands


@pytest.mark.parametrize("name", ["auto", "none", "l40s", "b200", "a30", "affinity-shared"])
def test_the_schedulers_sentence_is_told(
    world: Namespace, placed: dict[str, list[dict[str, Any]]], name: str
) -> None:
    said = {
        f"pod '{pod['metadata']['name']}': {refusal(pod)}" for pod in placed[name] if refusal(pod)
    }
    obj = world.until(lambda found: ready(found) == ("False", "Unschedulable"), name)
    (message,) = (c["message"] for c in obj["status"]["conditions"] if c["type"] == "Ready")
    told = {each.rstrip(".") for each in said}
    if name == "a30":
        told = {f"{each}. {A30_SHARED}" for each in told}
    assert message.rstrip(".") in told
    assert f"0/{len(world.cluster.get('nodes')['items'])} nodes are available" in message


def test_nodes_that_pods_may_not_use_do_not_lower_the_plan(world: Namespace) -> None:
    table = builtin().gpus["H200-141GB"].visible_mib
    for name, request in REQUESTS.items():
        if request.gpu["sku"] == "H200-141GB":
            assert world.get("vld", name)["status"]["sizing"]["memoryPerGPU"]["visible"] == table


def test_a_share_of_a_gpu_is_refused(world: Namespace) -> None:
    world.apply(vld("share", gpu={"sku": "Our-share"}))
    world.until(lambda found: ready(found) == ("False", "GPUUnknown"), "share")


def test_the_resource_is_that_of_the_sku(placed: dict[str, list[dict[str, Any]]]) -> None:
    def resources(name: str) -> dict[str, str]:
        limits: dict[str, str] = placed[name][0]["spec"]["containers"][0]["resources"]["limits"]
        return {key: value for key, value in limits.items() if "/" in key}

    assert resources("auto") == resources("slice") == resources("our-slice") == {GPU: "1"}
    assert resources("mixed-slice") == resources("our-mixed-slice") == {SLICE: "1"}
