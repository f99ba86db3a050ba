"""The values of the pod template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from videollm_operator.api import names
from videollm_operator.render import metadata
from videollm_operator.render.freeform import amount, canonical
from videollm_operator.render.placement import affinity, tolerations
from videollm_operator.render.quantity import mib
from videollm_operator.render.volumes import CACHE

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeployment, VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.engine import EnvVar
    from videollm_operator.engines.base import DeploymentPlan, EngineLaunch
    from videollm_operator.render.volumes import Storage


def pod_values(
    deployment: VideoLLMDeployment,
    planned: DeploymentPlan,
    launch: EngineLaunch,
    stored: Storage,
) -> dict[str, Any]:
    """What the template of the StatefulSet needs for its pods.

    Raises:
        Refused: if the object asks for something that no pod can have.
    """
    spec = deployment.spec
    gpu = planned.resolved.gpu
    template, scheduling = spec.pod_template, spec.scheduling
    user = template.security_context
    return {
        "launch": launch,
        "storage": stored,
        "pod_labels": metadata.pod_labels(deployment),
        "pod_annotations": metadata.pod_annotations(deployment),
        "service_account": template.service_account_name
        or names.workload_name(deployment.metadata.name),
        "pull_secrets": sorted(
            ({"name": secret.name} for secret in template.image_pull_secrets),
            key=lambda secret: secret["name"],
        ),
        "pull_policy": template.image_pull_policy,
        "priority_class": scheduling.priority_class_name,
        "runtime_class": scheduling.runtime_class_name,
        "run_as_user": _first(user.run_as_user, launch.run_as_user),
        "run_as_group": _first(user.run_as_group, launch.run_as_group),
        "fs_group": _first(user.fs_group, launch.fs_group),
        "node_selector": dict(sorted(scheduling.node_selector.items())),
        "affinity": affinity(spec, gpu),
        "tolerations": tolerations(spec, gpu),
        "topology_spread": canonical(
            scheduling.topology_spread_constraints, "spec.scheduling.topologySpreadConstraints"
        ),
        "env": [_variable(variable) for variable in launch.env],
        **_resources(spec, launch, gpu.resource_name, planned.plan.layout.gpus),
        "claim_template": CACHE,
        "when_deleted": spec.cache.retain,
    }


def _resources(
    spec: VideoLLMDeploymentSpec, launch: EngineLaunch, gpu: str, gpus: int
) -> dict[str, dict[str, str]]:
    """Requests and limits. CPU has no limit: throttling would only slow video decoding down."""
    asked, field = spec.pod_template.resources, "spec.podTemplate.resources"
    memory = asked.memory or mib(launch.memory_mib)
    limits = {
        "memory": amount(memory, f"{field}.memory"),
        "ephemeral-storage": mib(launch.ephemeral_mib),
        gpu: str(gpus),
    }
    return {
        "limits": limits,
        "requests": {"cpu": amount(asked.cpu or launch.cpu, f"{field}.cpu"), **limits},
    }


def _variable(variable: EnvVar) -> dict[str, Any]:
    """One variable; Kubernetes drops an empty value, which means the same."""
    if variable.value_from is not None:
        secret = variable.value_from.secret_key_ref
        return {
            "name": variable.name,
            "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}},
        }
    return {"name": variable.name, **({"value": variable.value} if variable.value else {})}


def _first(given: int | None, default: int) -> int:
    return default if given is None else given
