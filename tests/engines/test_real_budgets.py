"""The memory that vLLM gives to its encoder and to the KV cache, against what the plan counts.

vLLM's own planning runs on a CPU with the arguments that the operator renders: the encoder budget
and its front door, the KV cache from a given memory, the defaults of the command line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.client import VLLM
from tests.engines.standing import CATALOG
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.sizing import constants

if TYPE_CHECKING:
    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder
    from videollm_operator.engines.base import DeploymentPlan

pytestmark = pytest.mark.engines

MIB = 1 << 20
ONEVISION_72B = "llava-hf/llava-onevision-qwen2-72b-ov-hf"
ONEVISION_7B = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
NEXT_VIDEO_7B = "llava-hf/LLaVA-NeXT-Video-7B-hf"
MISTRAL = "llava-hf/llava-v1.6-mistral-7b-hf"
NUMBERS = ("max-model-len", "max-num-batched-tokens", "max-num-seqs")


def planned(engine: str, model: str, sku: str, **fields: Any) -> DeploymentPlan:
    """The plan of a catalogue model, with whatever else of the spec."""
    spec = {
        "model": {"name": model},
        "gpu": {"sku": sku},
        "engine": {"type": "VLLM", "version": engine.partition("-")[2]},
        **fields,
    }
    return plan_deployment(VideoLLMDeploymentSpec.read(spec), CATALOG)


def arguments(plan: DeploymentPlan, *without: str) -> dict[str, Any]:
    """What is rendered for a plan, as the engine's arguments; some left to their defaults."""
    assert plan.launch is not None
    given = dict(
        word.removeprefix("--").partition("=")[::2] for word in plan.launch.args if "=" in word
    )
    found: dict[str, Any] = {name: int(given[name]) for name in NUMBERS}
    found["limit-mm-per-prompt"] = json.loads(given["limit-mm-per-prompt"])
    return {name.replace("-", "_"): found[name] for name in found if name not in without}


class Encoder:
    """vLLM's encoder budget for the arguments of a plan."""

    def __init__(self, parser: EngineParser, folder: ModelFolder, engine: str) -> None:
        self._parser, self._folder, self._engine = parser, folder, engine

    def __call__(self, model: str, given: dict[str, Any], **items: list[int]) -> Any:
        return self._parser.fact(
            self._engine,
            "vllm_budgets.encoder",
            config_dir=str(self._folder(model)),
            overrides={},
            arguments=given,
            items=items,
        )


@pytest.fixture(params=VLLM)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def encoder(engine: str, engine_parser: EngineParser, model_folder: ModelFolder) -> Encoder:
    return Encoder(engine_parser, model_folder, engine)


VIDEOS = [
    (ONEVISION_72B, 64, {}),
    (ONEVISION_7B, 8, {}),
    (ONEVISION_7B, 100, {}),
    (ONEVISION_7B, 32, {"videosPerRequest": 2}),
    (NEXT_VIDEO_7B, 14, {"promptTokens": 512, "maxOutputTokens": 512}),
    (NEXT_VIDEO_7B, 20, {"promptTokens": 512, "maxOutputTokens": 512}),
]


@pytest.mark.parametrize(("model", "frames", "workload"), VIDEOS)
def test_the_planned_video_is_let_in_and_the_cache_counted(
    engine: str, encoder: Encoder, model: str, frames: int, workload: dict[str, int]
) -> None:
    plan = planned(engine, model, "H100-80GB", workload={"framesPerVideo": frames, **workload})
    given = arguments(plan)
    video = plan.plan.tokens_per_video
    cache = max(plan.plan.max_num_batched_tokens, video)
    found = encoder(model, given, video=[video, cache, cache + 1])
    assert found["cache"] == found["compute"] == cache
    assert found["refused"] == {"video": [cache + 1]}
    assert list(found["items"]) == ["video"]  # images are switched off: they need no cache


