"""What the plan is computed from: GPU, number formats, workload, parallelism, offload."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from videollm_operator.api.base import APIModel, rule, rules


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


class VisionTowerFormat(StrEnum):
    """Whether the checkpoint's vision tower was quantized too."""

    UNQUANTIZED = "Unquantized"
    QUANTIZED = "Quantized"


class ParallelismStrategy(StrEnum):
    """How the layout is chosen."""

    TENSOR_FIRST = "TensorFirst"
    FEWEST_GPUS = "FewestGPUs"
    MANUAL = "Manual"


class GPUSpec(APIModel):
    """The GPUs that one replica runs on."""

    sku: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")
    ] = Field(
        description="GPU of the catalogue: L4, L40, L40S, T4, A10, A10G, A40, A100-40GB, "
        "A100-80GB, H100-80GB, H200-141GB, B200 ... (`videollm gpus` lists them)."
    )
    per_replica: Annotated[int, Field(ge=1, le=64)] | None = Field(
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

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.format != 'None' || self.method == 'Auto'",
                "`spec.quantization.method` needs a `format` other than 'None': set `format` to "
                "what the checkpoint holds, or remove `method`",
                field_path=".method",
            ),
            rule(
                "self.method != 'Online' || self.format == 'FP8'",
                "`spec.quantization.method: Online` only makes 'FP8': set `format: FP8`, or name "
                "the method of a checkpoint that is quantized already",
                field_path=".method",
            ),
            rule(
                "self.method != 'AWQ' || self.format == 'INT4'",
                "`spec.quantization.method: AWQ` holds 'INT4' weights only: set `format: INT4`",
                field_path=".method",
            ),
            rule(
                "!(self.method == 'GPTQ' && self.format == 'FP8')",
                "`spec.quantization.method: GPTQ` holds 'INT8' or 'INT4' weights: set `format` to "
                "one of them",
                field_path=".method",
            ),
            rule(
                "self.groupSize == -1 || self.groupSize >= 16",
                "`spec.quantization.groupSize` must be -1 (one scale per channel) or between 16 "
                "and 4096",
                field_path=".groupSize",
            ),
        )
    }

    format: QuantizationFormat = Field(
        default=QuantizationFormat.NONE, description="Number format of the quantized weights."
    )
    method: QuantizationMethod = Field(
        default=QuantizationMethod.AUTO,
        description="How they are quantized. Online: by the engine while loading (FP8). The others "
        "name what a quantized checkpoint is made with.",
    )
    group_size: Annotated[int, Field(ge=-1, le=4096)] = Field(
        default=128, description="Weights that share a scale; -1: one scale per channel."
    )
    intermediate_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="MLP width of the checkpoint, if it was padded so that groups divide among "
        "more GPUs (29696 for the 72B).",
    )
    vision_tower: VisionTowerFormat = Field(
        default=VisionTowerFormat.UNQUANTIZED,
        description="Whether the vision tower is quantized too; usually it is not.",
    )


class WorkloadSpec(APIModel):
    """What one replica must be able to hold at the same time."""

    frames_per_video: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=64, description="Frames sampled from each video."
    )
    videos_per_request: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1, description="Videos in one request."
    )
    prompt_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1024, description="Text tokens of a request besides its videos."
    )
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1024, description="Longest answer in tokens."
    )
    concurrent_requests: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=1, description="Full-length requests in flight at the same time."
    )
    max_model_len: Annotated[int, Field(ge=16, le=10_000_000)] | None = Field(
        default=None,
        description="Context length in tokens. Default: the smallest that holds the workload.",
    )


class ParallelismSpec(APIModel):
    """How one replica's weights are split over GPUs."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "self.strategy == 'Manual' || (!has(self.tensor) && !has(self.pipeline))",
                "`spec.parallelism.tensor` and `pipeline` need `strategy: Manual`: set it, or "
                "remove them and let the plan decide",
                field_path=".strategy",
            ),
            rule(
                "self.strategy != 'Manual' || has(self.tensor)",
                "`spec.parallelism.strategy: Manual` needs `tensor`: name the tensor-parallel size",
                field_path=".tensor",
            ),
        )
    }

    strategy: ParallelismStrategy = Field(
        default=ParallelismStrategy.TENSOR_FIRST,
        description="TensorFirst: tensor parallelism, pipeline only when no tensor-parallel layout "
        "fits. FewestGPUs: the fewest GPUs by any legal layout. Manual: `tensor` x `pipeline`.",
    )
    tensor: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Tensor-parallel size (Manual only)."
    )
    pipeline: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Pipeline-parallel size (Manual only). Default: 1."
    )


class OffloadSpec(APIModel):
    """Weights kept in host memory; slow, but a last resort."""

    cpu_gib_per_gpu: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0,
        alias="cpuGiBPerGPU",
        description="GiB of weights per GPU that stay in host memory (vLLM, SGLang).",
    )
