"""The package is found by vLLM both installed and as a plain folder, and says the same in both."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint, PathDistribution
from typing import TYPE_CHECKING

import pytest

from tests.serving_env import PLUGIN

if TYPE_CHECKING:
    from tests.serving_env import Serving

GROUP = "vllm.general_plugins"


def test_the_plain_folder_says_what_an_installation_says() -> None:
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    (folder,) = PLUGIN.glob("*.dist-info")
    plain = PathDistribution(folder)
    assert (plain.name, plain.version) == (project["name"], project["version"])
    assert folder.name == f"videollm_vllm-{project['version']}.dist-info"
    wanted = [EntryPoint(n, v, GROUP) for n, v in project["entry-points"][GROUP].items()]
    assert list(plain.entry_points) == wanted


def test_everything_fits_into_a_config_map() -> None:
    files = [p for p in PLUGIN.glob("videollm_vllm*/*") if p.suffix != ".pyc" and p.is_file()]
    assert sum(path.stat().st_size for path in files) < 1 << 20


@pytest.mark.engines
def test_vllm_finds_it_on_the_path_and_imports_no_model(engine: Serving) -> None:
    done = engine.run(
        "-c",
        "import sys\n"
        "from vllm.plugins import load_general_plugins\n"
        "load_general_plugins()\n"
        "from vllm import ModelRegistry\n"
        "assert 'LlavaQwenForCausalLM' in ModelRegistry.get_supported_archs()\n"
        "assert 'videollm_vllm.model' not in sys.modules\n",
    )
    assert done.returncode == 0, done.stderr[-2000:]
