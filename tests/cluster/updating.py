"""What the tests of updates share: catalogues, other operators, and who may not notice them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from devcluster.waiting import eventually
from hack.local_operator import NAMESPACE
from tests.cluster.world import LOAD_SECONDS, audit_mark, vld, writes
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from devcluster.target import Target
    from tests.cluster.world import Namespace

PACKAGE = Path(__file__).resolve().parents[2] / "operator" / "videollm_operator"
CONFIG_MAP = "videollm-catalog"
PATIENCE_S = 120.0


def deployment(name: str, /, **spec: Any) -> dict[str, Any]:
    """A deployment that loads in a second."""
    return vld(name, **{"podTemplate": {"annotations": {LOAD_SECONDS: "1"}}, **spec})


def entry(section: str, name: str, /, **changes: Any) -> dict[str, Any]:
    """An entry of the built-in catalogue with changes, as an administrator writes it.

    Args:
        section: `models`, `gpus` or `engines`.
        name: of the model or GPU, or the engine's type, of which the default version is taken.
        changes: other values.
    """
    catalog = builtin()
    found: Any
    if section == "engines":
        found = next(e for e in catalog.engines if e.type == name and e.default)
    else:
        found = getattr(catalog, section)[name]
    return {**found.model_dump(mode="json", by_alias=True, exclude_none=True), **changes}


def learn(cluster: Target, text: str = "", **sections: list[dict[str, Any]]) -> None:
    """Writes the administrator's catalogue: entries, or any text; without both it is taken away."""
    text = text or (yaml.safe_dump(sections, sort_keys=False) if sections else "")
    if not text:
        cluster.kubectl("-n", NAMESPACE, "delete", "configmap", CONFIG_MAP, "--ignore-not-found")
        return
    metadata = {"name": CONFIG_MAP, "namespace": NAMESPACE}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    cluster.apply([{**config_map, "data": {"catalog.yaml": text}}])


def another_operator(folder: Path, changes: Iterable[tuple[str, str, str]]) -> Path:
    """A copy of the package, changed: another version of the operator.

    Args:
        folder: for the copy.
        changes: file, pattern, and what takes its place; each must match once.
    """
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, pattern, text in changes:
        file = folder / PACKAGE.name / name
        changed, count = re.subn(pattern, text, file.read_text(), flags=re.MULTILINE)
        assert count == 1, f"{pattern!r} is {count} times in {name}"
        file.write_text(changed)
    return folder


def updates(space: Namespace) -> dict[str, str]:
    """Messages of `UpdateAvailable` by deployment."""
    return conditions(space, "UpdateAvailable")


def conditions(space: Namespace, kind: str) -> dict[str, str]:
    """Messages of a condition by deployment; only of those for which it is true."""
    return {
        obj["metadata"]["name"]: condition["message"]
        for obj in space.items("vld")
        for condition in obj.get("status", {}).get("conditions", [])
        if condition["type"] == kind and condition["status"] == "True"
    }


def until(
    space: Namespace, ask: Callable[[Namespace], Any], accept: Callable[[Any], object]
) -> Any:
    """What `ask` finds, once `accept` takes it; a long deadline, for a machine that is busy."""
    return eventually(lambda: ask(space), accept, timeout_s=PATIENCE_S)


def image(space: Namespace, name: str) -> str:
    """The image that a StatefulSet runs."""
    (container,) = space.get("statefulset", name)["spec"]["template"]["spec"]["containers"]
    found: str = container["image"]
    return found


@dataclass(frozen=True)
class Still:
    """The pods and StatefulSets of a namespace at one moment, which are to stay as they are."""

    space: Namespace
    mark: int
    seen: tuple[dict[str, str], dict[str, int]]

    @classmethod
    def now(cls, space: Namespace) -> Still:
        """This moment."""
        return cls(space, audit_mark(space.cluster), _seen(space))

    def holds(self, *, but_for: str = "") -> None:
        """The same pods, the same generations, and no child was written, but for one deed."""
        written, seen = self.written(), _seen(self.space)
        assert written in ([], [but_for]), written
        assert seen == self.seen, f"before: {self.seen}\nnow: {seen}"

    def written(self) -> list[str]:
        """The operator's writes to children, in order."""
        return [
            f"{w.verb} {w.resource} {w.name}" + ("" if w.code == 200 else f" {w.code}")
            for w in writes(self.space.cluster, self.mark)
            if w.namespace == self.space.name and w.resource != "videollmdeployments"
        ]


def _seen(space: Namespace) -> tuple[dict[str, str], dict[str, int]]:
    return (
        {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in space.items("pods")},
        {
            obj["metadata"]["name"]: obj["metadata"]["generation"]
            for obj in space.items("statefulsets")
        },
    )
