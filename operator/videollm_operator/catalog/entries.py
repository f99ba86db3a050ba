"""The three kinds of catalogue entries: models, GPU SKUs, engine versions.

Pydantic models, so that an admin's own entries are checked by the same rules as the built-in data.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from videollm_operator.api.architecture import Architecture
from videollm_operator.api.base import APIModel
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.api.v1alpha1.engine import EngineType


class ModelEntry(APIModel):
    """A checkpoint on the hub, with the numbers that sizing needs."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="Hub id, such as `lmms-lab/LLaVA-Video-72B-Qwen2`."
    )
    family: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Family for people, such as LLaVA-Video or LLaVA-OneVision."
    )
    dtype: DType = Field(description="Number format of the checkpoint's tensors.")
    nominal_parameters: Annotated[int, Field(ge=1)] = Field(
        description="The number in the name (72000000000 for a 72B): what the rule of thumb uses."
    )
    architecture: Architecture = Field(description="The numbers.")
    note: str = Field(default="", description="One sentence for `videollm models`.")


class NodeLabel(APIModel):
    """A node label by which this GPU is recognised; any of the values will do."""

    key: Annotated[str, Field(min_length=1, max_length=317)] = Field(description="Label key.")
    values: Annotated[list[Annotated[str, Field(max_length=63)]], Field(min_length=1)] = Field(
        description="Values that mean this GPU."
    )


class GPUEntry(APIModel):
    """A GPU SKU."""

    sku: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Name in `spec.gpu.sku`."
    )
    product: str = Field(description="Full name for people.")
    nominal_gb: Annotated[int, Field(ge=1)] = Field(
        alias="nominalGB", description="The number in the data sheet; what the rule of thumb uses."
    )
    nvml_mib: Annotated[int, Field(ge=1)] = Field(
        alias="nvmlMiB", description="What nvidia-smi and the GFD label show."
    )
    visible_mib: Annotated[int, Field(ge=1)] = Field(
        alias="visibleMiB", description="What CUDA shows a program; the base of every budget."
    )
    compute_capability: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]$")] = Field(
        description="CUDA compute capability, such as '8.0'."
    )
    gpus_per_node: Annotated[int, Field(ge=1, le=64)] = Field(
        description="GPUs of the largest usual server; bounds a replica that must stay on one node."
    )
    resource_name: str = Field(
        default="nvidia.com/gpu", description="Extended resource that pods request."
    )
    node_labels: Annotated[list[NodeLabel], Field(min_length=1)] = Field(
        description="One entry per label family (GFD, GKE, Karpenter, AKS); one of them must match."
    )
    source: str = Field(default="", description="Where the numbers come from.")

    @property
    def capability(self) -> tuple[int, int]:
        """Compute capability as a pair that compares by value ((10, 0) > (9, 0))."""
        major, _, minor = self.compute_capability.partition(".")
        return int(major), int(minor)


class EngineEntry(APIModel):
    """One version of an inference engine."""

    type: EngineType = Field(description="VLLM, SGLang or TGI.")
    version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")] = Field(
        description="Its version."
    )
    default: bool = Field(default=False, description="Whether this version is used by default.")
    image: str = Field(description="Container image.")
    flags: str = Field(description="Name of the flag table (`catalog/data/flags/NAME.yaml`).")
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = Field(
        description="Share of visible memory that the engine takes by default."
    )
    run_as_user: Annotated[int, Field(ge=1)] = Field(
        description="Non-root user that the image supports."
    )
    run_as_group: Annotated[int, Field(ge=0)] = Field(description="Its group.")
    fs_group: Annotated[int, Field(ge=0)] = Field(description="Group of mounted volumes.")
    home: str = Field(description="Home folder of that user, for caches.")
    source: str = Field(default="", description="Where the facts come from.")
