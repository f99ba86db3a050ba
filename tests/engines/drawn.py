"""Specs of every kind that the planner may accept: what the real parsers are asked about at random.

Drawn is what an object can say about the engine: model and where its numbers and weights come from,
engine and version, quantization, layout, workload, and the options beside them. Engine,
quantization, strategy and source are drawn first, each as likely as the others of its kind.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.engines.quantized import Quantized
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from collections.abc import Sequence

CATALOG = builtin()
MODELS = sorted(CATALOG.models)
IMAGES = [name for name in MODELS if "llava-1.5" in name or "llava-v1.6" in name]
ORIGINALS = [name for name in MODELS if name.startswith("lmms-lab/")]
CONVERTED = [name for name in MODELS if name.startswith("llava-hf/")]

ENGINES: dict[tuple[str, str], Sequence[str]] = {
    ("VLLM", "0.32.0"): CONVERTED,
    ("VLLM", "0.33.0"): CONVERTED,
    ("SGLang", "0.5.23"): ORIGINALS,
    ("TGI", "3.3.7"): [name for name in IMAGES if "v1.6" in name],
    ("Auto", ""): CONVERTED,
}
"""Engine and version, and the models that it can run."""

QUANTIZATIONS: list[tuple[Quantized, dict[str, Any]]] = [
    (Quantized.NONE, {}),
    (Quantized.NONE, {"format": "FP8", "method": "Online"}),
    (Quantized.COMPRESSED_TENSORS_FP8, {"format": "FP8", "method": "CompressedTensors"}),
    (Quantized.COMPRESSED_TENSORS_INT8, {"format": "INT8", "method": "CompressedTensors"}),
    (Quantized.COMPRESSED_TENSORS_INT4, {"format": "INT4", "method": "CompressedTensors"}),
    (Quantized.GPTQ_INT8, {"format": "INT8", "method": "GPTQ"}),
    (Quantized.GPTQ_INT4, {"format": "INT4", "method": "GPTQ"}),
    (Quantized.AWQ, {"format": "INT4", "method": "AWQ"}),
    (Quantized.NONE, {"format": "INT4", "method": "Online"}),
    (Quantized.BITSANDBYTES_INT4, {"format": "INT4", "method": "BitsAndBytes"}),
    (Quantized.BITSANDBYTES_INT8, {"format": "INT8", "method": "BitsAndBytes"}),
]
BY_A_PLUGIN = range(8, 11)
"""Those of `QUANTIZATIONS` that vLLM has by a package, in an image that the user names."""
_MADE_BY_PLUGIN = QUANTIZATIONS[BY_A_PLUGIN.start][1]
_WITH_PLUGIN = {quantized for quantized, _ in QUANTIZATIONS[BY_A_PLUGIN.start + 1 :]}
PADDED = 29696
"""MLP width of padded copies of the 72B."""

SECRET = {"name": "s", "key": "k"}
SOURCES: dict[str, dict[str, Any]] = {
    "default": {},
    "huggingFace": {"huggingFace": {"tokenSecretRef": SECRET}},
    "persistentVolumeClaim": {"persistentVolumeClaim": {"claimName": "w", "path": "/a b/llava"}},
    "image": {"image": {"reference": "registry.example/weights:1"}},
}
STRATEGIES = ("TensorFirst", "FewestGPUs", "Manual")
SLICES = ["A100-80GB-MIG-3g.40gb", "H100-80GB-MIG-4g.40gb-mixed"]
SKUS = ["L4", "A10G", "L40S", "A100-40GB", "A100-80GB", "H100-80GB", "H200-141GB", *SLICES]

EXTRAS: dict[str, list[list[str]]] = {
    "VLLM": [
        ["--seed=7"],
        ["--no-enable-prefix-caching"],
        ["--enable-prefix-caching", "--mm-processor-cache-gb", "2"],
        ["--max_num_queued_reqs=64"],
        ["--enforce-eager"],
        ["--chat-template-content-format", "openai", "--interleave-mm-strings"],
        ["--override-generation-config", '{"temperature": 0.1}'],
    ],
    "SGLang": [["--random-seed=7"], ["--log-level", "warning"], ["--disable-radix-cache"]],
    "TGI": [["--validation-workers=3"], ["--disable-grammar-support"]],
    "Auto": [[]],
}
VARIABLES = [
    {"name": "HF_HUB_DOWNLOAD_TIMEOUT", "value": "30"},
    {"name": "NOTE", "value": "$(HF_TOKEN) 'and' spaces"},
    {"name": "FROM_A_SECRET", "valueFrom": {"secretKeyRef": SECRET}},
]


@dataclass(frozen=True)
class Drawn:
    """A spec as YAML would have it, and what its weights look like."""

    spec: dict[str, Any]
    model: str
    """The catalogue model whose numbers it has."""
    quantized: Quantized
    kinds: dict[str, str] = field(hash=False)
    """What it stands for, to count by."""

    @property
    def needs_plugin(self) -> bool:
        """Whether the engine needs a package that no environment of the parsers has."""
        return bool(self.spec["engine"].get("image"))

    def changed(self, **parts: Any) -> dict[str, Any]:
        """The spec with parts of it changed (`workload={"framesPerVideo": 1}`)."""
        spec = copy.deepcopy(self.spec)
        for name, part in parts.items():
            here = spec.get(name)
            spec[name] = {**here, **part} if isinstance(here, dict) else part
        return spec


@st.composite
def drawn(
    draw: st.DrawFn, only: int | None = None, engine_only: tuple[str, str] | None = None
) -> Drawn:
    """A spec that its engine can probably serve.

    Args:
        draw: Hypothesis'.
        only: with this one of `QUANTIZATIONS`.
        engine_only: with this one of `ENGINES`.
    """
    engines = sorted(pair for pair in ENGINES if not only or pair[0] != "SGLang")
    if only in BY_A_PLUGIN:
        engines = [pair for pair in engines if pair[0] == "VLLM"]
    engines = [engine_only] if engine_only else engines
    kinds = {
        "engine": " ".join(pair := draw(st.sampled_from(engines))),
        "strategy": draw(st.sampled_from(STRATEGIES)),
        "source": draw(st.sampled_from(sorted(SOURCES))),
    }
    engine, version = pair
    name = draw(st.sampled_from(ENGINES[pair]))
    last = {"VLLM": len(QUANTIZATIONS), "SGLang": 1}.get(engine, BY_A_PLUGIN.start)
    choices = QUANTIZATIONS[:last]
    quantized, asked = draw(st.sampled_from(choices)) if only is None else QUANTIZATIONS[only]
    kinds["quantization"] = " ".join(asked.values()) or "None"
    spec: dict[str, Any] = {
        "model": draw(_model(name, kinds["source"], plain=not asked)),
        "gpu": {"sku": draw(st.sampled_from(SKUS))},
        "parallelism": draw(_parallelism(kinds["strategy"])),
        "engine": draw(_engine(engine, version)),
        "workload": draw(_workload(images=name in IMAGES)),
        **draw(_options(engine)),
    }
    if quantized in _WITH_PLUGIN or asked == _MADE_BY_PLUGIN:
        spec["engine"]["image"] = "registry.example/vllm-bnb:1"
    if asked:
        spec["quantization"] = draw(_quantization(asked, padded="72b" in name.lower()))
    elif engine != "TGI" and engine != "SGLang" and draw(st.booleans()):
        spec["dtype"] = draw(st.sampled_from(["BFloat16", "Float16"]))
    return Drawn(spec, name, quantized, kinds)


@st.composite
def _model(draw: st.DrawFn, name: str, source: str, *, plain: bool) -> dict[str, Any]:
    """The catalogue's own files if they may be (`plain`), a copy, or a model of its own numbers."""
    described = draw(st.sampled_from(["own", "base", "architecture"]))
    model: dict[str, Any] = {"name": name}
    if described == "architecture":
        entry = CATALOG.models[name]
        numbers = entry.architecture.model_dump(mode="json", by_alias=True, exclude_none=True)
        model = {"name": "org/own", "architecture": numbers}
    elif described == "base" or not plain:
        model = {"name": "org/copy", "base": name}
    if SOURCES[source]:
        model["source"] = SOURCES[source]
    if source in ("default", "huggingFace") and draw(st.booleans()):
        model["revision"] = "refs/pr/3"
    return model


