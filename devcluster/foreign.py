"""A cluster that somebody else started, such as kind's, used because KUBE_CONTEXT names it.

If it has no GPU nodes it gets simulated ones: kwok runs on this computer and plays them in that
cluster. `stop` takes them out again. The user's kubeconfig is only read.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from typing import TYPE_CHECKING, NoReturn, Self

from devcluster import binaries, config, contents, launch, nodes, paths, state
from devcluster.access import Access
from devcluster.errors import ContextError, KubectlError, NotAvailableError
from devcluster.files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from devcluster.audit import AuditRecord
    from devcluster.progress import Progress

# Reserved for tests of network devices (RFC 2544). Not loopback: Services of a foreign cluster
# need endpoints, and endpoints may not be loopback addresses.
POD_CIDR = "198.18.0.0/16"


def folder_name(context: str) -> str:
    """Name under which files about a context are kept; contexts may hold any characters."""
    readable = re.sub(r"[^a-z0-9]+", "-", context.lower()).strip("-")[:24].strip("-")
    return f"ctx-{readable}-{hashlib.sha256(context.encode()).hexdigest()[:6]}"


class ForeignCluster(Access):
    """A cluster of somebody else, through a context of the user's kubeconfig.

    Args:
        context: its name there.
        groups: nodes to simulate if it has none with GPUs; the GPU nodes of nodes.yaml if None.
        progress: where steps are shown; nowhere if None.

    Attributes:
        name: under which files about it are kept.
    """

    def __init__(
        self,
        context: str,
        *,
        groups: Sequence[nodes.NodeGroup] | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(progress)
        self.context = context
        self.name = folder_name(context)
        # Only tainted nodes: an ordinary pod must not land where nothing really runs.
        self._groups = [
            group for group in (nodes.load() if groups is None else groups) if group.gpu is not None
        ]
        self._fresh = False

    @property
    def folder(self) -> Path:
        """Folder for files about this cluster; `stop` removes it."""
        return state.folder(self.name)

    @property
    def fresh(self) -> bool:
        """Whether `start` did something, rather than finding everything in place."""
        return self._fresh

    def start(self) -> Self:
        """Make it usable: find it, and add simulated GPU nodes if it has no GPUs.

        Raises:
            ContextError: if the context does not exist or its cluster does not answer.
            DevclusterError: if the simulated nodes do not become ready.
        """
        with paths.locked(f"cluster-{self.name}"):
            found = state.load(self.name)
            if found is not None and found.ready and not found.dead:
                return self
            self._take_out()
            cluster = launch.new_state(
                self.name, self._programs(), ["kwok"], POD_CIDR, context=self.context
            )
            try:
                write_private(self.kubeconfig, user_kubeconfig(self.context))
                self._check_answers()
                if not self._has_gpus():
                    self._simulate(cluster)
            except BaseException:
                self._take_out()
                raise
            cluster.ready = True
            cluster.save()
            self._fresh = True
        return self

    def _programs(self) -> dict[str, Path]:
        return {"kwok": binaries.control_plane(self.progress)["kwok"]}

    def _check_answers(self) -> None:
        try:
            self.kubectl("get", "--raw=/readyz", "--request-timeout=10s")
        except KubectlError as error:
            raise ContextError(
                f"KUBE_CONTEXT is {self.context}, but its cluster does not answer: {error}"
            ) from error

    def _has_gpus(self) -> bool:
        return any(
            nodes.GPU in node["status"]["allocatable"] for node in self.get("nodes")["items"]
        )

    def _simulate(self, cluster: state.State) -> None:
        count = sum(group.count for group in self._groups)
        self.progress.line(
            f"{self.context} has no GPU nodes: adding {count} simulated ones. "
            "Pods on them are not really run."
        )
        stages = self.folder / "stages.yaml"
        stages.write_text((paths.SOURCE / "stages.yaml").read_text())
        arguments = config.kwok_arguments(
            kubeconfig=self.kubeconfig,
            stages=stages,
            pod_cidr=POD_CIDR,
            port=cluster.ports["kwok"],
        )
        # The kubeconfig may need programs and variables of the user's to log in.
        env = {**os.environ, "KWOK_WORKDIR": str(self.folder / "home" / "kwok")}
        with self.progress.step("kwok"):
            launch.spawn(cluster, "kwok", arguments, env)
            launch.wait_healthy(cluster, "kwok")
        with self.progress.step("nodes"):
            self.add_nodes(self._groups)
        classes = self.get("storageclasses")["items"]
        default = "storageclass.kubernetes.io/is-default-class"
        if not any(c["metadata"].get("annotations", {}).get(default) == "true" for c in classes):
            self.apply([contents.storage_class(contents.STORAGE_CLASS, default=True)])

    def stop(self) -> None:
        """Take out of the cluster what `start` put in, and forget it."""
        with paths.locked(f"cluster-{self.name}"):
            self._take_out()

    def _take_out(self) -> None:
        if self.kubeconfig.exists():
            try:
                self._empty()
            except KubectlError as error:  # that cluster may be gone for good
                self.progress.line(f"Nothing was removed from {self.context}: {error}")
        launch.remove(self.name)

    def _empty(self) -> None:
        ours = f"--selector={config.SIMULATED_LABEL}=true"
        self.kubectl("delete", "nodes", ours, "--ignore-not-found")
        for each in self.get("storageclasses")["items"]:
            if each["provisioner"] == contents.PROVISIONER:
                self.kubectl("delete", "storageclass", each["metadata"]["name"])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._fresh:
            self.stop()

    def _not_available(self, what: str) -> NoReturn:
        raise NotAvailableError(
            f"{what} needs a cluster that this project started, but KUBE_CONTEXT names "
            f"{self.context}: unset it to use one"
        )

    def stop_api_server(self) -> NoReturn:
        """Not possible here.

        Raises:
            NotAvailableError: always.
        """
        self._not_available("stopping the API server")

    def start_api_server(self) -> NoReturn:
        """Not possible here.

        Raises:
            NotAvailableError: always.
        """
        self._not_available("starting the API server")

    def audit_mark(self) -> NoReturn:
        """Not possible here.

        Raises:
            NotAvailableError: always.
        """
        self._not_available("reading the audit log")

    def audit_events(self, since: int | datetime | None = None) -> Iterator[AuditRecord]:
        """Not possible here.

        Raises:
            NotAvailableError: always.
        """
        self._not_available("reading the audit log")


def user_kubeconfig(context: str) -> str:
    """A kubeconfig with only this context, out of the user's own (KUBECONFIG or ~/.kube/config).

    Raises:
        ContextError: if there is no such context; the message lists those that there are.
    """
    view = _config("view", "--minify", "--flatten", "--raw", f"--context={context}", "-o", "json")
    if view.returncode != 0:
        names = _config("get-contexts", "-o", "name").stdout.split()
        raise ContextError(
            f"KUBE_CONTEXT is {context}, but the kubeconfig "
            f"({os.environ.get('KUBECONFIG') or '~/.kube/config'}) has no such context. "
            f"It has: {', '.join(names) or 'none'}"
        )
    return view.stdout


def _config(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`kubectl config ARGUMENTS...` on the user's own kubeconfig."""
    return subprocess.run(
        [binaries.kubectl(), "config", *arguments], capture_output=True, text=True, check=False
    )
