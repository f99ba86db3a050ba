"""What a user may add to the pods: where they run, and details that the plan does not decide."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictInt

from videollm_operator.api import names
from videollm_operator.api.base import APIModel
from videollm_operator.api.fields import (
    AnnotationMap,
    CPUQuantity,
    LabelMap,
    MemoryQuantity,
    Name,
    OptionalName,
)
from videollm_operator.api.rules import MergedBy, Rule, matching

OWN_LABELS = (
    names.LABEL_NAME,
    names.LABEL_INSTANCE,
    names.LABEL_COMPONENT,
    names.LABEL_MANAGED_BY,
    "controller-revision-hash",
)
OWN_PREFIXES = (f"{names.PREFIX}/", "statefulset.kubernetes.io/", "apps.kubernetes.io/")


class SchedulingSpec(APIModel):
    """Where pods may run, besides the GPU's own requirement."""

    tolerations: Annotated[list[dict[str, Any]], Field(max_length=32)] = Field(
        default_factory=list,
        description="Further tolerations; the one for `nvidia.com/gpu` is always there.",
    )
    node_selector: LabelMap = Field(
        default_factory=dict, description="Node labels that must match."
    )
    affinity: dict[str, Any] = Field(
        default_factory=dict,
        description="Affinity as in a pod; node affinity is combined with the GPU's own.",
    )
    topology_spread_constraints: Annotated[list[dict[str, Any]], Field(max_length=16)] = Field(
        default_factory=list,
        description="Topology spread constraints as in a pod.",
    )
    priority_class_name: OptionalName = Field(default="", description="Priority class of the pods.")
    runtime_class_name: OptionalName = Field(
        default="", description="Runtime class of the pods (`nvidia` on some clusters)."
    )
    queue_name: Annotated[
        str,
        Field(max_length=253),
        Rule(
            "self == ''",
            "`spec.scheduling.queueName` is not built yet: remove it; the operator does not "
            "update queued StatefulSets the way Kueue demands",
            lambda name: not name,
        ),
    ] = Field(
        default="",
        description="Kueue queue. Refused for now: queued updates are not built yet.",
    )


class ResourcesSpec(APIModel):
    """CPU and memory of the engine's container; GPUs come from the plan."""

    cpu: CPUQuantity | None = Field(
        default=None, description="CPU request. Default: from the plan."
    )
    memory: MemoryQuantity | None = Field(
        default=None, description="Memory request and limit. Default: from the plan."
    )


class SecurityContextSpec(APIModel):
    """User and groups of the pod. Default: the engine image's own non-root user."""

    run_as_user: (
        Annotated[
            StrictInt,
            Field(ge=0, le=2_147_483_647),
            Rule(
                "self != 0",
                "must not be 0: the engine does not run as root; remove the field for the image's "
                "own user",
                lambda user: user != 0,
            ),
        ]
        | None
    ) = Field(default=None, description="User id; root is refused.")
    run_as_group: Annotated[StrictInt, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None, description="Group id."
    )
    fs_group: Annotated[StrictInt, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None, description="Group that owns mounted volumes."
    )


class ImagePullPolicy(StrEnum):
    """When the image is pulled."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LocalObjectReference(APIModel):
    """Name of an object in the same namespace."""

    name: Name = Field(description="Name of the object.")


class ExtraVolume(APIModel):
    """A further volume of the pod, as in a pod; only its name is checked here."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[
        str,
        Field(min_length=1, max_length=63),
        matching(
            "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
            "must be the name of a volume: lower-case letters, digits and '-', with a letter or "
            "digit at both ends",
        ),
    ] = Field(description="Name of the volume.")


class ExtraVolumeMount(APIModel):
    """A further mount of the engine's container, as in a pod."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Volume to mount.")
    mount_path: Annotated[
        str,
        Field(min_length=1, max_length=1024),
        matching(
            "/[^:]*", "must be a path in the container that begins with '/' and has no ':' in it"
        ),
    ] = Field(description="Where it appears in the container.")


class PodTemplateSpec(APIModel):
    """Details of the pods that the plan does not decide."""

    cel_rules = (
        Rule(
            "!has(self.extraVolumeMounts) || self.extraVolumeMounts.all(mount, "
            "has(self.extraVolumes) && self.extraVolumes.exists(volume, volume.name == "
            "mount.name))",
            "`spec.podTemplate.extraVolumeMounts` must mount volumes of `extraVolumes`: add the "
            "volume there, or correct the mount's `name`",
            lambda self: (
                {mount.name for mount in self.extra_volume_mounts}
                <= {volume.name for volume in self.extra_volumes}
            ),
            ".extraVolumeMounts",
        ),
    )

    labels: Annotated[
        LabelMap,
        Rule(
            f"self.all(key, !(key in {list(OWN_LABELS)}) && "
            + " && ".join(f"!key.startsWith('{prefix}')" for prefix in OWN_PREFIXES)
            + ")",
            "must not have labels of the operator or of the StatefulSet controller "
            f"({', '.join(OWN_LABELS)}; {', '.join(prefix + '...' for prefix in OWN_PREFIXES)}): "
            "remove them",
            lambda labels: (
                not any(key in OWN_LABELS or key.startswith(OWN_PREFIXES) for key in labels)
            ),
        ),
    ] = Field(default_factory=dict, description="Further labels; the operator's own are refused.")
    annotations: Annotated[
        AnnotationMap,
        Rule(
            f"self.all(key, !key.startsWith('{names.PREFIX}/'))",
            f"must not have annotations of the operator ({names.PREFIX}/...): remove them",
            lambda annotations: not any(key.startswith(f"{names.PREFIX}/") for key in annotations),
        ),
    ] = Field(default_factory=dict, description="Further annotations of the pods.")
    image_pull_secrets: Annotated[
        list[LocalObjectReference], Field(max_length=16), MergedBy("name")
    ] = Field(default_factory=list, description="Secrets for private registries.")
    image_pull_policy: ImagePullPolicy = Field(
        default=ImagePullPolicy.IF_NOT_PRESENT, description="When the engine image is pulled."
    )
    service_account_name: OptionalName = Field(
        default="", description="Service account. Default: one of its own, without any right."
    )
    resources: ResourcesSpec = Field(
        default_factory=ResourcesSpec, description="CPU and memory of the engine's container."
    )
    security_context: SecurityContextSpec = Field(
        default_factory=SecurityContextSpec, description="User and groups of the pod."
    )
    extra_volumes: Annotated[list[ExtraVolume], Field(max_length=32), MergedBy("name")] = Field(
        default_factory=list, description="Further volumes."
    )
    extra_volume_mounts: Annotated[
        list[ExtraVolumeMount], Field(max_length=32), MergedBy("mountPath")
    ] = Field(default_factory=list, description="Further mounts of the engine's container.")
