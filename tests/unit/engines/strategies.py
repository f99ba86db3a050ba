"""Specs of every kind, good and bad: what the planner may be asked."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from pydantic import ValidationError

from tests.unit.engines.builders import CATALOG, described
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec

MODELS = sorted(CATALOG.models)
SKUS = sorted(CATALOG.gpus)
DTYPES = ["Auto", "BFloat16", "Float16", "Float32"]
FORMATS = ["FP8", "INT8", "INT4"]
METHODS = ["Auto", "Online", "CompressedTensors", "GPTQ", "AWQ", "BitsAndBytes"]
FLAGS = ["--seed=7", "--trust-remote-code", "--dtype=half", "--nonsense", "x", "--revision"]
NAMES = ["LOG_LEVEL", "HF_TOKEN", "VLLM_LOGGING_LEVEL", "NUM_SHARD"]

IMAGE_MODELS = [
    name for name in MODELS if name.startswith(("llava-hf/llava-1.5", "llava-hf/llava-v1.6"))
]
VIDEO_MODELS = [
    name for name in MODELS if name.startswith("llava-hf/") and name not in IMAGE_MODELS
]
SERVED = {
    "VLLM": VIDEO_MODELS + IMAGE_MODELS,
    "SGLang": [name for name in MODELS if name.startswith("lmms-lab/")],
    "TGI": [name for name in IMAGE_MODELS if "v1.6" in name],
}
VERSIONS = {"VLLM": ["0.32.0", "0.33.0"], "SGLang": ["0.5.23"], "TGI": ["3.3.7"]}
EXTRAS = {
    "VLLM": [
        "--seed",
        "7",
        "--no-enable-prefix-caching",
        "--middleware",
        "a.b",
        "--log_level=info",
    ],
    "SGLang": ["--random-seed=7", "--log_level", "warning", "--disable-radix-cache"],
    "TGI": ["--validation-workers=3", "--disable-grammar-support"],
}
QUANTIZATIONS: list[dict[str, Any]] = [
    {"format": "FP8", "method": "Online"},
    {"format": "FP8", "method": "CompressedTensors", "groupSize": -1},
    {"format": "INT8", "method": "CompressedTensors", "groupSize": -1},
    {"format": "INT8", "method": "GPTQ"},
    {"format": "INT4", "method": "GPTQ"},
    {"format": "INT4", "method": "AWQ"},
    {"format": "INT4", "method": "CompressedTensors"},
]
BITSANDBYTES: list[dict[str, Any]] = [
    {"format": "INT4", "method": "Online"},
    {"format": "INT4", "method": "BitsAndBytes"},
    {"format": "INT8", "method": "BitsAndBytes"},
]
"""What vLLM takes in an image that has its plugin for bitsandbytes."""

offloads = st.fixed_dictionaries({"cpuGiBPerGPU": st.sampled_from([0, 0, 2])})
secrets = st.fixed_dictionaries({"name": st.just("s"), "key": st.just("k")})
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@st.composite
def models(
    draw: st.DrawFn,
    names: st.SearchStrategy[str] = st.sampled_from(MODELS),  # noqa: B008 - strategies are values
    *,
    plain: bool = False,
) -> dict[str, Any]:
    """A catalogue model, a copy of one, or one with its own numbers; `plain`: of a known class."""
    name = draw(names)
    kind = draw(st.sampled_from(["own", "own", "base", "architecture"]))
    model: dict[str, Any] = {"name": name}
    if kind == "base":
        model = {"name": "org/copy", "base": name}
    elif kind == "architecture":
        model = described(name)
        if not plain and draw(st.booleans()):
            model["architecture"]["className"] = "LlavaLlamaForCausalLM"
    source = draw(st.sampled_from(["none", "hub", "claim", "image"]))
    if source == "hub":
        model["source"] = {"huggingFace": {"tokenSecretRef": draw(secrets)}}
    elif source == "claim":
        model["source"] = {"persistentVolumeClaim": {"claimName": "w", "path": "/" + draw(text)}}
    elif source == "image":
        model["source"] = {"image": {"reference": "r/w:1"}}
    if not plain and draw(st.integers(0, 3)) == 0:
        model["servedName"] = draw(text)
    return model


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value in one case of three, else nothing."""
    return st.one_of(st.none(), st.none(), strategy)


