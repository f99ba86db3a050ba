"""What must hold when things break, and when nothing happens."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import nodes
from devcluster.target import Cluster
from devcluster.waiting import eventually, wait_until
from hack import local_operator
from tests.cluster.world import (
    LOAD_SECONDS,
    OPERATOR_USER,
    Namespace,
    audit_mark,
    by_operator,
    ready,
    refused,
    vld,
    writes,
)

if TYPE_CHECKING:
    from devcluster.target import Target

pytestmark = pytest.mark.cluster

SETTLED = 50
WATCHED_S = 60.0
OUTAGE_S = 30.0


def children_of(space: Namespace) -> dict[tuple[str, str], Any]:
    """What the children say, without what the API server and controllers add."""
    return {
        (child["kind"], child["metadata"]["name"]): child.get("spec") for child in space.children()
    }


def own_cluster(cluster: Target) -> Cluster:
    """The cluster, if it is ours: outages and its audit log are not to be had elsewhere."""
    if not isinstance(cluster, Cluster):
        pytest.skip(
            "needs the API server's process and audit log, which only a local cluster gives"
        )
    return cluster


def test_killed_in_mid_rollout_the_next_one_ends_it(space: Namespace) -> None:
    first = local_operator.start(space.cluster, name="operator-first")
    try:
        space.apply(vld(podTemplate={"annotations": {LOAD_SECONDS: "2"}}))
        space.until_ready()
        mark = audit_mark(space.cluster)
        space.apply(
            vld(
                replicas=2,
                workload={"framesPerVideo": 16},
                podTemplate={"annotations": {LOAD_SECONDS: "2"}},
            )
        )
        eventually(lambda: writes(space.cluster, mark), bool, interval_s=0.02)
        first.stop(grace_s=0)
        second = local_operator.start(space.cluster, name="operator-second")
    finally:
        first.stop(grace_s=0)
    try:
        obj = space.until_ready(within_s=120)
        assert obj["status"]["replicas"] == 2
        (container,) = space.get("statefulset")["spec"]["template"]["spec"]["containers"]
        assert '--media-io-kwargs={"video":{"num_frames":16}}' in container["args"]
    finally:
        second.stop()


def test_an_api_server_away_for_half_a_minute_changes_nothing(space: Namespace) -> None:
    cluster = own_cluster(space.cluster)
    operator = local_operator.start(cluster, name="operator-outage")
    try:
        space.apply(vld("quiet"), vld("moving", podTemplate={"annotations": {LOAD_SECONDS: "1"}}))
        space.until_ready("quiet")
        space.until_ready("moving")
        before = children_of(space)
        space.patch("vld", {"spec": {"replicas": 2}}, "moving")
        cluster.stop_api_server()
        down = time.monotonic()
        assert wait_until(lambda: time.monotonic() - down >= OUTAGE_S, OUTAGE_S + 5, 0.5)
        cluster.start_api_server()
        space.until_ready("quiet", within_s=120)
        assert space.until_ready("moving", within_s=120)["status"]["replicas"] == 2
        after = children_of(space)
        after["StatefulSet", "moving"]["replicas"] = 1
        assert after == before
        assert operator.alive
        space.apply(vld("later"))
        space.until_ready("later", within_s=120)
    finally:
        operator.stop()


def test_fifty_settled_objects_cost_no_write_in_a_minute(space: Namespace) -> None:
    cluster = own_cluster(space.cluster)
    more = next(group for group in nodes.load() if group.name == "a100-80gb")
    cluster.add_nodes([replace(more, name="a100-80gb-more", count=6)])
    operator = local_operator.start(cluster, name="operator-settled")
    try:
        objects = [vld(f"s{number}") for number in range(SETTLED - 4)]
        objects += [
            vld("zero", replicas=0),
            vld("refused", model={"name": "no/such-model"}),
            vld("original", model={"name": "lmms-lab/LLaVA-Video-72B-Qwen2"}, workload={}),
            vld("paused", paused=True),
        ]
        space.apply(*objects)
        working = {f"s{number}" for number in range(SETTLED - 4)}
        eventually(lambda: ready_names(space), lambda names: names >= working, timeout_s=400)
        mark = cluster.audit_mark()
        began = time.monotonic()
        assert wait_until(lambda: time.monotonic() - began >= WATCHED_S, WATCHED_S + 5, 0.5)
        asked = list(by_operator(cluster, mark))
        others = [r for r in cluster.audit_events(mark) if r.user != OPERATOR_USER and r.write]
        assert [f"{r.verb} {r.uri}" for r in asked if r.write] == []
        # The world went on meanwhile: without heartbeats the test would show nothing.
        assert {r.resource for r in others} >= {"leases", "nodes"}
    finally:
        operator.stop()


def ready_names(space: Namespace) -> set[str]:
    return {
        obj["metadata"]["name"] for obj in space.items("vld") if ready(obj) == ("True", "Serving")
    }


def test_a_restart_of_the_operator_writes_nothing_to_settled_objects(space: Namespace) -> None:
    cluster = own_cluster(space.cluster)
    first = local_operator.start(cluster, name="operator-before")
    try:
        space.apply(
            vld("a"),
            vld("b", replicas=2),
            vld("c", cache={"type": "PersistentVolumeClaim"}),
            vld("d", cache={"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany"}),
        )
        for name in "abcd":
            space.until_ready(name)
    finally:
        first.stop()
    mark = cluster.audit_mark()
    second = local_operator.start(cluster, name="operator-after")
    try:
        space.apply(vld("witness"))  # once it is served, the others have been looked at, too
        space.until_ready("witness")
        touched = {w.name for w in writes(cluster, mark) if w.namespace == space.name}
        assert touched == {name for name in touched if name.startswith("witness")}
    finally:
        second.stop()


def test_it_cannot_read_secrets_and_nothing_it_asks_for_is_forbidden(space: Namespace) -> None:
    cluster = own_cluster(space.cluster)
    kubeconfig = cluster.service_account_kubeconfig(
        local_operator.NAMESPACE, local_operator.ACCOUNT
    )
    space.kubectl("create", "secret", "generic", "hf", "--from-literal=key=secret")
    message = refused(lambda: space.kubectl("get", "secret", "hf", f"--kubeconfig={kubeconfig}"))
    assert "forbidden" in message.lower()
    mark = cluster.audit_mark()
    operator = local_operator.start(cluster, name="operator-rights")
    try:
        token = {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "key"}}}
        space.apply(vld(model={"name": "llava-hf/llava-onevision-qwen2-7b-ov-hf", "source": token}))
        space.until_ready()
        space.patch("vld", {"spec": {"replicas": 0}})
        space.until_ready(reason="ScaledToZero")
        asked = list(by_operator(cluster, mark))
        assert [r.uri for r in asked if r.code == 403] == []
        assert not any(r.resource == "secrets" for r in asked)
    finally:
        operator.stop()


def test_of_two_operators_one_acts_and_the_other_takes_over(space: Namespace) -> None:
    cluster = own_cluster(space.cluster)
    one = local_operator.start(cluster, name="operator-one")
    two = local_operator.start(cluster, name="operator-two")
    try:
        assert two.ready()
        space.apply(vld())
        space.until_ready()
        lease = cluster.get("lease", "videollm-operator", "-n", local_operator.NAMESPACE)
        assert lease["spec"]["holderIdentity"] == "operator-one"
        one.stop(grace_s=0)
        space.patch("vld", {"spec": {"replicas": 2}})
        assert space.until_ready(within_s=120)["status"]["replicas"] == 2
        lease = cluster.get("lease", "videollm-operator", "-n", local_operator.NAMESPACE)
        assert lease["spec"]["holderIdentity"] == "operator-two"
    finally:
        one.stop(grace_s=0)
        two.stop()
