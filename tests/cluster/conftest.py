"""The cluster of the cluster tests: one of our own for all of them, or KUBE_CONTEXT's."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from devcluster import target
from hack import local_operator, rights
from tests.cluster.proxy import Proxy
from tests.cluster.world import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hack.local_operator import LocalOperator


_begun: list[tuple[datetime, str]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Notes when each test begins: what the audit log shows is told by test."""
    _begun.append((datetime.now(UTC), item.nodeid))


@pytest.fixture(scope="session")
def begun() -> list[tuple[datetime, str]]:
    """When each test began, so far, with its name."""
    return _begun


@pytest.fixture(scope="session")
def cluster() -> Iterator[target.Target]:
    """A running cluster, without anything of the operator in it."""
    with target.choose() as running:
        yield running
        rights.write_down(running, _begun)  # `python -m hack.rights` reads it


@pytest.fixture(scope="session")
def installed(cluster: target.Target) -> target.Target:
    """The cluster with manifests/install.yaml applied, but for the Deployment."""
    local_operator.install(cluster)
    return cluster


@pytest.fixture(scope="module")
def operator(installed: target.Target) -> Iterator[LocalOperator]:
    """A running operator with exactly its service account's rights."""
    running = local_operator.start(installed, name=f"operator-{uuid.uuid4().hex[:6]}")
    yield running
    alive = running.alive
    running.stop()
    assert alive, f"the operator ended by itself; its log ends with:\n{running.tail()}"


@pytest.fixture
def proxy(cluster: target.Target) -> Iterator[Proxy]:
    """A proxy before the API server: `local_operator.start(cluster, server=proxy.server)`."""
    with Proxy(cluster) as running:
        yield running


@pytest.fixture
def space(installed: target.Target) -> Iterator[Namespace]:
    """A namespace of the test's own; what is in it goes with it."""
    namespace = Namespace(installed, f"t-{uuid.uuid4().hex[:8]}")
    installed.create_namespace(namespace.name)
    yield namespace
    # Waiting for the end keeps one test's pods from holding the GPUs of the next.
    installed.kubectl("delete", "vld", "--all", "-n", namespace.name, "--wait", timeout_s=180)
    installed.kubectl("delete", "pod", "--all", "-n", namespace.name, "--now", timeout_s=180)
    installed.kubectl("delete", "namespace", namespace.name, "--wait=false")
