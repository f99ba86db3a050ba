"""The three kinds of catalogue entries: models, GPU SKUs, engine versions.

Pydantic models, so that an admin's own entries are checked by the same rules as the built-in data.
They are no part of the CRD, so their rules have no CEL side.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, StrictBool, StrictInt

from videollm_operator.api.architecture import Architecture
from videollm_operator.api.base import APIModel
from videollm_operator.api.rules import Rule, matching
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.api.v1alpha1.engine import EngineType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PRODUCT = "nvidia.com/gpu.product"
"""Label of GPU Feature Discovery with the name of the card, and of the slice."""

GKE_PARTITION = "cloud.google.com/gke-gpu-partition-size"
"""Label of GKE with the MIG profile that all GPUs of a node are cut in."""

LARGEST_MIB = 16 * 1024 * 1024
"""No GPU has 16 TiB: more is a number in another unit."""


def _rule(message: str, check: Callable[[Any], bool], field_path: str = "") -> Rule:
    return Rule("", message, check, field_path)


MiBCount = Annotated[StrictInt, Field(ge=1024, le=LARGEST_MIB)]
UnixID = Annotated[StrictInt, Field(ge=0, le=2_147_483_647)]


class ModelEntry(APIModel):
    """A checkpoint on the hub, with the numbers that sizing needs."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=200),
        matching(
            "[A-Za-z0-9][A-Za-z0-9._/-]*", "must be a hub id such as 'lmms-lab/LLaVA-Video-7B'"
        ),
    ] = Field(description="Hub id, such as `lmms-lab/LLaVA-Video-72B-Qwen2`.")
    family: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="Family for people, such as LLaVA-Video or LLaVA-OneVision."
    )
    dtype: Annotated[
        DType,
        _rule(
            "must be the checkpoint's own number format: 'BFloat16', 'Float16' or 'Float32'",
            lambda dtype: dtype != DType.AUTO,
        ),
    ] = Field(description="Number format of the checkpoint's tensors.")
    nominal_parameters: Annotated[StrictInt, Field(ge=1_000_000, le=10_000_000_000_000)] = Field(
        description="The number in the name (72000000000 for a 72B): what the rule of thumb uses."
    )
    architecture: Architecture = Field(description="The numbers.")
    note: str = Field(default="", description="One sentence for `videollm models`.")
    source: str = Field(default="", description="Where the numbers come from.")


LabelKey = Annotated[
    str,
    Field(max_length=317),
    matching(
        "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
        "must be a label key such as 'nvidia.com/gpu.product'",
    ),
]
LabelValue = Annotated[
    str,
    matching(
        "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
        "must be a label value: at most 63 letters, digits, '-', '_' and '.', with a letter or "
        "digit at both ends",
    ),
]
LabelSet = Annotated[
    dict[LabelKey, Annotated[list[LabelValue], Field(min_length=1)]], Field(min_length=1)
]
"""Labels that a node must all have to be recognised, each with one of the values listed."""


class Interconnect(StrEnum):
    """How the GPUs of a node talk to each other."""

    NVLINK = "NVLink"
    PCIE = "PCIe"
    EITHER = "NVLinkOrPCIe"
    """The card is sold in both forms."""


class MIGProfile(APIModel):
    """One way to cut a GPU into MIG slices."""

    profile: Annotated[
        str,
        matching(
            "[1-7]g[.][1-9][0-9]{0,2}gb([.]me)?",
            "must be a profile such as '3g.40gb' or '1g.10gb.me' ('.me' is nvidia-smi's '+me')",
        ),
    ] = Field(description="Name of the profile, with '.' for nvidia-smi's '+'.")
    memory_mib: MiBCount = Field(
        alias="memoryMiB",
        description="Memory of one slice in MiB: what `nvidia-smi mig -lgip` prints.",
    )
    video_decoders: Annotated[StrictInt, Field(ge=0, le=16)] = Field(
        description="Hardware video decoders (NVDEC) of one slice."
    )

    @property
    def nominal_gb(self) -> int:
        """The GB in the profile's name."""
        return int(self.profile.partition(".")[2].partition("gb")[0])


def _values(entry: GPUEntry) -> list[str]:
    return [value for labels in entry.node_labels for each in labels.values() for value in each]


