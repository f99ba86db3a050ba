from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engines.builders import (
    CATALOG,
    LLAVA_15,
    LLAVA_NEXT,
    LLAVA_NEXT_34B,
    ONEVISION_7B,
    ORIGINAL,
    described,
    launched,
    planned,
    refusal,
    refusals,
    spec,
    values,
    variables,
    with_capability,
)
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.sizing.types import VideoRoute

TGI = {"type": "TGI"}
IMAGES = {"framesPerVideo": 1, "maxOutputTokens": 512, "promptTokens": 512}
COPY = {"name": "org/q", "base": LLAVA_NEXT}


def on_tgi(model: Any = LLAVA_NEXT, sku: str = "A100-80GB", **rest: Any) -> dict[str, Any]:
    """The arguments of `spec` for an image model on TGI."""
    return {"model": model, "sku": sku, "engine": TGI, "workload": IMAGES, **rest}


def test_a_plan_becomes_arguments() -> None:
    result = planned(**on_tgi())
    launch, plan = result.launch, result.plan
    assert launch is not None
    assert launch.command == ()
    args = values(launch.args)
    longest_input = plan.max_model_len - 512
    assert args["--hostname"] == "0.0.0.0"  # noqa: S104 - what a pod must listen on
    assert args["--port"] == "8000"
    assert args["--num-shard"] == str(plan.layout.tensor)
    assert args["--max-total-tokens"] == str(plan.max_model_len)
    assert args["--max-input-tokens"] == str(longest_input)
    assert int(args["--max-batch-prefill-tokens"]) >= longest_input
    assert args["--cuda-memory-fraction"] == "1"
    assert args["--dtype"] == "float16"
    assert args["--payload-limit"] == "18000000"
    assert args["--usage-stats"] == "off"
    assert args["--json-output"] is True
    assert "--quantize" not in args
    assert int(args["--graceful-termination-timeout"]) == launch.termination_grace_seconds - 15
    assert plan.route == VideoRoute.IMAGES


def test_what_users_write_goes_by_environment_because_arguments_are_split() -> None:
    launch = launched(**on_tgi())
    assert variables(launch)["MODEL_ID"] == LLAVA_NEXT
    assert variables(launch)["REVISION"] == "main"
    assert not any(" " in word or "*" in word for word in launch.args)


def test_weights_on_a_claim_are_read_without_the_hub() -> None:
    source = {"persistentVolumeClaim": {"claimName": "weights", "path": "/a b"}}
    launch = launched(**on_tgi({"name": LLAVA_NEXT, "source": source}))
    found = variables(launch)
    assert found["MODEL_ID"] == "/models/a b"
    assert "REVISION" not in found
    assert found["HF_HUB_OFFLINE"] == "1"


def test_the_key_is_passed_by_reference() -> None:
    launch = launched(**on_tgi(network={"apiKeySecretRef": {"name": "api", "key": "key"}}))
    assert variables(launch)["API_KEY"] == ("api", "key")


@pytest.mark.parametrize(
    ("port", "prometheus", "master"),
    [(8000, "9000", "29500"), (9000, "9001", "29500"), (29500, "9000", "29501")],
)
def test_side_ports_make_way_for_the_api(port: int, prometheus: str, master: str) -> None:
    args = values(launched(**on_tgi(network={"port": port})).args)
    assert (args["--prometheus-port"], args["--master-port"]) == (prometheus, master)


def test_online_fp8_is_a_flag_and_excludes_the_dtype() -> None:
    args = values(launched(**on_tgi(sku="H100-80GB", quantization={"format": "FP8"})).args)
    assert args["--quantize"] == "fp8"
    assert "--dtype" not in args


@pytest.mark.parametrize("method", ["GPTQ", "AWQ", "CompressedTensors"])
def test_a_quantized_checkpoint_needs_no_flag(method: str) -> None:
    quantization = {"format": "INT4", "method": method}
    args = values(launched(**on_tgi(COPY, quantization=quantization)).args)
    assert "--quantize" not in args
    assert "--dtype" not in args


def test_an_unquantized_hub_checkpoint_is_planned_as_int4_but_not_run() -> None:
    problem = planned(**on_tgi(quantization={"format": "INT4"})).not_runnable
    assert problem is not None
    assert problem.field == "spec.quantization.format"


def test_the_34b_has_a_llama_text_model() -> None:
    assert launched(**on_tgi(LLAVA_NEXT_34B))


def test_it_warns_of_its_age_and_of_fetching() -> None:
    text = " ".join(planned(**on_tgi()).warnings)
    assert "maintenance mode" in text
    assert "NetworkPolicy" in text


def test_extra_arguments_follow() -> None:
    args = values(
        launched(**{**on_tgi(), "engine": {**TGI, "extraArgs": ["--validation-workers", "4"]}}).args
    )
    assert args["--validation-workers"] == "4"


