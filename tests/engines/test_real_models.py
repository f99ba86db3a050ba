"""What sizing says of a model is what transformers and vLLM make of it: counts, layouts, tokens.

Both build every catalogue model from a config-only folder on torch's meta device: the shapes are
theirs, and only numbers are compared. Decision 33 lists what is known to differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.client import VLLM
from tests.engines.standing import CATALOG, Standing, standing
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.engines.deployment import sizing_request
from videollm_operator.engines.select import resolve
from videollm_operator.sizing.formats import formats
from videollm_operator.sizing.layouts import legal_tensor, pipeline_rule
from videollm_operator.sizing.tokens import per_frame, per_video
from videollm_operator.sizing.weights import stages, weights

if TYPE_CHECKING:
    from tests.engines.client import EngineParser
    from tests.engines.conftest import ModelFolder
    from videollm_operator.sizing import SizingRequest

pytestmark = pytest.mark.engines

MODELS = list(CATALOG.models)
CONVERTED = [name for name in MODELS if name.startswith("llava-hf/")]
OF_EACH_CLASS = (
    "llava-hf/llava-onevision-qwen2-72b-ov-hf",
    "llava-hf/LLaVA-NeXT-Video-7B-hf",
    "llava-hf/llava-v1.6-mistral-7b-hf",
    "llava-hf/llava-1.5-13b-hf",
)
ON_VLLM = [(name, VLLM[0]) for name in MODELS] + [(name, VLLM[1]) for name in OF_EACH_CLASS]
"""Every model on the default version, one of each class on the other."""
MIB = 1 << 20
MOST_TENSOR = 16
PIPELINES = [*range(1, 17), 24]
GROUPS = (32, 64, 128)


class Asked:
    """One catalogue model as the planner and as the real software are asked about it."""

    def __init__(self, name: str, engine: str, parser: EngineParser, folder: ModelFolder) -> None:
        self.entry = CATALOG.models[name]
        self.engine = engine
        self._standing: Standing = standing(self.entry)
        self._parser, self._folder = parser, str(folder(self._standing.folder))

    def vllm(self, question: str, **arguments: Any) -> Any:
        """vLLM's answer."""
        known = {"config_dir": self._folder, "overrides": self._standing.overrides}
        return self._parser.fact(self.engine, f"vllm_facts.{question}", **known, **arguments)

    def transformers(self, question: str, **arguments: Any) -> Any:
        """transformers' answer."""
        return self._parser.fact(
            self.engine, f"hf_facts.{question}", config_dir=self._folder, **arguments
        )

    def sizing(self, **quantization: Any) -> SizingRequest:
        """What sizing is asked."""
        spec = VideoLLMDeploymentSpec.read(
            {
                "model": {"name": "org/copy", "base": self.entry.name},
                "gpu": {"sku": "B300"},
                "engine": {"type": "VLLM", "version": self.engine.partition("-")[2]},
                "quantization": quantization,
            }
        )
        return sizing_request(spec, resolve(spec, CATALOG), CATALOG)

    def legal(self, **quantization: Any) -> list[int]:
        """Sizing's legal tensor-parallel sizes."""
        request = self.sizing(**quantization)
        return list(
            legal_tensor(request.architecture, formats(request), request.budget, MOST_TENSOR)
        )


@pytest.fixture(params=ON_VLLM, ids="-".join)
def model(
    request: pytest.FixtureRequest, engine_parser: EngineParser, model_folder: ModelFolder
) -> Asked:
    return Asked(*request.param, engine_parser, model_folder)


@pytest.fixture(params=CONVERTED)
def converted(
    request: pytest.FixtureRequest, engine_parser: EngineParser, model_folder: ModelFolder
) -> Asked:
    return Asked(request.param, VLLM[0], engine_parser, model_folder)


def test_parameters_are_those_of_transformers(converted: Asked) -> None:
    counted = converted.transformers("parameters")
    assert counted == {**converted.entry.architecture.parameters.model_dump(), "other": 0}


