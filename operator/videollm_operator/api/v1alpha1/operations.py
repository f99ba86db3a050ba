"""How a replica runs in the cluster: cache, network, scheduling, rollout, pod details."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from videollm_operator.api.base import (
    FREE_FORM,
    INT_OR_STRING,
    APIModel,
    Name,
    Quantity,
    list_map,
    rule,
    rules,
)
from videollm_operator.api.v1alpha1.model import SecretKeyRef


class CacheType(StrEnum):
    """Where downloaded weights and compiled kernels are kept."""

    AUTO = "Auto"
    PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"
    EMPTY_DIR = "EmptyDir"


class AccessMode(StrEnum):
    """Access modes of a cache volume."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"


class Retain(StrEnum):
    """What happens to the cache volume when the deployment is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


class CacheSpec(APIModel):
    """Volume for downloaded weights and compiled kernels."""

    type: CacheType = Field(
        default=CacheType.AUTO,
        description="Auto: a volume claim when weights are downloaded, else an emptyDir.",
    )
    size: Quantity | str = Field(
        default="Auto",
        pattern=r"^(Auto|[0-9]+(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?)$",
        max_length=32,
        description="Size of the volume. Auto: the weights plus room for compiled kernels.",
    )
    storage_class_name: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Storage class. Default: the cluster's default class."
    )
    access_mode: AccessMode = Field(
        default=AccessMode.READ_WRITE_ONCE,
        description="ReadWriteOnce: one volume per replica. ReadWriteMany: one volume for all.",
    )
    retain: Retain = Field(
        default=Retain.DELETE,
        description="Whether the volume outlives the deployment.",
    )


class NetworkPolicyMode(StrEnum):
    """Whether a NetworkPolicy guards the pods."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class NetworkSpec(APIModel):
    """How clients reach the engine, and what it may fetch."""

    port: Annotated[int, Field(ge=1024, le=65535)] = Field(
        default=8000, description="Port of the HTTP API, on pods and Service alike."
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret with the key that clients must send."
    )
    allowed_media_domains: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.-]+$")]],
        Field(max_length=64),
    ] = Field(
        default_factory=list,
        description="Hosts that the engine may fetch videos from. Empty: none, clients send the "
        "video itself (data URL).",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    policy: NetworkPolicyMode = Field(
        default=NetworkPolicyMode.DISABLED,
        description="Enabled is refused for now: the operator does not write NetworkPolicies yet.",
        json_schema_extra=rules(
            rule(
                "self == 'Disabled'",
                "`spec.network.policy: Enabled` is not built yet: set 'Disabled' and write your "
                "own NetworkPolicy",
            )
        ),
    )


class SchedulingSpec(APIModel):
    """Where pods may run, besides the GPU's own requirement."""

    tolerations: Annotated[list[dict[str, Any]], Field(max_length=32)] = Field(
        default_factory=list,
        description="Further tolerations; the one for `nvidia.com/gpu` is always there.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            "items": {"type": "object", **FREE_FORM},
        },
    )
    node_selector: Annotated[
        dict[
            Annotated[str, Field(max_length=317)],
            Annotated[str, Field(max_length=63)],
        ],
        Field(max_length=32),
    ] = Field(default_factory=dict, description="Node labels that must match.")
    affinity: dict[str, Any] = Field(
        default_factory=dict,
        description="Affinity as in a pod; node affinity is combined with the GPU's own.",
        json_schema_extra=FREE_FORM,
    )
    topology_spread_constraints: Annotated[list[dict[str, Any]], Field(max_length=16)] = Field(
        default_factory=list,
        description="Topology spread constraints as in a pod.",
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            "items": {"type": "object", **FREE_FORM},
        },
    )
    priority_class_name: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Priority class of the pods."
    )
    runtime_class_name: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Runtime class of the pods (`nvidia` on some clusters)."
    )
    queue_name: Annotated[str, Field(max_length=253)] = Field(
        default="",
        description="Kueue queue. Refused for now: queued updates are not built yet.",
        json_schema_extra=rules(
            rule(
                "self == ''",
                "`spec.scheduling.queueName` is not built yet: remove it; the operator does not "
                "update queued StatefulSets the way Kueue demands",
            )
        ),
    )


class Updates(StrEnum):
    """When changed inputs other than the object itself reach running pods."""

    ON_REQUEST = "OnRequest"
    AUTOMATIC = "Automatic"


class RolloutStrategy(StrEnum):
    """How a new layout replaces the old one."""

    REMOVE_FIRST = "RemoveFirst"
    ADD_FIRST = "AddFirst"