@pytest.mark.parametrize(("model", "frames", "workload"), VIDEOS)
def test_the_dummies_that_vllm_measures_with_are_as_rendered(
    engine: str, encoder: Encoder, model: str, frames: int, workload: dict[str, int]
) -> None:
    """So the plan counts at least as many frames in one step as vLLM measures."""
    deployment = planned(
        engine, model, "H100-80GB", workload={"framesPerVideo": frames, **workload}
    )
    plan, given = deployment.plan, arguments(deployment)
    dummy = given["limit_mm_per_prompt"]["video"]["num_frames"]
    newline = plan.tokens_per_video - frames * plan.tokens_per_frame
    tokens, count = encoder(model, given)["items"]["video"]
    assert tokens == dummy * plan.tokens_per_frame + newline
    assert count == max(1, plan.max_num_batched_tokens // tokens)
    assert count * dummy <= max(frames, plan.max_num_batched_tokens // plan.tokens_per_frame)


def test_64_frames_are_refused_without_the_planned_arguments(engine: str, encoder: Encoder) -> None:
    """Why the plan raises the tokens of a step: vLLM's defaults hold 44 frames, or even 16."""
    plan = planned(engine, ONEVISION_7B, "A100-80GB")
    video, frame = plan.plan.tokens_per_video, plan.plan.tokens_per_frame
    of_44, of_45 = 44 * frame + 1, 45 * frame + 1
    found = encoder(
        ONEVISION_7B,
        {"max_num_batched_tokens": constants.BATCHED_TOKENS},
        video=[of_44, of_45, video],
    )
    assert found["cache"] == CATALOG.models[ONEVISION_7B].architecture.vision.max_image_tokens
    assert found["refused"] == {"video": [of_45, video]}
    given = arguments(plan) | {"max_num_batched_tokens": constants.BATCHED_TOKENS}
    of_16, of_17 = 16 * frame + 1, 17 * frame + 1
    assert encoder(ONEVISION_7B, given, video=[of_16, of_17])["refused"] == {"video": [of_17]}


def test_images_of_a_step_are_counted(engine: str, encoder: Encoder) -> None:
    plan = planned(engine, MISTRAL, "H100-80GB", workload={"framesPerVideo": 2})
    found = encoder(MISTRAL, arguments(plan), image=[plan.plan.tokens_per_frame])
    assert found["items"] == {"image": [plan.plan.tokens_per_frame, 1]}
    assert found["refused"] == {"image": []}
    assert found["cache"] == max(plan.plan.max_num_batched_tokens, plan.plan.tokens_per_frame)


PLANS = [
    (ONEVISION_72B, "A100-80GB", {}),
    (ONEVISION_72B, "A100-80GB", {"strategy": "Manual", "tensor": 2, "pipeline": 2}),
    (ONEVISION_7B, "L40S", {}),
    (MISTRAL, "A10", {"strategy": "Manual", "tensor": 2}),
]


@pytest.mark.parametrize(("model", "sku", "parallelism"), PLANS)
def test_blocks_of_the_kv_cache_are_those_of_vllm(
    engine: str,
    engine_parser: EngineParser,
    model_folder: ModelFolder,
    model: str,
    sku: str,
    parallelism: dict[str, Any],
) -> None:
    """From the memory that the plan leaves for KV: so many blocks, one of them never used."""
    workload = {"framesPerVideo": 2 if model == MISTRAL else 32}
    plan = planned(engine, model, sku, parallelism=parallelism, workload=workload)
    layout, memory = plan.plan.layout, plan.plan.memory
    given = arguments(plan) | {
        "tensor_parallel_size": layout.tensor,
        "pipeline_parallel_size": layout.pipeline,
    }

    block = plan.resolved.budget.kv_block_tokens
    text = plan.resolved.model.architecture.text
    heads = max(1, text.key_value_heads // layout.tensor)
    stage = -(-text.layers // layout.pipeline)
    page = 2 * heads * text.head_dim * 2 * block * stage
    least = (-(-plan.plan.max_model_len // block) + constants.NULL_BLOCKS) * page
    planned_for, smallest, too_small = engine_parser.fact(
        engine,
        "vllm_budgets.blocks",
        config_dir=str(model_folder(model)),
        overrides={},
        arguments=given,
        available=[(memory.kv_cache + memory.headroom) * MIB, least, least - 1],
    )
    assert (planned_for["blocks"] - constants.NULL_BLOCKS) * block == plan.plan.kv_cache_tokens
    assert smallest["blocks"] == least // page
    assert "at least one request with the model's max seq len" in too_small["refusal"]
    assert least <= memory.kv_cache * MIB < least + MIB


def test_defaults_are_those_of_vllms_command_line(engine: str, engine_parser: EngineParser) -> None:
    cards = [(gpu.product, gpu.visible_mib * MIB) for gpu in CATALOG.gpus.values()]
    found = engine_parser.fact(engine, "vllm_budgets.defaults", cards=cards)
    entry = CATALOG.engine(EngineType.VLLM, engine.partition("-")[2])
    assert entry is not None
    assert entry.gpu_memory_utilization == found["utilization"]
    assert found["utilization"] == constants.VLLM_GPU_MEMORY_UTILIZATION
    assert found["block"] == constants.KV_BLOCK_TOKENS
    most_cards = [constants.BATCHED_TOKENS, constants.SEQUENCES[0]]
    others = {gpu.sku for gpu in CATALOG.gpus.values() if found["cards"][gpu.product] != most_cards}
    assert others == {
        *("RTX-PRO-6000", "H100-80GB", "H100-NVL", "H200-141GB", "GH200"),
        *("B200", "B300", "GB200", "GB300"),
    }