quantizations = st.fixed_dictionaries(
    {"format": st.sampled_from(FORMATS)},
    optional={
        "method": st.sampled_from(METHODS),
        "groupSize": st.sampled_from([-1, 32, 64, 128]),
        "intermediateSize": st.sampled_from([29696, 11264]),
        "visionTower": st.sampled_from(["Quantized", "Unquantized"]),
    },
)
workloads = st.fixed_dictionaries(
    {},
    optional={
        "framesPerVideo": st.sampled_from([1, 2, 8, 17, 32, 64, 128, 4096]),
        "videosPerRequest": st.sampled_from([1, 1, 2, 64]),
        "promptTokens": st.sampled_from([1, 256, 1024, 1_000_000]),
        "maxOutputTokens": st.sampled_from([1, 256, 1024, 20_000]),
        "concurrentRequests": st.sampled_from([1, 8, 300, 4096]),
        "maxModelLen": st.sampled_from([16, 4096, 32768]),
    },
)
parallelisms = st.one_of(
    st.fixed_dictionaries({"strategy": st.sampled_from(["TensorFirst", "FewestGPUs"])}),
    st.fixed_dictionaries(
        {"strategy": st.just("Manual"), "tensor": st.sampled_from([1, 2, 3, 4, 8])},
        optional={"pipeline": st.integers(1, 3)},
    ),
)
engines = st.fixed_dictionaries(
    {"type": st.sampled_from(["Auto", "VLLM", "VLLM", "SGLang", "TGI"])},
    optional={
        "version": st.sampled_from(["", "0.33.0", "9.9.9"]),
        "extraArgs": st.lists(st.one_of(st.sampled_from(FLAGS), text.filter(bool)), max_size=2),
        "env": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(NAMES), "value": text}), max_size=1
        ),
        "allowUncheckedArgs": st.booleans(),
    },
)
networks = st.fixed_dictionaries(
    {},
    optional={
        "port": st.sampled_from([1024, 8000, 9000, 29500, 65535]),
        "apiKeySecretRef": secrets,
        "allowedMediaDomains": st.lists(
            st.sampled_from(["A.example", "b.example", "-x"]), max_size=2, unique=True
        ),
    },
)


@st.composite
def specs(draw: st.DrawFn) -> VideoLLMDeploymentSpec | None:
    """A spec that the schema takes; None where the draw contradicts itself."""
    parts = {
        "dtype": sometimes(st.sampled_from(DTYPES)),
        "quantization": sometimes(quantizations),
        "workload": st.one_of(st.none(), workloads),
        "parallelism": sometimes(parallelisms),
        "offload": sometimes(offloads),
        "engine": st.one_of(st.none(), engines),
        "network": sometimes(networks),
        "cache": sometimes(st.fixed_dictionaries({"type": st.just("EmptyDir")})),
    }
    spec = {name: value for name, part in parts.items() if (value := draw(part)) is not None}
    gpu = {"sku": draw(st.sampled_from(SKUS)), "perReplica": draw(sometimes(st.integers(1, 16)))}
    return read({**spec, "model": draw(models()), "gpu": gpu})


@st.composite
def likely(draw: st.DrawFn) -> VideoLLMDeploymentSpec | None:
    """A spec that an engine can probably serve: what each of them takes, with many options."""
    engine = draw(st.sampled_from(["VLLM", "VLLM", "SGLang", "TGI"]))
    name = draw(st.sampled_from(SERVED[engine]))
    images = name in IMAGE_MODELS
    model = draw(models(st.just(name), plain=True))
    frames = st.just(1) if images else st.sampled_from([17, 20, 24])
    spec: dict[str, Any] = {
        "model": model,
        "gpu": {"sku": draw(st.sampled_from(["L40S", "A100-40GB", "A100-80GB", "H100-80GB"]))},
        "workload": {
            "framesPerVideo": draw(frames),
            "promptTokens": draw(st.sampled_from([64, 256])),
            "maxOutputTokens": draw(st.sampled_from([64, 256])),
            "concurrentRequests": draw(st.sampled_from([1, 4])),
        },
        "parallelism": {"strategy": draw(st.sampled_from(["TensorFirst", "FewestGPUs"]))},
        "engine": {
            "type": engine,
            "version": draw(st.sampled_from(VERSIONS[engine])),
            "extraArgs": draw(st.sampled_from([[], [], EXTRAS[engine]])),
            "env": draw(st.sampled_from([[], [{"name": "A", "value": "$(HF_TOKEN)"}]])),
        },
    }
    if engine != "TGI":
        spec["offload"] = draw(offloads)
        spec["network"] = draw(
            st.fixed_dictionaries(
                {"port": st.sampled_from([1024, 8000, 65535])},
                optional={
                    "apiKeySecretRef": secrets,
                    "allowedMediaDomains": st.just(["A.example", "b.example"]),
                },
            )
        )
    if engine != "SGLang" and draw(st.booleans()):
        known = [*QUANTIZATIONS, *BITSANDBYTES] if engine == "VLLM" else QUANTIZATIONS
        spec["quantization"] = draw(st.sampled_from(known))
        if spec["quantization"] in BITSANDBYTES:
            spec["engine"]["image"] = "r/vllm-bnb:1"
    return read(spec)


def read(spec: dict[str, Any]) -> VideoLLMDeploymentSpec | None:
    """The spec, or None if the schema does not take it."""
    try:
        return VideoLLMDeploymentSpec.read(spec)
    except ValidationError:
        return None
