from __future__ import annotations

import json

import pytest

from tests.unit.engines.builders import (
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
from videollm_operator.engines.sglang_launch import memory_fraction
from videollm_operator.sizing.types import VideoRoute

SGLANG = {"type": "SGLang"}


def test_a_plan_becomes_arguments() -> None:
    result = planned(ORIGINAL, engine=SGLANG)
    launch, plan = result.launch, result.plan
    assert launch is not None
    assert launch.command == ("python3", "-m", "sglang.launch_server")
    args = values(launch.args)
    assert args["--model-path"] == args["--served-model-name"] == ORIGINAL
    assert args["--revision"] == "main"
    assert args["--host"] == "0.0.0.0"  # noqa: S104 - what a pod must listen on
    assert args["--port"] == "8000"
    assert args["--dtype"] == "float16"
    assert args["--tp-size"] == str(plan.layout.tensor)
    assert args["--context-length"] == str(plan.max_model_len)
    assert args["--chunked-prefill-size"] == str(plan.max_num_batched_tokens)
    assert args["--max-running-requests"] == str(plan.max_num_seqs)
    assert args["--chat-template"] == "chatml-llava"
    assert args["--enable-metrics"] is True
    assert json.loads(args["--limit-mm-data-per-request"]) == {"image": 64}
    assert args["--allowed-media-domains"] == ["media.invalid"]
    assert plan.route == VideoRoute.FRAMES_AS_IMAGES
    assert plan.layout.pipeline == 1


def test_the_static_share_leaves_room_for_all_else() -> None:
    plan = planned(ORIGINAL_7B, engine=SGLANG).plan
    memory = plan.memory
    share = memory_fraction(plan)
    free = memory.visible - 1024
    beside = memory.activation + memory.graphs + memory.runtime - 1024
    assert share * free + beside <= free
    assert share * free >= 0.99 * (memory.weights + memory.kv_cache)


def test_several_gpus_lose_more_to_their_contexts() -> None:
    plan = planned(ORIGINAL, engine=SGLANG).plan
    memory = plan.memory
    assert plan.layout.gpus > 1
    static = memory.weights + memory.kv_cache + memory.headroom
    assert memory_fraction(plan) == pytest.approx(static / (memory.visible - 3328), abs=1e-3)


def test_all_frames_are_encoded_at_once_and_the_plan_counts_it() -> None:
    few = planned(ORIGINAL_7B, engine=SGLANG, workload={"framesPerVideo": 17}).plan
    many = planned(ORIGINAL_7B, engine=SGLANG, workload={"framesPerVideo": 64}).plan
    assert many.memory.runtime - few.memory.runtime > 2048


def test_the_tower_is_fetched_wherever_the_weights_lie() -> None:
    source = {"persistentVolumeClaim": {"claimName": "weights"}}
    result = planned({"name": ORIGINAL_7B, "source": source}, engine=SGLANG)
    assert result.launch is not None
    assert values(result.launch.args)["--model-path"] == "/models"
    assert "--revision" not in values(result.launch.args)
    assert "HF_HUB_OFFLINE" not in variables(result.launch)
    assert any("vision tower" in warning for warning in result.warnings)


def test_the_key_is_put_into_the_argument_by_kubernetes() -> None:
    launch = launched(
        ORIGINAL_7B, engine=SGLANG, network={"apiKeySecretRef": {"name": "api", "key": "key"}}
    )
    assert launch.args[-1] == "--api-key=$(SGLANG_API_KEY_FROM_SECRET)"
    assert variables(launch)["SGLANG_API_KEY_FROM_SECRET"] == ("api", "key")


def test_offload_and_extra_arguments_follow() -> None:
    args = values(
        launched(
            ORIGINAL_7B,
            engine={**SGLANG, "extraArgs": ["--log_level=warning"]},
            offload={"cpuGiBPerGPU": 2},
        ).args
    )
    assert args["--cpu-offload-gb"] == "2"
    assert args["--log-level"] == "warning"


def test_probes_give_generation_its_time() -> None:
    launch = launched(ORIGINAL_7B, engine=SGLANG)
    assert launch.readiness.path == launch.startup.path == "/ready"
    assert launch.liveness.path == "/health"
    assert launch.liveness.timeout_seconds > 20


def test_clients_are_told_to_send_frames() -> None:
    assert any("video_url" in warning for warning in planned(ORIGINAL, engine=SGLANG).warnings)


def test_converted_checkpoints_are_refused() -> None:
    problem = refusal(ONEVISION_72B, engine=SGLANG)
    assert (problem.reason, problem.field) == (Reason.ENGINE_UNSUPPORTED, "spec.engine.type")
    assert "`spec.engine.type: VLLM`" in problem.message


def test_numbers_without_a_video_part_are_refused() -> None:
    problem = refusal(described(ORIGINAL_7B, video=None), engine=SGLANG)
    assert problem.field == "spec.model.architecture.video"


def test_quantized_weights_are_refused() -> None:
    problem = refusal(ORIGINAL, engine=SGLANG, quantization={"format": "FP8"})
    assert (problem.reason, problem.field) == (
        Reason.QUANTIZATION_UNSUPPORTED,
        "spec.quantization.format",
    )


def test_other_number_formats_are_refused() -> None:
    problem = refusal(ORIGINAL, engine=SGLANG, dtype="BFloat16")
    assert (problem.reason, problem.field) == (Reason.DTYPE_UNSUPPORTED, "spec.dtype")
    assert launched(ORIGINAL, engine=SGLANG, dtype="Float16")


def test_pipelines_are_refused() -> None:
    problem = refusal(
        ORIGINAL,
        engine=SGLANG,
        parallelism={"strategy": "Manual", "tensor": 2, "pipeline": 2},
    )
    assert (problem.reason, problem.field) == (
        Reason.FIELD_UNSUPPORTED,
        "spec.parallelism.pipeline",
    )


def test_few_frames_are_refused_because_they_would_not_be_pooled() -> None:
    problem = refusal(ORIGINAL, engine=SGLANG, workload={"framesPerVideo": 8})
    assert (problem.reason, problem.field) == (
        Reason.FIELD_UNSUPPORTED,
        "spec.workload.framesPerVideo",
    )
    assert "set `framesPerVideo` to 17 or more" in problem.message
    assert launched(ORIGINAL, engine=SGLANG, workload={"framesPerVideo": 9, "videosPerRequest": 2})


def test_a_colon_in_the_served_name_is_refused() -> None:
    problem = refusal({"name": ORIGINAL, "servedName": "a:b"}, engine=SGLANG)
    assert (problem.reason, problem.field) == (
        Reason.FIELD_UNSUPPORTED,
        "spec.model.servedName",
    )


def test_all_bad_extras_are_told_at_once() -> None:
    problems = refusals(
        ORIGINAL,
        engine={
            **SGLANG,
            "extraArgs": ["--tp-size=2"],
            "env": [{"name": "HF_TOKEN", "value": "x"}],
        },
        network={"allowedMediaDomains": ["-x"]},
    )
    assert [problem.reason for problem in problems] == [
        Reason.INVALID_SPEC,
        Reason.ARGUMENT_REFUSED,
        Reason.ENV_REFUSED,
    ]
    assert "which the plan sets" in problems[1].message
