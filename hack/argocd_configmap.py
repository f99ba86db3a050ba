"""Put the Lua scripts for Argo CD into the ConfigMap snippet that an admin merges into `argocd-cm`.

The scripts under `resource_customizations/` are the source, in the layout that Argo CD's own
repository uses.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARGOCD = ROOT / "manifests" / "argocd"
SCRIPTS = ARGOCD / "resource_customizations" / "videollm.io" / "VideoLLMDeployment"
TARGET = ARGOCD / "argocd-cm.yaml"

HEADER = """\
# What Argo CD must know about VideoLLMDeployments: when one is healthy, and what the buttons in its
# interface do. Without it Argo CD calls every VideoLLMDeployment healthy as soon as it exists.
# Made from resource_customizations/ by `make generate`; change those scripts instead.
#
#   kubectl -n argocd patch configmap argocd-cm --patch-file manifests/argocd/argocd-cm.yaml
"""


def _indented(text: str, spaces: int) -> str:
    return "".join(
        f"{' ' * spaces}{line}" if line.strip() else line for line in text.splitlines(keepends=True)
    )


def argocd_configmap() -> str:
    """The text of `manifests/argocd/argocd-cm.yaml`."""
    health = (SCRIPTS / "health.lua").read_text()
    discovery = (SCRIPTS / "actions" / "discovery.lua").read_text()
    actions = ""
    for script in sorted((SCRIPTS / "actions").glob("*/action.lua")):
        actions += f"- name: {script.parent.name}\n"
        actions += f"  action.lua: |\n{_indented(script.read_text(), 4)}"
    customization = f"discovery.lua: |\n{_indented(discovery, 2)}definitions:\n{actions}"
    return (
        f"{HEADER}"
        "apiVersion: v1\n"
        "kind: ConfigMap\n"
        "metadata:\n"
        "  name: argocd-cm\n"
        "  namespace: argocd\n"
        "  labels:\n"
        "    app.kubernetes.io/name: argocd-cm\n"
        "    app.kubernetes.io/part-of: argocd\n"
        "data:\n"
        "  resource.customizations.health.videollm.io_VideoLLMDeployment: |\n"
        f"{_indented(health, 4)}"
        "  resource.customizations.actions.videollm.io_VideoLLMDeployment: |\n"
        f"{_indented(customization, 4)}"
    )
