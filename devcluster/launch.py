"""Bring a cluster up and down: the order of steps, and cleaning up when one of them fails."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from devcluster import binaries, config, keys, nodes, paths, ports, processes, state
from devcluster.contents import fill
from devcluster.errors import DevclusterError, StartError
from devcluster.files import write_private
from devcluster.kubectl import Kubectl
from devcluster.state import State
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devcluster.processes import Process
    from devcluster.progress import Progress

# Pods get loopback addresses, so nothing that is sent to a simulated pod leaves this computer,
# and a stand-in for an engine that listens on 0.0.0.0 answers at every pod's address.
POD_CIDR = "127.10.0.0/16"

_START_SECONDS = 90.0
_UP = ("etcd", "kube-apiserver")
# Clients of the API server; they are started together.
CLIENTS = ("kube-controller-manager", "kube-scheduler", "kwok")


def up(
    name: str,
    progress: Progress,
    *,
    groups: Sequence[nodes.NodeGroup] | None = None,
    pod_cidr: str = POD_CIDR,
    owner: Process | None = None,
) -> tuple[State, bool]:
    """Bring the cluster `name` up, or find it up already.

    Args:
        name: its name; several clusters with different names run side by side.
        progress: where the steps are shown.
        groups: its nodes; those of nodes.yaml if None.
        pod_cidr: range of the pods' addresses.
        owner: process without which the cluster is garbage, for `remove_orphans`.

    Returns:
        Its state, and whether it was started now.

    Raises:
        DevclusterError: if it does not come up; what was started of it is ended again.
    """
    with paths.locked(
        f"cluster-{paths.check_name(name)}",
        lambda: progress.line(f"Another process works on cluster {name}: waiting for it"),
    ):
        found = state.load(name)
        if found is not None and found.ready and not found.dead:
            return found, False
        if state.folder(name).exists():
            dead = ", ".join(found.dead) if found else ""
            why = f"{dead} ended" if dead else "it never came up wholly"
            progress.line(f"Cluster {name} is broken ({why}): starting it anew")
            remove(name)
        programs = binaries.control_plane(progress)
        began = time.monotonic()
        progress.line(f"Starting cluster {name}")
        try:
            started = _start(name, programs, groups, pod_cidr, owner, progress)
        except BaseException:  # Ctrl-C included: nothing may be left running
            remove(name)
            raise
        progress.line(f"Cluster {name} is up after {time.monotonic() - began:.1f} s")
        return started, True


def _start(
    name: str,
    programs: dict[str, Path],
    groups: Sequence[nodes.NodeGroup] | None,
    pod_cidr: str,
    owner: Process | None,
    progress: Progress,
) -> State:
    cluster = _new(name, programs, pod_cidr, owner)
    for program in _UP:
        with progress.step(program):
            start_program(cluster, program)
            wait_healthy(cluster, program)
    _write_kubeconfigs(cluster)
    with progress.step(", ".join(CLIENTS)):
        start_clients(cluster)
    chosen = nodes.load() if groups is None else list(groups)
    with progress.step(f"{sum(group.count for group in chosen)} nodes, storage class"):
        try:
            fill(kubectl(cluster), chosen, timeout_s=_START_SECONDS)
        except DevclusterError as error:
            kwok = processes.tail(cluster.log("kwok"))
            raise StartError(f"{error}\nThe last lines of kwok's log:\n{kwok}") from error
    cluster.ready = True
    cluster.save()
    return cluster


def new_state(
    name: str,
    programs: Mapping[str, Path],
    purposes: Sequence[str],
    pod_cidr: str,
    owner: Process | None = None,
    context: str = "",
) -> State:
    """A cluster's folder and its ports, written down but with nothing running.

    Args:
        name: of the cluster.
        programs: path of each program that it may run.
        purposes: what a port is needed for, a port each.
        pod_cidr: see State.
        owner: see State.
        context: see State.
    """
    with paths.locked("ports"):
        taken = {port for other in state.all_states() for port in other.ports.values()}
        cluster = State(
            name=name,
            ports=dict(zip(purposes, ports.choose(len(purposes), taken), strict=True)),
            pod_cidr=pod_cidr,
            binaries={program: str(path) for program, path in programs.items()},
            owner=owner,
            context=context,
        )
        cluster.save()
    for folder in ("logs", "home"):
        (cluster.folder / folder).mkdir()
    return cluster


def _new(name: str, programs: dict[str, Path], pod_cidr: str, owner: Process | None) -> State:
    """A cluster with all that its programs read."""
    cluster = new_state(name, programs, config.PORTS, pod_cidr, owner)
    layout = layout_of(cluster)
    write_private(layout.pki / "service-account.key", keys.new_signing_key())
    tokens = {user: keys.new_token() for user in config.USERS}
    write_private(layout.pki / "tokens.csv", config.tokens_csv(tokens))
    for file in ("audit-policy.yaml", "stages.yaml"):
        write_private(cluster.folder / file, (paths.SOURCE / file).read_text())
    return cluster


def _write_kubeconfigs(cluster: State) -> None:
    """One kubeconfig per user, now that the API server has made its certificate."""
    layout = layout_of(cluster)
    authority = (layout.pki / "apiserver.crt").read_bytes()
    files = {config.ADMIN: "kubeconfig", config.KWOK: "kwok.kubeconfig"}
    for line in (layout.pki / "tokens.csv").read_text().splitlines():
        token, user = line.split(",")[:2]
        file = files.get(user, user.removeprefix("system:") + ".kubeconfig")
        text = config.kubeconfig(
            server=layout.server,
            certificate_authority=authority,
            token=token,
            context=config.context_name(cluster.name),
        )
        write_private(cluster.folder / file, text)


def layout_of(cluster: State) -> config.Layout:
    """Where the cluster lives, as command lines need it."""
    return config.Layout(cluster.folder, cluster.ports, cluster.pod_cidr)


def kubectl(cluster: State) -> Kubectl:
    """The administrator's kubectl."""
    return Kubectl(binaries.kubectl(), cluster.kubeconfig, cluster.folder / "kubectl-cache")


