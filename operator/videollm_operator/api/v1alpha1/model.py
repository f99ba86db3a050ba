"""`spec.model`: which model, where its numbers come from, where its weights lie."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from videollm_operator.api.architecture import Architecture
from videollm_operator.api.base import APIModel, Name, rule, rules


class SecretKeyRef(APIModel):
    """One key of a Secret in the same namespace. The operator passes it on and never reads it."""

    name: Name = Field(description="Name of the Secret.")
    key: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="Key inside the Secret."
    )


class HuggingFaceSource(APIModel):
    """Weights from the Hugging Face hub."""

    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret that holds a hub token, for gated or private models.",
    )


class PersistentVolumeClaimSource(APIModel):
    """Weights that already lie on a PersistentVolumeClaim; mounted read-only."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim in this namespace.")
    path: Annotated[str, Field(max_length=1024, pattern=r"^/.*$")] = Field(
        default="/",
        description="Folder on the volume that holds `config.json`.",
        json_schema_extra=rules(
            rule(
                "!self.contains('..')",
                "`path` must not contain '..': name the folder from the root of the volume",
            )
        ),
    )


class ImageSource(APIModel):
    """Weights packed as an OCI image, mounted as an image volume (Kubernetes 1.36, or its gate)."""

    reference: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Image reference, best with a digest."
    )


class ModelSource(APIModel):
    """Where the weights come from; at most one. Default: the hub, without a token."""

    model_config = {
        "json_schema_extra": rules(
            rule(
                "[has(self.huggingFace), has(self.persistentVolumeClaim), has(self.image)]"
                ".filter(x, x).size() <= 1",
                "`spec.model.source` must name at most one of `huggingFace`, "
                "`persistentVolumeClaim` and `image`: remove the others",
            )
        )
    }

    hugging_face: HuggingFaceSource | None = Field(
        default=None, description="Download from the hub."
    )
    persistent_volume_claim: PersistentVolumeClaimSource | None = Field(
        default=None, description="Read from a volume claim."
    )
    image: ImageSource | None = Field(default=None, description="Mount an OCI image.")


class ModelSpec(APIModel):
    """The model to serve."""

    name: Annotated[
        str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")
    ] = Field(
        description="Hub id of the model, such as `lmms-lab/LLaVA-Video-72B-Qwen2`. Known to the "
        "catalogue, or described by `base` or `architecture`."
    )
    served_name: Annotated[str, Field(max_length=200)] = Field(
        default="", description="Name that clients send as `model`. Default: `name`."
    )
    base: Annotated[str, Field(max_length=200)] = Field(
        default="",
        description="Catalogue model whose architecture this one shares: for a fine-tune, a "
        "converted or a quantized copy.",
    )
    architecture: Architecture | None = Field(
        default=None, description="The model's own numbers, when no catalogue has it."
    )
    revision: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        default="main", description="Branch, tag or commit on the hub."
    )
    source: ModelSource = Field(
        default_factory=ModelSource, description="Where the weights come from."
    )
