"""The renderings that are put before the real parsers: every kind that the planner accepts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.engines.quantized import Quantized
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from videollm_operator.engines.base import EngineLaunch

CATALOG = builtin()
SKUS = ("L4", "A100-40GB", "H100-80GB")
STRATEGIES = ("TensorFirst", "FewestGPUs")
PADDED = 29696
"""MLP width of padded copies of the 72B."""

_NONE: dict[str, Any] = {}
_VLLM_QUANTIZATIONS: list[tuple[Quantized, dict[str, Any]]] = [
    (Quantized.NONE, _NONE),
    (Quantized.NONE, {"format": "FP8", "method": "Online"}),
    (
        Quantized.COMPRESSED_TENSORS_FP8,
        {"format": "FP8", "method": "CompressedTensors", "groupSize": -1},
    ),
    (Quantized.COMPRESSED_TENSORS_INT8, {"format": "INT8", "method": "CompressedTensors"}),
    (Quantized.COMPRESSED_TENSORS_INT4, {"format": "INT4", "method": "CompressedTensors"}),
    (Quantized.GPTQ_INT8, {"format": "INT8", "method": "GPTQ"}),
    (Quantized.GPTQ_INT4, {"format": "INT4", "method": "GPTQ"}),
    (Quantized.AWQ, {"format": "INT4", "method": "AWQ"}),
]
_ONLY_PLAIN = _VLLM_QUANTIZATIONS[:1]
_ENGINES = {
    ("VLLM", "0.32.0"): ("llava-hf/", _VLLM_QUANTIZATIONS),
    ("VLLM", "0.33.0"): ("llava-hf/", _VLLM_QUANTIZATIONS),
    ("SGLang", "0.5.23"): ("lmms-lab/", _ONLY_PLAIN),
    ("TGI", "3.3.7"): ("llava-hf/llava-v1.6", _VLLM_QUANTIZATIONS),
}
_SECRET = {"name": "s", "key": "k"}
_OPTIONS: list[dict[str, Any]] = [
    {},
    {"network": {"port": 9000, "apiKeySecretRef": _SECRET}},
    {"network": {"allowedMediaDomains": ["Media.example.com", "b.example"]}},
    {"offload": {"cpuGiBPerGPU": 2}},
    {"workload": {"videosPerRequest": 2, "concurrentRequests": 3}},
    {"workload": {"maxModelLen": 4096}},
    {"dtype": "Float16"},
]
"""Taken in turn, so that each stands beside each kind of the rest somewhere."""

_SOURCES: list[dict[str, Any]] = [
    {"huggingFace": {"tokenSecretRef": _SECRET}},
    {"persistentVolumeClaim": {"claimName": "w", "path": "/a folder/llava"}},
    {"image": {"reference": "registry.example/weights:1"}},
]


@dataclass(frozen=True)
class Rendering:
    """One accepted object's container, as Kubernetes starts it."""

    engine: str
    """Name for the parsers, such as `vllm-0.32.0`."""
    model: str
    quantized: Quantized
    group_size: int
    intermediate_size: int | None
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    kinds: frozenset[str]
    """What it stands for, to count by."""


def started(launch: EngineLaunch) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Arguments and environment after Kubernetes has expanded them; secrets are placeholders."""
    argv = (*launch.command, *launch.args)
    expanded = tuple(
        word.replace("$(SGLANG_API_KEY_FROM_SECRET)", "secret").replace("$$", "$") for word in argv
    )
    env = tuple(
        (variable.name, (variable.value or "secret").replace("$$", "$")) for variable in launch.env
    )
    return expanded, env


def renderings() -> Iterator[Rendering]:
    """Every accepted combination of engine, model, quantization, GPU, strategy, with options."""
    options, sources = itertools.cycle(_OPTIONS), itertools.cycle(_SOURCES)
    for (engine, version), (prefix, quantizations) in _ENGINES.items():
        models = [name for name in CATALOG.models if name.startswith(prefix)]
        for name, (quantized, asked), sku, strategy in itertools.product(
            models, quantizations, SKUS, STRATEGIES
        ):
            quantization = dict(asked)
            padded = PADDED if "72b" in name and quantized is not Quantized.NONE else None
            if padded:
                quantization["intermediateSize"] = padded
            option, source = next(options), next(sources)
            images = "llava-1.5" in name or "llava-v1.6" in name
            workload = {
                "framesPerVideo": 1 if images else 17,
                "promptTokens": 256,
                "maxOutputTokens": 256,
                **option.get("workload", {}),
            }
            model = {"name": "org/copy", "base": name, "source": source}
            spec = {
                **option,
                "model": model,
                "gpu": {"sku": sku},
                "parallelism": {"strategy": strategy},
                "engine": {"type": engine, "version": version},
                "workload": workload,
            }
            if quantization:
                spec["quantization"] = quantization
            try:
                planned = plan_deployment(VideoLLMDeploymentSpec.read(spec), CATALOG)
            except Refused:
                continue
            launch = planned.launch
            assert launch is not None
            argv, env = started(launch)
            layout = planned.plan.layout
            yield Rendering(
                engine=f"{engine.lower()}-{version}",
                model=name,
                quantized=quantized,
                group_size=quantization.get("groupSize", 128),
                intermediate_size=padded,
                argv=argv,
                env=env,
                kinds=frozenset(
                    {
                        f"engine {engine} {version}",
                        f"quantization {asked.get('format')} {asked.get('method')}",
                        f"strategy {strategy}",
                        f"source {next(iter(source))}",
                        f"layout {'several' if layout.gpus > 1 else 'one'}",
                        f"pipeline {layout.pipeline > 1}",
                        *(f"option {key}" for key in option),
                    }
                ),
            )
