"""The kind itself: names, columns, scale, and the object as the operator reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from videollm_operator.api.base import APIModel
from videollm_operator.api.fields import Name
from videollm_operator.api.v1alpha1.spec import VideoLLMDeploymentSpec
from videollm_operator.api.v1alpha1.status import VideoLLMDeploymentStatus

GROUP = "videollm.io"
VERSION = "v1alpha1"
KIND = "VideoLLMDeployment"
PLURAL = "videollmdeployments"
SINGULAR = "videollmdeployment"
SHORT_NAMES = ("vld",)
CATEGORIES = ("inference",)
SCOPE = "Namespaced"
API_VERSION = f"{GROUP}/{VERSION}"


class ObjectMeta(APIModel):
    """The part of an object's metadata that the operator reads; the rest is ignored."""

    model_config = ConfigDict(extra="ignore")

    name: Name = Field(description="Name of the object.")
    namespace: str = Field(default="default", description="Its namespace.")
    uid: str = Field(default="", description="Its identity; empty for an object from a file.")
    generation: int = Field(default=0, description="Counts changes of the spec.")
    resource_version: str = Field(default="", description="Version for optimistic locking.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    deletion_timestamp: str | None = Field(default=None, description="Set while being deleted.")


def _own_status(value: Any, parse: ValidatorFunctionWrapHandler) -> VideoLLMDeploymentStatus:
    """The status, or an empty one where it cannot be read: it is no input, and never refused."""
    try:
        status: VideoLLMDeploymentStatus = parse(value)
    except ValidationError:
        return VideoLLMDeploymentStatus()
    return status


class VideoLLMDeployment(APIModel):
    """A video language model served on GPUs: sized, templated, observed."""

    api_version: Literal["videollm.io/v1alpha1"] = Field(
        default="videollm.io/v1alpha1", description="API group and version."
    )
    kind: Literal["VideoLLMDeployment"] = Field(default="VideoLLMDeployment", description="Kind.")
    metadata: ObjectMeta = Field(description="Object metadata.")
    spec: VideoLLMDeploymentSpec = Field(description="What to run.")
    status: Annotated[VideoLLMDeploymentStatus, WrapValidator(_own_status)] = Field(
        default_factory=VideoLLMDeploymentStatus, description="What is."
    )

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> VideoLLMDeployment:
        """Reads an object as the API server gives it; `api.validation.parse` makes sentences.

        Raises:
            pydantic.ValidationError: if it does not match the schema or breaks a rule.
        """
        return cls.read(obj)
