"""The samples are what a newcomer copies: each must parse, say what to expect, and be complete."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hack.render_install import ROOT
from videollm_operator.api.reasons import REGISTRY, Reason, Stall
from videollm_operator.api.v1alpha1 import VideoLLMDeployment

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))

EXPECTED_PLAN = re.compile(
    r"^# Expected plan: (\d+) x (\S+), tensor (\d+), pipeline (\d+), engine (VLLM|SGLang|TGI)$",
    re.MULTILINE,
)
EXPECTED_REFUSAL = re.compile(r"^# Expected refusal: (\w+)$", re.MULTILINE)

each_sample = pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)


def objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def deployment(path: Path) -> VideoLLMDeployment:
    (found,) = [obj for obj in objects(path) if obj["kind"] == "VideoLLMDeployment"]
    return VideoLLMDeployment.from_object(found)


def test_there_is_a_sample_for_every_case() -> None:
    assert {path.stem for path in SAMPLES} == {
        "fewest-gpus",
        "impossible",
        "llava-1.6-tgi",
        "llava-video-72b-a100-40gb",
        "llava-video-72b-a100-80gb",
        "llava-video-72b-bitsandbytes",
        "llava-video-72b-fp8",
        "llava-video-72b-fp8-checkpoint",
        "llava-video-72b-h100",
        "llava-video-72b-int4",
        "llava-video-72b-int8",
        "llava-video-72b-l40",
        "llava-video-72b-sglang",
        "onevision-7b-l4",
    }


def test_samples_can_be_applied_side_by_side() -> None:
    names = [deployment(path).metadata.name for path in SAMPLES]
    assert len(set(names)) == len(names)
    claims: dict[str, Any] = {}
    for path in SAMPLES:
        for obj in objects(path):
            if obj["kind"] == "PersistentVolumeClaim":
                assert claims.setdefault(obj["metadata"]["name"], obj) == obj


@each_sample
def test_sample_is_named_after_its_file(path: Path) -> None:
    name = deployment(path).metadata.name
    assert name in {path.stem, path.stem.replace("1.6", "v16"), f"llava-video-72b-{path.stem}"}


@each_sample
def test_sample_begins_with_what_it_shows_and_what_to_expect(path: Path) -> None:
    text = path.read_text()
    comment = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("# ")
    assert len(comment) >= 4
    plan, refusal = EXPECTED_PLAN.findall(text), EXPECTED_REFUSAL.findall(text)
    assert len(plan) + len(refusal) == 1
    if plan:
        gpus, sku, tensor, pipeline, _ = plan[0]
        assert int(gpus) == int(tensor) * int(pipeline)
        assert sku == deployment(path).spec.gpu.sku
    else:
        assert REGISTRY[Reason(refusal[0])].stall is Stall.AT_ONCE


@each_sample
def test_sample_leaves_the_context_length_to_the_plan(path: Path) -> None:
    assert deployment(path).spec.workload.max_model_len is None


@each_sample
def test_sample_brings_the_volume_it_reads(path: Path) -> None:
    source = deployment(path).spec.model.source.persistent_volume_claim
    claims = [
        obj["metadata"]["name"] for obj in objects(path) if obj["kind"] == "PersistentVolumeClaim"
    ]
    assert claims == ([source.claim_name] if source else [])
