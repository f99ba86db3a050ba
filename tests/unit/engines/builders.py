"""Objects and lookups that the engine tests share."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from videollm_operator.engines.base import DeploymentPlan, EngineLaunch

CATALOG = builtin()

ORIGINAL = "lmms-lab/LLaVA-Video-72B-Qwen2"
ORIGINAL_7B = "lmms-lab/LLaVA-Video-7B-Qwen2"
ONEVISION_72B = "llava-hf/llava-onevision-qwen2-72b-ov-hf"
ONEVISION_7B = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
NEXT_VIDEO = "llava-hf/LLaVA-NeXT-Video-7B-hf"
LLAVA_NEXT = "llava-hf/llava-v1.6-mistral-7b-hf"
LLAVA_NEXT_34B = "llava-hf/llava-v1.6-34b-hf"
LLAVA_15 = "llava-hf/llava-1.5-7b-hf"

ONE_IMAGE = {"framesPerVideo": 1}
"""The workload of an image model."""


def spec(model: str | dict[str, Any] = ONEVISION_7B, sku: str = "A100-80GB", **rest: Any) -> Any:
    """A spec from YAML's own names; a plain string names the model."""
    named = {"name": model} if isinstance(model, str) else model
    gpu = rest.pop("gpu", {})
    return VideoLLMDeploymentSpec.read({"model": named, "gpu": {"sku": sku, **gpu}, **rest})


def planned(*args: Any, **rest: Any) -> DeploymentPlan:
    """The plan of `spec(...)`."""
    return plan_deployment(spec(*args, **rest), CATALOG)


def launched(*args: Any, **rest: Any) -> EngineLaunch:
    """The launch of `spec(...)`."""
    launch = planned(*args, **rest).launch
    assert launch is not None
    return launch


def refusals(*args: Any, **rest: Any) -> tuple[Problem, ...]:
    """Why `spec(...)` is refused."""
    try:
        planned(*args, **rest)
    except Refused as refused:
        return refused.problems
    raise AssertionError("was not refused")


def refusal(*args: Any, **rest: Any) -> Problem:
    """The only reason why `spec(...)` is refused."""
    (problem,) = refusals(*args, **rest)
    return problem


def described(name: str, **changes: Any) -> dict[str, Any]:
    """A `spec.model` with the numbers of a catalogue model, some of them changed.

    Changes are given as `text__vocabSize=5`, `className="X"`, `video=None`.
    """
    entry = CATALOG.model(name)
    assert entry is not None
    numbers = copy.deepcopy(
        entry.architecture.model_dump(mode="json", by_alias=True, exclude_none=True)
    )
    for path, value in changes.items():
        *parents, last = path.split("__")
        here = numbers
        for parent in parents:
            here = here[parent]
        if value is None:
            here.pop(last, None)
        else:
            here[last] = value
    return {"name": "org/own", "architecture": numbers}


def values(args: tuple[str, ...]) -> dict[str, Any]:
    """Arguments as flag -> value: True alone, a list for several."""
    found: dict[str, Any] = {}
    last = ""
    for word in args:
        if word.startswith("--"):
            last, equals, value = word.partition("=")
            found[last] = value if equals else True
        elif last:
            found[last] = [*(found[last] if isinstance(found[last], list) else []), word]
        else:
            found[""] = word
    return found


def variables(launch: EngineLaunch) -> dict[str, Any]:
    """Environment as name -> value, or name -> (secret, key)."""
    return {
        variable.name: variable.value
        if variable.value_from is None
        else (
            variable.value_from.secret_key_ref.name,
            variable.value_from.secret_key_ref.key,
        )
        for variable in launch.env
    }


def with_capability(sku: str, capability: str) -> Any:
    """The catalogue with one GPU's compute capability changed."""
    gpu = CATALOG.gpu(sku)
    assert gpu is not None
    changed = gpu.model_copy(update={"compute_capability": capability})
    return replace(CATALOG, gpus={**CATALOG.gpus, sku: changed})
