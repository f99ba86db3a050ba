"""`spec`: everything a user can ask for, and the rules that span several fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from videollm_operator.api.base import APIModel, rule, rules
from videollm_operator.api.v1alpha1.compute import (
    DType,
    GPUSpec,
    OffloadSpec,
    ParallelismSpec,
    QuantizationSpec,
    WorkloadSpec,
)
from videollm_operator.api.v1alpha1.engine import EngineSpec
from videollm_operator.api.v1alpha1.model import ModelSpec
from videollm_operator.api.v1alpha1.operations import (
    CacheSpec,
    MonitoringSpec,
    NetworkSpec,
    PodTemplateSpec,
    RolloutSpec,
    SchedulingSpec,
)


class VideoLLMDeploymentSpec(APIModel):
    """What to run. Only `model.name` and `gpu.sku` are required."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "!has(self.gpu.perReplica) || self.parallelism.strategy != 'Manual' || "
                "self.gpu.perReplica == self.parallelism.tensor * "
                "(has(self.parallelism.pipeline) ? self.parallelism.pipeline : 1)",
                "`spec.gpu.perReplica` must equal `spec.parallelism.tensor` x `pipeline`: remove "
                "`perReplica`, or make them agree",
                field_path=".gpu.perReplica",
            ),
        )
    }

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
    replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=1,
        description="Number of replicas; 0 frees the GPUs. Written by you or an "
        "autoscaler through the scale subresource, never by the operator.",
    )
    paused: bool = Field(default=False, description="True: the operator writes nothing but status.")
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
