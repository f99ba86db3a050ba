"""What each program is told: its command line and the files that it reads. Pure text making."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# In the order in which they are started; each needs the ones before it.
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")

# User names as the audit log shows them. The two of Kubernetes have their rights from the roles
# that the API server makes itself; the other two are administrators.
ADMIN = "devcluster-admin"
KWOK = "devcluster-kwok"
USERS = {
    ADMIN: "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    KWOK: "system:masters",
}

# Nodes that kwok plays carry this label; it leaves all others alone.
SIMULATED_LABEL = "devcluster.videollm.io/simulated"

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Layout:
    """Where one cluster lives.

    Attributes:
        folder: its folder.
        ports: port by purpose, see PORTS.
        pod_cidr: range of the pods' addresses.
    """

    folder: Path
    ports: Mapping[str, int]
    pod_cidr: str

    @property
    def server(self) -> str:
        """URL of the API server."""
        return f"https://{_HOST}:{self.ports['kube-apiserver']}"

    @property
    def pki(self) -> Path:
        """Folder of keys, certificates and tokens."""
        return self.folder / "pki"


def command(program: str, layout: Layout) -> list[str]:
    """Arguments of one program of PROGRAMS, without the program itself."""
    return {
        "etcd": _etcd,
        "kube-apiserver": _api_server,
        "kube-controller-manager": _controller_manager,
        "kube-scheduler": _scheduler,
        "kwok": _kwok,
    }[program](layout)


def _etcd(layout: Layout) -> list[str]:
    clients = f"http://{_HOST}:{layout.ports['etcd']}"
    peers = f"http://{_HOST}:{layout.ports['etcd-peer']}"
    return [
        f"--data-dir={layout.folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # nothing here has to survive a power cut
        "--log-level=warn",
    ]


def _api_server(layout: Layout) -> list[str]:
    signing_key = layout.pki / "service-account.key"
    return [
        f"--etcd-servers=http://{_HOST}:{layout.ports['etcd']}",
        f"--bind-address={_HOST}",
        f"--advertise-address={_HOST}",  # else it looks for a default route and fails without one
        f"--secure-port={layout.ports['kube-apiserver']}",
        "--endpoint-reconciler-type=none",  # a loopback address is not allowed in endpoints
        f"--cert-dir={layout.pki}",
        f"--token-auth-file={layout.pki / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        # As on OpenShift: who makes an owner wait for a child needs a right about the owner.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={signing_key}",
        f"--service-account-signing-key-file={signing_key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        f"--audit-policy-file={layout.folder / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.folder / 'audit.log'}",
        "--audit-log-mode=blocking",  # written before the answer is sent, so none is lost
        "--audit-log-maxsize=0",  # never rotated
    ]


def _serving(program: str, layout: Layout) -> list[str]:
    """What the controller manager and the scheduler have in common."""
    return [
        f"--kubeconfig={layout.folder / (program + '.kubeconfig')}",
        f"--bind-address={_HOST}",
        f"--secure-port={layout.ports[program]}",
        f"--cert-dir={layout.pki / program}",
        "--leader-elect=false",
    ]


def _controller_manager(layout: Layout) -> list[str]:
    controllers = "--controllers=*"
    if ip_network(layout.pod_cidr).is_loopback:
        # The API server refuses loopback addresses in endpoints; these controllers would retry.
        controllers += ",-endpoints-controller,-endpointslice-controller"
    return [
        *_serving("kube-controller-manager", layout),
        controllers,
        f"--service-account-private-key-file={layout.pki / 'service-account.key'}",
        f"--root-ca-file={layout.pki / 'apiserver.crt'}",
        "--use-service-account-credentials=true",  # each controller has its own name and rights
        "--kube-api-qps=100",  # the defaults, 20 and 30, are slow for tests with many objects
        "--kube-api-burst=200",
    ]


def _scheduler(layout: Layout) -> list[str]:
    return _serving("kube-scheduler", layout)


def _kwok(layout: Layout) -> list[str]:
    return kwok_arguments(
        kubeconfig=layout.folder / "kwok.kubeconfig",
        stages=layout.folder / "stages.yaml",
        pod_cidr=layout.pod_cidr,
        port=layout.ports["kwok"],
    )


def kwok_arguments(*, kubeconfig: Path, stages: Path, pod_cidr: str, port: int) -> list[str]:
    """Arguments for kwok; it may also play nodes in a cluster of somebody else."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--config={stages}",
        f"--manage-nodes-with-label-selector={SIMULATED_LABEL}=true",
        f"--cidr={pod_cidr}",
        f"--node-ip={_HOST}",
        "--node-lease-duration-seconds=40",  # as a kubelet: renewed every 10 s
        f"--server-address={_HOST}:{port}",
    ]


def environment(home: Path) -> dict[str, str]:
    """The whole environment of the programs: nothing of the user's reaches them.

    Args:
        home: their home folder, where kwok looks for a configuration and finds none.
    """
    return {"PATH": "/usr/bin:/bin", "HOME": str(home), "KWOK_WORKDIR": str(home / "kwok")}


def health_url(program: str, layout: Layout) -> str:
    """Where the program answers 200 when it is healthy, without credentials."""
    port = layout.ports[program]
    return {
        "etcd": f"http://{_HOST}:{port}/health",
        "kube-apiserver": f"https://{_HOST}:{port}/readyz",
        "kube-controller-manager": f"https://{_HOST}:{port}/healthz",
        "kube-scheduler": f"https://{_HOST}:{port}/healthz",
        "kwok": f"http://{_HOST}:{port}/healthz",
    }[program]


def tokens_csv(tokens: Mapping[str, str]) -> str:
    """The API server's token file: token, user, user id and groups, one user per line.

    Args:
        tokens: token of every user in USERS.
    """
    lines = []
    for user, group in USERS.items():
        groups = f',"{group}"' if group else ""
        lines.append(f"{tokens[user]},{user},{user}{groups}")
    return "\n".join(lines) + "\n"


def kubeconfig(*, server: str, certificate_authority: bytes, token: str, context: str) -> str:
    """A kubeconfig that holds everything, so that the file can be copied anywhere.

    Args:
        server: URL of the API server.
        certificate_authority: PEM of the certificates to trust.
        token: bearer token of the user.
        context: name of the context, cluster and user in it.
    """
    ca = base64.b64encode(certificate_authority).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": context, "cluster": {"server": server, "certificate-authority-data": ca}}
            ],
            "users": [{"name": context, "user": {"token": token}}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
            "current-context": context,
        },
        indent=1,
    )


def context_name(cluster: str) -> str:
    """Name of the kubeconfig context of one of our clusters."""
    return f"devcluster-{cluster}"
