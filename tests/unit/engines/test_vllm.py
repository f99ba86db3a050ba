from __future__ import annotations

import json

import pytest

from tests.unit.engines.builders import (
    LLAVA_15,
    LLAVA_NEXT,
    NEXT_VIDEO,
    ONE_IMAGE,
    ONEVISION_7B,
    ONEVISION_72B,
    ORIGINAL,
    ORIGINAL_7B,
    described,
    launched,
    planned,
    refusal,
    refusals,
    values,
    variables,
)
from videollm_operator.api.reasons import Reason
from videollm_operator.sizing.types import VideoRoute

SMALL = "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"

CLAIM = {"persistentVolumeClaim": {"claimName": "weights", "path": "/llava"}}


def test_a_plan_becomes_arguments() -> None:
    planned_ = planned(ONEVISION_72B)
    assert planned_.launch is not None
    args = values(planned_.launch.args)
    plan = planned_.plan
    assert planned_.launch.args[0] == ONEVISION_72B
    assert args["--revision"] == "main"
    assert args["--served-model-name"] == ONEVISION_72B
    assert args["--host"] == "0.0.0.0"  # noqa: S104 - what a pod must listen on
    assert args["--port"] == "8000"
    assert args["--dtype"] == "float16"
    assert args["--tensor-parallel-size"] == str(plan.layout.tensor)
    assert args["--pipeline-parallel-size"] == str(plan.layout.pipeline)
    assert args["--distributed-executor-backend"] == "mp"
    assert args["--gpu-memory-utilization"] == "0.92"
    assert args["--max-model-len"] == str(plan.max_model_len)
    assert args["--max-num-seqs"] == str(plan.max_num_seqs)
    assert args["--shutdown-timeout"] == "235"
    assert planned_.launch.termination_grace_seconds == 250
    assert "--quantization" not in args
    assert "--cpu-offload-gb" not in args


def test_one_gpu_needs_no_executor() -> None:
    assert "--distributed-executor-backend" not in values(launched(ONEVISION_7B).args)


def test_the_step_holds_the_whole_video_so_that_vllm_admits_it() -> None:
    args = values(launched(ONEVISION_7B).args)
    assert int(args["--max-num-batched-tokens"]) >= 64 * 196 + 1


def test_frames_are_sampled_and_limited_as_the_workload_says() -> None:
    args = values(launched(workload={"framesPerVideo": 32, "videosPerRequest": 2}).args)
    assert json.loads(args["--media-io-kwargs"]) == {"video": {"num_frames": 32}}
    limits = json.loads(args["--limit-mm-per-prompt"])
    assert limits["video"]["count"] == 2
    assert limits["image"] == 0


@pytest.mark.parametrize("frames", [1, 8, 16, 20, 63, 64])
def test_the_profile_measures_a_whole_clip_in_dummies_of_at_most_16_frames(frames: int) -> None:
    args = values(launched(workload={"framesPerVideo": frames}).args)
    limits = json.loads(args["--limit-mm-per-prompt"])
    dummy = limits["video"]["num_frames"]
    count = int(args["--max-num-batched-tokens"]) // (196 * dummy + 1)
    assert dummy <= 16
    assert count * dummy >= frames - 1


def test_a_class_without_images_is_not_told_of_them() -> None:
    args = values(launched(NEXT_VIDEO, workload={"framesPerVideo": 8}).args)
    assert json.loads(args["--limit-mm-per-prompt"]) == {"video": {"count": 1, "num_frames": 7}}


@pytest.mark.parametrize("model", [LLAVA_NEXT, LLAVA_15])
def test_an_image_model_limits_images_by_frames_per_video(model: str) -> None:
    args = values(launched(model, workload={"framesPerVideo": 1, "maxOutputTokens": 128}).args)
    assert json.loads(args["--limit-mm-per-prompt"]) == {"image": 1}
    assert "--media-io-kwargs" not in args


def test_offload_and_extra_arguments_follow() -> None:
    args = launched(
        offload={"cpuGiBPerGPU": 4}, engine={"type": "VLLM", "extraArgs": ["--seed", "7"]}
    ).args
    assert values(args)["--cpu-offload-gb"] == "4"
    assert args[-1] == "--seed=7"


