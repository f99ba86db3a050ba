"""`videollm.io/v1alpha1`: the kind `VideoLLMDeployment`, as pydantic models."""

from videollm_operator.api.v1alpha1.deployment import VideoLLMDeployment
from videollm_operator.api.v1alpha1.spec import VideoLLMDeploymentSpec
from videollm_operator.api.v1alpha1.status import VideoLLMDeploymentStatus

__all__ = ["VideoLLMDeployment", "VideoLLMDeploymentSpec", "VideoLLMDeploymentStatus"]
