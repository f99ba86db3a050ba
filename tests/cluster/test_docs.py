"""The how-tos on a real control plane: their commands run, in order, as they stand.

GPUs and engines are simulated; the API server, its rules and kubectl are real.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from devcluster import binaries
from hack import markdown
from hack.local_operator import NAMESPACE
from hack.markdown import ROOT
from tests.cluster.world import condition_types

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.world import Namespace

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("operator")]

HOWTO = ROOT / "docs" / "howto"
PAGES = sorted(HOWTO.glob("*.md"))
CONFIG_MAP = "videollm-catalog"


def files(page: Path) -> dict[str, str]:
    """The files of a page by name; catalogues are not among them."""
    named = {block.mark("file"): block.text for block in markdown.blocks(page)}
    return {name: text for name, text in named.items() if name and "apiVersion" in text}


OBJECTS = [(page, name) for page in PAGES for name in files(page)]


def catalogue() -> str:
    """The entries of the catalogue's how-to."""
    found = (block for block in markdown.blocks(HOWTO / "catalogue.md"))
    return next(block.text for block in found if block.mark("file") == "catalog.yaml")


@pytest.mark.parametrize(
    ("page", "name"), OBJECTS, ids=[f"{page.stem}-{name}" for page, name in OBJECTS]
)
def test_the_api_server_accepts_every_object(space: Namespace, page: Path, name: str) -> None:
    text = files(page)[name]
    space.cluster.kubectl(
        "-n",
        space.name,
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        input=text,
    )


@pytest.fixture
def config_map(space: Namespace) -> Iterator[None]:
    """The catalogue's ConfigMap in the operator's namespace; gone at the end."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": NAMESPACE},
        "data": {"catalog.yaml": catalogue()},
    }
    space.cluster.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump(body))
    yield
    space.cluster.kubectl("-n", NAMESPACE, "delete", "configmap", CONFIG_MAP, "--ignore-not-found")


def test_a_model_of_the_configmap_is_served(space: Namespace, config_map: None) -> None:
    model = yaml.safe_load(catalogue())["models"][0]["name"]
    document = yaml.safe_load(files(HOWTO / "catalogue.md")["sports.yaml"])
    document["spec"] |= {"gpu": {"sku": "A100-80GB"}, "cache": {"type": "EmptyDir"}}
    space.apply(document)
    obj = space.until_ready(document["metadata"]["name"])
    assert model in obj["status"]["conditions"][0]["message"]


def test_a_gpu_of_the_configmap_is_sized(space: Namespace, config_map: None) -> None:
    document = yaml.safe_load(files(HOWTO / "catalogue.md")["sports.yaml"])
    space.apply(document)
    name = document["metadata"]["name"]
    obj = space.until(lambda obj: obj["status"].get("sizing"), name)
    assert obj["status"]["sizing"]["gpusPerReplica"] == 1


def test_a_model_without_its_entry_is_refused_until_the_entry_comes(
    space: Namespace, request: pytest.FixtureRequest
) -> None:
    document = yaml.safe_load(files(HOWTO / "catalogue.md")["sports.yaml"])
    name = document["metadata"]["name"]
    space.apply(document)
    obj = space.until_reason("ModelUnknown", name)
    assert "Stalled" in condition_types(obj)
    request.getfixturevalue("config_map")
    space.until(lambda obj: "Stalled" not in condition_types(obj), name)


@pytest.mark.parametrize("page", [HOWTO / "scale.md", HOWTO / "update.md"], ids=lambda p: p.stem)
def test_commands_run_in_order(space: Namespace, page: Path, tmp_path: Path) -> None:
    """Each command of the page that needs a cluster, in a namespace of its own."""
    configuration = tmp_path / "kubeconfig"
    configuration.write_text(space.kubectl("config", "view", "--raw", "--minify", "--flatten"))
    environment = {**os.environ, "KUBECONFIG": str(configuration)}
    environment["PATH"] = f"{binaries.kubectl().parent}{os.pathsep}{os.environ['PATH']}"

    def bash(command: str, within_s: float = 90) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=within_s,
        )

    assert bash(f"kubectl config set-context --current --namespace={space.name}").returncode == 0
    for block in markdown.blocks(page):
        if name := block.mark("file"):
            (tmp_path / name).write_text(block.text)
        if block.mark("cluster") is None:
            continue
        for step in block.steps:
            done = bash(step.command)
            assert done.returncode == 0, f"{block.where}: {step.command}\n{done.stderr}"
