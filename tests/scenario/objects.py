"""What scenarios begin with: a small deployment, and one that serves."""

from __future__ import annotations

import copy
from typing import Any

from tests.scenario.simulator import Cluster
from videollm_operator.reconcile.world import ChildKey

NAME = "a"
SMALL: dict[str, Any] = {
    "model": {"name": "llava-hf/llava-onevision-qwen2-7b-ov-hf"},
    "gpu": {"sku": "A100-80GB"},
    "workload": {"framesPerVideo": 8},
    "cache": {"type": "EmptyDir"},
}
"""A 7B on one GPU, 8 frames."""

LARGE: dict[str, Any] = {
    "model": {
        "name": "my-org/LLaVA-Video-72B-Qwen2-hf",
        "base": "llava-hf/llava-onevision-qwen2-72b-ov-hf",
        "source": {"persistentVolumeClaim": {"claimName": "weights"}},
    },
    "gpu": {"sku": "A100-80GB"},
}
"""The 72B on four GPUs."""

UNKNOWN_MODEL = {"name": "no/such-model"}

CHILDREN = (
    ChildKey("ServiceAccount", NAME),
    ChildKey("Service", "a-pods"),
    ChildKey("Service", NAME),
    ChildKey("StatefulSet", NAME),
    ChildKey("PodDisruptionBudget", NAME),
)
"""The children of a deployment named `a`, in the order in which they are written."""

STATEFUL_SET = ChildKey("StatefulSet", NAME)


def spec(**sections: Any) -> dict[str, Any]:
    """`SMALL` with other sections."""
    return {**copy.deepcopy(SMALL), **sections}


def fresh(**sections: Any) -> Cluster:
    """A cluster with a deployment `a` that nobody has looked at."""
    cluster = Cluster()
    cluster.create(NAME, spec(**sections))
    return cluster


def serving(**sections: Any) -> Cluster:
    """A cluster with a deployment `a` that serves, and nothing left to do."""
    cluster = fresh(**sections)
    cluster.settle()
    cluster.writes.clear()
    cluster.events.clear()
    return cluster
