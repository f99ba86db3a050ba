"""A headless Chromium for the tests of the report page: one that is there, or one from npm.

Looked for in this order: `VIDEOLLM_BROWSER` (a path), the usual names on PATH, the cache. Where
none is, npm fetches the package `@sparticuz/chromium` into the cache: a headless Chromium with the
libraries that it needs, 65 MB, without a download of its own and without root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devcluster import paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PACKAGE, VERSION = "@sparticuz/chromium", "147.0.0"
NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "chrome")
MOST_SECONDS = 300

UNPACK = """
import chromium from "@sparticuz/chromium";
console.log(await chromium.executablePath());
"""
"""It unpacks into the folder for temporary files."""


class NoBrowserError(Exception):
    """There is none, and why none could be fetched."""


@dataclass(frozen=True, slots=True)
class Browser:
    """A program, and what its environment needs."""

    program: str
    env: Mapping[str, str] = field(default_factory=dict)


def browser() -> Browser:
    """A Chromium that can be started.

    Raises:
        NoBrowserError: if there is none and npm cannot fetch one; the message says what to do.
    """
    named = os.environ.get("VIDEOLLM_BROWSER")
    if named:
        return Browser(named)
    for name in NAMES:
        if found := shutil.which(name):
            return Browser(found)
    folder = paths.cache() / "browser" / VERSION
    if not (folder / "done").exists():
        _fetch(folder)
    return Browser(str(folder / "chromium"), {"LD_LIBRARY_PATH": str(folder / "al2023" / "lib")})


def _fetch(folder: Path) -> None:
    """Installs the package and unpacks it: a program and its libraries."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise NoBrowserError(
            "no Chromium on PATH, and no npm to fetch one with: install Debian's `chromium` or "
            "Node.js 20, or name a browser in VIDEOLLM_BROWSER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "unpack.mjs"
    script.write_text(UNPACK)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
    # The package unpacks its libraries only where it believes to be on that system.
    env = {"TMPDIR": str(folder), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs20.x"}
    try:
        for command in ([*npm, f"{PACKAGE}@{VERSION}"], ["node", str(script)]):
            subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, **env},
                check=True,
                capture_output=True,
                text=True,
                timeout=MOST_SECONDS,
            )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NoBrowserError(f"`{' '.join(error.cmd[:2])}` failed: {last}") from error
    except subprocess.TimeoutExpired as error:
        raise NoBrowserError(f"`{' '.join(error.cmd[:2])}` took too long") from error
    shutil.rmtree(folder / "node_modules")  # 65 MB that are unpacked now
    (folder / "done").touch()


if __name__ == "__main__":
    try:
        print(browser().program)
    except NoBrowserError as problem:
        sys.exit(str(problem))
