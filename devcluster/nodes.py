"""Make Node objects out of nodes.yaml. Pure but for reading that file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from devcluster import paths
from devcluster.build import CONTROL_PLANE, pinned_version
from devcluster.config import SIMULATED_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GPU = "nvidia.com/gpu"
# Versions that the labels of a GPU node tell: a data centre driver and the CUDA it brings.
_DRIVER = "580.95.05"
_CUDA = "13.0"


@dataclass(frozen=True)
class Gpu:
    """GPUs of one node, all alike.

    Attributes:
        product: as GPU Feature Discovery labels it, such as `NVIDIA-L4`.
        count: how many.
        memory: MiB of each, as nvidia-smi reports.
        family: architecture, such as `ampere`.
        compute: compute capability, such as `8.0`.
        mig: whether the product can be partitioned.
    """

    product: str
    count: int
    memory: int
    family: str
    compute: str
    mig: bool = False


@dataclass(frozen=True)
class NodeGroup:
    """Equal nodes.

    Attributes:
        name: the nodes are NAME-0, NAME-1, ...
        count: how many nodes.
        instance_type: value of the label `node.kubernetes.io/instance-type`.
        cpu: cores of each.
        memory_gib: memory of each, GiB.
        ephemeral_gib: local disk of each, GiB.
        gpu: its GPUs, None for a node without.
        labels: further labels, or other values for those that are made.
    """

    name: str
    count: int
    instance_type: str
    cpu: int
    memory_gib: int
    ephemeral_gib: int
    gpu: Gpu | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def node_names(self) -> list[str]:
        """Names of its nodes."""
        return [f"{self.name}-{index}" for index in range(self.count)]


def load(path: Path = paths.SOURCE / "nodes.yaml") -> list[NodeGroup]:
    """The groups that a file of the shape of nodes.yaml describes."""
    return [
        NodeGroup(
            name=entry["name"],
            count=entry["count"],
            instance_type=entry["instanceType"],
            cpu=entry["capacity"]["cpu"],
            memory_gib=entry["capacity"]["memoryGiB"],
            ephemeral_gib=entry["capacity"]["ephemeralGiB"],
            gpu=Gpu(**entry["gpu"]) if "gpu" in entry else None,
            labels=tuple(entry.get("labels", {}).items()),
        )
        for entry in yaml.safe_load(path.read_text())
    ]


def manifests(groups: Sequence[NodeGroup]) -> list[dict[str, Any]]:
    """Node objects of all groups, status included: a Node may be created with its capacity."""
    return [_node(group, name) for group in groups for name in group.node_names]


def _node(group: NodeGroup, name: str) -> dict[str, Any]:
    capacity = _resources(group, cpu_m=group.cpu * 1000, memory_mib=group.memory_gib * 1024)
    # A kubelet keeps back some cpu and memory; half a core and 3 % is what clouds come to.
    allocatable = _resources(
        group, cpu_m=group.cpu * 1000 - 500, memory_mib=group.memory_gib * 1024 * 97 // 100
    )
    spec: dict[str, Any] = {"providerID": f"devcluster://{name}"}
    if group.gpu is not None:
        spec["taints"] = [{"key": GPU, "value": "present", "effect": "NoSchedule"}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": _labels(group, name)},
        "spec": spec,
        "status": {
            "capacity": capacity,
            "allocatable": allocatable,
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": "simulated",
                "kernelVersion": "simulated",
                "containerRuntimeVersion": "simulated://kwok",
                "kubeletVersion": _kubernetes_version(),
                "kubeProxyVersion": "",
                "bootID": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    }


def _kubernetes_version() -> str:
    """The version that kubelets of the cluster claim: the one that its control plane has."""
    return pinned_version((CONTROL_PLANE.module / "go.mod").read_text(), "k8s.io/kubernetes")


def _resources(group: NodeGroup, *, cpu_m: int, memory_mib: int) -> dict[str, str]:
    gpus = {GPU: str(group.gpu.count)} if group.gpu else {}
    return {
        "cpu": f"{cpu_m}m",
        "memory": f"{memory_mib}Mi",
        "ephemeral-storage": f"{group.ephemeral_gib}Gi",
        "pods": "110",
    } | gpus


def _labels(group: NodeGroup, name: str) -> dict[str, str]:
    labels = {
        SIMULATED_LABEL: "true",
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": group.instance_type,
        "topology.kubernetes.io/region": "sim",
        "topology.kubernetes.io/zone": "sim-a",
    }
    if group.gpu is not None:
        labels |= _gpu_labels(group.gpu, group.instance_type)
    return labels | dict(group.labels)


def _gpu_labels(gpu: Gpu, machine: str) -> dict[str, str]:
    """Labels of GPU Feature Discovery for whole GPUs without sharing."""
    compute_major, compute_minor = gpu.compute.split(".")
    driver_major, driver_minor, driver_revision = _DRIVER.split(".")
    cuda_major, cuda_minor = _CUDA.split(".")
    return {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": gpu.product,
        "nvidia.com/gpu.count": str(gpu.count),
        "nvidia.com/gpu.memory": str(gpu.memory),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.sharing-strategy": "none",
        "nvidia.com/gpu.family": gpu.family,
        "nvidia.com/gpu.compute.major": compute_major,
        "nvidia.com/gpu.compute.minor": compute_minor,
        "nvidia.com/gpu.machine": machine,
        "nvidia.com/gpu.mode": "compute",
        "nvidia.com/mig.capable": str(gpu.mig).lower(),
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/cuda.driver-version.full": _DRIVER,
        "nvidia.com/cuda.driver-version.major": driver_major,
        "nvidia.com/cuda.driver-version.minor": driver_minor,
        "nvidia.com/cuda.driver-version.revision": driver_revision,
        "nvidia.com/cuda.runtime-version.full": _CUDA,
        "nvidia.com/cuda.runtime-version.major": cuda_major,
        "nvidia.com/cuda.runtime-version.minor": cuda_minor,
    }
