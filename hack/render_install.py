"""Render `manifests/install.yaml` from the chart, so that there is one source for both.

The chart is rendered with its default values for the namespace `videollm-system`. What only Helm
needs (its labels and annotations) is taken out, and the namespace itself is put in front.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "videollm-operator"
TARGET = ROOT / "manifests" / "install.yaml"
RELEASE = "videollm-operator"
NAMESPACE = "videollm-system"

HEADER = """\
# The whole operator: CRD, rights, Deployment. Rendered from charts/videollm-operator by
# `make generate`; change the chart, not this file.
#
# The project publishes no image. Build it from the Dockerfile, push it, and name it:
#   kubectl apply --server-side --filename manifests/install.yaml
#   kubectl --namespace videollm-system set image deployment/videollm-operator \\
#     operator=registry.example.com/team/videollm-operator:0.1.0
"""


class _Dumper(yaml.SafeDumper):
    """Indents list items, as yamllint and people expect."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
    )


_Dumper.add_representer(str, _text)


def template(helm: Path, *arguments: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """The objects that `helm template` gives for the chart.

    Args:
        helm: the helm program.
        *arguments: further arguments, such as `--set=replicas=2`.
        namespace: namespace of the release.

    Raises:
        subprocess.CalledProcessError: if helm refuses; its output says why.
    """
    done = subprocess.run(
        [helm, "template", RELEASE, CHART, f"--namespace={namespace}", *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def without_helm(obj: dict[str, Any]) -> dict[str, Any]:
    """`obj` without the labels and annotations that mean something to Helm alone."""
    metadata = dict(obj["metadata"])
    for kind in ("labels", "annotations"):
        kept = {
            key: value
            for key, value in metadata.pop(kind, {}).items()
            if not key.startswith("helm.sh/") and key != "app.kubernetes.io/managed-by"
        }
        if kept:
            metadata[kind] = kept
    clean = {**obj, "metadata": metadata}
    if "template" in obj.get("spec", {}):
        clean["spec"] = {**obj["spec"], "template": without_helm(obj["spec"]["template"])}
    return clean


def install_objects(helm: Path) -> list[dict[str, Any]]:
    """All objects of an installation, in the order in which they can be applied."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": {
                "app.kubernetes.io/part-of": "videollm",
                "pod-security.kubernetes.io/enforce": "restricted",
            },
        },
    }
    rendered = [without_helm(obj) for obj in template(helm)]
    rendered.sort(key=lambda obj: obj["kind"] != "CustomResourceDefinition")  # stable: CRD first
    return [namespace, *rendered]


def install_yaml(helm: Path) -> str:
    """The text of `manifests/install.yaml`."""
    documents = [
        yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
        for obj in install_objects(helm)
    ]
    return HEADER + "".join(f"---\n{document}" for document in documents)
