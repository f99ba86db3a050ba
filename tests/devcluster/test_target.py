"""Other people's clusters: only when named, with simulated nodes, and left as they were."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devcluster import launch, state, target
from devcluster.cluster import Cluster
from devcluster.config import SIMULATED_LABEL
from devcluster.errors import ContextError, ForeignContextError, NotAvailableError
from devcluster.foreign import ForeignCluster
from devcluster.nodes import Gpu, NodeGroup
from devcluster.waiting import eventually
from tests.devcluster.objects import condition, pod, pod_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTEXT = "kind-somebody"


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    """A control plane without GPUs and without our kwok, and a user's kubeconfig for it."""
    with Cluster(groups=[NodeGroup("plain", 1, "t", 4, 16, 100)]) as cluster:
        found = state.load(cluster.name)
        assert found is not None
        launch.stop_program(found, "kwok", grace_s=0)
        cluster.kubectl("label", "node", "plain-0", f"{SIMULATED_LABEL}-")
        cluster.kubectl("delete", "storageclass", "standard")
        text = cluster.kubeconfig.read_text().replace(f"devcluster-{cluster.name}", CONTEXT)
        config = json.loads(text)
        config["contexts"].append({"name": "production", "context": {"cluster": "p", "user": "p"}})
        config["current-context"] = "production"
        path = tmp_path_factory.mktemp("user") / "config"
        path.write_text(json.dumps(config))
        yield cluster, path


@pytest.fixture
def user(theirs: tuple[Cluster, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(theirs[1]))
    return theirs[1]


def test_without_a_word_the_cluster_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somebody/production")
    chosen = target.choose("dev", env={})
    assert isinstance(chosen, Cluster)
    assert chosen.name == "dev"


def test_a_named_context_is_somebody_elses_cluster() -> None:
    chosen = target.choose("dev", env={"KUBE_CONTEXT": CONTEXT})
    assert isinstance(chosen, ForeignCluster)
    assert chosen.context == CONTEXT


@pytest.mark.cluster
def test_a_named_context_of_our_own_is_that_cluster(theirs: tuple[Cluster, Path]) -> None:
    chosen = target.choose("dev", env={"KUBE_CONTEXT": f"devcluster-{theirs[0].name}"})
    assert isinstance(chosen, Cluster)
    assert chosen.name == theirs[0].name


@pytest.mark.cluster
def test_a_kubeconfig_of_our_own_is_allowed(theirs: tuple[Cluster, Path]) -> None:
    target.check_allowed(theirs[0].kubeconfig, env={})


def test_a_kubeconfig_of_somebody_else_is_refused_until_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        json.dumps(
            {
                "current-context": "prod",
                "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://example.invalid"}}],
            }
        )
    )
    with pytest.raises(ForeignContextError, match="KUBE_CONTEXT=prod") as refusal:
        target.check_allowed(path, env={})
    assert "https://example.invalid" in str(refusal.value)
    with pytest.raises(ForeignContextError):
        target.check_allowed(path, env={"KUBE_CONTEXT": "other"})
    target.check_allowed(path, env={"KUBE_CONTEXT": "prod"})


def test_a_kubeconfig_without_a_context_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("{}")
    with pytest.raises(ForeignContextError, match="no server"):
        target.check_allowed(path, env={"KUBE_CONTEXT": ""})


@pytest.mark.cluster
def test_a_context_that_does_not_exist_is_refused_with_those_that_do(user: Path) -> None:
    with pytest.raises(ContextError, match=f"{CONTEXT}.*production|production.*{CONTEXT}"):
        ForeignCluster("kind-typo").start()
    assert not ForeignCluster("kind-typo").folder.exists()


@pytest.mark.cluster
def test_a_cluster_that_does_not_answer_is_refused(
    theirs: tuple[Cluster, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    path.write_text(theirs[1].read_text().replace(theirs[0].server, "https://127.0.0.1:1"))
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ContextError, match="does not answer"):
        ForeignCluster(CONTEXT).start()
    assert not ForeignCluster(CONTEXT).folder.exists()


@pytest.mark.cluster
def test_a_foreign_cluster_gets_gpu_nodes_and_is_left_as_it_was(
    user: Path, theirs: tuple[Cluster, Path]
) -> None:
    before = user.read_text()
    group = NodeGroup("sim", 1, "sim.l40.8", 8, 64, 100, Gpu("NVIDIA-L40", 8, 46068, "a", "8.9"))
    untainted = NodeGroup("no-gpu", 1, "sim", 8, 64, 100)
    with ForeignCluster(CONTEXT, groups=[group, untainted]) as cluster:
        names = cluster.kubectl("get", "nodes", "-o", "name").split()
        assert sorted(names) == ["node/plain-0", "node/sim-0"]
        spec = pod_spec(product="NVIDIA-L40", gpus=8)
        cluster.apply([pod("default", "p", spec, load_seconds="0")])
        eventually(
            lambda: condition(cluster.get("pod", "p"), "Ready").get("status"),
            lambda status: status == "True",
        )
        assert "standard (default)" in cluster.kubectl("get", "storageclass")
        kubeconfig = cluster.service_account_kubeconfig("default", "default")
        assert theirs[0].server in kubeconfig.read_text()
        with ForeignCluster(CONTEXT, groups=[group]) as again:
            assert not again.fresh
        assert "node/sim-0" in cluster.kubectl("get", "nodes", "-o", "name")
        cluster.kubectl("delete", "pod", "p", "--timeout=40s")
    assert not cluster.folder.exists()
    assert theirs[0].kubectl("get", "nodes", "-o", "name") == "node/plain-0\n"
    assert theirs[0].kubectl("get", "storageclass", "-o", "name") == ""
    assert user.read_text() == before


def test_what_needs_our_own_control_plane_says_so() -> None:
    cluster = ForeignCluster(CONTEXT)
    for attempt in (
        cluster.audit_mark,
        cluster.audit_events,
        cluster.stop_api_server,
        cluster.start_api_server,
    ):
        with pytest.raises(NotAvailableError, match=f"KUBE_CONTEXT names {CONTEXT}"):
            attempt()
