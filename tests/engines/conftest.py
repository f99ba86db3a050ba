"""Fixtures of the `engines` lane: the engines' real parsers, and folders for them to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engines.client import ENGINES, EngineParser
from tests.engines.configs import write_model
from tests.engines.quantized import Quantized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    ModelFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def engine_parser(request: pytest.FixtureRequest) -> Iterator[EngineParser]:
    """The real parsers; `.check("vllm-0.32.0", argv, env={}, config_dir=...)` -> refusal or None.

    The first use on a computer installs them (minutes, about 1.2 GB in the user's cache folder).
    """
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # an installation shows its progress
        parser = EngineParser()
    with parser:
        parser.start(*ENGINES)
        yield parser


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """`model_folder(hub_id, quantized=...)`: a config-only folder of the real size."""
    root = tmp_path_factory.mktemp("models")

    def make(model: str, quantized: Quantized = Quantized.NONE, **options: object) -> Path:
        return write_model(root, model, quantized=quantized, **options)  # type: ignore[arg-type] # checked by write_model

    return make