class GPUEntry(APIModel):
    """A GPU SKU."""

    cel_rules = (
        _rule(
            "must not describe a shared GPU (`-SHARED`, `.shared`): every pod sees the whole "
            "card's memory and the engine takes nearly all of it, so a share cannot be planned: "
            "use whole GPUs, or MIG slices",
            lambda self: (
                not self.resource_name.endswith(".shared")
                and not any(value.endswith("-SHARED") for value in _values(self))
            ),
            ".nodeLabels",
        ),
        _rule(
            "`gpusPerNode` must be 1 for a MIG slice: CUDA shows a process one slice only, and "
            "NCCL connects none, so a replica takes one",
            lambda self: not self.is_slice or self.gpus_per_node == 1,
            ".gpusPerNode",
        ),
        _rule(
            "`visibleMiB` must not exceed `nvmlMiB`: CUDA shows a program less than nvidia-smi "
            "reports",
            lambda self: self.visible_mib <= self.nvml_mib,
            ".visibleMiB",
        ),
        _rule(
            "`nvmlMiB` must be close to `nominalGB`: give what nvidia-smi reports in MiB",
            lambda self: 0.8 <= self.nvml_mib / (self.nominal_gb * 1024) <= 1.1,
            ".nvmlMiB",
        ),
        _rule(
            "`visibleMiB` must be close to `nvmlMiB`: give what CUDA shows, in MiB",
            lambda self: self.visible_mib >= 0.85 * self.nvml_mib,
            ".visibleMiB",
        ),
    )

    sku: Annotated[
        str,
        Field(min_length=1, max_length=63),
        matching("[A-Za-z0-9][A-Za-z0-9.-]*", "must be a name such as 'A100-80GB'"),
    ] = Field(description="Name in `spec.gpu.sku`.")
    product: Annotated[str, Field(max_length=200)] = Field(description="Full name for people.")
    nominal_gb: Annotated[StrictInt, Field(ge=1, le=16_384)] = Field(
        alias="nominalGB", description="The number in the data sheet; what the rule of thumb uses."
    )
    nvml_mib: MiBCount = Field(
        alias="nvmlMiB", description="What nvidia-smi and the GFD label show, in MiB."
    )
    visible_mib: MiBCount = Field(
        alias="visibleMiB",
        description="What CUDA shows a program, in MiB; the base of every budget.",
    )
    compute_capability: Annotated[
        str, matching(r"[0-9]{1,2}[.][0-9]", "must be a compute capability such as '8.0'")
    ] = Field(description="CUDA compute capability, such as '8.0'.")
    gpus_per_node: Annotated[StrictInt, Field(ge=1, le=64)] = Field(
        description="GPUs of the largest usual server; bounds a replica that must stay on one node."
    )
    resource_name: Annotated[
        str,
        Field(max_length=317),
        matching(
            "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
            "must be an extended resource such as 'nvidia.com/gpu'",
        ),
    ] = Field(default="nvidia.com/gpu", description="Extended resource that pods request.")
    node_labels: Annotated[list[LabelSet], Field(min_length=1, max_length=16)] = Field(
        description="Ways to recognise a node with this GPU, one per label family (GFD, GKE, "
        "Karpenter, AKS). One of the sets must match; inside a set every label must match, with "
        "any of its values."
    )
    interconnect: Interconnect | None = Field(
        default=None,
        description="How the GPUs of a node talk to each other: 'NVLink', 'PCIe', or "
        "'NVLinkOrPCIe' for a card that is sold in both forms. A note of the plan, never a "
        "refusal.",
    )
    mig_profiles: Annotated[list[MIGProfile], Field(max_length=32)] = Field(
        default_factory=list,
        description="How it can be cut into MIG slices. Each is a SKU of its own, "
        "`SKU-MIG-PROFILE` where slices have the resource of whole GPUs (strategy `single`, "
        "GKE) and `SKU-MIG-PROFILE-mixed` where each profile has its own.",
    )
    video_decoders: Annotated[StrictInt, Field(ge=0, le=16)] | None = Field(
        default=None,
        description="Hardware video decoders (NVDEC), where that is worth knowing: of a slice.",
    )
    source: str = Field(default="", description="Where the numbers come from.")

    @property
    def memory_label(self) -> str:
        """Node label with NVML's memory of one of these in MiB, by GPU Feature Discovery."""
        return f"{self.resource_name}.memory"

    @property
    def capability(self) -> tuple[int, int]:
        """Compute capability as a pair that compares by value ((10, 0) > (9, 0))."""
        major, _, minor = self.compute_capability.partition(".")
        return int(major), int(minor)

    @property
    def label_keys(self) -> frozenset[str]:
        """Keys of all labels by which this GPU is recognised."""
        return frozenset(key for labels in self.node_labels for key in labels)

    @property
    def is_slice(self) -> bool:
        """Whether it is a MIG slice: by product label, resource, or GKE's partition size."""
        return self.resource_name.startswith("nvidia.com/mig-") or any(
            key == GKE_PARTITION or "-MIG-" in value
            for labels in self.node_labels
            for key, values in labels.items()
            for value in values
        )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels has this GPU, by any of the label families."""
        return any(
            all(labels.get(key) in values for key, values in wanted.items())
            for wanted in self.node_labels
        )


class EngineEntry(APIModel):
    """One version of an inference engine."""

    type: Annotated[
        EngineType,
        _rule(
            "must name an engine: 'VLLM', 'SGLang' or 'TGI'",
            lambda engine: engine != EngineType.AUTO,
        ),
    ] = Field(description="VLLM, SGLang or TGI.")
    version: Annotated[
        str,
        Field(max_length=32),
        matching(r"[0-9]+[.][0-9]+[.][0-9]+", "must be a version such as '0.32.0'"),
    ] = Field(description="Its version.")
    default: StrictBool = Field(
        default=False, description="Whether this version is used by default."
    )
    image: Annotated[
        str, Field(min_length=1, max_length=1024), matching(r"\S*", "must have no spaces")
    ] = Field(description="Container image.")
    flags: Annotated[
        str,
        Field(max_length=63),
        matching("[a-z0-9][a-z0-9.-]*", "must be the name of a flag table"),
    ] = Field(description="Name of the flag table (`catalog/data/flags/NAME.yaml`).")
    gpu_memory_utilization: Annotated[
        float,
        Field(strict=True),
        _rule("must be more than 0 and at most 1", lambda share: 0 < share <= 1),
    ] = Field(description="Share of visible memory that the engine takes by default.")
    run_as_user: Annotated[StrictInt, Field(ge=1, le=2_147_483_647)] = Field(
        description="Non-root user that the image supports."
    )
    run_as_group: UnixID = Field(description="Its group.")
    fs_group: UnixID = Field(description="Group of mounted volumes.")
    home: Annotated[
        str, Field(max_length=1024), matching(r"/\S*", "must be an absolute path such as '/root'")
    ] = Field(description="Home folder of that user, for caches.")
    source: str = Field(default="", description="Where the facts come from.")

    @property
    def version_key(self) -> tuple[int, ...]:
        """Version that compares by value ((0, 33, 0) > (0, 9, 2))."""
        return tuple(int(part) for part in self.version.split("."))
