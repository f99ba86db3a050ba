"""`spec.model`: which model, where its numbers come from, where its weights lie."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from videollm_operator.api.architecture import Architecture
from videollm_operator.api.base import APIModel
from videollm_operator.api.fields import NO_NUL, Name
from videollm_operator.api.rules import Rule, matching

HUB_ID = "[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?"


class SecretKeyRef(APIModel):
    """One key of a Secret in the same namespace. The operator passes it on and never reads it."""

    name: Name = Field(description="Name of the Secret.")
    key: Annotated[
        str,
        Field(min_length=1, max_length=253),
        matching(
            "[A-Za-z0-9._-]+",
            "must be a key of a Secret: letters, digits, '-', '_' and '.' only",
        ),
    ] = Field(description="Key inside the Secret.")


class HuggingFaceSource(APIModel):
    """Weights from the Hugging Face hub."""

    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret that holds a hub token, for gated or private models.",
    )


class PersistentVolumeClaimSource(APIModel):
    """Weights that already lie on a PersistentVolumeClaim; mounted read-only."""

    claim_name: Name = Field(description="Name of the PersistentVolumeClaim in this namespace.")
    path: Annotated[
        str,
        Field(max_length=1024),
        Rule(
            "self.startsWith('/') && !self.split('/').exists(part, part == '..')",
            "must begin with '/' and have no '..' in it: name the folder from the root of the "
            "volume",
            lambda path: path.startswith("/") and ".." not in path.split("/"),
        ),
    ] = Field(default="/", description="Folder on the volume that holds `config.json`.")


class ImageSource(APIModel):
    """Weights packed as an OCI image, mounted as an image volume (Kubernetes 1.36, or its gate)."""

    reference: Annotated[
        str,
        Field(min_length=1, max_length=1024),
        matching(r"[^\s]+", "must be an image reference without white space"),
    ] = Field(description="Image reference, best with a digest.")


class ModelSource(APIModel):
    """Where the weights come from; at most one. Default: the hub, without a token."""

    cel_rules = (
        Rule(
            "[has(self.huggingFace), has(self.persistentVolumeClaim), has(self.image)]"
            ".filter(given, given).size() <= 1",
            "`spec.model.source` must name at most one of `huggingFace`, "
            "`persistentVolumeClaim` and `image`: remove the others",
            lambda self: (
                [self.hugging_face, self.persistent_volume_claim, self.image].count(None) >= 2
            ),
        ),
    )

    hugging_face: HuggingFaceSource | None = Field(
        default=None, description="Download from the hub."
    )
    persistent_volume_claim: PersistentVolumeClaimSource | None = Field(
        default=None, description="Read from a volume claim."
    )
    image: ImageSource | None = Field(default=None, description="Mount an OCI image.")

    @property
    def on_hub(self) -> bool:
        """Whether the weights are downloaded from the hub."""
        return self.persistent_volume_claim is None and self.image is None


class ModelSpec(APIModel):
    """The model to serve."""

    cel_rules = (
        Rule(
            "!has(self.base) || self.base == '' || !has(self.architecture)",
            "`spec.model.base` and `spec.model.architecture` must not both be set: remove "
            "`architecture` to take the numbers of `base`, or remove `base`",
            lambda self: not self.base or self.architecture is None,
            ".base",
        ),
        Rule(
            "self.revision == 'main' || "
            "!(has(self.source.persistentVolumeClaim) || has(self.source.image))",
            "`spec.model.revision` must be left out when the weights come from a volume claim or "
            "an image, which have no revisions: remove it",
            lambda self: self.revision == "main" or self.source.on_hub,
            ".revision",
        ),
    )

    name: Annotated[
        str,
        Field(min_length=1, max_length=200),
        matching(
            HUB_ID,
            "must be a model id such as 'lmms-lab/LLaVA-Video-72B-Qwen2': letters, digits, '-', "
            "'_' and '.', with at most one '/'",
        ),
    ] = Field(
        description="Hub id of the model, such as `lmms-lab/LLaVA-Video-72B-Qwen2`. Known to the "
        "catalogue, or described by `base` or `architecture`."
    )
    served_name: Annotated[str, Field(max_length=200), NO_NUL] = Field(
        default="", description="Name that clients send as `model`. Default: `name`."
    )
    base: Annotated[
        str,
        Field(max_length=200),
        matching(
            f"({HUB_ID})?",
            "must be the id of a catalogue model such as 'lmms-lab/LLaVA-Video-72B-Qwen2' "
            "(`videollm models` lists them): correct it, or remove the field",
        ),
    ] = Field(
        default="",
        description="Catalogue model whose architecture this one shares: for a fine-tune, a "
        "converted or a quantized copy.",
    )
    architecture: Architecture | None = Field(
        default=None, description="The model's own numbers, when no catalogue has it."
    )
    revision: Annotated[
        str,
        Field(min_length=1, max_length=200),
        matching(
            "[A-Za-z0-9][A-Za-z0-9._/-]*",
            "must be a branch, tag or commit: letters, digits, '-', '_', '.' and '/' only",
        ),
    ] = Field(default="main", description="Branch, tag or commit on the hub.")
    source: ModelSource = Field(
        default_factory=ModelSource, description="Where the weights come from."
    )
