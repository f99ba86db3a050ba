"""Build the programs of the control plane (and helm, and kstatus) from source, once per content.

The result lies in `bin/KEY/` of the cache. KEY covers everything that decides it: the pinned
modules, our own Go files, the Go version and the flags. So an upgrade builds into a new folder, and
a folder that is there is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devcluster import paths
from devcluster.errors import BuildError
from devcluster.goenv import Go, find, remaining
from devcluster.progress import Progress, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """A set of programs built from one tools module.

    Attributes:
        title: what a person calls it.
        module: folder of go.mod.
        packages: Go package of each program.
        first_time: how long it takes with nothing cached, for a person to know.
    """

    title: str
    module: Path
    packages: Mapping[str, str]
    first_time: str


CONTROL_PLANE = Recipe(
    title="the control plane",
    module=paths.SOURCE,
    packages={
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    },
    first_time="5 to 6 minutes on 2 cores",
)
HELM = Recipe(
    title="helm",
    module=paths.SOURCE / "helm",
    packages={"helm": "helm.sh/helm/v4/cmd/helm"},
    first_time="1 to 2 minutes on 2 cores",
)
KSTATUS = Recipe(
    title="kstatus",
    module=paths.SOURCE / "kstatus",
    packages={"kstatus": "videollm.io/devcluster/kstatus"},
    first_time="half a minute on 2 cores",
)


def pinned_version(go_mod: str, module: str) -> str:
    """The version of `module` that a go.mod requires, such as `v1.36.3`; "" if it does not."""
    for line in go_mod.splitlines():
        words = line.removeprefix("require ").split()
        if len(words) >= 2 and words[0] == module and words[1].startswith("v"):
            return words[1]
    return ""


def linker_flags(go_mod: str) -> str:
    """Flags for the linker: no debug data, and Kubernetes told its own version.

    Without them the API server says v0.0.0-master, and clients that go by the version misbehave.
    """
    flags = ["-s", "-w"]
    kubernetes = pinned_version(go_mod, "k8s.io/kubernetes")
    if kubernetes:
        major, minor, _ = kubernetes.removeprefix("v").split(".", 2)
        values = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor}
        for name, value in values.items():
            flags += ["-X", f"k8s.io/component-base/version.{name}={value}"]
    helm = pinned_version(go_mod, "helm.sh/helm/v4")
    if helm:
        flags += ["-X", f"helm.sh/helm/v4/internal/version.version={helm}"]
    return " ".join(flags)


def content_key(recipe: Recipe, go: Go) -> str:
    """Name of the result: changes with whatever could change the programs."""
    digest = hashlib.sha256()
    for path in (recipe.module / "go.mod", recipe.module / "go.sum", *_own_sources(recipe)):
        digest.update(path.read_bytes())
    digest.update(json.dumps([go.version, _flags(recipe), dict(recipe.packages)]).encode())
    return digest.hexdigest()[:20]


def _own_sources(recipe: Recipe) -> list[Path]:
    return sorted(recipe.module.glob("*.go"))


def _flags(recipe: Recipe) -> list[str]:
    return ["-pgo=off", f"-ldflags={linker_flags((recipe.module / 'go.mod').read_text())}"]


def build(recipe: Recipe, progress: Progress) -> dict[str, Path]:
    """Path of each program of the recipe, built now if it was not before.

    Safe to call from several processes at once: one builds, the others wait for it.

    Raises:
        BuildError: if it cannot be built; the message ends with what the compiler said.
    """
    go = find(progress)
    folder = paths.cache() / "bin" / content_key(recipe, go)
    if not folder.is_dir():
        with paths.locked(
            f"build-{folder.name}",
            lambda: progress.line(f"Another process is building {recipe.title}: waiting for it"),
        ):
            if not folder.is_dir():
                _build(recipe, go, folder, progress)
    return {program: folder / program for program in recipe.packages}


def _build(recipe: Recipe, go: Go, folder: Path, progress: Progress) -> None:
    progress.line(
        f"Building {recipe.title} from source with {go.version}. The first time takes "
        f"{recipe.first_time}, downloads included; later ones reuse Go's cache."
    )
    began = time.monotonic()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    env = go.environment()
    with progress.step("download sources"):
        total = _count_packages(recipe, go, env, progress)
    compiled = 0
    for number, (program, package) in enumerate(recipe.packages.items(), 1):
        label = f"[{number}/{len(recipe.packages)}] {program}"
        command = [str(go.program), "build", "-v", *_flags(recipe), "-o", str(partial / program)]
        with progress.step(label):
            for _ in _lines([*command, package], recipe.module, env):
                compiled += 1
                elapsed = time.monotonic() - began
                progress.moving(
                    f"  {label}: {compiled} of at most {total} packages compiled, "
                    f"{duration(elapsed)} so far{remaining(elapsed, compiled, total)}"
                )
    os.replace(partial, folder)
    progress.line(f"Built in {duration(time.monotonic() - began)}: {folder}")


def _count_packages(recipe: Recipe, go: Go, env: Mapping[str, str], progress: Progress) -> int:
    """Number of packages to compile at most; fetches the sources of all of them on the way."""
    command = [str(go.program), "list", "-deps", *recipe.packages.values()]
    fetched = count = 0
    for line in _lines(command, recipe.module, env):
        if line.startswith("go: downloading "):
            fetched += 1
            progress.moving(f"  download sources: {fetched} modules so far")
        else:
            count += 1
    return count


def _lines(command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """What a command prints, line by line as it comes.

    Raises:
        BuildError: after the last line, if the command failed.
    """
    last: deque[str] = deque(maxlen=25)
    with subprocess.Popen(
        command, cwd=folder, env=env, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            last.append(line.rstrip())
            yield last[-1]
    if process.returncode != 0:
        shown = "\n".join(last)
        raise BuildError(
            f"`{' '.join(command[:2])} ... {command[-1]}` failed in {folder}:\n{shown}\n"
            "Is the Go module proxy reachable (`go env GOPROXY`), and is there room on the disk "
            "(about 5 GB)?"
        )
