"""Measure what matters to users and write docs/benchmarks.md: `make bench`.

Figures, not limits: nothing here passes or fails. A cluster of its own is started and removed.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from devcluster.cluster import Cluster
from devcluster.progress import to_terminal
from devcluster.waiting import wait_until
from hack import aims, local_operator, scale, scale_plot
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.v1alpha1.compute import (
    ParallelismSpec,
    ParallelismStrategy,
    QuantizationFormat,
    QuantizationSpec,
)
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment, sizing_request
from videollm_operator.engines.select import resolve
from videollm_operator.sizing import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.scale import Scale

TARGET = local_operator.ROOT / "docs" / "benchmarks.md"
PLOT = TARGET.with_name("scale.svg")
NAMESPACE = "bench"
ONE_BY_ONE = 20
AT_ONCE, IN_ALL, STEP = 500, 5000, 1500
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
BIG = "lmms-lab/LLaVA-Video-72B-Qwen2"
STRATEGIES = (ParallelismStrategy.TENSOR_FIRST, ParallelismStrategy.FEWEST_GPUS)


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


def every_plan() -> Iterator[tuple[str, str]]:
    """The planner alone, over all that the catalogue, the formats and the strategies allow.

    Refusals name remedies on the same GPU; other GPUs are not searched.
    """
    catalog = builtin()
    requests = []
    for model in catalog.models:
        for sku in catalog.gpus:
            spec = VideoLLMDeployment.from_object(deployment("a", model, sku)).spec
            with contextlib.suppress(Refused):  # no engine serves the model on this GPU
                resolved = resolve(spec, catalog)
                request = replace(sizing_request(spec, resolved, catalog), other_gpus=())
                requests += [
                    replace(
                        request,
                        quantization=QuantizationSpec(format=form),
                        parallelism=ParallelismSpec(strategy=strategy),
                    )
                    for form in QuantizationFormat
                    for strategy in STRATEGIES
                ]
    began, refused = time.perf_counter(), 0
    for request in requests:
        try:
            plan(request)
        except Refused:
            refused += 1
    took = time.perf_counter() - began
    yield (
        "all catalogue models on all GPUs in all formats by both strategies",
        f"{took:.2f} s for {len(requests) - refused} plans and {refused} refusals",
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
        wait_until(partial(has_status, cluster, name), 30)
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


def table(rows: list[tuple[str, str]]) -> str:
    """A Markdown table."""
    lines = ["| what | measured |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {what} | {figure} |" for what, figure in rows)])


def document(rows: list[tuple[str, str]], measured: Scale) -> str:
    """The page."""
    cores = os.cpu_count() or 1
    where = f"{cores} cores ({platform.machine()}, Python {platform.python_version()})"
    return f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}, on {where}, with the local control
plane and its simulated nodes on the same computer. They are figures to compare one's own with,
not limits, and no test asserts them.

## One deployment

{table(rows)}

The time from apply to StatefulSet is read from the API server's audit log: it begins when the
server receives the object and ends when it receives the operator's StatefulSet, which is the
operator's last child but one.

## Many deployments

![A burst over time, and memory over the number of objects]({PLOT.name})

{table(list(scale.rows(measured)))}

The first {AT_ONCE} objects have a pod each, the others `replicas: 0`. All programs share the cores:
etcd, API server, controller manager, scheduler, the simulated kubelet and the operator. So what
limits a burst here is read from their processor time. Memory is the resident set of the operator's
process.

A change is measured as soon as all objects are Ready, while the control plane is still busy with
the aftermath of their creation. Later it is faster: among 1,800 objects 38 ms at once, and 29 ms
half a minute later, of which 22 pass before the operator's first request.

### Aims

{aims.section(measured, cores)}
"""


def main() -> int:
    """Measures everything and writes the page."""
    rows = [*plans(), *every_plan(), *start_up()]
    with Cluster(progress=to_terminal()) as cluster:
        local_operator.install(cluster)
        cluster.create_namespace(NAMESPACE)
        operator = local_operator.start(cluster, name="operator")
        try:
            # Until then a candidate for the Lease looks twice, which is no latency of a change.
            cluster.create_namespace(scale.NAMESPACE)
            scale.until_acting(cluster)
            rows += latency(cluster)
        finally:
            operator.stop()
    with Cluster(progress=to_terminal()) as cluster:
        measured = scale.measure(cluster, at_once=AT_ONCE, in_all=IN_ALL, step=STEP)
    scale_plot.draw(measured, PLOT)
    page = document(rows, measured)
    TARGET.write_text(page)
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
