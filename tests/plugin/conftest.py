"""Fixtures of the plugin's tests: a checkpoint, its prepared folder, a vLLM that computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from videollm_vllm import prepare

from tests.plugin.tiny import write_checkpoint
from tests.serving_env import Serving, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny original checkpoint; nobody changes it."""
    return write_checkpoint(tmp_path_factory.mktemp("original") / "checkpoint")


@pytest.fixture(scope="session")
def prepared(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` makes of it."""
    target = tmp_path_factory.mktemp("prepared") / "model"
    assert prepare.main([str(checkpoint), str(target)]) == 0
    return target


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Serving:
    """vLLM on the CPU."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # an installation shows its progress
        return serving(tmp_path_factory.mktemp("serving"))
