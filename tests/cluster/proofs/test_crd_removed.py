"""The CustomResourceDefinition goes, with all objects, and comes back: the operator outlasts it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING

import pytest

from devcluster.waiting import eventually, wait_until
from hack import local_operator
from tests.cluster.world import Namespace, audit_mark, by_operator, vld

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target
    from hack.local_operator import LocalOperator

pytestmark = pytest.mark.cluster

CRD = "crd/videollmdeployments.videollm.io"
AWAY_S = 5.0
MOST_REQUESTS_A_SECOND = 6


@pytest.fixture
def space(installed: Target) -> Iterator[Namespace]:
    namespace = Namespace(installed, f"crd-{uuid.uuid4().hex[:6]}")
    installed.create_namespace(namespace.name)
    yield namespace
    local_operator.install(installed)  # whatever went wrong, the next test finds it
    namespace.kubectl("delete", "vld", "--all", "--wait=false")
    namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")


def what_ready_says(operator: LocalOperator) -> str:
    """The text of /readyz, whatever its status."""
    url = f"http://127.0.0.1:{operator.health_port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text: bytes = answer.read()
    except urllib.error.HTTPError as error:
        text = error.read()
    except OSError:
        return ""
    return text.decode()


def waits(operator: LocalOperator) -> bool:
    return "CustomResourceDefinition" in what_ready_says(operator)


def back_again(space: Namespace, operator: LocalOperator) -> None:
    """The kind is installed again; objects that are made then are served."""
    local_operator.install(space.cluster)
    space.apply(vld("second", replicas=0))
    space.until_ready("second", reason="ScaledToZero")
    assert wait_until(operator.ready, 120)
    assert operator.healthy()


def test_a_running_operator_waits_for_the_kind_to_come_back(space: Namespace) -> None:
    cluster = space.cluster
    operator = local_operator.start(cluster, name="operator-crd")
    try:
        space.apply(vld("first", replicas=0), vld("serving"))
        space.until_ready("first", reason="ScaledToZero")
        space.until_ready("serving")
        mark = audit_mark(cluster)
        cluster.kubectl("delete", CRD)
        assert wait_until(lambda: waits(operator), 60)
        assert operator.healthy()
        began, away = time.monotonic(), audit_mark(cluster)
        eventually(space.children, lambda left: not left, timeout_s=90)  # by garbage collection
        assert wait_until(lambda: time.monotonic() - began >= AWAY_S, AWAY_S + 5)
        asked = sum(1 for _ in by_operator(cluster, away))
        assert asked / (time.monotonic() - began) <= MOST_REQUESTS_A_SECOND
        made = [r for r in by_operator(cluster, mark) if r.code == 201 and r.resource != "events"]
        assert [f"{r.resource} {r.name}" for r in made if r.namespace == space.name] == []
        assert operator.alive
        back_again(space, operator)
        assert 'videollm_deployments{reason="ScaledToZero"} 1.0' in operator.metrics()
        assert not space.exists("statefulset", "first")
    finally:
        operator.stop()


def test_an_operator_that_is_started_without_the_kind_waits_for_it(space: Namespace) -> None:
    cluster = space.cluster
    cluster.kubectl("delete", CRD)
    operator = local_operator.start(cluster, name="operator-no-crd", wait_s=0)
    try:
        assert wait_until(lambda: waits(operator), 60)
        assert operator.healthy()
        assert not operator.ready()
        back_again(space, operator)
    finally:
        operator.stop()
