"""What is rendered for bitsandbytes is right for vLLM with its plugin, which no image here has."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.engines.client import VLLM, EngineParser
from tests.engines.matrix import started
from tests.engines.quantized import Quantized
from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.conftest import ModelFolder

pytestmark = pytest.mark.engines

MODEL = "llava-hf/llava-onevision-qwen2-72b-ov-hf"
PLUGIN = "vllm-bnb-plugin==0.0.3"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin alone: it is pure Python, and only its kernels need bitsandbytes itself."""
    folder = tmp_path_factory.mktemp("plugin")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", f"--target={folder}", PLUGIN], check=True)
    return folder


@pytest.fixture(scope="module")
def with_plugin() -> Iterator[EngineParser]:
    """Processes of their own: a plugin cannot be taken away again."""
    with EngineParser() as parser:
        parser.start(*VLLM)
        yield parser


def argv(engine: str, quantization: dict[str, Any]) -> tuple[str, ...]:
    spec = {
        "model": {"name": "org/copy", "base": MODEL},
        "gpu": {"sku": "A100-80GB"},
        "engine": {"type": "VLLM", "version": engine.partition("-")[2], "image": "r/vllm-bnb:1"},
        "quantization": quantization,
    }
    launch = plan_deployment(VideoLLMDeploymentSpec.read(spec), builtin()).launch
    assert launch is not None
    return started(launch)[0]


@pytest.mark.parametrize("engine", VLLM)
@pytest.mark.parametrize(
    ("quantized", "asked", "eager"),
    [
        (Quantized.NONE, {"format": "INT4", "method": "Online"}, False),
        (Quantized.BITSANDBYTES_INT4, {"format": "INT4", "method": "BitsAndBytes"}, False),
        (Quantized.BITSANDBYTES_INT8, {"format": "INT8", "method": "BitsAndBytes"}, True),
    ],
)
def test_vllm_with_the_plugin_takes_what_is_rendered(
    engine: str,
    quantized: Quantized,
    asked: dict[str, Any],
    eager: bool,
    plugin: Path,
    with_plugin: EngineParser,
    model_folder: ModelFolder,
) -> None:
    found = with_plugin.fact(
        engine,
        "vllm_bitsandbytes.configured",
        plugin=str(plugin),
        argv=list(argv(engine, asked)),
        config_dir=str(model_folder(MODEL, quantized)),
    )
    assert found == {"quantization": "bitsandbytes", "load_format": "bitsandbytes", "eager": eager}


@pytest.mark.parametrize("engine", VLLM)
def test_vllm_without_the_plugin_refuses_it(
    engine: str, engine_parser: EngineParser, model_folder: ModelFolder
) -> None:
    """Why an image must be named."""
    folder = model_folder(MODEL)
    asked = argv(engine, {"format": "INT4", "method": "Online"})
    problem = engine_parser.check(engine, asked, config_dir=folder)
    assert problem is not None
    assert "Unknown quantization method" in problem
