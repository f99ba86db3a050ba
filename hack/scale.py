"""Measure how the operator scales; `make bench` calls it for docs/benchmarks.md and its plot.

A burst of deployments with pods, then many more without (`replicas: 0`): they fill the operator's
memory as well, and cost the simulated kubelet nothing. Figures, not limits: nothing here fails.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devcluster import nodes, processes
from devcluster.waiting import wait_until
from hack import load, local_operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.cluster import Cluster
    from hack.load import Burst
    from hack.local_operator import LocalOperator

NAMESPACE = "scale"
CHANGES = 20
QUIET_SECONDS = 60
PATIENCE_S = 1800.0
GPUS_PER_NODE = 8


@dataclass
class Scale:
    """What was measured.

    Attributes:
        burst: the objects created at once.
        cpu: processor seconds of each program from the first create to the last child.
        ready_s: seconds from the first create until all of the burst served.
        memory: (objects, MiB) of the operator.
        latency_ms: (objects, milliseconds) from the receipt of a change to that of the StatefulSet.
        start_s: seconds from the start of the operator until it said that it is ready.
        start_cpu_s: processor seconds until nothing of it moved any more.
        start_writes: what it wrote meanwhile, its Lease left out.
        quiet_writes: the same in a minute without changes.
        quiet_cpu_s: processor seconds in that minute.
    """

    burst: Burst
    cpu: dict[str, float]
    ready_s: float = 0.0
    memory: list[tuple[int, int]] = field(default_factory=list)
    latency_ms: list[tuple[int, list[float]]] = field(default_factory=list)
    start_s: float = 0.0
    start_cpu_s: float = 0.0
    start_writes: int = 0
    quiet_writes: int = 0
    quiet_cpu_s: float = 0.0


def deployment(name: str, replicas: int) -> dict[str, Any]:
    """A 7B on one GPU."""
    return {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "model": {"name": "llava-hf/llava-onevision-qwen2-7b-ov-hf"},
            "gpu": {"sku": "A100-80GB"},
            "workload": {"framesPerVideo": 8},
            "cache": {"type": "EmptyDir"},
            "replicas": replicas,
        },
    }


def measure(cluster: Cluster, *, at_once: int, in_all: int, step: int) -> Scale:
    """Measures everything.

    Args:
        cluster: a fresh one; the operator's rights and CRD are installed here.
        at_once: objects with a pod each that are created at the same time.
        in_all: objects at the end.
        step: how many more are created between two measurements.
    """
    local_operator.install(cluster)
    cluster.create_namespace(NAMESPACE)
    group = next(group for group in nodes.load() if group.name == "a100-80gb")
    machines = replace(group, name="scale", count=at_once // GPUS_PER_NODE + 1)
    cluster.add_nodes([machines], timeout_s=300)
    operator = local_operator.start(cluster, name="scale")
    try:
        until_acting(cluster)
        idle = memory(operator)
        result = burst(cluster, operator, at_once)
        result.memory += [(0, idle), (at_once, memory(operator))]
        result.latency_ms.append((at_once, latencies(cluster)))
        have = at_once
        while have < in_all:
            more = min(step, in_all - have)
            names = [f"idle-{number}" for number in range(have, have + more)]
            load.create(cluster, [deployment(name, 0) for name in names])
            have += more
            until_settled(cluster, have)
            result.memory.append((have, memory(operator)))
            cluster.progress.line(f"{have} objects, {result.memory[-1][1]} MiB")
        result.latency_ms.append((have, latencies(cluster)))
        quiet(cluster, operator, result)
        operator.stop()
        operator = restarted(cluster, result)
    finally:
        operator.stop()
    return result


def until_acting(cluster: Cluster) -> None:
    """Waits until the operator holds the Lease and has served and forgotten an object."""
    load.create(cluster, [deployment("first", 0)])
    until_settled(cluster, 1)
    cluster.kubectl("delete", "vld", "first", "-n", NAMESPACE)
    wait_until(lambda: not names(cluster, "pdb"), PATIENCE_S, 0.5)


def memory(operator: LocalOperator) -> int:
    """Resident memory in MiB."""
    return processes.memory_mib(operator.process) or 0


def burst(cluster: Cluster, operator: LocalOperator, count: int) -> Scale:
    """Creates objects at once and waits until they serve."""
    programs = {**cluster.processes, "operator": operator.process}
    before = {name: load.cpu_seconds(process) for name, process in programs.items()}
    mark, began = cluster.audit_mark(), time.monotonic()
    load.create(cluster, [deployment(f"many-{number}", 1) for number in range(count)])
    wait_until(lambda: len(names(cluster, "pdb")) >= count, PATIENCE_S, 0.5)
    cpu = {name: load.cpu_seconds(process) - before[name] for name, process in programs.items()}
    until_settled(cluster, count)
    return Scale(
        load.burst(cluster.audit_events(mark), NAMESPACE), cpu, ready_s=time.monotonic() - began
    )


def names(cluster: Cluster, kind: str) -> list[str]:
    """Names of all objects of a kind."""
    return cluster.kubectl("get", kind, "-n", NAMESPACE, "-o", "name").split()


def until_settled(cluster: Cluster, count: int) -> None:
    """Waits until so many deployments are Ready.

    Raises:
        TimeoutError: if they are not in time.
    """
    path = "{range .items[*]}{.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}"

    def ready() -> bool:
        told = cluster.kubectl("get", "vld", "-n", NAMESPACE, "-o", f"jsonpath={path}")
        return told.split().count("True") >= count

    if not wait_until(ready, PATIENCE_S, 2):
        raise TimeoutError(f"{count} deployments were not Ready in {PATIENCE_S:.0f} s")


def latencies(cluster: Cluster) -> list[float]:
    """Milliseconds from the API server's receipt of a change to that of the StatefulSet."""
    names = (f"many-{number}" for number in range(CHANGES))
    return [latency(cluster, name) for name in names]