def test_legal_layouts_are_those_of_vllm(model: Asked) -> None:
    found = model.vllm("layouts", tensors=list(range(1, MOST_TENSOR + 1)), pipelines=PIPELINES)
    legal = [int(size) for size, refusal in found["tensor"].items() if not refusal]
    assert model.legal() == legal
    request = model.sizing()
    for size, layers in found["stages"].items():
        assert not pipeline_rule(request.architecture, request.budget, int(size))
        planned = stages(request.architecture.text.layers, int(size))
        assert [stage.layers for stage in planned] == layers


def test_quantization_groups_forbid_what_vllms_kernels_refuse(model: Asked) -> None:
    plain = model.legal()
    found = model.vllm("groups", tensors=plain, sizes=GROUPS)

    def allowed(size: int, kind: str) -> list[int]:
        return [tensor for tensor in plain if not found[str(size)][str(tensor)][kind]]

    for size in GROUPS:
        grouped = model.legal(format="INT4", method="GPTQ", groupSize=size)
        assert grouped == allowed(size, "integer")
    blocks = model.legal(format="FP8", method="CompressedTensors", groupSize=GROUPS[-1])
    assert blocks == allowed(GROUPS[-1], "blocks")


def test_weights_and_kv_pages_of_a_rank_are_those_of_vllm(model: Asked) -> None:
    """Weights: never less, and at most 2 MiB more than vLLM builds, but for CLIP's last layer.

    vLLM splits the biases of split layers too, which sizing counts on every rank. Of CLIP's 24
    layers it builds 23; the checkpoint has them all, and so have other engines.
    """
    request = model.sizing()
    text, vision = request.architecture.text, request.architecture.vision
    planned = weights(request.architecture, formats(request), request.budget)
    most = model.legal()[-1]
    for tensor, pipeline, stage in [(1, 1, 0), (most, 1, 0), (2, 2, 1), (1, 3, 1)]:
        found = model.vllm("rank", tensor=tensor, pipeline=pipeline, stage=stage)
        loaded = 2 * sum(found["parameters"].values())
        place = stages(text.layers, pipeline)[stage]
        unused = 0.0
        if vision.layers == 24:
            width = vision.hidden_size
            matrices = 4 * width * width + 2 * width * vision.intermediate_size
            biases = 9 * width + vision.intermediate_size  # and norms
            unused = 2 * (matrices / tensor + biases)
        over = planned.rank(tensor, place) - loaded - unused
        assert -0.02 * MIB <= over <= 2 * MIB
        heads = max(1, text.key_value_heads // tensor)
        page = 2 * heads * text.head_dim * 2 * request.budget.kv_block_tokens
        assert found["pages"] == [page] * place.layers


def test_tokens_are_those_of_vllm(model: Asked) -> None:
    """The converted class's own; the originals' newline modes are the project's plugin's."""
    frames = [1, 8, 33, 64]
    found = model.vllm("tokens", frames=frames, sizes=[])
    route = model.sizing().budget.route
    architecture = model.entry.architecture
    if model.entry.name in CONVERTED and architecture.video:
        for count in frames:
            assert found["video"][str(count)] == per_video(architecture, route, count)
    if architecture.vision.max_image_tokens:
        assert found["largest_image"] == architecture.vision.max_image_tokens


def test_tokens_are_those_of_the_processors(converted: Asked) -> None:
    architecture = converted.entry.architecture
    largest = {576: [336, 336], 2928: [672, 672], 8748: [1153, 944]}
    size = largest.get(architecture.vision.max_image_tokens)
    frames = [1, 5] if architecture.video else []
    found = converted.transformers("tokens", frames=frames, sizes=[size] if size else [])
    route = converted.sizing().budget.route
    assert found["video"] == [per_video(architecture, route, count) for count in frames]
    if size:
        assert found["image"] == [architecture.vision.max_image_tokens]
    if not architecture.video:
        assert found["image"] == [per_frame(architecture, route)]