def test_nothing_may_be_fetched_unless_a_domain_is_allowed() -> None:
    assert values(launched().args)["--allowed-media-domains"] == ["media.invalid"]
    named = launched(network={"allowedMediaDomains": ["Media.Example.com", "b.example"]})
    assert values(named.args)["--allowed-media-domains"] == ["media.example.com", "b.example"]
    assert variables(named)["VLLM_MEDIA_URL_ALLOW_REDIRECTS"] == "0"


@pytest.mark.parametrize("domain", ["--api-key", "-a", "a..b", "a-", "."])
def test_a_domain_that_is_no_host_name_is_refused(domain: str) -> None:
    problem = refusal(network={"allowedMediaDomains": ["ok.example", domain]})
    assert problem.reason == Reason.INVALID_SPEC
    assert problem.field == "spec.network.allowedMediaDomains[1]"
    assert f"is '{domain}', which is not a host name" in problem.message


def test_weights_on_a_claim_are_read_from_its_mount_without_the_hub() -> None:
    launch = launched({"name": "org/x", "base": ONEVISION_7B, "source": CLAIM})
    assert launch.args[0] == "/models/llava"
    assert launch.model_mount == "/models"
    assert "--revision" not in values(launch.args)
    assert values(launch.args)["--served-model-name"] == "org/x"
    assert variables(launch)["HF_HUB_OFFLINE"] == variables(launch)["TRANSFORMERS_OFFLINE"] == "1"


def test_weights_in_an_image_lie_at_its_root() -> None:
    launch = launched(
        {"name": "org/x", "base": ONEVISION_7B, "source": {"image": {"reference": "r/w:1"}}}
    )
    assert launch.args[0] == launch.model_mount == "/models"


def test_secrets_are_passed_by_reference() -> None:
    launch = launched(
        {
            "name": ONEVISION_7B,
            "source": {"huggingFace": {"tokenSecretRef": {"name": "hf", "key": "token"}}},
        },
        network={"apiKeySecretRef": {"name": "api", "key": "key"}},
    )
    assert variables(launch)["HF_TOKEN"] == ("hf", "token")
    assert variables(launch)["VLLM_API_KEY"] == ("api", "key")
    assert "HF_HUB_OFFLINE" not in variables(launch)


def test_a_hub_source_without_a_token_has_none() -> None:
    launch = launched({"name": ONEVISION_7B, "source": {"huggingFace": {}}})
    assert "HF_TOKEN" not in variables(launch)


def test_telemetry_is_off_and_caches_lie_on_the_volume() -> None:
    launch = launched()
    found = variables(launch)
    assert found["VLLM_NO_USAGE_STATS"] == found["DO_NOT_TRACK"] == "1"
    assert found["HF_HOME"] == "/cache/huggingface"
    assert found["VLLM_CACHE_ROOT"] == "/cache/vllm"
    assert found["HOME"] == launch.home == "/home/vllm"
    assert found["VLLM_ENGINE_READY_TIMEOUT_S"] == str(launch.load_seconds)


def test_a_users_text_is_never_expanded_by_kubernetes() -> None:
    launch = launched(
        {"name": ONEVISION_7B, "servedName": "$(HF_TOKEN)"},
        engine={
            "type": "VLLM",
            "extraArgs": ["--chat-template=$(HF_TOKEN)"],
            "env": [{"name": "X", "value": "$(HF_TOKEN)"}],
        },
    )
    assert "--served-model-name=$$(HF_TOKEN)" in launch.args
    assert launch.args[-1] == "--chat-template=$$(HF_TOKEN)"
    assert variables(launch)["X"] == "$$(HF_TOKEN)"


def test_a_users_secret_variable_is_passed_on() -> None:
    reference = {"secretKeyRef": {"name": "s", "key": "k"}}
    launch = launched(engine={"type": "VLLM", "env": [{"name": "X", "valueFrom": reference}]})
    assert variables(launch)["X"] == ("s", "k")


def test_image_user_and_groups_can_be_overridden() -> None:
    launch = launched(
        engine={"type": "VLLM", "image": "my/vllm:1"},
        podTemplate={"securityContext": {"runAsUser": 5, "runAsGroup": 6, "fsGroup": 7}},
    )
    assert launch.image == "my/vllm:1"
    assert (launch.run_as_user, launch.run_as_group, launch.fs_group) == (5, 6, 7)
    usual = launched()
    assert usual.image == "vllm/vllm-openai:v0.32.0"
    assert (usual.run_as_user, usual.run_as_group, usual.fs_group) == (2000, 0, 0)


