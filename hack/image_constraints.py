"""Pin what the container image installs: `python -m hack.image_constraints`, then look at the diff.

Asks pip which versions it would install for the image's Python and writes them to
`hack/image-constraints.txt`, so that the same source gives the same image next month. Not part of
`hack.generate`: new versions are taken up on purpose, not by the way.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "hack" / "image-constraints.txt"
PYTHON = "3.13"
"""Python of the image; the Dockerfile's base images have it."""

HEADER = """\
# What the container image installs. Made by `python -m hack.image_constraints`.
"""


def requirements() -> list[str]:
    """What pyproject.toml asks for at run time, the operator's extra and the builder included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime: list[str] = project["project"]["dependencies"]
    operator: list[str] = project["project"]["optional-dependencies"]["operator"]
    builder: list[str] = project["build-system"]["requires"]
    return [*runtime, *operator, *builder]


def resolved() -> list[str]:
    """`name==version` of everything that pip would install for them, sorted.

    Raises:
        subprocess.CalledProcessError: if pip finds no solution; it has said why.
    """
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--dry-run", "--ignore-installed", "--report=-", "--target=unused"),
        *("--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp"),
        *requirements(),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)["install"]
    return sorted(
        f"{item['metadata']['name'].lower()}=={item['metadata']['version']}" for item in found
    )


def main() -> int:
    """The command line."""
    TARGET.write_text(HEADER + "".join(f"{line}\n" for line in resolved()))
    print(TARGET.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