def latency(cluster: Cluster, name: str) -> float:
    """Of one change: a frame more for each video."""
    mark = cluster.audit_mark()
    frames = cluster.get("vld", name, "-n", NAMESPACE)["spec"]["workload"]["framesPerVideo"]
    change = f'{{"spec":{{"workload":{{"framesPerVideo":{frames + 1}}}}}}}'
    cluster.kubectl("patch", "vld", name, "-n", NAMESPACE, "--type=merge", "-p", change)
    received: dict[str, Any] = {}

    def acted() -> bool:
        for record in cluster.audit_events(mark):
            if record.write and record.name == name and not record.subresource:
                received.setdefault(record.resource, record.time)
        return "statefulsets" in received

    if not wait_until(acted, 60, 0.05):
        raise TimeoutError(f"the change of {name} was not acted on")
    gap = received["statefulsets"] - received["videollmdeployments"]
    return float(gap.total_seconds() * 1000)


def writes(cluster: Cluster, mark: int) -> int:
    """Writes of the operator since a mark, its Lease left out."""
    return sum(
        record.write and record.user == load.OPERATOR_USER and record.resource != "leases"
        for record in cluster.audit_events(mark)
    )


def quiet(cluster: Cluster, operator: LocalOperator, result: Scale) -> None:
    """A minute in which nobody changes anything."""
    until_settled(cluster, result.memory[-1][0])
    mark, before = cluster.audit_mark(), load.cpu_seconds(operator.process)
    time.sleep(QUIET_SECONDS)  # the minute itself is what is measured
    result.quiet_writes = writes(cluster, mark)
    result.quiet_cpu_s = load.cpu_seconds(operator.process) - before


def restarted(cluster: Cluster, result: Scale) -> LocalOperator:
    """Starts the operator beside everything that exists."""
    mark, began = cluster.audit_mark(), time.monotonic()
    operator = local_operator.start(cluster, name="scale-again", wait_s=300)
    result.start_s = time.monotonic() - began
    seen = [-1.0, load.cpu_seconds(operator.process)]

    def still() -> bool:
        seen.append(load.cpu_seconds(operator.process))
        return seen[-1] - seen[-3] < 0.1

    if not wait_until(still, 300, 1):
        raise TimeoutError("the operator did not come to rest in 300 s")
    result.start_cpu_s = seen[-1]
    result.start_writes = writes(cluster, mark)
    return operator


def rows(scale: Scale) -> Iterator[tuple[str, str]]:
    """The lines of the table."""
    count = len(scale.burst.created)
    yield (
        f"{count} objects created at once by {load.CONNECTIONS} connections",
        f"{scale.burst.created[-1]:.1f} s",
    )
    yield "last child after the last create", f"{max(0.0, scale.burst.behind):.1f} s"
    yield f"all {count} Ready after the first create", f"{scale.ready_s:.0f} s"
    total = sum(scale.cpu.values())
    shares = ", ".join(
        f"{name} {seconds:.0f} s"
        for name, seconds in sorted(scale.cpu.items(), key=lambda item: -item[1])
    )
    yield "processor time from the first create to the last child", f"{total:.0f} s: {shares}"
    calls = ", ".join(
        f"{number / count:.1f} {what}" for what, number in scale.burst.calls.most_common()
    )
    yield "requests of the operator for one of them, until Ready", calls
    for objects, mib in scale.memory:
        yield f"operator memory with {objects:,} objects", f"{mib} MiB"
    for objects, times in scale.latency_ms:
        middle, worst = statistics.median(times), max(times)
        yield (
            f"one change to StatefulSet, among {objects:,} objects",
            f"{middle:.0f} ms (median of {len(times)}; worst {worst:.0f} ms)",
        )
    most = scale.memory[-1][0]
    yield (
        f"a minute without changes, {most:,} objects",
        f"{scale.quiet_writes} writes, {scale.quiet_cpu_s:.1f} s of processor time",
    )
    start = f"ready after {scale.start_s:.1f} s"
    rest = f"at rest after {scale.start_cpu_s:.1f} s of processor time"
    yield (
        f"start of the operator beside {most:,} settled objects",
        f"{start}, {rest}, {scale.start_writes} writes",
    )
