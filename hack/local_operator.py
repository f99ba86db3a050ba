"""Run the operator as a process on this computer, under its own service account's rights.

In a cluster it runs from its image; the local control plane has no container runtime, so the demo
and the tests start the same program beside it. Everything else is as shipped: the CRD, the service
account and the rights come from manifests/install.yaml, and the kubeconfig holds nothing but that
account's token.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from devcluster import ports, processes
from devcluster.files import write_private
from devcluster.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devcluster.processes import Process
    from devcluster.target import Target

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "videollm-system"
ACCOUNT = "videollm-operator"


def install(cluster: Target) -> None:
    """Applies manifests/install.yaml but for the Deployment: CRD, service account, rights.

    Raises:
        KubectlError: if the API server refuses something.
    """
    documents = list(yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text()))
    kept = [d for d in documents if d and d["kind"] not in {"Deployment", "PodDisruptionBudget"}]
    cluster.apply([d for d in kept if d["kind"] == "Namespace"])
    cluster.apply([d for d in kept if d["kind"] != "Namespace"])
    cluster.kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/videollmdeployments.videollm.io",
    )


@dataclass
class LocalOperator:
    """One running operator process.

    Attributes:
        process: its process, recognised by pid and start time.
        log: file that receives its output.
        health_port: port of /healthz, /readyz on loopback.
        metrics_port: port of /metrics on loopback.
    """

    process: Process
    log: Path
    health_port: int
    metrics_port: int

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.alive

    def stop(self, grace_s: float = 10.0) -> None:
        """Ends it; `grace_s` 0 kills it at once, as a crash would."""
        processes.end(self.process, grace_s=grace_s)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:])

    def ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        return bool(self.role())

    def role(self) -> str:
        """What /readyz says, `leader` or `standby`; empty while it does not answer 200."""
        return (self._get(self.health_port, "/readyz") or "").strip()

    def healthy(self) -> bool:
        """Whether /healthz answers 200 now."""
        return self._get(self.health_port, "/healthz") is not None

    def metrics(self) -> str:
        """The text of /metrics; empty if it does not answer."""
        return self._get(self.metrics_port, "/metrics") or ""

    @staticmethod
    def _get(port: int, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return None


def start(
    cluster: Target,
    *,
    name: str = "operator",
    namespace: str = NAMESPACE,
    options: Sequence[str] = (),
    wait_s: float = 60.0,
    server: str = "",
    program: Sequence[str] = ("-m", "videollm_operator"),
    modules: Path = ROOT / "operator",
) -> LocalOperator:
    """Starts an operator and waits until it is ready.

    Args:
        cluster: where it works; `install` was called before.
        name: of its log file and its Lease identity.
        namespace: of its account, Lease and catalogue.
        options: further options of `videollm operator`.
        wait_s: seconds until it must be ready; 0 does not wait.
        server: URL that it uses as its API server, such as a proxy's; "" for the cluster's own.
        program: what Python runs: the `videollm` command, or something around it.
        modules: the folder of the operator's package: this version's, or another's.

    Raises:
        RuntimeError: if it is not ready in time; the message has the end of its log.
    """
    health, metrics = ports.choose(2, ())
    kubeconfig = cluster.service_account_kubeconfig(namespace, ACCOUNT)
    if server:
        kubeconfig = _pointed_at(server, kubeconfig, name)
    log = cluster.folder / f"{name}.log"
    argv = [
        sys.executable,
        *program,
        "operator",
        f"--kubeconfig={kubeconfig}",
        f"--lease-namespace={namespace}",
        f"--identity={name}",
        f"--health-port={health}",
        f"--metrics-port={metrics}",
        f"--catalog-configmap={namespace}/videollm-catalog",
        *options,
    ]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("KUBE", "VIDEOLLM"))
    }
    environment["PYTHONPATH"] = str(modules)
    operator = LocalOperator(processes.start(argv, log, environment), log, health, metrics)
    if wait_s and not wait_until(lambda: operator.ready() or not operator.alive, wait_s):
        operator.stop(0)
    if wait_s and not operator.alive:
        msg = (
            f"the operator did not become ready within {wait_s:.0f} s; its log ends with:\n"
            f"{operator.tail()}"
        )
        raise RuntimeError(msg)
    return operator


def _pointed_at(server: str, kubeconfig: Path, name: str) -> Path:
    """A copy of a kubeconfig, for one operator, that names another server."""
    text = yaml.safe_load(kubeconfig.read_text())
    for entry in text["clusters"]:
        entry["cluster"] = {"server": server}
    copy = kubeconfig.with_name(f"{name}.kubeconfig")
    write_private(copy, yaml.safe_dump(text))
    return copy
