"""How a replica runs in the cluster: cache, network, rollout, monitoring."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictInt

from videollm_operator.api.base import APIModel
from videollm_operator.api.fields import AutoOrSize, OptionalName, auto_or_number
from videollm_operator.api.rules import AsSet, Rule, matching
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

    cel_rules = (
        Rule(
            "self.type != 'EmptyDir' || "
            "((!has(self.storageClassName) || self.storageClassName == '') && "
            "self.accessMode == 'ReadWriteOnce' && self.retain == 'Delete')",
            "`spec.cache.type: EmptyDir` has no `storageClassName`, `accessMode` or `retain`: set "
            "`type: PersistentVolumeClaim`, or remove them",
            lambda self: (
                self.type != CacheType.EMPTY_DIR
                or (
                    not self.storage_class_name
                    and self.access_mode == AccessMode.READ_WRITE_ONCE
                    and self.retain == Retain.DELETE
                )
            ),
            ".type",
        ),
    )

    type: CacheType = Field(
        default=CacheType.AUTO,
        description="Auto: a volume claim when weights are downloaded, else an emptyDir.",
    )
    size: AutoOrSize = Field(
        default="Auto",
        description="Size of the volume. Auto: the weights plus room for compiled kernels.",
    )
    storage_class_name: OptionalName = Field(
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

    port: Annotated[StrictInt, Field(ge=1024, le=65535)] = Field(
        default=8000, description="Port of the HTTP API, on pods and Service alike."
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret with the key that clients must send."
    )
    allowed_media_domains: Annotated[
        list[
            Annotated[
                str,
                Field(min_length=1, max_length=253),
                matching(
                    "[A-Za-z0-9.-]+",
                    "must be a host name such as 'media.example.com', without scheme, port or path",
                ),
            ]
        ],
        Field(max_length=64),
        AsSet(),
    ] = Field(
        default_factory=list,
        description="Hosts that the engine may fetch videos from. Empty: none, clients send the "
        "video itself (data URL).",
    )
    policy: Annotated[
        NetworkPolicyMode,
        Rule(
            "self == 'Disabled'",
            "`spec.network.policy: Enabled` is not built yet: set 'Disabled' and write your "
            "own NetworkPolicy",
            lambda policy: policy == NetworkPolicyMode.DISABLED,
        ),
    ] = Field(
        default=NetworkPolicyMode.DISABLED,
        description="Enabled is refused for now: the operator does not write NetworkPolicies yet.",
    )


class Updates(StrEnum):
    """When changed inputs other than the object itself reach running pods."""

    ON_REQUEST = "OnRequest"
    AUTOMATIC = "Automatic"


class RolloutStrategy(StrEnum):
    """How a new layout replaces the old one."""

    REMOVE_FIRST = "RemoveFirst"
    ADD_FIRST = "AddFirst"


ProgressDeadline = Annotated[
    int | str, *auto_or_number("spec.rollout.progressDeadlineSeconds", 60, 86400)
]


class RolloutSpec(APIModel):
    """How changes reach running pods."""

    progress_deadline_seconds: ProgressDeadline = Field(
        default="Auto",
        description="Seconds without progress before a waiting deployment is Stalled. Auto: from "
        "the size of the weights.",
    )
    updates: Updates = Field(
        default=Updates.ON_REQUEST,
        description="OnRequest: a new catalogue entry, engine default or operator version changes "
        "running pods only with the next change of the spec or `restartToken`. Automatic: also by "
        "itself, a few objects of the cluster at a time, and never to more GPUs.",
    )
    restart_token: Annotated[str, Field(max_length=253)] = Field(
        default="", description="Any new value restarts the pods and takes up available updates."
    )
    strategy: Annotated[
        RolloutStrategy,
        Rule(
            "self == 'RemoveFirst'",
            "`spec.rollout.strategy: AddFirst` is not built yet: leave it out; pods are "
            "removed before they are replaced",
            lambda strategy: strategy == RolloutStrategy.REMOVE_FIRST,
        ),
    ] = Field(
        default=RolloutStrategy.REMOVE_FIRST,
        description="RemoveFirst: a pod ends before its successor starts, so no spare GPU is "
        "needed. AddFirst is refused for now.",
    )


class PodMonitorMode(StrEnum):
    """Whether a PodMonitor is written."""

    AUTO = "Auto"
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class MonitoringSpec(APIModel):
    """How the engine's metrics are collected."""

    pod_monitor: Annotated[
        PodMonitorMode,
        Rule(
            "self == 'Disabled'",
            "`spec.monitoring.podMonitor` other than 'Disabled' is not built yet: leave it out "
            "and write your own PodMonitor for the port named 'http'",
            lambda mode: mode == PodMonitorMode.DISABLED,
        ),
    ] = Field(
        default=PodMonitorMode.DISABLED,
        description="Auto and Enabled are refused for now: the operator does not write PodMonitors "
        "yet.",
    )
