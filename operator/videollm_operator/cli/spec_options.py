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
    several: bool = False
    """Whether a comparison takes more than one value: repeated, or with commas between them."""

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
        return click.option(
            self.flag,
            self.parameter,
            type=_Several(kind) if self.several else kind,
            multiple=self.several,
            metavar=metavar,
            help=self.help,
        )(command)


class _Several(click.ParamType[tuple[Any, ...]]):
    """Values with commas between them, each of the type that the option has."""

    def __init__(self, kind: Any) -> None:
        self._kind: click.ParamType[Any] = click.types.convert_type(kind)
        self.name = self._kind.name

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        words = [word.strip() for word in str(value).split(",")]
        return tuple(self._kind.convert(word, param, ctx) for word in words if word)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._kind.get_metavar(param, ctx)


SPEC_OPTIONS = (
    SpecOption(
        "--model",
        "model.name",
        str,
        "Hub id (`videollm models` lists them), or folder.",
        "ID",
        several=True,
    ),
    SpecOption("--base", "model.base", str, "Catalogue model whose architecture it shares.", "ID"),
    SpecOption("--gpu", "gpu.sku", str, "GPU (`videollm gpus` lists them).", "SKU", several=True),
    SpecOption("--gpus-per-replica", "gpu.perReplica", int, "Fix the GPUs of one replica."),
    SpecOption("--dtype", "dtype", compute.DType, "Format of unquantized weights."),
    SpecOption(
        "--quantization",
        "quantization.format",
        compute.QuantizationFormat,
        "Format of the weights in the checkpoint.",
        several=True,
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


def given(values: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """YAML path below `spec` to its values, in order, for the options that were given."""
    found: dict[str, tuple[Any, ...]] = {}
    for option in SPEC_OPTIONS:
        value = values.get(option.parameter)
        if option.several:
            value = tuple(dict.fromkeys(word for words in value or () for word in words))
        elif value is not None:
            value = (value,)
        if value:
            found[option.path] = value
    return found


def flag_of(path: str) -> str:
    """The option that sets a field."""
    return next(option.flag for option in SPEC_OPTIONS if option.path == path)
