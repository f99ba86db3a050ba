"""Where things lie in the engine's container; rendering mounts them there."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec

MODEL_MOUNT = "/models"
"""The whole claim or image is mounted here, not a folder of it: hub snapshots link to files
beside their own folder."""

CACHE_PATH = "/cache"
HUB_CACHE = f"{CACHE_PATH}/huggingface"
USER = "videollm"
"""A name for `getpass.getuser()`, which fails for user ids that the image does not know."""


def model_mount(spec: VideoLLMDeploymentSpec) -> str:
    """Where the volume with the weights is mounted; empty for the hub."""
    return "" if spec.model.source.on_hub else MODEL_MOUNT


def model_argument(spec: VideoLLMDeploymentSpec) -> str:
    """What the engine is told to load: the hub id, or the folder with `config.json`."""
    source = spec.model.source
    if source.on_hub:
        return spec.model.name
    claim = source.persistent_volume_claim
    folder = claim.path if claim is not None else "/"
    return posixpath.normpath(f"{MODEL_MOUNT}/{folder}")


def served_name(spec: VideoLLMDeploymentSpec) -> str:
    """The name that clients send as `model`."""
    return spec.model.served_name or spec.model.name
