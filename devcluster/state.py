"""What is written down about a cluster, in `clusters/NAME/state.json`.

It is rewritten after every start and stop of a program, so that `down` can clean up after an `up`
that was killed half-way.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from devcluster import paths
from devcluster.errors import StartError
from devcluster.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class State:
    """One cluster as it was started.

    Attributes:
        name: its name.
        ports: port by purpose; fixed for the life of the cluster.
        pod_cidr: where the pods' addresses come from.
        binaries: path of each program by name.
        processes: process of each program by name, only those started.
        owner: the process whose end makes this cluster garbage, None for one that stays.
        ready: whether `up` came to its end.
        context: the user's kubeconfig context, for a cluster that somebody else started and that
            only got simulated nodes; "" for one of our own.
    """

    name: str
    ports: dict[str, int]
    pod_cidr: str
    binaries: dict[str, str]
    processes: dict[str, Process] = field(default_factory=dict)
    owner: Process | None = None
    ready: bool = False
    context: str = ""

    @property
    def folder(self) -> Path:
        """The cluster's folder."""
        return folder(self.name)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of its administrator."""
        return self.folder / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log, one JSON object per line."""
        return self.folder / "audit.log"

    def log(self, program: str) -> Path:
        """What a program of the cluster prints."""
        return self.folder / "logs" / f"{program}.log"

    @property
    def dead(self) -> list[str]:
        """Programs that were started and do not run any more."""
        return [name for name, process in self.processes.items() if not process.alive]

    @property
    def orphaned(self) -> bool:
        """Whether the program that this cluster was started for has ended."""
        return self.owner is not None and not self.owner.alive

    def save(self) -> None:
        """Write it down; a reader sees the old text or the new one, never a part."""
        path = self.folder / "state.json"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1))
        os.replace(partial, path)


def folder(name: str) -> Path:
    """The folder of the cluster called `name`, which need not exist."""
    return paths.clusters() / paths.check_name(name)


def load(name: str) -> State | None:
    """The state of a cluster; None if there is no such cluster.

    Raises:
        StartError: if the file is there but cannot be understood.
    """
    path = folder(name) / "state.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        raw = json.loads(text)
        raw["processes"] = {key: Process(**value) for key, value in raw["processes"].items()}
        raw["owner"] = Process(**raw["owner"]) if raw["owner"] else None
        return State(**raw)
    except (ValueError, TypeError, KeyError) as error:
        raise StartError(
            f"{path} cannot be understood ({error}): end the programs of this cluster by hand "
            f"(their command lines hold {path.parent}) and remove that folder"
        ) from error


def names() -> list[str]:
    """Names of all clusters that have a folder, sorted."""
    root = paths.clusters()
    return sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []


def all_states() -> Iterator[State]:
    """Every cluster that has a readable state."""
    for name in names():
        state = load(name)
        if state is not None:
            yield state


def remove(name: str) -> None:
    """Remove the cluster's folder with all that is in it."""
    path = folder(name)
    if path.exists():
        shutil.rmtree(path)