def test_probes_ask_health_and_give_the_load_its_time() -> None:
    launch = launched(ONEVISION_72B)
    assert launch.startup.path == launch.readiness.path == launch.liveness.path == "/health"
    waited = launch.startup.period_seconds * launch.startup.failure_threshold
    assert waited == launch.load_seconds > 3600


def test_the_originals_are_planned_but_not_run() -> None:
    planned_ = planned(ORIGINAL)
    assert planned_.launch is None
    assert planned_.plan.route == VideoRoute.CHUNKED
    problem = planned_.not_runnable
    assert problem is not None
    assert problem.reason == Reason.ENGINE_UNSUPPORTED
    assert problem.field == "spec.model.name"
    assert f"no released vLLM loads '{ORIGINAL}' (LlavaQwenForCausalLM)" in problem.message
    assert "`spec.model.base`" in problem.message
    assert "`spec.engine.type: SGLang`" in problem.message


def test_extra_arguments_of_what_is_not_run_are_checked_too() -> None:
    problem = refusal(ORIGINAL, engine={"type": "VLLM", "extraArgs": ["--nonsense"]})
    assert problem.reason == Reason.ARGUMENT_REFUSED


def test_unknown_classes_are_refused_with_the_known_ones() -> None:
    problem = refusal(described(ONEVISION_7B, className="LlavaLlamaForCausalLM"))
    assert problem.reason == Reason.ENGINE_UNSUPPORTED
    assert "cannot load 'org/own' (LlavaLlamaForCausalLM); it loads" in problem.message
    assert "LlavaOnevisionForConditionalGeneration" in problem.message
    assert "LlavaQwenForCausalLM" not in problem.message


def test_all_bad_extras_are_told_at_once() -> None:
    problems = refusals(
        engine={
            "type": "VLLM",
            "extraArgs": ["--dtype=half", "--nonsense"],
            "env": [{"name": "HF_HOME", "value": "/x"}],
        },
        network={"allowedMediaDomains": ["-x"]},
    )
    assert [problem.reason for problem in problems] == [
        Reason.INVALID_SPEC,
        Reason.ARGUMENT_REFUSED,
        Reason.ARGUMENT_REFUSED,
        Reason.ENV_REFUSED,
    ]


@pytest.mark.parametrize(
    ("flag", "remedy"),
    [
        ("--dtype=half", "`spec.dtype`"),
        ("-tp=2", "`spec.parallelism`"),
        ("-q=fp8", "`spec.quantization`"),
        ("--max_model_len=1", "`spec.workload.maxModelLen`"),
        ("--limit-mm-per-prompt.video=3", "`spec.workload`"),
        ("--api-key=x", "`spec.network.apiKeySecretRef`"),
        ("--config=/x", "list the arguments themselves"),
        ("--device-memory-utilization=0.99", "`spec.gpu`"),
        ("--enable-lora", "GPU memory"),
    ],
)
def test_flags_of_the_plan_are_refused_with_the_field_to_set(flag: str, remedy: str) -> None:
    problem = refusal(engine={"type": "VLLM", "extraArgs": [flag], "allowUncheckedArgs": True})
    assert "which the plan sets" in problem.message
    assert remedy in problem.message


@pytest.mark.parametrize("name", ["VLLM_API_KEY", "HF_TOKEN", "HOME", "CUDA_VISIBLE_DEVICES"])
def test_variables_of_the_plan_are_refused(name: str) -> None:
    problem = refusal(engine={"type": "VLLM", "env": [{"name": name, "value": "x"}]})
    assert problem.reason == Reason.ENV_REFUSED
    assert problem.field == "spec.engine.env[0].name"
    assert f"is '{name}', which the plan sets: remove it and" in problem.message


# Quantization

OWN_IMAGE = {"type": "VLLM", "image": "registry.example/vllm-bnb:0.32.0"}
ONLINE_INT4 = {"format": "INT4", "method": "Online"}


def test_online_fp8_is_a_flag() -> None:
    launch = launched(ONEVISION_7B, "H100-80GB", quantization={"format": "FP8"})
    assert values(launch.args)["--quantization"] == "fp8_per_tensor"


def test_online_int4_is_made_by_bitsandbytes_and_split_like_16_bit() -> None:
    plan = planned(ONEVISION_72B, "A10", quantization=ONLINE_INT4, engine=OWN_IMAGE)
    assert plan.launch is not None
    assert plan.launch.image == OWN_IMAGE["image"]
    assert values(plan.launch.args)["--quantization"] == "bitsandbytes"
    assert values(plan.launch.args)["--tensor-parallel-size"] == "4"
    assert any("vllm-bnb-plugin" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("bits", "slower"), [("INT4", False), ("INT8", True)])
