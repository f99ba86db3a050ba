"""What can be done with any cluster through an administrator's kubeconfig, whoever started it."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import yaml

from devcluster import binaries, contents, nodes
from devcluster.files import write_private
from devcluster.kubectl import Kubectl
from devcluster.progress import Progress, silent
from devcluster.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from devcluster.audit import AuditRecord


class Access(ABC):
    """A cluster that is up.

    Args:
        progress: where steps are shown.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or silent()

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder for files about this cluster; goes away with it."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def helm(self) -> Path:
        """Path of helm; the first use builds it, which takes a minute or two."""
        return binaries.helm(self.progress)

    @property
    def environment(self) -> dict[str, str]:
        """Environment for a program that uses the cluster as administrator.

        kubectl is on PATH, and kubectl and helm keep their caches in `folder`.
        """
        kubectl = str(binaries.kubectl().parent)
        return {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "kubectl-cache"),
            "HELM_CACHE_HOME": str(self.folder / "helm" / "cache"),
            "HELM_CONFIG_HOME": str(self.folder / "helm" / "config"),
            "HELM_DATA_HOME": str(self.folder / "helm" / "data"),
            "PATH": os.pathsep.join([kubectl, os.environ.get("PATH", "")]),
        }

    @property
    def _kubectl(self) -> Kubectl:
        return Kubectl(binaries.kubectl(), self.kubeconfig, self.folder / "kubectl-cache")

    def kubectl(self, *arguments: str, input: str | None = None, timeout_s: float = 120) -> str:  # noqa: A002 (as in subprocess.run)
        """What `kubectl ARGUMENTS...` prints; `input` goes to its standard input.

        Raises:
            KubectlError: if it fails, or takes longer than `timeout_s` seconds.
        """
        return self._kubectl.run(*arguments, input=input, timeout_s=timeout_s)

    def get(self, *arguments: str) -> dict[str, Any]:
        """The object or list that `kubectl get ARGUMENTS... -o json` answers.

        Raises:
            KubectlError: if there is none.
        """
        return self._kubectl.get(*arguments)

    def apply(self, objects: Sequence[dict[str, Any]] | str) -> str:
        """Apply objects, given as Python values or as YAML text, on the server's side.

        Raises:
            KubectlError: if the API server refuses one.
        """
        if isinstance(objects, str):
            return self.kubectl("apply", "--server-side", "-f", "-", input=objects)
        return self._kubectl.apply(objects)

    def create_namespace(self, name: str) -> None:
        """Create a namespace and wait until pods can be created in it.

        A controller adds the account `default` a moment later; pods are refused until then.

        Raises:
            KubectlError: if it exists already.
            TimeoutError: if the account does not come.
        """
        self.kubectl("create", "namespace", name)
        eventually(lambda: self.get("serviceaccount", "default", "-n", name), bool, timeout_s=60)

    def add_nodes(self, groups: Sequence[nodes.NodeGroup], *, timeout_s: float = 60) -> None:
        """Add simulated nodes and wait until they are Ready.

        Raises:
            StartError: if they are not after `timeout_s` seconds.
        """
        self._kubectl.create(nodes.manifests(groups))
        names = [name for group in groups for name in group.node_names]
        contents.wait_ready(self._kubectl, names, timeout_s)

    def service_account_kubeconfig(
        self, namespace: str, name: str, *, duration_s: int = 86400
    ) -> Path:
        """A kubeconfig with exactly the rights of a service account.

        Args:
            namespace: of the account, which exists.
            name: of the account.
            duration_s: how long its token is valid, in seconds.

        Raises:
            KubectlError: if the account does not exist.
        """
        token = self.kubectl(
            "create", "token", name, f"--namespace={namespace}", f"--duration={duration_s}s"
        ).strip()
        path = self.folder / "accounts" / f"{namespace}.{name}.kubeconfig"
        write_private(path, with_token(self.kubeconfig.read_text(), token, namespace))
        return path

    @abstractmethod
    def stop_api_server(self) -> None:
        """Begin an outage: end the API server; everything else goes on."""

    @abstractmethod
    def start_api_server(self) -> None:
        """End the outage: same address, same data."""

    @abstractmethod
    def audit_mark(self) -> int:
        """A mark for `audit_events`: what comes after it."""

    @abstractmethod
    def audit_events(self, since: int | datetime | None = None) -> Iterator[AuditRecord]:
        """Requests that the API server answered, oldest first.

        Args:
            since: a mark, or the time of receipt (with time zone) to begin with; None for all.
        """


def with_token(kubeconfig: str, token: str, namespace: str) -> str:
    """A kubeconfig for the same cluster with a token instead of its user.

    Args:
        kubeconfig: text of a kubeconfig with one context.
        token: bearer token of the new user.
        namespace: where commands work that name none.
    """
    config = yaml.safe_load(kubeconfig)
    context = config["contexts"][0]
    context["context"] = {
        "cluster": context["context"]["cluster"],
        "user": "service-account",
        "namespace": namespace,
    }
    config["users"] = [{"name": "service-account", "user": {"token": token}}]
    return json.dumps(config, indent=1)