class RolloutSpec(APIModel):
    """How changes reach running pods."""

    progress_deadline_seconds: Annotated[int, Field(ge=60, le=86400)] | str = Field(
        default="Auto",
        description="Seconds without progress before a waiting deployment is Stalled. Auto: from "
        "the size of the weights.",
        json_schema_extra={
            **INT_OR_STRING,
            **rules(
                rule(
                    "type(self) == int ? (self >= 60 && self <= 86400) : self == 'Auto'",
                    "`spec.rollout.progressDeadlineSeconds` must be 'Auto' or a number between 60 "
                    "and 86400",
                )
            ),
        },
    )
    updates: Updates = Field(
        default=Updates.ON_REQUEST,
        description="OnRequest: a new catalogue entry, engine default or operator version changes "
        "running pods only with the next change of the spec or `restartToken`.",
        json_schema_extra=rules(
            rule(
                "self == 'OnRequest'",
                "`spec.rollout.updates: Automatic` is not built yet: leave it out and set a new "
                "`restartToken` when the condition UpdateAvailable says so",
            )
        ),
    )
    restart_token: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Any new value restarts the pods and takes up available updates."
    )
    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.REMOVE_FIRST,
        description="RemoveFirst: a pod ends before its successor starts, so no spare GPU is "
        "needed.",
        json_schema_extra=rules(
            rule(
                "self == 'RemoveFirst'",
                "`spec.rollout.strategy: AddFirst` is not built yet: leave it out; pods are "
                "removed before they are replaced",
            )
        ),
    )


class PodMonitorMode(StrEnum):
    """Whether a PodMonitor is written."""

    AUTO = "Auto"
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class MonitoringSpec(APIModel):
    """How the engine's metrics are collected."""

    pod_monitor: PodMonitorMode = Field(
        default=PodMonitorMode.DISABLED,
        description="Auto and Enabled are refused for now: the operator does not write PodMonitors "
        "yet.",
        json_schema_extra=rules(
            rule(
                "self == 'Disabled'",
                "`spec.monitoring.podMonitor` other than 'Disabled' is not built yet: leave it out "
                "and write your own PodMonitor for the port named 'http'",
            )
        ),
    )


class ResourcesSpec(APIModel):
    """CPU and memory of the engine's container; GPUs come from the plan."""

    cpu: Quantity | None = Field(default=None, description="CPU request. Default: from the plan.")
    memory: Quantity | None = Field(
        default=None, description="Memory request and limit. Default: from the plan."
    )


class SecurityContextSpec(APIModel):
    """User and groups of the pod. Default: the engine image's own non-root user."""

    run_as_user: Annotated[int, Field(ge=1, le=2_147_483_647)] | None = Field(
        default=None, description="User id; root is refused."
    )
    run_as_group: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = Field(
        default=None, description="Group id."
    )
    fs_group: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = Field(
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

    model_config = {"extra": "allow", "json_schema_extra": FREE_FORM}

    name: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    ] = Field(description="Name of the volume.")


class ExtraVolumeMount(APIModel):
    """A further mount of the engine's container, as in a pod."""

    model_config = {"extra": "allow", "json_schema_extra": FREE_FORM}

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(description="Volume to mount.")
    mount_path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^:]*$")] = Field(
        description="Where it appears in the container."
    )


class PodTemplateSpec(APIModel):
    """Details of the pods that the plan does not decide."""

    labels: Annotated[
        dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]],
        Field(max_length=32),
    ] = Field(default_factory=dict, description="Further labels; the operator's own are refused.")
    annotations: Annotated[
        dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=16384)]],
        Field(max_length=32),
    ] = Field(default_factory=dict, description="Further annotations of the pods.")
    image_pull_secrets: Annotated[list[LocalObjectReference], Field(max_length=16)] = Field(
        default_factory=list,
        description="Secrets for private registries.",
        json_schema_extra=list_map("name"),
    )
    image_pull_policy: ImagePullPolicy = Field(
        default=ImagePullPolicy.IF_NOT_PRESENT, description="When the engine image is pulled."
    )
    service_account_name: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Service account. Default: one of its own, without any right."
    )
    resources: ResourcesSpec = Field(
        default_factory=ResourcesSpec, description="CPU and memory of the engine's container."
    )
    security_context: SecurityContextSpec = Field(
        default_factory=SecurityContextSpec, description="User and groups of the pod."
    )
    extra_volumes: Annotated[list[ExtraVolume], Field(max_length=32)] = Field(
        default_factory=list, description="Further volumes.", json_schema_extra=list_map("name")
    )
    extra_volume_mounts: Annotated[list[ExtraVolumeMount], Field(max_length=32)] = Field(
        default_factory=list,
        description="Further mounts of the engine's container.",
        json_schema_extra=list_map("mountPath"),
    )
