"""What the plan is computed from: GPU, number formats, workload, parallelism, offload."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictInt

from videollm_operator.api.base import APIModel
from videollm_operator.api.rules import Rule, matching


class NodeSelection(StrEnum):
    """Who makes sure that pods land on the right GPU."""

    AUTO = "Auto"
    NONE = "None"


class DType(StrEnum):
    """Number format of weights that are not quantized, and of activations."""

    AUTO = "Auto"
    BFLOAT16 = "BFloat16"
    FLOAT16 = "Float16"
    FLOAT32 = "Float32"


class QuantizationFormat(StrEnum):
    """Number format of the quantized weights."""

    NONE = "None"
    FP8 = "FP8"
    INT8 = "INT8"
    INT4 = "INT4"


class QuantizationMethod(StrEnum):
    """How the weights came, or come, to be quantized."""

    AUTO = "Auto"
    ONLINE = "Online"
    COMPRESSED_TENSORS = "CompressedTensors"
    GPTQ = "GPTQ"
    AWQ = "AWQ"
    BITS_AND_BYTES = "BitsAndBytes"


PER_CHANNEL = -1
"""`groupSize` where all weights of a channel share a scale."""


class VisionTowerFormat(StrEnum):
    """Whether the checkpoint's vision tower was quantized too."""

    UNQUANTIZED = "Unquantized"
    QUANTIZED = "Quantized"


class Projection(StrEnum):
    """The matrices of a decoder layer, joined as engines join them: in one format each."""

    QKV_PROJ = "QKVProj"
    O_PROJ = "OProj"
    GATE_UP_PROJ = "GateUpProj"
    DOWN_PROJ = "DownProj"


class ParallelismStrategy(StrEnum):
    """How the layout is chosen."""

    TENSOR_FIRST = "TensorFirst"
    FEWEST_GPUS = "FewestGPUs"
    MANUAL = "Manual"


class GPUSpec(APIModel):
    """The GPUs that one replica runs on."""

    sku: Annotated[
        str,
        Field(min_length=1, max_length=63),
        matching(
            "[A-Za-z0-9][A-Za-z0-9.-]*",
            "must be a GPU of the catalogue such as 'A100-80GB': letters, digits, '-' and '.' "
            "(`videollm gpus` lists them)",
        ),
    ] = Field(
        description="GPU of the catalogue: L4, L40, L40S, T4, A10, A10G, A40, A100-40GB, "
        "A100-80GB, H100-80GB, H200-141GB, B200 ... (`videollm gpus` lists them)."
    )
    per_replica: Annotated[StrictInt, Field(ge=1, le=64)] | None = Field(
        default=None,
        description="Fix the number of GPUs of one replica. Default: the plan decides.",
    )
    node_selection: NodeSelection = Field(
        default=NodeSelection.AUTO,
        description="Auto: pods require nodes that are labelled with this GPU. None: you select "
        "the nodes in `spec.scheduling`.",
    )


