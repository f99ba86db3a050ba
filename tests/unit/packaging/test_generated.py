"""Files that are made from others are up to date, and hand-written YAML is clean."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import yaml

from hack.generate import CRD, CRD_COPY
from hack.render_install import CHART, NAMESPACE, ROOT, TARGET
from videollm_operator import __version__

if TYPE_CHECKING:
    from pathlib import Path

YAMLLINT = """
extends: default
rules:
  braces: {max-spaces-inside: 1}
  comments: {min-spaces-from-content: 1}
  document-start: disable
  indentation: {indent-sequences: consistent}
  line-length: {max: 105}
"""
WIDE = ("install.yaml", "crd.yaml")  # generated; sentences of the API stand in one line


def test_chart_holds_the_crd_of_the_api() -> None:
    assert CRD_COPY.read_text() == CRD.read_text(), "run `make generate`"


def test_chart_and_install_have_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    assert chart["version"] == __version__
    (operator,) = [
        obj for obj in yaml.safe_load_all(TARGET.read_text()) if obj["kind"] == "Deployment"
    ]
    (container,) = operator["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")


def test_install_goes_to_one_namespace_that_it_makes_itself() -> None:
    objects = list(yaml.safe_load_all(TARGET.read_text()))
    assert objects[0]["kind"] == "Namespace"
    assert objects[0]["metadata"]["name"] == NAMESPACE
    assert {obj["metadata"].get("namespace", NAMESPACE) for obj in objects} == {NAMESPACE}


def test_install_has_nothing_of_helm() -> None:
    assert "helm" not in TARGET.read_text().lower()


def test_hand_written_yaml_is_clean(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(YAMLLINT)
    files = [
        path
        for path in [
            *CHART.glob("*.yaml"),
            *(ROOT / "manifests").rglob("*.yaml"),
        ]
        if path.name not in WIDE
    ]
    assert len(files) > 20
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", f"--config-file={config}", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
