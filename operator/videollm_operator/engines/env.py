"""Checks `spec.engine.env`: a variable that the plan owns would change it behind its back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.problem import Problem
from videollm_operator.api.reasons import Reason
from videollm_operator.api.v1alpha1.engine import EnvVar, EnvVarSource
from videollm_operator.engines.text import literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from videollm_operator.api.v1alpha1 import VideoLLMDeploymentSpec
    from videollm_operator.api.v1alpha1.model import SecretKeyRef

COMMON_OWNED: Mapping[str, str] = {
    "HOME": "leave it to the operator: it is where the engine's user may write",
    "USER": "leave it to the operator: libraries look it up for users that the image lacks",
    "PORT": "set `spec.network.port` instead",
    "HF_HOME": "set `spec.cache` instead",
    "HF_HUB_CACHE": "set `spec.cache` instead",
    "HUGGINGFACE_HUB_CACHE": "set `spec.cache` instead",
    "TRANSFORMERS_CACHE": "set `spec.cache` instead",
    "HF_TOKEN": "set `spec.model.source.huggingFace.tokenSecretRef` instead",
    "HUGGING_FACE_HUB_TOKEN": "set `spec.model.source.huggingFace.tokenSecretRef` instead",
    "HF_HUB_OFFLINE": "set `spec.model.source` instead: it follows from where the weights are",
    "TRANSFORMERS_OFFLINE": "set `spec.model.source` instead: it follows from where the weights "
    "are",
    "HF_HUB_DISABLE_TELEMETRY": "leave it to the operator, which switches telemetry off",
    "DO_NOT_TRACK": "leave it to the operator, which switches telemetry off",
    "CUDA_VISIBLE_DEVICES": "set `spec.gpu` instead: Kubernetes hands out the GPUs",
    "NVIDIA_VISIBLE_DEVICES": "set `spec.gpu` instead: Kubernetes hands out the GPUs",
}
"""Names that every engine shares -> what to do instead."""


def problems(spec: VideoLLMDeploymentSpec, owned: Mapping[str, str]) -> tuple[Problem, ...]:
    """One problem for every variable of `spec.engine.env` that the plan owns."""
    found = []
    for index, variable in enumerate(spec.engine.env):
        if variable.name in owned:
            where = f"spec.engine.env[{index}].name"
            found.append(
                Problem(
                    Reason.ENV_REFUSED,
                    f"`{where}` is '{variable.name}', which the plan sets: remove it and "
                    f"{owned[variable.name]}",
                    where,
                )
            )
    return tuple(found)


def value(name: str, text: str) -> EnvVar:
    """A variable with exactly this value."""
    return EnvVar(name=name, value=literal(text))


def secret(name: str, reference: SecretKeyRef) -> EnvVar:
    """A variable whose value the kubelet takes from a Secret; the operator never sees it."""
    return EnvVar(name=name, value_from=EnvVarSource(secret_key_ref=reference))


def hub(spec: VideoLLMDeploymentSpec, *, offline: bool) -> tuple[EnvVar, ...]:
    """The hub token, if one is named, and the offline switches where nothing is downloaded."""
    source = spec.model.source
    found = []
    if source.hugging_face is not None and source.hugging_face.token_secret_ref is not None:
        found.append(secret("HF_TOKEN", source.hugging_face.token_secret_ref))
    if offline:
        found += [value("HF_HUB_OFFLINE", "1"), value("TRANSFORMERS_OFFLINE", "1")]
    return tuple(found)


def users(spec: VideoLLMDeploymentSpec) -> tuple[EnvVar, ...]:
    """The user's own variables, literally: `$(NAME)` is not expanded."""
    # model_construct: doubling dollars may pass the length that a user is allowed.
    return tuple(
        EnvVar.model_construct(
            name=variable.name,
            value=None if variable.value is None else literal(variable.value),
            value_from=variable.value_from,
        )
        for variable in spec.engine.env
    )
