"""The documents on a real control plane: their commands run, in order, as they stand.

GPUs and engines are simulated; the API server, its rules and kubectl are real.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from devcluster import binaries
from hack import markdown
from hack.local_operator import NAMESPACE
from hack.markdown import ROOT
from tests.cluster.world import condition_types, vld

if TYPE_CHECKING:
    from collections.abc import Iterator

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


TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
WITH_COMMANDS = [
    page
    for page in (ROOT / "README.md", TROUBLESHOOTING, *PAGES)
    if any(block.mark("cluster") is not None for block in markdown.blocks(page))
]
"""Pages with blocks that say `test: cluster`."""


@dataclass(frozen=True)
class Shell:
    """Types commands as the reader of a page would, in a namespace of the test's own."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def of(cls, space: Namespace, folder: Path) -> Shell:
        """A shell whose kubectl works in this namespace, in a folder for the page's files."""
        configuration = folder / "kubeconfig"
        configuration.write_text(space.kubectl("config", "view", "--raw", "--minify", "--flatten"))
        programs = (Path(sys.executable).parent, binaries.kubectl().parent, os.environ["PATH"])
        shell = cls(
            folder,
            {
                **os.environ,
                "KUBECONFIG": str(configuration),
                "PATH": os.pathsep.join(map(str, programs)),
            },
        )
        shell.run(f"kubectl config set-context --current --namespace={space.name}")
        return shell

    def run(self, command: str, *, check: bool = True) -> str:
        """What a command prints; fails the test if the command fails."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stderr}"
        return done.stdout


def shows(printed: str, wanted: tuple[str, ...], namespace: str) -> bool:
    """Whether this was printed, but for ages, widths of columns, and what `...` stands for."""
    pattern = r"\s*\n".join(r"\s+".join(map(_word, line.split())) for line in wanted)
    text = printed.replace(f".{namespace}.svc", ".default.svc")
    return re.fullmatch(pattern + r"\s*", text, re.DOTALL) is not None


def _word(word: str) -> str:
    if word == "...":
        return ".*"
    return r"\d+[smhd]\w*" if re.fullmatch(r"\d+[smhd]", word) else re.escape(word)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_commands_run_in_order_and_show_what_the_page_shows(
    space: Namespace, page: Path, tmp_path: Path
) -> None:
    shell = Shell.of(space, tmp_path)
    if page == TROUBLESHOOTING:
        space.apply(vld("video"))
    try:
        for block in markdown.blocks(page):
            if name := block.mark("file"):
                (tmp_path / name).write_text(block.text)
            if block.mark("cluster") is None:
                continue
            if page == TROUBLESHOOTING:  # its sections do not build on each other
                shell.run("kubectl wait --for=condition=Ready --timeout=40s vld/video", check=False)
            for step in block.steps:
                printed = shell.run(step.command)
                told = f"{block.where}: {step.command}\n{printed}"
                assert not step.output or shows(printed, step.output, space.name), told
    finally:
        shell.run(
            f"kubectl delete configmap {CONFIG_MAP} --namespace={NAMESPACE} --ignore-not-found"
        )
