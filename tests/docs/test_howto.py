"""What the how-tos show can be typed as it stands, and gives what they say.

Commands that need a cluster are run by tests/cluster/test_docs.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import markdown
from hack.markdown import ROOT, Block
from tests.docs.stories import STORIES
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import validate
from videollm_operator.catalog.loader import builtin, extended
from videollm_operator.engines.deployment import plan_deployment

PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
LOCAL_LANGUAGES = ("sh", "bash", "console")
BASE = """
model: {name: llava-hf/llava-onevision-qwen2-7b-ov-hf}
gpu: {sku: A100-40GB}
"""


def name_of(value: object) -> str:
    return (
        value.stem if isinstance(value, Path) else value.where if isinstance(value, Block) else ""
    )


def yaml_blocks() -> list[Block]:
    return [block for page in PAGES for block in markdown.blocks(page) if block.language == "yaml"]


def documents(kind: str) -> list[tuple[Block, dict[str, Any]]]:
    return [
        (block, document)
        for block in yaml_blocks()
        for document in yaml.safe_load_all(block.text)
        if document.get("kind") == kind
    ]


def catalogue(page: Path) -> Any:
    """The built-in catalogue with the entries that a page has in `catalog.yaml`."""
    catalog = builtin()
    for block in markdown.blocks(page):
        if block.mark("file") == "catalog.yaml":
            catalog = extended(catalog, block.text, block.where)
    return catalog


def test_every_how_to_is_looked_at() -> None:
    wanted = {
        "python",
        "serve-72b",
        "quantized",
        "scale",
        "update",
        "catalogue",
        "gitops",
        "kind",
        "gpu-parts",
        "own-model",
    }
    assert {page.stem for page in PAGES} >= wanted


@pytest.mark.parametrize("page", [*PAGES, TROUBLESHOOTING], ids=name_of)
def test_commands_run_and_show_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    for folder in ("manifests", "charts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = ""
    for block in markdown.blocks(page):
        if block.language == "python":
            printed = printed_by(block)
        if block.mark("output") is not None:
            assert shows(printed, block.lines), f"{block.where}: {printed}"
        if name := block.mark("file"):
            (tmp_path / name).write_text(block.text)
        if block.language not in LOCAL_LANGUAGES or {"cluster", "none", "demo"} & marks(block):
            continue
        for step in block.steps:
            done = subprocess.run(
                ["bash", "-c", step.command],
                cwd=tmp_path,
                env={**os.environ, "PATH": path, "COLUMNS": "100"},
                capture_output=True,
                text=True,
                check=False,
            )
            wanted = int(block.mark("exit") or 0)
            assert done.returncode == wanted, f"{block.where}: {step.command}\n{done.stderr}"
            if step.output:
                assert shows(done.stdout, step.output), f"{block.where}: {done.stdout}"


def printed_by(block: Block) -> str:
    """What a block of Python prints, run as a program of its own."""
    done = subprocess.run(
        [sys.executable, "-c", block.text], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{block.where}: {done.stderr}"
    return done.stdout


def test_every_python_block_is_followed_by_what_it_prints() -> None:
    for page in PAGES:
        blocks = markdown.blocks(page)
        for block, after in pairwise(blocks):
            assert (block.language == "python") == (after.mark("output") is not None), after.where
        assert blocks[-1].language != "python"


def marks(block: Block) -> set[str]:
    return {mark.partition(" ")[0].rstrip(":") for mark in block.marks}


def shows(printed: str, wanted: tuple[str, ...]) -> bool:
    """Whether the output is this one; `...` stands for any lines."""
    lines = [".*" if line == "..." else re.escape(line.rstrip()) for line in wanted]
    text = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch("\n".join(lines), text, re.DOTALL) is not None


@pytest.mark.parametrize("block", yaml_blocks(), ids=name_of)
def test_every_yaml_block_says_what_it_is(block: Block) -> None:
    assert {"file", "fragment", "refused"} & marks(block)


@pytest.mark.parametrize(("block", "document"), documents("VideoLLMDeployment"), ids=name_of)
def test_deployments_are_valid_and_fit_or_are_refused_as_told(
    block: Block, document: dict[str, Any]
) -> None:
    assert validate(document) == []
    expected = block.mark("refused")
    deployment = VideoLLMDeployment.from_object(document)
    try:
        planned = plan_deployment(deployment.spec, catalogue(block.path))
        problems = [planned.not_runnable] if planned.not_runnable else []
    except Refused as refused:
        problems = list(refused.problems)
    assert [str(problem.reason) for problem in problems] == ([expected] if expected else [])


@pytest.mark.parametrize(
    "block", [b for b in yaml_blocks() if b.mark("fragment") is not None], ids=name_of
)
def test_fragments_fit_into_an_object(block: Block) -> None:
    fragment = yaml.safe_load(block.text)
    assert set(fragment) == {"spec"}
    document = {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": "fragment", "namespace": "default"},
        "spec": {**yaml.safe_load(BASE), **fragment["spec"]},
    }
    assert validate(document) == []


@pytest.mark.parametrize(
    "block", [b for page in PAGES for b in markdown.blocks(page) if b.mark("seen")], ids=name_of
)
def test_messages_are_what_the_operator_says(block: Block) -> None:
    _, message = STORIES[Reason(block.mark("seen"))]().found()
    assert block.text.split() == message.split()


def test_the_catalogue_of_the_how_to_loads_without_problems() -> None:
    catalog = catalogue(ROOT / "docs" / "howto" / "catalogue.md")
    assert catalog.problems == ()
    assert catalog.fingerprint != builtin().fingerprint


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in markdown.links(page):
        target, _, anchor = link.partition("#")
        if target.startswith("http"):
            continue
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), link
        if anchor:
            assert anchor in markdown.anchors(other), link


def test_the_table_of_gpus_is_the_planners() -> None:
    rows = re.findall(
        r"^\| (\S+) \| (\d+)(?: x TP\d+)? \| (\d+)",
        (ROOT / "docs" / "howto" / "serve-72b.md").read_text(),
        re.MULTILINE,
    )
    assert {sku for sku, _, _ in rows} >= {"L40", "A100-40GB", "A100-80GB", "H100-80GB"}
    model = {
        "name": "my-org/LLaVA-Video-72B-Qwen2-hf",
        "base": "llava-hf/llava-onevision-qwen2-72b-ov-hf",
    }
    for sku, gpus, fewest in rows:
        for strategy, wanted in (("TensorFirst", gpus), ("FewestGPUs", fewest)):
            document = {
                "apiVersion": "videollm.io/v1alpha1",
                "kind": "VideoLLMDeployment",
                "metadata": {"name": "row", "namespace": "default"},
                "spec": {
                    "model": model,
                    "gpu": {"sku": sku},
                    "parallelism": {"strategy": strategy},
                },
            }
            planned = plan_deployment(VideoLLMDeployment.from_object(document).spec, builtin())
            assert planned.plan.layout.gpus == int(wanted), (sku, strategy)


QUANTIZATIONS: dict[str, dict[str, Any]] = {
    "16 bit": {},
    "FP8 made while loading": {"format": "FP8", "method": "Online"},
    "INT8, groups of 128, padded": {"format": "INT8", "intermediateSize": 29696},
    "INT4, groups of 128, padded": {"format": "INT4", "intermediateSize": 29696},
    "INT4, groups of 128, not padded": {"format": "INT4"},
    "INT4 made while loading by bitsandbytes": {"format": "INT4", "method": "Online"},
    "INT4 checkpoint of bitsandbytes": {"format": "INT4", "method": "BitsAndBytes"},
}


def test_the_table_of_quantizations_is_the_planners() -> None:
    lines = (ROOT / "docs" / "howto" / "quantized.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    skus = table[0][1:]
    rows = {row[0]: row[1:] for row in table[2:]}
    assert set(rows) == set(QUANTIZATIONS)
    for name, quantization in QUANTIZATIONS.items():
        for sku, cell in zip(skus, rows[name], strict=True):
            found = []
            for strategy in ("TensorFirst", "FewestGPUs"):
                deployment = VideoLLMDeployment.from_object(
                    {
                        "apiVersion": "videollm.io/v1alpha1",
                        "kind": "VideoLLMDeployment",
                        "metadata": {"name": "row", "namespace": "default"},
                        "spec": {
                            "model": {
                                "name": "my-org/LLaVA-Video-72B-Qwen2-hf",
                                "base": "llava-hf/llava-onevision-qwen2-72b-ov-hf",
                            },
                            "gpu": {"sku": sku},
                            "engine": {"type": "VLLM", "image": "r/with-all-plugins"},
                            "quantization": quantization,
                            "parallelism": {"strategy": strategy},
                        },
                    }
                )
                found.append(plan_deployment(deployment.spec, builtin()).plan.layout.gpus)
            assert cell.startswith("{} / {}".format(*found)), (name, sku)
