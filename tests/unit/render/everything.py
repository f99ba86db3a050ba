"""An object with every field that rendering reads, and a plan that fills every place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.render import builders
from videollm_operator.api.v1alpha1.engine import EnvVar

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.engines.base import DeploymentPlan

SPEC: dict[str, Any] = {
    "model": {
        "name": "org/model",
        "source": {"persistentVolumeClaim": {"claimName": "weights", "path": "/llava"}},
    },
    "replicas": 3,
    "cache": {
        "type": "PersistentVolumeClaim",
        "size": "200Gi",
        "accessMode": "ReadWriteMany",
        "storageClassName": "nfs",
    },
    "scheduling": {
        "tolerations": [
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        ],
        "nodeSelector": {"pool": "video"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [
                                {"key": "zone", "operator": "In", "values": ["a", "b"]}
                            ]
                        },
                        {"matchFields": [
                            {"key": "metadata.name", "operator": "In", "values": ["node-1"]}
                        ]},
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 50,
                        "preference": {
                            "matchExpressions": [{"key": "fast", "operator": "Exists"}]
                        },
                    }
                ],
            },
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": {"team": "video"}},
                        },
                    }
                ]
            },
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "llava"}},
            }
        ],
        "priorityClassName": "video-high",
        "runtimeClassName": "nvidia",
    },
    "rollout": {"restartToken": "2026-01"},
    "podTemplate": {
        "labels": {"team": "video"},
        "annotations": {"note": "hello"},
        "imagePullSecrets": [{"name": "registry"}],
        "imagePullPolicy": "Always",
        "resources": {"cpu": "12", "memory": "100Gi"},
        "securityContext": {"runAsUser": 1001, "runAsGroup": 1002, "fsGroup": 1003},
        "extraVolumes": [
            {"name": "scripts", "configMap": {"name": "scripts", "defaultMode": 292}},
        ],
        "extraVolumeMounts": [{"name": "scripts", "mountPath": "/scripts", "readOnly": True}],
    },
}  # fmt: skip


def deployment() -> VideoLLMDeployment:
    """The object."""
    return builders.deployment(**SPEC)


def planned() -> DeploymentPlan:
    """Its plan."""
    return builders.planned(
        builders.launch(
            command=("python3", "-m", "engine"),
            args=("/models/llava", "--served-model-name=org/model"),
            env=(
                EnvVar.model_validate({"name": "HF_HOME", "value": "/cache"}),
                EnvVar.model_validate(
                    {
                        "name": "API_KEY",
                        "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}},
                    }
                ),
            ),
            home="/home/engine",
            cache_path="/cache",
            model_mount="/models",
        )
    )
