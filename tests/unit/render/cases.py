"""The handful of objects that golden files show and that a real API server is asked about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.render import builders, everything
from videollm_operator.render.manifests import render

if TYPE_CHECKING:
    from collections.abc import Callable

WEIGHTS_CLAIM = {
    "name": "org/model",
    "source": {"persistentVolumeClaim": {"claimName": "weights", "path": "/llava"}},
}
WEIGHTS_IMAGE = {
    "name": "org/model",
    "source": {"image": {"reference": "registry.example/weights@sha256:" + "0" * 64}},
}


def _download() -> tuple[dict[str, Any], ...]:
    return render(builders.deployment(), builders.planned())


def _shared_cache() -> tuple[dict[str, Any], ...]:
    cache = {"accessMode": "ReadWriteMany", "retain": "Retain", "storageClassName": "nfs"}
    return render(builders.deployment(cache=cache, replicas=2), builders.planned())


def _weights_on_claim() -> tuple[dict[str, Any], ...]:
    local = builders.launch(model_mount="/models", args=("/models/llava",))
    return render(builders.deployment(model=WEIGHTS_CLAIM), builders.planned(local))


def _weights_in_image() -> tuple[dict[str, Any], ...]:
    local = builders.launch(model_mount="/models", args=("/models",))
    return render(builders.deployment(model=WEIGHTS_IMAGE), builders.planned(local))


def _everything() -> tuple[dict[str, Any], ...]:
    return render(everything.deployment(), everything.planned())


def _own_account_and_nodes() -> tuple[dict[str, Any], ...]:
    return render(
        builders.deployment(
            uid="",
            gpu={"sku": "A100-80GB", "nodeSelection": "None"},
            podTemplate={"serviceAccountName": "engine"},
            cache={"type": "EmptyDir", "size": "200Gi"},
        ),
        builders.planned(builders.launch(env=(), pre_stop_seconds=0)),
    )


CASES: dict[str, Callable[[], tuple[dict[str, Any], ...]]] = {
    "download": _download,
    "shared-cache": _shared_cache,
    "weights-on-claim": _weights_on_claim,
    "weights-in-image": _weights_in_image,
    "everything": _everything,
    "own-account-and-nodes": _own_account_and_nodes,
}