class QuantizationSpec(APIModel):
    """The quantization of the checkpoint, or one that the engine does while loading.

    What is not said is assumed the worst way: groups of 128, MLP width not padded, vision tower
    unquantized. The plan says which field would allow more.
    """

    cel_rules = (
        Rule(
            "self.format != 'None' || self.method == 'Auto'",
            "`spec.quantization.method` needs a `format` other than 'None': set `format` to "
            "what the checkpoint holds, or remove `method`",
            lambda self: (
                self.format != QuantizationFormat.NONE or self.method == QuantizationMethod.AUTO
            ),
            ".method",
        ),
        Rule(
            "self.method != 'Online' || self.format in ['FP8', 'INT4', 'None']",
            "`spec.quantization.method: Online` makes 'FP8', or 'INT4' with bitsandbytes: set "
            "`format` to one of them, or name the method that made the checkpoint",
            lambda self: (
                self.method != QuantizationMethod.ONLINE or self.format != QuantizationFormat.INT8
            ),
            ".method",
        ),
        Rule(
            "self.method != 'AWQ' || self.format in ['INT4', 'None']",
            "`spec.quantization.method: AWQ` holds 'INT4' weights only: set `format: INT4`, or "
            "name the method that made the checkpoint",
            lambda self: (
                self.method != QuantizationMethod.AWQ
                or self.format in {QuantizationFormat.INT4, QuantizationFormat.NONE}
            ),
            ".method",
        ),
        Rule(
            "!(self.method in ['GPTQ', 'BitsAndBytes'] && self.format == 'FP8')",
            "`spec.quantization.method` 'GPTQ' and 'BitsAndBytes' hold 'INT8' or 'INT4' weights: "
            "set `format` to one of them, or name the method that made the checkpoint",
            lambda self: (
                not (
                    self.method in {QuantizationMethod.GPTQ, QuantizationMethod.BITS_AND_BYTES}
                    and self.format == QuantizationFormat.FP8
                )
            ),
            ".method",
        ),
        Rule(
            "self.format != 'None' || (self.groupSize == 128 && !has(self.intermediateSize) && "
            "self.visionTower == 'Unquantized' && "
            "(!has(self.unquantizedLayers) || self.unquantizedLayers.size() == 0) && "
            "(!has(self.unquantizedProjections) || self.unquantizedProjections.size() == 0))",
            "`spec.quantization.groupSize`, `intermediateSize`, `visionTower`, `unquantizedLayers` "
            "and `unquantizedProjections` describe quantized weights: set `format` to what the "
            "checkpoint holds, or remove them",
            lambda self: (
                self.format != QuantizationFormat.NONE
                or (
                    self.group_size == 128
                    and self.intermediate_size is None
                    and self.vision_tower == VisionTowerFormat.UNQUANTIZED
                    and not self.unquantized_layers
                    and not self.unquantized_projections
                )
            ),
            ".format",
        ),
    )

    format: QuantizationFormat = Field(
        default=QuantizationFormat.NONE, description="Number format of the quantized weights."
    )
    method: QuantizationMethod = Field(
        default=QuantizationMethod.AUTO,
        description="How they are quantized. Online: by the engine while loading (FP8, or INT4 "
        "with bitsandbytes in an image of yours). The others name what a quantized checkpoint is "
        "made with.",
    )
    group_size: Annotated[
        StrictInt,
        Field(ge=-1, le=4096),
        Rule(
            "self == -1 || self >= 16",
            "`spec.quantization.groupSize` must be -1 (one scale per channel) or between 16 and "
            "4096: copy it from the checkpoint's config.json",
            lambda size: size == -1 or size >= 16,
        ),
    ] = Field(default=128, description="Weights that share a scale; -1: one scale per channel.")
    intermediate_size: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="MLP width of the checkpoint, if it was padded so that groups divide among "
        "more GPUs (29696 for the 72B).",
    )
    vision_tower: VisionTowerFormat = Field(
        default=VisionTowerFormat.UNQUANTIZED,
        description="Whether the vision tower is quantized too; usually it is not.",
    )
    unquantized_layers: Annotated[
        list[Annotated[StrictInt, Field(ge=0, le=9_999_999)]], Field(max_length=64)
    ] = Field(
        default_factory=list,
        description="Decoder layers, counted from 0, that the checkpoint holds in 16 bit.",
    )
    unquantized_projections: Annotated[list[Projection], Field(max_length=4)] = Field(
        default_factory=list,
        description="Matrices that the checkpoint holds in 16 bit in every decoder layer.",
    )


class WorkloadSpec(APIModel):
    """What one replica must be able to hold at the same time."""

    frames_per_video: Annotated[StrictInt, Field(ge=1, le=4096)] = Field(
        default=64, description="Frames sampled from each video."
    )
    videos_per_request: Annotated[StrictInt, Field(ge=1, le=64)] = Field(
        default=1, description="Videos in one request."
    )
    prompt_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        default=1024, description="Text tokens of a request besides its videos."
    )
    max_output_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = Field(
        default=1024, description="Longest answer in tokens."
    )
    concurrent_requests: Annotated[StrictInt, Field(ge=1, le=4096)] = Field(
        default=1, description="Full-length requests in flight at the same time."
    )
    max_model_len: Annotated[StrictInt, Field(ge=16, le=10_000_000)] | None = Field(
        default=None,
        description="Context length in tokens. Default: the smallest that holds the workload.",
    )


class ParallelismSpec(APIModel):
    """How one replica's weights are split over GPUs."""

    cel_rules = (
        Rule(
            "self.strategy == 'Manual' || (!has(self.tensor) && !has(self.pipeline))",
            "`spec.parallelism.tensor` and `pipeline` need `strategy: Manual`: set it, or "
            "remove them and let the plan decide",
            lambda self: (
                self.strategy == ParallelismStrategy.MANUAL
                or (self.tensor is None and self.pipeline is None)
            ),
            ".strategy",
        ),
        Rule(
            "self.strategy != 'Manual' || has(self.tensor)",
            "`spec.parallelism.strategy: Manual` needs `tensor`: name the tensor-parallel size",
            lambda self: self.strategy != ParallelismStrategy.MANUAL or self.tensor is not None,
            ".tensor",
        ),
    )

    strategy: ParallelismStrategy = Field(
        default=ParallelismStrategy.TENSOR_FIRST,
        description="TensorFirst: tensor parallelism, pipeline only when no tensor-parallel layout "
        "fits. FewestGPUs: the fewest GPUs by any legal layout. Manual: `tensor` x `pipeline`.",
    )
    tensor: Annotated[StrictInt, Field(ge=1, le=64)] | None = Field(
        default=None, description="Tensor-parallel size (Manual only)."
    )
    pipeline: Annotated[StrictInt, Field(ge=1, le=64)] | None = Field(
        default=None, description="Pipeline-parallel size (Manual only). Default: 1."
    )


class OffloadSpec(APIModel):
    """Weights kept in host memory; slow, but a last resort."""

    cpu_gib_per_gpu: Annotated[StrictInt, Field(ge=0, le=1024)] = Field(
        default=0,
        alias="cpuGiBPerGPU",
        description="GiB of weights per GPU that stay in host memory (vLLM, SGLang).",
    )
