"""The chart lints strictly, and its schema refuses what would otherwise be ignored."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hack.render_install import CHART

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Objects whose keys are the user's own.
FREE = {
    "catalog.models[]",
    "catalog.gpus[]",
    "catalog.engines[]",
    "catalog.prices",
    "global",
    "metrics.service.annotations",
    "metrics.service.labels",
    "metrics.serviceMonitor.labels",
    "nodeSelector",
    "podAnnotations",
    "podLabels",
    "resources.limits",
    "resources.requests",
    "serviceAccount.annotations",
    # Kubernetes' own; the API server checks them.
    "affinity.nodeAffinity",
    "affinity.podAffinity",
    "affinity.podAntiAffinity",
    "topologySpreadConstraints[]",
}

REFUSED = [
    ("replcas=2", "replcas"),
    ("image.repo=a", "repo"),
    ("image.repository=", "/image/repository"),
    ("image.digest=sha256:1", "/image/digest"),
    ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
    ("replicas=-1", "/replicas"),
    ("replicas=two", "/replicas"),
    ("watchNamespaces=video", "/watchNamespaces"),
    ("watchNamespaces={Video}", "/watchNamespaces/0"),
    ("nodes.enable=true", "enable"),
    ("nodes.enabled=perhaps", "/nodes/enabled"),
    ("catalog.model=a", "model"),
    ("catalog.models=a", "/catalog/models"),
    ("workers=0", "/workers"),
    ("resyncSeconds=1", "/resyncSeconds"),
    ("log.level=loud", "/log/level"),
    ("log.format=xml", "/log/format"),
    ("metrics.port=80", "/metrics/port"),
    ("metrics.serviceMonitor.interval=30s", "interval"),
    ("health.port=99999", "/health/port"),
    ("crds.enabled=true", "enabled"),
    ("rbac.creates=true", "creates"),
    ("serviceAccount.name=Not_A_Name", "/serviceAccount/name"),
    ("podSecurity.runAsUser=0", "/podSecurity/runAsUser"),
    ("podSecurity.privileged=true", "privileged"),
    ("resources.limit.cpu=1", "limit"),
    ("tolerations[0].kay=gpu", "kay"),
    ("affinity.nodeAfinity.a=b", "nodeAfinity"),
    ("fullnameOverride=Operator", "/fullnameOverride"),
]


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return loaded


def nodes(part: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in `part` with its path in the values."""
    if "$ref" in part:
        part = schema()["$defs"][part["$ref"].rpartition("/")[2]]
    yield path, part
    for name, below in part.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}".lstrip("."))
    if "items" in part:
        yield from nodes(part["items"], f"{path}[]")


def test_chart_lints_strictly(helm: Path) -> None:
    done = subprocess.run(
        [helm, "lint", "--strict", CHART], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("setting", "named"), REFUSED)
def test_wrong_value_is_refused_by_name(
    refusal: Callable[..., str], setting: str, named: str
) -> None:
    assert named in refusal(f"--set={setting}")


def test_every_object_of_ours_refuses_unknown_keys() -> None:
    objects = {path: part for path, part in nodes(schema()) if part.get("type") == "object"}
    open_ones = {
        path for path, part in objects.items() if part.get("additionalProperties") is not False
    }
    assert open_ones == FREE


def test_every_default_has_a_schema_and_every_schema_a_default() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def paths(value: Any, path: str) -> Iterator[str]:
        yield path
        if isinstance(value, dict) and path not in FREE:
            for name, below in value.items():
                yield from paths(below, f"{path}.{name}".lstrip("."))

    described = {path for path, _ in nodes(schema()) if "[]" not in path}
    assert set(paths(values, "")) <= described
    missing = described - set(paths(values, ""))
    assert missing <= FREE, "values.yaml lists every value there is"


def test_every_default_is_explained_by_name_or_comment() -> None:
    text = (CHART / "values.yaml").read_text()
    for name in ("watchNamespaces", "digest", "runAsUser", "keep", "configMapName", "aggregate"):
        before = text[: text.index(f"{name}:")].rstrip(" ").splitlines()
        assert before[-1].strip().startswith("#"), f"say what {name} does"


def test_service_monitor_without_service_is_refused(refusal: Callable[..., str]) -> None:
    said = refusal(
        "--set=metrics.serviceMonitor.enabled=true", "--set=metrics.service.enabled=false"
    )
    assert "metrics.serviceMonitor.enabled needs metrics.service.enabled" in said


def test_old_kubernetes_is_refused(refusal: Callable[..., str]) -> None:
    assert "1.34" in refusal("--kube-version=1.33.9")


def test_chart_can_be_part_of_another(render: Callable[..., list[dict[str, Any]]]) -> None:
    assert render("--set=global.registry=example.com")
