"""Node objects as nodes.yaml describes them."""

from __future__ import annotations

from typing import Any

from devcluster import nodes
from devcluster.contents import is_ready


def made() -> dict[str, dict[str, Any]]:
    return {node["metadata"]["name"]: node for node in nodes.manifests(nodes.load())}


def test_the_cluster_has_several_nodes_of_each_kind() -> None:
    count: dict[tuple[str, int], int] = {}
    for group in nodes.load():
        key = (group.gpu.product, group.gpu.count) if group.gpu else ("", 0)
        count[key] = count.get(key, 0) + group.count
    assert count == {
        ("NVIDIA-A100-SXM4-80GB", 8): 2,
        ("NVIDIA-A100-SXM4-40GB", 8): 2,
        ("NVIDIA-L40", 8): 2,
        ("NVIDIA-H100-80GB-HBM3", 8): 2,
        ("NVIDIA-L4", 1): 2,
        ("", 0): 1,
    }


def test_a_gpu_node_carries_the_labels_of_gpu_feature_discovery() -> None:
    labels = made()["a100-80gb-1"]["metadata"]["labels"]
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-80GB"
    assert labels["nvidia.com/gpu.memory"] == "81920"
    assert labels["nvidia.com/gpu.count"] == "8"
    assert labels["nvidia.com/gpu.replicas"] == "1"
    assert labels["nvidia.com/gpu.sharing-strategy"] == "none"
    assert labels["nvidia.com/gpu.family"] == "ampere"
    assert labels["nvidia.com/gpu.compute.major"] == "8"
    assert labels["nvidia.com/gpu.compute.minor"] == "0"
    assert labels["nvidia.com/mig.capable"] == "true"
    assert labels["kubernetes.io/hostname"] == "a100-80gb-1"


def test_gpus_are_a_resource_and_keep_other_pods_away() -> None:
    node = made()["l40-0"]
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "8"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    assert node["spec"]["taints"] == [taint]


def test_a_node_without_gpus_has_no_trace_of_them() -> None:
    node = made()["cpu-0"]
    assert "nvidia" not in str(node)
    assert "taints" not in node["spec"]


def test_labels_of_a_group_win_over_those_that_are_made() -> None:
    group = nodes.NodeGroup("n", 1, "type", 4, 16, 100, labels=(("kubernetes.io/arch", "arm64"),))
    (node,) = nodes.manifests([group])
    assert node["metadata"]["labels"]["kubernetes.io/arch"] == "arm64"


def test_a_node_is_ready_when_only_its_own_taints_are_left() -> None:
    node = made()["l4-0"]
    assert not is_ready(node)
    node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    assert is_ready(node)
    node["spec"]["taints"].append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    assert not is_ready(node)
