"""Measure what matters to users and write docs/benchmarks.md: `make bench`.

Figures, not limits: nothing here passes or fails. A cluster of its own is started and removed.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from devcluster import nodes, processes
from devcluster.cluster import Cluster
from devcluster.progress import to_terminal
from devcluster.waiting import wait_until
from hack import local_operator
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = local_operator.ROOT / "docs" / "benchmarks.md"
NAMESPACE = "bench"
ONE_BY_ONE = 20
MANY = 500
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
BIG = "lmms-lab/LLaVA-Video-72B-Qwen2"


def deployment(name: str, model: str = SMALL, sku: str = "A100-80GB") -> dict[str, Any]:
    """A deployment; with the small model one that fits a single GPU."""
    return {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"name": model},
            "gpu": {"sku": sku},
            "workload": {"framesPerVideo": 8},
            "cache": {"type": "EmptyDir"},
        },
    }


def plans() -> Iterator[tuple[str, str]]:
    """Planning in one process, catalogue loaded."""
    catalog = builtin()
    spec = VideoLLMDeployment.from_object(deployment("a", BIG)).spec
    times = []
    for _ in range(300):
        began = time.perf_counter()
        plan_deployment(spec, catalog)
        times.append((time.perf_counter() - began) * 1000)
    yield "one plan of the 72B", f"{statistics.median(times[50:]):.2f} ms (median of 250)"
    began, fits, refused = time.perf_counter(), 0, 0
    for model in catalog.models:
        for sku in catalog.gpus:
            try:
                plan_deployment(
                    VideoLLMDeployment.from_object(deployment("a", model, sku)).spec, catalog
                )
                fits += 1
            except Refused:
                refused += 1
    took = time.perf_counter() - began
    yield (
        "all catalogue models on all GPUs",
        f"{took:.2f} s for {fits} plans and {refused} refusals with their remedies",
    )


def start_up() -> Iterator[tuple[str, str]]:
    """The command line as a whole process."""
    times = []
    argv = [sys.executable, "-m", "videollm_operator", "plan", "--model", BIG, "--gpu", "L40"]
    for form in ("json", "table"):
        times = []
        for _ in range(11):
            began = time.perf_counter()
            subprocess.run([*argv, "-o", form], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        shown = (
            f"{statistics.median(times):.2f} s (median of 11; {min(times):.2f} to {max(times):.2f})"
        )
        yield f"`videollm plan -o {form}`, from start to end", shown


def latency(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """From the API server's receipt of the object to that of the StatefulSet, by its audit log."""
    times = []
    for number in range(ONE_BY_ONE):
        name = f"single-{number}"
        mark = cluster.audit_mark()
        cluster.kubectl("create", "-f", "-", input=yaml.safe_dump(deployment(name)))
        wait_until(lambda name=name: has_status(cluster, name), 30)  # type: ignore[misc]
        received = {
            record.resource: record.time
            for record in cluster.audit_events(mark)
            if record.write
            and record.namespace == NAMESPACE
            and not record.subresource
            and record.resource in {"videollmdeployments", "statefulsets"}
            and record.user != "system:serviceaccount:kube-system:statefulset-controller"
        }
        gap = received["statefulsets"] - received["videollmdeployments"]
        times.append(gap.total_seconds() * 1000)
    ordered = sorted(times)
    yield (
        "apply to StatefulSet, one object at a time",
        f"{statistics.median(times):.0f} ms (median of {ONE_BY_ONE}; worst {ordered[-1]:.0f} ms)",
    )


def has_status(cluster: Cluster, name: str) -> bool:
    """Whether the operator has spoken of the object."""
    conditions = cluster.get("vld", name, "-n", NAMESPACE).get("status", {}).get("conditions")
    return bool(conditions)


def many(cluster: Cluster, operator: local_operator.LocalOperator) -> Iterator[tuple[str, str]]:
    """Memory idle and with many objects; time from the last create to the last child."""
    yield "operator memory with no object", f"{processes.memory_mib(operator.process)} MiB"
    objects = yaml.safe_dump_all([deployment(f"many-{number}") for number in range(MANY)])
    mark = cluster.audit_mark()
    began = time.monotonic()
    cluster.kubectl("create", "-f", "-", input=objects, timeout_s=600)
    created = time.monotonic() - began
    wait_until(lambda: count(cluster, "statefulset") >= MANY, 600, 1)
    mine = [r for r in cluster.audit_events(mark) if r.namespace == NAMESPACE and r.write]
    last_object = max(
        r.time for r in mine if r.resource == "videollmdeployments" and r.verb == "create"
    )
    last_child = max(
        r.time for r in mine if r.resource == "poddisruptionbudgets" and "operator" in r.user
    )
    yield f"{MANY} objects created one after another by kubectl", f"{created:.1f} s"
    behind = max(0.0, (last_child - last_object).total_seconds())
    yield "last child after the last create", f"{behind:.1f} s"
    wait_until(lambda: ready(cluster) >= MANY, 600, 2)
    yield (
        f"operator memory with {MANY} served objects",
        f"{processes.memory_mib(operator.process)} MiB",
    )


def count(cluster: Cluster, kind: str) -> int:
    """Objects of a kind in the namespace."""
    return len(cluster.kubectl("get", kind, "-n", NAMESPACE, "-o", "name").split())


def ready(cluster: Cluster) -> int:
    """Deployments that serve."""
    path = "{range .items[*]}{.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}"
    return (
        cluster.kubectl("get", "vld", "-n", NAMESPACE, "-o", f"jsonpath={path}")
        .split()
        .count("True")
    )


def table(rows: list[tuple[str, str]]) -> str:
    """A Markdown table."""
    lines = ["| what | measured |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {figure} |" for what, figure in rows)])


def document(rows: list[tuple[str, str]]) -> str:
    """The page."""
    where = f"{os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()})"
    return f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, on {where}, with the local control
plane and its simulated nodes on the same computer. They are figures to compare one's own with,
not limits, and no test asserts them.

{table(rows)}

The time from apply to StatefulSet is read from the API server's audit log: it begins when the
server receives the object and ends when it receives the operator's StatefulSet, which is the
operator's last child but one. Memory is the resident set of the operator's process.
"""


def main() -> int:
    """Measures everything and writes the page."""
    rows = [*plans(), *start_up()]
    with Cluster(progress=to_terminal()) as cluster:
        local_operator.install(cluster)
        cluster.create_namespace(NAMESPACE)
        group = next(group for group in nodes.load() if group.name == "a100-80gb")
        cluster.add_nodes([replace(group, name="bench", count=MANY // 8 + 4)], timeout_s=180)
        operator = local_operator.start(cluster, name="operator")
        try:
            idle = list(many(cluster, operator))
            cluster.kubectl("delete", "vld", "--all", "-n", NAMESPACE, timeout_s=600)
            wait_until(lambda: count(cluster, "pod") == 0, 600, 2)
            rows += [*latency(cluster), *idle]
        finally:
            operator.stop()
    TARGET.write_text(document(rows))
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