def start_program(cluster: State, program: str) -> None:
    """Start one program of the cluster and write down its process."""
    arguments = config.command(program, layout_of(cluster))
    spawn(cluster, program, arguments, config.environment(cluster.folder / "home"))


def start_clients(cluster: State) -> None:
    """Start the programs that need the API server, and wait until all are healthy."""
    for program in CLIENTS:
        start_program(cluster, program)
    for program in CLIENTS:
        wait_healthy(cluster, program)


def spawn(cluster: State, program: str, arguments: list[str], env: Mapping[str, str]) -> None:
    """Start a program with these arguments and write down its process."""
    argv = [cluster.binaries[program], *arguments]
    cluster.processes[program] = processes.start(argv, cluster.log(program), env)
    cluster.save()


def stop_program(cluster: State, program: str, *, grace_s: float) -> None:
    """End one program of the cluster and forget its process."""
    processes.end(cluster.processes[program], grace_s=grace_s)
    del cluster.processes[program]
    cluster.save()


def wait_healthy(cluster: State, program: str, timeout_s: float = _START_SECONDS) -> None:
    """Wait until the program says of itself that it is healthy.

    Raises:
        StartError: if it ends, or does not within `timeout_s` seconds; with the end of its log.
    """
    url = config.health_url(program, layout_of(cluster))
    process = cluster.processes[program]
    wait_until(lambda: not process.alive or _answers(url), timeout_s)
    if process.alive and _answers(url):
        return
    what = f"did not become healthy within {timeout_s:g} s" if process.alive else "ended"
    raise StartError(
        f"{program} {what}. The last lines of its log:\n{processes.tail(cluster.log(program))}"
    )


def _answers(url: str) -> bool:
    """Whether a loopback URL answers 200. Certificates here are the programs' own, unknown ones."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def down(name: str) -> bool:
    """End all programs of the cluster and remove its folder.

    Works on a cluster that came up half or broke, too.

    Returns:
        Whether there was anything to remove.
    """
    with paths.locked(f"cluster-{paths.check_name(name)}"):
        there = state.folder(name).exists()
        remove(name)
        return there


def remove(name: str) -> None:
    """End all programs of a cluster and remove its folder; the caller holds the cluster's lock."""
    cluster = state.load(name)
    # Killed, not asked to end: all that they could still write is about to be removed. Clients
    # first, so that the API server's last log lines are not full of their retries.
    for process in reversed(list(cluster.processes.values()) if cluster else []):
        processes.end(process)
    state.remove(name)


def remove_orphans(progress: Progress) -> None:
    """Remove clusters that were started for a program that has ended without removing them."""
    for cluster in state.all_states():
        if cluster.orphaned:
            progress.line(f"Removing cluster {cluster.name}, left by a program that was killed")
            down(cluster.name)
