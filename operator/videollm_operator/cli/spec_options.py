"""The options of `videollm plan` that stand for fields of the spec; one line each.

The table is the only place that knows both names, so an option cannot miss its field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from videollm_operator.api.v1alpha1 import compute
from videollm_operator.api.v1alpha1.engine import EngineType

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class SpecOption:
    """One option and the field below `spec` that it sets."""

    flag: str
    path: str
    type: type[StrEnum] | type[int] | type[str]
    help: str
    metavar: str = ""

    @property
    def parameter(self) -> str:
        """The name under which click hands over the value."""
        return self.flag.lstrip("-").replace("-", "_")

    def decorate(self, command: F) -> F:
        """Adds the option to a command."""
        kind: Any = self.type
        if kind not in (int, str):
            kind = click.Choice([member.value for member in kind], case_sensitive=False)
        metavar = self.metavar or ("N" if kind is int else None)
        return click.option(self.flag, self.parameter, type=kind, metavar=metavar, help=self.help)(
            command
        )


SPEC_OPTIONS = (
    SpecOption("--model", "model.name", str, "Hub id (`videollm models` lists them).", "ID"),
    SpecOption("--base", "model.base", str, "Catalogue model whose architecture it shares.", "ID"),
    SpecOption("--gpu", "gpu.sku", str, "GPU (`videollm gpus` lists them).", "SKU"),
    SpecOption("--gpus-per-replica", "gpu.perReplica", int, "Fix the GPUs of one replica."),
    SpecOption("--dtype", "dtype", compute.DType, "Format of unquantized weights."),
    SpecOption(
        "--quantization",
        "quantization.format",
        compute.QuantizationFormat,
        "Format of the weights in the checkpoint.",
    ),
    SpecOption(
        "--quantization-method",
        "quantization.method",
        compute.QuantizationMethod,
        "What it was quantized with.",
    ),
    SpecOption(
        "--group-size", "quantization.groupSize", int, "Weights per scale; -1: per channel."
    ),
    SpecOption(
        "--intermediate-size",
        "quantization.intermediateSize",
        int,
        "MLP width of a padded checkpoint (29696 for the 72B).",
    ),
    SpecOption(
        "--vision-tower",
        "quantization.visionTower",
        compute.VisionTowerFormat,
        "Whether the vision tower is quantized too.",
    ),
    SpecOption("--frames", "workload.framesPerVideo", int, "Frames per video.  [default: 64]"),
    SpecOption("--videos", "workload.videosPerRequest", int, "Videos per request.  [default: 1]"),
    SpecOption("--prompt-tokens", "workload.promptTokens", int, "Text tokens.  [default: 1024]"),
    SpecOption(
        "--max-output-tokens", "workload.maxOutputTokens", int, "Longest answer.  [default: 1024]"
    ),
    SpecOption(
        "--concurrent-requests",
        "workload.concurrentRequests",
        int,
        "Full-length requests at the same time.  [default: 1]",
    ),
    SpecOption(
        "--max-model-len", "workload.maxModelLen", int, "Context length.  [default: the workload's]"
    ),
    SpecOption(
        "--strategy",
        "parallelism.strategy",
        compute.ParallelismStrategy,
        "How the layout is chosen.",
    ),
    SpecOption("--tensor", "parallelism.tensor", int, "Tensor-parallel size (with Manual)."),
    SpecOption("--pipeline", "parallelism.pipeline", int, "Pipeline-parallel size (with Manual)."),
    SpecOption(
        "--cpu-offload-gib", "offload.cpuGiBPerGPU", int, "GiB of weights per GPU in host memory."
    ),
    SpecOption("--engine", "engine.type", EngineType, "Inference engine."),
    SpecOption("--engine-version", "engine.version", str, "Its version.", "X.Y.Z"),
    SpecOption("--replicas", "replicas", int, "Replicas.  [default: 1]"),
)


def spec_options(command: F) -> F:
    """Decorator that adds all of them, in the order of the table."""
    for option in reversed(SPEC_OPTIONS):
        command = option.decorate(command)
    return command


def given(values: dict[str, Any]) -> dict[str, Any]:
    """YAML path below `spec` to value, for the options that were given."""
    return {
        option.path: values[option.parameter]
        for option in SPEC_OPTIONS
        if values.get(option.parameter) is not None
    }
