"""`spec`: everything a user can ask for, and the rules that span several fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from videollm_operator.api.base import APIModel
from videollm_operator.api.rules import Rule
from videollm_operator.api.v1alpha1.compute import (
    DType,
    GPUSpec,
    OffloadSpec,
    ParallelismSpec,
    ParallelismStrategy,
    QuantizationSpec,
    WorkloadSpec,
)
from videollm_operator.api.v1alpha1.engine import EngineSpec
from videollm_operator.api.v1alpha1.model import ModelSpec
from videollm_operator.api.v1alpha1.operations import (
    AccessMode,
    CacheSpec,
    CacheType,
    MonitoringSpec,
    NetworkSpec,
    Retain,
    RolloutSpec,
)
from videollm_operator.api.v1alpha1.pod import PodTemplateSpec, SchedulingSpec


class VideoLLMDeploymentSpec(APIModel):
    """What to run. Only `model.name` and `gpu.sku` are required."""

    cel_rules = (
        Rule(
            "!has(self.gpu.perReplica) || self.parallelism.strategy != 'Manual' || "
            "!has(self.parallelism.tensor) || "
            "self.gpu.perReplica == self.parallelism.tensor * "
            "(has(self.parallelism.pipeline) ? self.parallelism.pipeline : 1)",
            "`spec.gpu.perReplica` must equal `spec.parallelism.tensor` x `pipeline`: remove "
            "`perReplica`, or make them agree",
            lambda self: (
                self.gpu.per_replica is None
                or self.parallelism.strategy != ParallelismStrategy.MANUAL
                or self.gpu.per_replica
                == self.parallelism.tensor * (self.parallelism.pipeline or 1)
            ),
            ".gpu.perReplica",
        ),
        Rule(
            "self.cache.type != 'Auto' || "
            "!(has(self.model.source.persistentVolumeClaim) || has(self.model.source.image)) || "
            "((!has(self.cache.storageClassName) || self.cache.storageClassName == '') && "
            "self.cache.accessMode == 'ReadWriteOnce' && self.cache.retain == 'Delete')",
            "`spec.cache` is an emptyDir when the weights come from a volume claim or an image, "
            "and an emptyDir has no `storageClassName`, `accessMode` or `retain`: set "
            "`spec.cache.type: PersistentVolumeClaim`, or remove them",
            lambda self: (
                self.cache.type != CacheType.AUTO
                or self.model.source.on_hub
                or (
                    not self.cache.storage_class_name
                    and self.cache.access_mode == AccessMode.READ_WRITE_ONCE
                    and self.cache.retain == Retain.DELETE
                )
            ),
            ".cache",
        ),
    )

    model: ModelSpec = Field(description="The model to serve.")
    gpu: GPUSpec = Field(description="The GPUs that one replica runs on.")
    dtype: DType = Field(
        default=DType.AUTO,
        description="Number format of unquantized weights. Auto: BFloat16, or Float16 on GPUs "
        "that lack it.",
    )
    quantization: QuantizationSpec = Field(
        default_factory=QuantizationSpec, description="Quantized weights."
    )
    workload: WorkloadSpec = Field(
        default_factory=WorkloadSpec, description="What one replica must sustain."
    )
    parallelism: ParallelismSpec = Field(
        default_factory=ParallelismSpec, description="How weights are split over GPUs."
    )
    offload: OffloadSpec = Field(
        default_factory=OffloadSpec, description="Weights kept in host memory."
    )
    engine: EngineSpec = Field(default_factory=EngineSpec, description="The inference engine.")
    replicas: Annotated[StrictInt, Field(ge=0, le=1000)] = Field(
        default=1,
        description="Number of replicas; 0 frees the GPUs. Written by you or an "
        "autoscaler through the scale subresource, never by the operator.",
    )
    paused: StrictBool = Field(
        default=False, description="True: the operator writes nothing but status."
    )
    cache: CacheSpec = Field(default_factory=CacheSpec, description="Volume for weights.")
    network: NetworkSpec = Field(default_factory=NetworkSpec, description="How it is reached.")
    scheduling: SchedulingSpec = Field(
        default_factory=SchedulingSpec, description="Where pods may run."
    )
    rollout: RolloutSpec = Field(
        default_factory=RolloutSpec, description="How changes reach running pods."
    )
    monitoring: MonitoringSpec = Field(
        default_factory=MonitoringSpec, description="How metrics are collected."
    )
    pod_template: PodTemplateSpec = Field(
        default_factory=PodTemplateSpec, description="Details of the pods."
    )
