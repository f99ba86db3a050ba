"""What runs on what: (engine version, checkpoint class, modality, quantization, parallelism).

The axes are data; the answer of a cell is what the operator itself says of a plain object with
these properties, so the table cannot promise what an object is refused, nor refuse what it gets.
`Auto`, refusals and plans ask the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, Any

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.api.v1alpha1.compute import PER_CHANNEL
from videollm_operator.api.v1alpha1.compute import QuantizationFormat as Format
from videollm_operator.api.v1alpha1.compute import QuantizationMethod as Method
from videollm_operator.engines import checkpoints
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.sizing.types import VideoRoute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import EngineEntry, ModelEntry

ARCHITECTURES = (
    checkpoints.LLAVA_QWEN,
    checkpoints.ONEVISION,
    checkpoints.NEXT_VIDEO,
    checkpoints.NEXT,
    checkpoints.LLAVA,
    "LlavaOnevision2ForConditionalGeneration",
    "LlavaLlamaForCausalLM",
    "LlavaMistralForCausalLM",
)
"""Checkpoint classes of the LLaVA family, those that nothing here runs last."""

QUANTIZATIONS = (
    (Format.NONE, Method.AUTO),
    (Format.FP8, Method.ONLINE),
    (Format.FP8, Method.COMPRESSED_TENSORS),
    (Format.INT8, Method.COMPRESSED_TENSORS),
    (Format.INT8, Method.GPTQ),
    (Format.INT8, Method.BITS_AND_BYTES),
    (Format.INT4, Method.COMPRESSED_TENSORS),
    (Format.INT4, Method.GPTQ),
    (Format.INT4, Method.AWQ),
    (Format.INT4, Method.BITS_AND_BYTES),
    (Format.INT4, Method.ONLINE),
)
"""Format of the weights, and how they came to have it."""


class Parallelism(StrEnum):
    """How one replica lies on GPUs."""

    ONE_GPU = "one GPU"
    TENSOR = "tensor"
    PIPELINE = "pipeline"
    SEVERAL_NODES = "several nodes"


_LAYOUTS: dict[Parallelism, dict[str, Any]] = {
    Parallelism.ONE_GPU: {"parallelism": {"strategy": "Manual", "tensor": 1}},
    Parallelism.TENSOR: {"parallelism": {"strategy": "Manual", "tensor": 2}},
    Parallelism.PIPELINE: {"parallelism": {"strategy": "Manual", "tensor": 1, "pipeline": 2}},
    Parallelism.SEVERAL_NODES: {"gpu": {"perReplica": 16}},
}

GPU = "H200-141GB"
"""What a cell is asked about: large and new enough (9.0) that neither memory nor kernels decide."""

MODEL = "org/model"
"""What the model is called."""

TYPICAL_PARAMETERS = 7_000_000_000
"""The catalogue's model of a class that is next to this size stands for the class."""

FRAMES = 20
"""Of the video; SGLang wants 17 or more, and the 7B of NeXT-Video has room for 27."""

MODALITIES = {
    VideoRoute.CHUNKED: "video",
    VideoRoute.WHOLE_CLIP: "video",
    VideoRoute.FRAMES_AS_IMAGES: "video, as frames",
    VideoRoute.IMAGES: "images",
}
"""What clients send, by how the engine encodes it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One question to the table, and its answer."""

    engine: EngineEntry
    architecture: str
    quantization: tuple[Format, Method]
    parallelism: Parallelism
    problem: Problem | None
    """Why not, with the way out; None: yes."""
    modality: str
    """Empty where the engine cannot even be planned for the class."""

    @property
    def planned(self) -> bool:
        """It is planned, though nothing runs it yet."""
        return self.problem is not None and bool(self.modality)


def matrix(catalog: Catalog) -> Iterator[Cell]:
    """All cells, engine by engine."""
    for entry, name, quantization, parallelism in product(
        catalog.engines, ARCHITECTURES, QUANTIZATIONS, Parallelism
    ):
        yield cell(catalog, entry, name, quantization, parallelism)


def cell(
    catalog: Catalog,
    entry: EngineEntry,
    architecture: str,
    quantization: tuple[Format, Method] = QUANTIZATIONS[0],
    parallelism: Parallelism = Parallelism.ONE_GPU,
    *,
    sku: str = GPU,
) -> Cell:
    """What the operator says of a plain object with these properties, on this GPU."""
    spec = _object(_stands_for(catalog, architecture), architecture, entry, quantization)
    spec["gpu"] = {"sku": sku}
    for section, fields in _LAYOUTS[parallelism].items():
        spec[section] = {**spec.get(section, {}), **fields}
    try:
        found = plan_deployment(VideoLLMDeploymentSpec.read(spec), catalog)
    except Refused as refused:
        return Cell(entry, architecture, quantization, parallelism, refused.problems[0], "")
    modality = MODALITIES[found.plan.route]
    return Cell(entry, architecture, quantization, parallelism, found.not_runnable, modality)


def _stands_for(catalog: Catalog, architecture: str) -> ModelEntry:
    """The catalogue's model of this class of a usual size; any if it has none of the class."""
    entries = catalog.models.values()
    same = [one for one in entries if one.architecture.class_name == architecture]
    return min(same or entries, key=lambda one: abs(one.nominal_parameters - TYPICAL_PARAMETERS))


def _object(
    model: ModelEntry,
    architecture: str,
    entry: EngineEntry,
    quantization: tuple[Format, Method],
) -> dict[str, Any]:
    """A spec that asks for nothing that has no place in the table."""
    form, method = quantization
    images = model.architecture.video is None
    numbers = model.architecture.model_dump(mode="json", by_alias=True, exclude_none=True)
    spec: dict[str, Any] = {
        "model": {
            "name": MODEL,
            "architecture": {**numbers, "className": architecture},
            "source": {"persistentVolumeClaim": {"claimName": "weights"}},
        },
        "engine": {"type": entry.type, "version": entry.version},
        "workload": {
            "framesPerVideo": 1 if images else FRAMES,
            "promptTokens": 64,
            "maxOutputTokens": 64,
        },
    }
    if form != Format.NONE:
        spec["quantization"] = {"format": form, "method": method}
    if form == Format.FP8 and method != Method.ONLINE:
        spec["quantization"]["groupSize"] = PER_CHANNEL
    return spec
