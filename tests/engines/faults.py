"""One thing wrong with an object that is right otherwise, and the one reason that must be given.

A fault takes an accepted spec, as YAML has it, and makes one change; None: it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.engines.drawn import CATALOG, IMAGES, Drawn
from videollm_operator.api.reasons import Reason
from videollm_operator.catalog import flags
from videollm_operator.engines import owned, sglang_launch, tgi_launch, vllm_launch

Spec = dict[str, Any]
Change = Callable[[Drawn], Spec | None]


@dataclass(frozen=True)
class Fault:
    """A change, and what the object is refused for afterwards."""

    name: str
    reason: Reason
    change: Change


def engine_of(what: Drawn) -> str:
    """Its engine; Auto takes vLLM for what can be drawn with it."""
    return str(what.spec["engine"]["type"]).replace("Auto", "VLLM")


def _only(engines: str, change: Change) -> Change:
    return lambda what: change(what) if engine_of(what) in engines.split() else None


def _video(change: Change) -> Change:
    return lambda what: None if what.model in IMAGES else change(what)


def _image(change: Change) -> Change:
    return lambda what: change(what) if what.model in IMAGES else None


def _set(**parts: Any) -> Change:
    return lambda what: what.changed(**parts)


def _named(field: str, value: str) -> Change:
    """`model` alone, with nothing that lends it numbers."""
    return lambda what: {**what.spec, "model": {"name": "org/own", field: value}}


def _manual(**sizes: int) -> Change:
    return lambda what: {**what.spec, "parallelism": {"strategy": "Manual", **sizes}}


def _extra(*items: str) -> Change:
    """Extra arguments instead of its own; a type, so that the engine is certain."""
    return lambda what: what.changed(engine={"type": engine_of(what), "extraArgs": [*items]})


def _variable(name: str) -> Change:
    return _set(engine={"env": [{"name": name, "value": "1"}]})


def _quantization(**asked: Any) -> Change:
    return lambda what: {
        **{name: part for name, part in what.spec.items() if name != "dtype"},
        "quantization": asked,
        "parallelism": {},
        "gpu": {"sku": "H200-141GB"},
        "engine": {name: part for name, part in what.spec["engine"].items() if name != "image"},
        "model": {**what.spec["model"], **_copy(what)},
    }


def _copy(what: Drawn) -> Mapping[str, str]:
    """A copy of the catalogue's model, unless it has numbers of its own already."""
    own = "architecture" in what.spec["model"]
    return {} if own else {"name": "org/copy", "base": what.model}


def _numbers(**changes: Any) -> Change:
    """The catalogue's numbers, changed."""

    def change(what: Drawn) -> Spec:
        entry = CATALOG.models[what.model]
        numbers = entry.architecture.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {**what.spec, "model": {"name": "org/own", "architecture": {**numbers, **changes}}}

    return change


def _catalogues_own(change: Change) -> Change:
    """Of the hub's own files, whose format the catalogue knows."""

    def changed(what: Drawn) -> Spec | None:
        spec = change(what)
        return None if spec is None else {**spec, "model": {"name": what.model}}

    return changed


def _at_most_60_layers(change: Change) -> Change:
    """The field ends at 64 stages, and the 72B has 80 layers."""
    return lambda what: (
        change(what) if CATALOG.models[what.model].architecture.text.layers <= 60 else None
    )


def _crowded(what: Drawn) -> Spec:
    spec = what.changed(workload={"concurrentRequests": 4096})
    return {**spec, "gpu": {"sku": "L4", "perReplica": 1}, "parallelism": {}}


def _owned_flags(engine: str, table: str, flags_owned: Mapping[str, str]) -> list[Fault]:
    """Every flag that the plan owns, with a value of its type."""
    values = {
        "integer": "=2",
        "count": "=2",
        "number": "=0.5",
        "json": "={}",
        "string": "=x",
        "boolean": "",
    }
    return [
        Fault(
            f"owned flag {flag.name} of {engine}",
            Reason.ARGUMENT_REFUSED,
            _only(engine, _extra(flag.name + values.get(flag.type, "=2"))),
        )
        for flag in flags.load(table).flags
        if owned.remedy(flag.name, flags_owned)
    ]


