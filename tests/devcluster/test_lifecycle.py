"""Up and down, as a person at a terminal does it, and all the ways in which it can be cut short."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devcluster import launch, paths, processes, state
from devcluster.cluster import Cluster
from devcluster.errors import StartError
from devcluster.nodes import NodeGroup
from devcluster.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.cluster

ROOT = Path(launch.__file__).parents[1]


def devcluster(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devcluster", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=check,
    )


def running(folder: Path) -> list[str]:
    """Command lines of live programs that name the folder; seen by the system, not by our notes."""
    found = subprocess.run(
        ["ps", "axww", "-o", "args="], capture_output=True, text=True, check=True
    )
    return [line for line in found.stdout.splitlines() if f"{folder}/" in line]


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"life-{os.getpid()}"
    yield chosen
    launch.down(chosen)


@pytest.fixture
def groups() -> list[NodeGroup]:
    """One node: quicker to start where nodes do not matter."""
    return [NodeGroup("n", 1, "sim.n", 4, 16, 100)]


def test_up_leaves_a_cluster_and_down_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(paths.cache().parent))
    monkeypatch.setenv("HOME", str(tmp_path))  # where programs like to leave things
    up = devcluster("up", "--name", name)
    folder = state.folder(name)
    assert len(running(folder)) == 5
    for program in ("etcd", "kube-apiserver", "kwok"):
        assert re.search(rf"{program}.* \d+\.\d s", up.stderr)
    hints = dict(re.findall(r"export (\w+)=(.*)", up.stdout))
    assert hints["KUBECONFIG"] == str(folder / "kubeconfig")
    assert devcluster("kubeconfig", "--name", name).stdout.strip() == hints["KUBECONFIG"]

    kubectl = subprocess.run(
        ["sh", "-c", f"{up.stdout}\nkubectl get nodes -o name"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(kubectl.stdout.split()) == 11

    status = devcluster("status", "--name", name)
    assert f"{name}: up" in status.stdout
    assert status.stdout.count("MiB") >= 4

    again = devcluster("up", "--name", name)
    assert "already up" in again.stderr
    assert again.stdout == up.stdout

    devcluster("down", "--name", name)
    assert running(folder) == []
    assert not folder.exists()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path in left if not path.startswith(".config/go/")} == set()
    assert devcluster("status", "--name", name, check=False).returncode == 3
    assert devcluster("kubeconfig", "--name", name, check=False).returncode == 3
    assert "was not there" in devcluster("down", "--name", name).stderr


def test_clusters_live_side_by_side(groups: list[NodeGroup]) -> None:
    with Cluster(groups=groups) as one, Cluster(groups=groups) as two:
        assert one.server != two.server
        one.kubectl("create", "namespace", "only-in-one")
        assert "only-in-one" not in two.kubectl("get", "namespaces", "-o", "name")
        one.stop()
        assert two.kubectl("get", "nodes", "-o", "name") == "node/n-0\n"


def test_a_program_that_does_not_start_is_named_with_the_end_of_its_log(
    name: str, groups: list[NodeGroup], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, text in {
        "etcd": "echo listening; echo disk is on fire >&2; exit 1",
        "kube-apiserver": "exit 1",
    }.items():
        (tmp_path / program).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(StartError, match=r"(?s)etcd ended.*disk is on fire"):
        Cluster(name, groups=groups).start()
    assert not state.folder(name).exists()


def test_a_cluster_that_lost_a_program_is_replaced_by_up(
    name: str, groups: list[NodeGroup]
) -> None:
    cluster = Cluster(name, groups=groups).start()
    killed = cluster.processes["kube-scheduler"]
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: killed.alive, lambda alive: not alive)
    assert f"{name}: broken" in devcluster("status").stdout
    again = Cluster(name, groups=groups).start()
    assert again.fresh
    assert all(process.alive for process in again.processes.values())
    assert len(running(state.folder(name))) == 5


def hears_interrupts() -> None:
    """What a shell starts in the background inherits that interrupts are ignored; so would it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_up_leaves_nothing(name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "devcluster", "up", "--name", name],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_interrupts,
    ) as up:
        eventually(lambda: running(state.folder(name)), bool, interval_s=0.02)
        up.send_signal(signal.SIGINT)
        assert "interrupted" in (up.stderr.read() if up.stderr else "")
    assert up.returncode == 130
    assert running(state.folder(name)) == []
    assert not state.folder(name).exists()


def test_down_cleans_up_after_an_up_that_was_killed(name: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "devcluster", "up", "--name", name],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    ) as up:
        eventually(
            lambda: state.load(name),
            lambda found: found is not None and "kube-apiserver" in found.processes,
            interval_s=0.02,
        )
        up.kill()
    assert running(state.folder(name))
    assert f"{name}: broken" in devcluster("status").stdout
    devcluster("down", "--name", name)
    assert running(paths.clusters() / name) == []
    assert not state.folder(name).exists()


def test_the_cluster_of_a_program_that_was_killed_is_removed_by_the_next_one(
    groups: list[NodeGroup],
) -> None:
    code = (
        "import os, signal\n"
        "from devcluster.cluster import Cluster\n"
        "from devcluster.nodes import NodeGroup\n"
        "cluster = Cluster(groups=[NodeGroup('n', 1, 'sim.n', 4, 16, 100)]).start()\n"
        "print(cluster.name, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    left = killed.stdout.strip()
    assert killed.returncode == -signal.SIGKILL
    assert running(state.folder(left))
    with Cluster(groups=groups):
        assert running(paths.clusters() / left) == []
        assert not (paths.clusters() / left).exists()


def test_a_named_cluster_that_was_up_before_stays_after_the_block(
    name: str, groups: list[NodeGroup]
) -> None:
    Cluster(name, groups=groups).start()
    with Cluster(name) as again:
        assert not again.fresh
    assert all(process.alive for process in again.processes.values())


def test_asking_a_cluster_that_is_not_up_says_what_to_do() -> None:
    with pytest.raises(StartError, match=r"call start\(\) first"):
        _ = Cluster("never-started").server


def test_pods_outside_loopback_give_services_endpoints(groups: list[NodeGroup]) -> None:
    with Cluster(groups=groups, pod_cidr="198.18.0.0/16") as cluster:
        cluster.kubectl("run", "p", "--image=example.invalid/p", "--labels=app=p", "--port=80")
        cluster.kubectl("expose", "pod", "p")

        def addresses() -> list[str]:
            slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=p")["items"]
            endpoints = [each for slice_ in slices for each in slice_["endpoints"] or []]
            return [address for each in endpoints for address in each["addresses"]]

        (address,) = eventually(addresses, bool)
        assert address.startswith("198.18.")


def test_a_state_file_that_makes_no_sense_is_reported_with_what_to_do(cache: Path) -> None:
    folder = cache / "clusters" / "odd"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"name": "odd"}')
    with pytest.raises(StartError, match="remove that folder"):
        state.load("odd")


def test_state_is_read_back_as_it_was_written(cache: Path) -> None:
    owner = processes.Process(1, "2")
    written = state.State("n", {"etcd": 1}, "127.10.0.0/16", {"etcd": "/x"}, {"etcd": owner}, owner)
    written.save()
    assert state.load("n") == written
    assert written.folder.is_relative_to(cache)
    assert state.names() == ["n"]
    assert written.dead == ["etcd"]
    assert written.orphaned
