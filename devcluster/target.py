"""Choose the cluster that the demo and the tests use, and keep hands off all others.

Without further words it is one of our own. KUBE_CONTEXT in the environment names another one on
purpose. A kubeconfig that merely lies around (KUBECONFIG, ~/.kube/config) is never used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import yaml

from devcluster import config, launch, state
from devcluster.cluster import Cluster
from devcluster.errors import ForeignContextError
from devcluster.foreign import ForeignCluster

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from devcluster.progress import Progress

VARIABLE = "KUBE_CONTEXT"

Target = Cluster | ForeignCluster


def choose(
    name: str | None = None,
    *,
    pod_cidr: str = launch.POD_CIDR,
    progress: Progress | None = None,
    env: Mapping[str, str] = os.environ,
) -> Target:
    """The cluster to use; call `start` on it or enter it as a context manager.

    Args:
        name: of our own cluster; None for a fresh one of this program's own. Not used if
            KUBE_CONTEXT names a cluster.
        pod_cidr: range of pod addresses in a cluster of our own.
        progress: where steps are shown; nowhere if None.
        env: the environment.
    """
    context = env.get(VARIABLE, "")
    if not context:
        return Cluster(name, pod_cidr=pod_cidr, progress=progress)
    for ours in state.all_states():
        if not ours.context and config.context_name(ours.name) == context:
            return Cluster(ours.name, progress=progress)
    return ForeignCluster(context, progress=progress)


def check_allowed(kubeconfig: Path, *, env: Mapping[str, str] = os.environ) -> None:
    """Refuse a kubeconfig whose cluster this project did not make, unless it was named.

    For programs that are handed a kubeconfig and are about to change its cluster.

    Args:
        kubeconfig: the file; its current context counts.
        env: the environment.

    Raises:
        ForeignContextError: if it is refused; the message says how to allow it.
    """
    text = yaml.safe_load(kubeconfig.read_text())
    context = text.get("current-context", "")
    cluster_of = {each["name"]: each["context"]["cluster"] for each in text.get("contexts", [])}
    server_of = {each["name"]: each["cluster"]["server"] for each in text.get("clusters", [])}
    server = server_of.get(cluster_of.get(context), "")
    ours = {launch.layout_of(each).server for each in state.all_states() if not each.context}
    if server in ours or (context and env.get(VARIABLE) == context):
        return
    raise ForeignContextError(
        f"{kubeconfig} points at context {context!r} ({server or 'no server'}), a cluster that "
        f"this project did not start. To use it on purpose, name it: "
        f"{VARIABLE}={context or 'CONTEXT'}. Otherwise leave it out: a local cluster is started "
        "by itself"
    )
