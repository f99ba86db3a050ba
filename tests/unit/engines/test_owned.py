from __future__ import annotations

import pytest

from tests.unit.engines.builders import (
    CATALOG,
    LLAVA_NEXT,
    ONEVISION_7B,
    ORIGINAL_7B,
    launched,
    values,
    variables,
)
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines import owned, sglang_launch, tgi_launch, vllm_launch

FLAGS = {EngineType.VLLM: owned.VLLM, EngineType.SGLANG: owned.SGLANG, EngineType.TGI: owned.TGI}
VARIABLES = {
    EngineType.VLLM: vllm_launch.OWNED_ENV,
    EngineType.SGLANG: sglang_launch.OWNED_ENV,
    EngineType.TGI: tgi_launch.OWNED_ENV,
}
FULL = {
    "network": {
        "apiKeySecretRef": {"name": "api", "key": "key"},
    },
}
LAUNCHES = {
    EngineType.VLLM: launched(
        {
            "name": ONEVISION_7B,
            "source": {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "token"}}},
        },
        "H100-80GB",
        quantization={"format": "FP8"},
        parallelism={"strategy": "Manual", "tensor": 2},
        offload={"cpuGiBPerGPU": 1},
        **FULL,
    ),
    EngineType.SGLANG: launched(
        ORIGINAL_7B, engine={"type": "SGLang"}, offload={"cpuGiBPerGPU": 1}, **FULL
    ),
    EngineType.TGI: launched(
        {"name": LLAVA_NEXT, "source": {"persistentVolumeClaim": {"claimName": "weights"}}},
        engine={"type": "TGI"},
        workload={"framesPerVideo": 1},
        **FULL,
    ),
}


@pytest.mark.parametrize("engine", FLAGS)
def test_owned_flags_are_names_of_the_engines_flags(engine: EngineType) -> None:
    known: set[str] = set()
    for entry in CATALOG.engines:
        if entry.type == engine:
            known |= {flag.name for flag in CATALOG.flags(entry).flags}
    for key in FLAGS[engine]:
        begins = key.removesuffix("*")
        assert any(name == key or (begins != key and name.startswith(begins)) for name in known)


@pytest.mark.parametrize("engine", FLAGS)
def test_every_flag_of_a_launch_is_owned(engine: EngineType) -> None:
    given = [flag for flag in values(LAUNCHES[engine].args) if flag]
    assert given
    for flag in given:
        assert owned.remedy(flag, FLAGS[engine])


def test_a_key_with_a_star_owns_all_that_begins_with_it() -> None:
    assert owned.remedy("--data-parallel-size", owned.VLLM) == "set `spec.replicas` instead"
    assert owned.remedy("--data-parallel", owned.VLLM) == ""
    assert owned.remedy("--seed", owned.VLLM) == ""


@pytest.mark.parametrize("engine", FLAGS)
def test_every_variable_of_a_launch_is_owned(engine: EngineType) -> None:
    assert set(variables(LAUNCHES[engine])) <= set(VARIABLES[engine])


@pytest.mark.parametrize("engine", FLAGS)
def test_every_remedy_ends_the_sentence(engine: EngineType) -> None:
    for remedy in {*FLAGS[engine].values(), *VARIABLES[engine].values()}:
        assert remedy[0].islower()
        assert not remedy.endswith(".")
