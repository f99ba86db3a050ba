"""The Python part of the image, without Docker: install exactly what the Dockerfile copies.

A file that the wheel needs and the build context lacks, or a dependency that only the development
environment has, shows here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hack.render_install import ROOT
from videollm_operator import __version__

if TYPE_CHECKING:
    from pathlib import Path

DEVELOPMENT_ONLY = ("kubernetes", "pytest", "hypothesis", "lupa")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build context as .dockerignore cuts it out."""
    context = tmp_path_factory.mktemp("context")
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            source, target = ROOT / line[1:], context / line[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    return context


@pytest.fixture(scope="module")
def image(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual environment as the Dockerfile makes it, from the build context alone."""
    environment = tmp_path_factory.mktemp("image") / "videollm"
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet"]
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", ".[operator]"],
        cwd=context,
        env={**os.environ, "PIP_CONSTRAINT": str(context / "hack" / "image-constraints.txt")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return environment


def run(image: Path, *arguments: str) -> str:
    """Output of a program of the image, started as Kubernetes would: no environment, no shell."""
    done = subprocess.run(
        [image / "bin" / arguments[0], *arguments[1:]],
        cwd="/",
        env={"PATH": f"{image}/bin", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_command_line_starts(image: Path) -> None:
    assert "operator" in run(image, "videollm", "--help")


def test_operator_command_starts(image: Path) -> None:
    shown = run(image, "videollm", "operator", "--help")
    assert "--lease-name" in shown


def test_package_is_whole_and_nothing_of_development_is_in(image: Path) -> None:
    listed = run(
        image,
        "python",
        "-c",
        "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))",
    ).split()
    assert "videollm-operator" in listed
    assert not set(DEVELOPMENT_ONLY) & set(listed)
    version = run(image, "python", "-c", "import videollm_operator as v; print(v.__version__)")
    assert version.strip() == __version__


def test_data_files_are_in_the_package(image: Path, context: Path) -> None:
    def files(folder: Path) -> set[str]:
        return {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    (installed,) = image.glob("lib/python*/site-packages/videollm_operator")
    assert files(installed) == files(context / "operator" / "videollm_operator")