def test_a_bitsandbytes_checkpoint_needs_no_flag_but_a_pipeline(bits: str, slower: bool) -> None:
    plan = planned(
        {"name": "org/q", "base": ONEVISION_72B},
        "A10",
        quantization={"format": bits, "method": "BitsAndBytes"},
        engine=OWN_IMAGE,
    )
    assert plan.launch is not None
    arguments = values(plan.launch.args)
    assert "--quantization" not in arguments
    assert arguments["--tensor-parallel-size"] == "1"
    assert int(arguments["--pipeline-parallel-size"]) > 1
    assert any("must have the packages vllm-bnb-plugin" in warning for warning in plan.warnings)
    assert any("without CUDA graphs" in warning for warning in plan.warnings) == slower


def test_a_bitsandbytes_checkpoint_cannot_be_split() -> None:
    problem = refusal(
        {"name": "org/q", "base": ONEVISION_72B},
        quantization={"format": "INT4", "method": "BitsAndBytes"},
        engine=OWN_IMAGE,
        parallelism={"strategy": "Manual", "tensor": 2},
    )
    assert problem.reason == Reason.LAYOUT_ILLEGAL
    assert "a matrix that bitsandbytes has quantized cannot be split" in problem.message


@pytest.mark.parametrize(
    "quantization",
    [
        {"format": "INT4", "method": "AWQ"},
        {"format": "INT4", "method": "GPTQ"},
        {"format": "INT8"},
        {"format": "INT8", "method": "CompressedTensors", "groupSize": -1},
        {"format": "FP8", "method": "CompressedTensors"},
    ],
)
def test_a_quantized_checkpoint_needs_no_flag(quantization: dict[str, object]) -> None:
    launch = launched({"name": "org/q", "base": ONEVISION_7B}, quantization=quantization)
    assert "--quantization" not in values(launch.args)


@pytest.mark.parametrize("method", ["BitsAndBytes", "Online"])
def test_the_image_of_the_project_has_no_bitsandbytes(method: str) -> None:
    problem = refusal(quantization={"format": "INT4", "method": method})
    assert (problem.reason, problem.field) == (
        Reason.QUANTIZATION_UNSUPPORTED,
        "spec.quantization.method",
    )
    assert "name it in `spec.engine.image`" in problem.message


@pytest.mark.parametrize(("sku", "warned"), [("A100-80GB", True), ("L4", False), ("L40", False)])
def test_fp8_on_gpus_without_it_is_warned_of(sku: str, warned: bool) -> None:
    warnings = planned(ONEVISION_7B, sku, quantization={"format": "FP8"}).warnings
    assert any("cannot multiply in FP8" in warning for warning in warnings) == warned


def test_a_plain_plan_warns_of_nothing() -> None:
    assert planned(ONEVISION_7B).warnings == ()


def test_an_original_7b_is_planned_on_a_small_gpu() -> None:
    assert planned(ORIGINAL_7B, "L4").plan.layout.gpus == 1


def test_an_image_model_is_planned_by_images() -> None:
    assert planned(LLAVA_NEXT, workload=ONE_IMAGE).plan.route == VideoRoute.IMAGES


@pytest.mark.parametrize("backend", ["pynvvideocodec", "deepstream"])
def test_decoding_on_a_slice_without_a_decoder_is_refused(backend: str) -> None:
    def asked(sku: str, value: str, name: str = "VLLM_VIDEO_LOADER_BACKEND") -> dict[str, object]:
        env = [{"name": "A", "value": "b"}, {"name": name, "value": value}]
        return {"sku": sku, "engine": {"env": env}}

    without, with_one = "A100-80GB-MIG-1g.10gb", "A100-80GB-MIG-1g.10gb.me"
    problem = refusal(SMALL, **asked(without, backend))
    assert (problem.reason, problem.field) == (
        Reason.FIELD_UNSUPPORTED,
        "spec.engine.env[1].value",
    )
    assert "has no video decoder (NVDEC)" in problem.message
    for fine in (
        asked(without, "opencv"),
        asked(without, backend, "OTHER"),
        asked(with_one, backend),
        asked("A100-80GB", backend),
    ):
        assert planned(SMALL, **fine).plan.layout.gpus == 1