@pytest.mark.parametrize("model", [ORIGINAL, ONEVISION_7B, LLAVA_15])
def test_what_it_cannot_load_is_refused(model: str) -> None:
    problem = refusal(**on_tgi(model))
    assert (problem.reason, problem.field) == (Reason.ENGINE_UNSUPPORTED, "spec.engine.type")
    assert "takes no video" in problem.message
    assert "`spec.engine.type: VLLM`" in problem.message


def test_a_qwen2_text_model_is_refused_by_its_vocabulary() -> None:
    problem = refusal(**on_tgi(described(LLAVA_NEXT, text__vocabSize=152064)))
    assert problem.reason == Reason.ENGINE_UNSUPPORTED
    assert "vocabulary of 152064 is that of a Qwen2 text model" in problem.message


@pytest.mark.parametrize("sku", ["T4", "B200"])
def test_gpus_without_kernels_are_refused(sku: str) -> None:
    problem = refusal(**on_tgi(sku=sku))
    assert problem.reason == Reason.ENGINE_UNSUPPORTED
    assert f"compute capability 8.0 to 9.0, but '{sku}' has" in problem.message


def test_numbers_that_contradict_the_class_are_refused() -> None:
    problem = refusal(**on_tgi(described(LLAVA_NEXT, vision__maxImageTokens=0)))
    assert problem.field == "spec.model.architecture.vision.maxImageTokens"


def test_quantization_that_no_engine_can_do_is_refused() -> None:
    problem = refusal(**on_tgi(COPY, quantization={"format": "FP8"}))
    assert problem.field == "spec.quantization.method"


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"dtype": "Float32"}, "spec.dtype", Reason.DTYPE_UNSUPPORTED),
        (
            {"dtype": "BFloat16", "quantization": {"format": "INT4", "method": "GPTQ"}},
            "spec.dtype",
            Reason.DTYPE_UNSUPPORTED,
        ),
        (
            {"quantization": {"format": "INT4", "method": "BitsAndBytes"}},
            "spec.quantization.method",
            Reason.QUANTIZATION_UNSUPPORTED,
        ),
        (
            {"quantization": {"format": "INT4", "method": "Online"}},
            "spec.quantization.method",
            Reason.QUANTIZATION_UNSUPPORTED,
        ),
        (
            {"quantization": {"format": "FP8", "method": "Online"}},
            "spec.quantization.format",
            Reason.QUANTIZATION_UNSUPPORTED,
        ),
        (
            {"network": {"allowedMediaDomains": ["a.example"]}},
            "spec.network.allowedMediaDomains",
            Reason.FIELD_UNSUPPORTED,
        ),
        ({"offload": {"cpuGiBPerGPU": 1}}, "spec.offload.cpuGiBPerGPU", Reason.FIELD_UNSUPPORTED),
        (
            {"parallelism": {"strategy": "Manual", "tensor": 1, "pipeline": 2}},
            "spec.parallelism.pipeline",
            Reason.FIELD_UNSUPPORTED,
        ),
    ],
)
def test_fields_that_it_cannot_honour_are_refused(
    changes: dict[str, Any], field: str, reason: Reason
) -> None:
    problem = refusal(**on_tgi(COPY, **changes))
    assert (problem.reason, problem.field) == (reason, field)


def test_another_served_name_is_refused_and_its_own_is_not() -> None:
    problem = refusal(**on_tgi({"name": LLAVA_NEXT, "servedName": "x"}))
    assert problem.field == "spec.model.servedName"
    assert problem.message.startswith("TGI cannot honour `spec.model.servedName`: remove it")
    assert launched(**on_tgi({"name": LLAVA_NEXT, "servedName": LLAVA_NEXT}))


def test_several_fields_are_named_together() -> None:
    problem = refusal(
        **on_tgi(network={"allowedMediaDomains": ["a.example"]}, offload={"cpuGiBPerGPU": 1})
    )
    assert (
        "`spec.network.allowedMediaDomains` and `spec.offload.cpuGiBPerGPU`: remove them"
        in problem.message
    )


def test_all_bad_extras_are_told_at_once() -> None:
    engine = {
        **TGI,
        "extraArgs": ["--model-id=x", "--tokenizer-config-path=a b"],
        "env": [{"name": "NUM_SHARD", "value": "2"}, {"name": "LOG_LEVEL", "value": "info"}],
    }
    problems = refusals(**{**on_tgi(), "engine": engine})
    assert [problem.field for problem in problems] == [
        "spec.engine.extraArgs[0]",
        "spec.engine.extraArgs[1]",
        "spec.engine.env[0].name",
    ]


def test_an_older_gpu_of_the_catalogue_is_judged_by_its_capability() -> None:
    with pytest.raises(Refused, match=r"has 7\.0"):
        plan_deployment(spec(**on_tgi()), with_capability("A100-80GB", "7.0"))
    assert plan_deployment(spec(**on_tgi()), CATALOG).launch is not None
