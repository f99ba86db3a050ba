"""Install the engines' own argument parsers, once per computer.

    python tests/engines/parsers/install.py

prints the folder of an environment in which `worker.py` runs the real parsers and config checks of
vLLM 0.32.0, vLLM 0.33.0 and SGLang 0.5.23: their Python code from PyPI, a CPU torch, no GPU, no
CUDA libraries. The folder lies in `${XDG_CACHE_HOME:-~/.cache}/videollm-operator/engines/`, named
by what it is made from, so a second call returns at once and a changed list makes a new one.

A lock file keeps two installations of one environment apart. Progress goes to standard error.
Only the standard library; needs Linux, and pip's usual way to PyPI.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
_SOURCES = ("requirements.txt", "build.py", "standins.py", "assembly.py", "elf.py")
_COMPLETE = "complete"


def main() -> int:
    """Install if need be; print the environment's folder. Exit code 1 with the reason if not."""
    folder = _folder()
    if (folder / _COMPLETE).is_file():
        (folder / _COMPLETE).touch()  # in use: environments that nobody uses are removed
    elif sys.platform != "linux":
        sys.stderr.write(
            f"engine parsers: they need Linux, this is {sys.platform}; leave the lane out with "
            "`-m 'not engines'`\n"
        )
        return 1
    else:
        return _make(folder)
    sys.stdout.write(f"{folder}\n")
    return 0


def _folder() -> Path:
    """Where the environment belongs: named by its lists, interpreter and machine."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((HERE / name).read_bytes())
    digest.update(f"{sys.version_info[:2]} {platform.machine()}".encode())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "videollm-operator" / "engines" / digest.hexdigest()[:12]


def _make(folder: Path) -> int:
    import fcntl  # these are not needed for the quick answer

    from build import InstallError, build, remove_unused, say

    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another installation is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / _COMPLETE).is_file():
            remove_unused(folder.parent, _COMPLETE)
            try:
                build(folder)
            except InstallError as error:
                say(str(error))
                return 1
            (folder / _COMPLETE).touch()
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
