"""What the comment of each sample promises is what the planner says today."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from hack.render_install import ROOT
from videollm_operator.api.problem import Refused
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment
from videollm_operator.sizing import sizing_status

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))


def promised(path: Path) -> str:
    found = re.search(r"^# (Expected .*)$", path.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def planned(path: Path) -> str:
    """The plan or refusal in the words of the samples' comments."""
    objects = yaml.safe_load_all(path.read_text())
    deployment = VideoLLMDeployment.from_object(
        next(obj for obj in objects if obj["kind"] == "VideoLLMDeployment")
    )
    try:
        plan = plan_deployment(deployment.spec, builtin())
    except Refused as refused:
        return f"Expected refusal: {refused.problems[0].reason}"
    assert plan.launch is not None, "the engine cannot run it yet"
    status = sizing_status(plan.plan, deployment.spec.replicas)
    return (
        f"Expected plan: {status.gpus_per_replica} x {deployment.spec.gpu.sku}, "
        f"tensor {status.tensor_parallel_size}, pipeline {status.pipeline_parallel_size}, "
        f"engine {plan.resolved.engine.type}"
    )


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_gets_the_plan_that_its_comment_promises(path: Path) -> None:
    assert planned(path) == promised(path)
