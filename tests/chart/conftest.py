"""Helm, built from source by the project itself, and a cluster to install the chart into."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import binaries
from devcluster.cluster import Cluster
from devcluster.progress import to_terminal
from hack.render_install import CHART, template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Objects = list[dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/chart/" in item.path.as_posix():
            item.add_marker(pytest.mark.chart)


@pytest.fixture(scope="session")
def helm() -> Path:
    return binaries.helm(to_terminal())


@pytest.fixture(scope="session")
def render(helm: Path) -> Callable[..., Objects]:
    """The objects that `helm template` gives: `render("--set=replicas=2", namespace="video")`."""

    def rendered(*arguments: str, **options: str) -> Objects:
        return template(helm, *arguments, **options)

    return rendered


@pytest.fixture(scope="session")
def refusal(helm: Path) -> Callable[..., str]:
    """What helm says against values that it refuses."""

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [helm, "template", "release", CHART, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0, "helm took it"
        return done.stderr

    return said


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster per module: the CRD belongs to one installation at a time."""
    with Cluster(progress=to_terminal()) as started:
        yield started
