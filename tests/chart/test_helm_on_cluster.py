"""Install, upgrade and uninstall by real Helm on a real control plane.

No container runs there: kwok plays the kubelet, so what is shown is that the API server accepts
everything, that admission lets the pod in, and what outlives what.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devcluster.errors import KubectlError
from hack.render_install import CHART, NAMESPACE, RELEASE

if TYPE_CHECKING:
    from devcluster.cluster import Cluster

CRD = "videollmdeployments.videollm.io"

MODEL = {
    "apiVersion": "videollm.io/v1alpha1",
    "kind": "VideoLLMDeployment",
    "metadata": {"name": "kept", "namespace": "default"},
    "spec": {"model": {"name": "llava-hf/llava-onevision-qwen2-7b-ov-hf"}, "gpu": {"sku": "L4"}},
}


def helm(cluster: Cluster, *arguments: str) -> str:
    done = subprocess.run(
        [cluster.helm, *arguments, f"--namespace={NAMESPACE}"],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cluster.get(
        "pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/component=operator"
    )["items"]
    return found


@pytest.fixture(scope="module", autouse=True)
def restricted_namespace(cluster: Cluster) -> None:
    """The namespace refuses every pod below the restricted profile, and warns of nothing less."""
    cluster.apply(
        [
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": NAMESPACE,
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
                },
            }
        ]
    )


def test_install_upgrade_uninstall_and_install_again(cluster: Cluster) -> None:
    notes = helm(cluster, "install", RELEASE, str(CHART), "--wait", "--timeout=120s")
    assert f"rollout status deployment/{RELEASE}" in notes
    (pod,) = pods(cluster)
    assert pod["status"]["phase"] == "Running"
    assert pod["spec"]["nodeName"].startswith("cpu")  # GPU nodes are for models
    first_revision = pod["metadata"]["name"]
    cluster.apply([MODEL])

    helm(
        cluster,
        *("upgrade", RELEASE, str(CHART), "--wait", "--timeout=120s"),
        *("--set=replicas=2", "--set=log.level=debug"),
    )
    cluster.kubectl(
        "rollout", "status", f"deployment/{RELEASE}", f"--namespace={NAMESPACE}", "--timeout=90s"
    )
    running = [pod for pod in pods(cluster) if "deletionTimestamp" not in pod["metadata"]]
    assert len(running) == 2
    assert first_revision not in {pod["metadata"]["name"] for pod in running}
    assert all("--log-level=debug" in pod["spec"]["containers"][0]["args"] for pod in running)
    budget = cluster.get("poddisruptionbudget", RELEASE, f"--namespace={NAMESPACE}")
    assert budget["spec"]["minAvailable"] == 1

    helm(cluster, "uninstall", RELEASE, "--wait", "--timeout=120s")
    with pytest.raises(KubectlError, match="NotFound"):
        cluster.get("deployment", RELEASE, f"--namespace={NAMESPACE}")
    roles = cluster.get("clusterroles", f"--selector=app.kubernetes.io/instance={RELEASE}")
    assert roles["items"] == []
    assert cluster.get("crd", CRD)
    kept = cluster.get("videollmdeployment", "kept")
    assert "deletionTimestamp" not in kept["metadata"]

    helm(cluster, "install", RELEASE, str(CHART), "--wait", "--timeout=120s")
    assert cluster.get("videollmdeployment", "kept")["metadata"]["uid"] == kept["metadata"]["uid"]


def test_object_in_the_notes_is_one_that_the_api_server_takes(cluster: Cluster) -> None:
    notes = helm(cluster, "install", "notes", str(CHART), "--dry-run=client")
    example = notes[notes.index("<<'YAML'\n") + len("<<'YAML'\n") : notes.index("\n  YAML\n")]
    (shown,) = yaml.safe_load_all(example)
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=example)
    assert shown["kind"] == "VideoLLMDeployment"


def test_the_notes_remove_objects_before_the_operator_and_the_kind_last(cluster: Cluster) -> None:
    notes = helm(cluster, "install", "notes", str(CHART), "--dry-run=client")
    objects, chart, kind = (
        notes.index(command)
        for command in ("delete videollmdeployments", "helm uninstall notes", "delete crd")
    )
    assert objects < chart < kind