@st.composite
def _parallelism(draw: st.DrawFn, strategy: str) -> dict[str, Any]:
    if strategy != "Manual":
        return {"strategy": strategy}
    manual = {"strategy": strategy, "tensor": draw(st.sampled_from([1, 1, 2, 4]))}
    if draw(st.integers(0, 3)) == 0:
        manual["pipeline"] = draw(st.sampled_from([1, 2]))
    return manual


@st.composite
def _engine(draw: st.DrawFn, engine: str, version: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"type": engine}
    if version:
        asked["version"] = version
    if extras := draw(st.sampled_from([[], *EXTRAS[engine]])):
        asked["extraArgs"] = extras
    if variables := draw(st.lists(st.sampled_from(VARIABLES), max_size=2, unique_by=str)):
        asked["env"] = variables
    return asked


@st.composite
def _workload(draw: st.DrawFn, *, images: bool) -> dict[str, Any]:
    """Small enough for the 4096 tokens of the smallest models, most of the time."""
    return {
        "framesPerVideo": draw(st.sampled_from([1, 1, 2] if images else [17, 18, 20])),
        "promptTokens": draw(st.sampled_from([1, 64, 256])),
        "maxOutputTokens": draw(st.sampled_from([1, 128, 256])),
        "concurrentRequests": draw(st.sampled_from([1, 2, 5])),
    }


@st.composite
def _options(draw: st.DrawFn, engine: str) -> dict[str, Any]:
    """What stands beside model, GPU and layout; TGI has flags for few of them."""
    network: dict[str, Any] = {"port": draw(st.sampled_from([8000, 1024, 9000, 29500, 65535]))}
    if draw(st.booleans()):
        network["apiKeySecretRef"] = SECRET
    options: dict[str, Any] = {"network": network}
    if draw(st.booleans()):
        options["cache"] = {"type": "EmptyDir"}
    if engine == "TGI":
        return options
    if draw(st.booleans()):
        network["allowedMediaDomains"] = ["Media.example.com", "b.example"]
    if draw(st.integers(0, 3)) == 0:
        options["offload"] = {"cpuGiBPerGPU": draw(st.sampled_from([1, 2]))}
    return options


@st.composite
def _quantization(draw: st.DrawFn, asked: dict[str, Any], *, padded: bool) -> dict[str, Any]:
    """Format and method as asked, with groups that the engines' kernels have."""
    quantization = dict(asked)
    if asked["method"] == "Online":
        return quantization
    if asked["format"] == "FP8":
        quantization["groupSize"] = -1
    elif asked["method"] != "BitsAndBytes" and draw(st.booleans()):
        quantization["groupSize"] = draw(st.sampled_from([64, 128]))
    if padded and asked["method"] != "BitsAndBytes":
        quantization["intermediateSize"] = PADDED
    left: list[dict[str, Any]] = [
        {},
        {"unquantizedLayers": [0]},
        {"unquantizedProjections": ["QKVProj", "DownProj"]},
    ]
    return {**quantization, **draw(st.sampled_from(left))}