def _owned_variables(engine: str, names: Mapping[str, str]) -> list[Fault]:
    return [
        Fault(
            f"owned variable {name} of {engine}", Reason.ENV_REFUSED, _only(engine, _variable(name))
        )
        for name in names
        if not name.endswith("*")
    ]


ARGUMENT = Reason.ARGUMENT_REFUSED
OBJECTS = [
    Fault("unknown field", Reason.INVALID_SPEC, _set(nonsense=1)),
    Fault("negative replicas", Reason.INVALID_SPEC, _set(replicas=-1)),
    Fault("port below 1024", Reason.INVALID_SPEC, _set(network={"port": 80})),
    Fault(
        "sizes without Manual",
        Reason.INVALID_SPEC,
        _set(parallelism={"strategy": "TensorFirst", "tensor": 1}),
    ),
    Fault(
        "host with a dash in front",
        Reason.INVALID_SPEC,
        _only("VLLM SGLang", _set(network={"allowedMediaDomains": ["-x"]})),
    ),
    Fault(
        "video numbers missing",
        Reason.INVALID_SPEC,
        _only("VLLM", _video(_numbers(video=None))),
    ),
    Fault(
        "unknown model", Reason.MODEL_UNKNOWN, lambda what: {**what.spec, "model": {"name": "z"}}
    ),
    Fault("unknown base", Reason.MODEL_UNKNOWN, _named("base", "zzz")),
    Fault("unknown GPU", Reason.GPU_UNKNOWN, _set(gpu={"sku": "Z9"})),
    Fault("prompt too long", Reason.CONTEXT_TOO_LONG, _set(workload={"promptTokens": 1_000_000})),
    Fault("answer too long", Reason.CONTEXT_TOO_LONG, _set(workload={"maxOutputTokens": 999_999})),
    Fault("context too short", Reason.CONTEXT_TOO_LONG, _set(workload={"maxModelLen": 16})),
    Fault("tensor 3", Reason.LAYOUT_ILLEGAL, _only("VLLM", _manual(tensor=3))),
    Fault(
        "more stages than layers",
        Reason.LAYOUT_ILLEGAL,
        _only("VLLM", _at_most_60_layers(_manual(tensor=1, pipeline=61))),
    ),
    Fault(
        "one small GPU for many videos",
        Reason.DOES_NOT_FIT,
        _only("VLLM", _video(_crowded)),
    ),
    Fault(
        "more GPUs than a node has",
        Reason.NEEDS_SEVERAL_NODES,
        _only("VLLM", lambda what: {**_manual(tensor=1, pipeline=9)(what), "gpu": {"sku": "L4"}}),
    ),
    Fault(
        "bitsandbytes",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only("VLLM TGI", _quantization(format="INT4", method="BitsAndBytes")),
    ),
    Fault(
        "INT4 while loading in an image without bitsandbytes",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only("VLLM TGI", _quantization(format="INT4", method="Online")),
    ),
    Fault(
        "a layer in 16 bit that the model lacks",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only("VLLM TGI", _quantization(format="INT4", method="GPTQ", unquantizedLayers=[999])),
    ),
    Fault(
        "quantized files of an unknown method",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only("VLLM TGI", _quantization(format="FP8")),
    ),
    Fault(
        "tower of broken groups",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only(
            "VLLM TGI",
            _quantization(format="INT4", method="GPTQ", groupSize=96, visionTower="Quantized"),
        ),
    ),
    Fault(
        "quantized for SGLang",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only("SGLang", _quantization(format="FP8", method="Online")),
    ),
    Fault(
        "unquantized files as INT8",
        Reason.QUANTIZATION_UNSUPPORTED,
        _only("VLLM TGI", _catalogues_own(_quantization(format="INT8", method="GPTQ"))),
    ),
    Fault("float32 for SGLang", Reason.DTYPE_UNSUPPORTED, _only("SGLang", _set(dtype="Float32"))),
    Fault("bfloat16 for SGLang", Reason.DTYPE_UNSUPPORTED, _only("SGLang", _set(dtype="BFloat16"))),
    Fault("float32 for TGI", Reason.DTYPE_UNSUPPORTED, _only("TGI", _set(dtype="Float32"))),
    Fault(
        "bfloat16 on a T4",
        Reason.DTYPE_UNSUPPORTED,
        _only("VLLM", _set(dtype="BFloat16", gpu={"sku": "T4"})),
    ),
    Fault(
        "TGI for what vLLM has",
        Reason.ENGINE_UNSUPPORTED,
        _video(_set(engine={"type": "TGI", "version": ""})),
    ),
    Fault(
        "SGLang for a converted copy",
        Reason.ENGINE_UNSUPPORTED,
        _only("VLLM TGI", _set(engine={"type": "SGLang", "version": ""})),
    ),
    Fault("foreign class", Reason.ENGINE_UNSUPPORTED, _numbers(className="LlavaLlamaForCausalLM")),
    Fault(
        "TGI on a newer card", Reason.ENGINE_UNSUPPORTED, _only("TGI", _set(gpu={"sku": "B200"}))
    ),
    Fault(
        "two videos of images",
        Reason.FIELD_UNSUPPORTED,
        _image(_set(workload={"videosPerRequest": 2})),
    ),
    Fault(
        "stages for SGLang",
        Reason.FIELD_UNSUPPORTED,
        _only("SGLang", _manual(tensor=1, pipeline=2)),
    ),
    Fault(
        "few frames for SGLang",
        Reason.FIELD_UNSUPPORTED,
        _only("SGLang", _set(workload={"framesPerVideo": 16})),
    ),
    Fault(
        "colon for SGLang",
        Reason.FIELD_UNSUPPORTED,
        _only("SGLang", _set(model={"servedName": "a:b"})),
    ),
    Fault(
        "domains for TGI",
        Reason.FIELD_UNSUPPORTED,
        _only("TGI", _set(network={"allowedMediaDomains": ["a.b"]})),
    ),
    Fault(
        "offload for TGI", Reason.FIELD_UNSUPPORTED, _only("TGI", _set(offload={"cpuGiBPerGPU": 1}))
    ),
    Fault(
        "a name for TGI",
        Reason.FIELD_UNSUPPORTED,
        _only("TGI", _set(model={"servedName": "video"})),
    ),
]
ARGUMENTS = [
    Fault("unknown flag", ARGUMENT, _extra("--no-such-flag")),
    Fault("no flag", ARGUMENT, _extra("value")),
    Fault("short flag of nothing", ARGUMENT, _extra("-")),
    Fault("removed flag", ARGUMENT, _only("VLLM", _extra("--swap-space=4"))),
    Fault("abbreviation", ARGUMENT, _only("VLLM", _extra("--see=7"))),
    Fault("abbreviation of an owned flag", ARGUMENT, _only("VLLM", _extra("--tensor-parallel=2"))),
    Fault("alias of an owned flag", ARGUMENT, _only("VLLM", _extra("-tp=2"))),
    Fault("underscores of an owned flag", ARGUMENT, _only("VLLM", _extra("--max_model_len=2"))),
    Fault("no number", ARGUMENT, _only("VLLM", _extra("--seed=x"))),
    Fault("no JSON", ARGUMENT, _only("VLLM", _extra("--override-generation-config=x"))),
    Fault("no choice", ARGUMENT, _only("VLLM", _extra("--chat-template-content-format=x"))),
    Fault("value of a switch", ARGUMENT, _only("VLLM", _extra("--enforce-eager=true"))),
    Fault("value missing", ARGUMENT, _only("VLLM", _extra("--seed"))),
    Fault("given twice", ARGUMENT, _only("VLLM", _extra("--seed=1", "--seed=2"))),
    Fault("white space for TGI", ARGUMENT, _only("TGI", _extra("--tokenizer-config-path=/a b"))),
]
FAULTS = [
    *OBJECTS,
    *ARGUMENTS,
    *_owned_flags("VLLM", "vllm-0.32.0", owned.VLLM),
    *_owned_flags("SGLang", "sglang-0.5.23", owned.SGLANG),
    *_owned_flags("TGI", "tgi-3.3.7", owned.TGI),
    *_owned_variables("VLLM", vllm_launch.OWNED_ENV),
    *_owned_variables("SGLang", sglang_launch.OWNED_ENV),
    *_owned_variables("TGI", tgi_launch.OWNED_ENV),
]
