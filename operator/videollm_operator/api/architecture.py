"""The numbers of a model that sizing needs; the same shape in the catalogue and in `spec.model`.

One class for both, so that a catalogue entry can be pasted into an object and back.
Everything is an integer: parameters are counted, not estimated.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from videollm_operator.api.base import APIModel
from videollm_operator.api.rules import Rule, matching

Count = Annotated[StrictInt, Field(ge=1, le=1_000_000_000_000)]
Size = Annotated[StrictInt, Field(ge=1, le=10_000_000)]


class NewlineMode(StrEnum):
    """Where a video gets newline embeddings (`mm_newline_position` of the original code)."""

    GRID = "Grid"  # after every row of every frame: LLaVA-Video
    FRAME = "Frame"  # after every frame
    ONE_TOKEN = "OneToken"  # once after the video: LLaVA-OneVision
    NO_TOKEN = "NoToken"  # never: LLaVA-NeXT-Video


class TextArchitecture(APIModel):
    """The language model."""

    layers: Size = Field(description="Decoder layers.")
    hidden_size: Size = Field(description="Width of the residual stream.")
    intermediate_size: Size = Field(description="Width of the MLP.")
    attention_heads: Size = Field(description="Query heads.")
    key_value_heads: Size = Field(description="Key/value heads; fewer than query heads under GQA.")
    head_dim: Size = Field(description="Width of one head.")
    vocab_size: Size = Field(description="Rows of the embedding in the checkpoint.")
    max_position_embeddings: Size = Field(description="Longest context the model was made for.")
    tie_word_embeddings: StrictBool = Field(
        default=False, description="Whether the head shares the embedding's weights."
    )


class VisionArchitecture(APIModel):
    """The vision tower, as far as the engine loads it."""

    layers: Size = Field(description="Encoder layers that are loaded.")
    hidden_size: Size = Field(description="Width of the tower.")
    intermediate_size: Size = Field(description="Width of its MLP.")
    attention_heads: Size = Field(description="Heads; tensor parallelism must divide them.")
    patches_per_side: Size = Field(
        description="Patches along one side of a frame (27 for SigLIP 384/14)."
    )
    max_image_tokens: Annotated[StrictInt, Field(ge=0, le=10_000_000)] = Field(
        default=0, description="Tokens of the largest image the processor makes; 0 if unknown."
    )


class VideoArchitecture(APIModel):
    """How a frame becomes tokens. Absent for models that take images only."""

    pooled_side: Size = Field(
        description="Patches along one side after pooling (14 for LLaVA-Video, 12 for NeXT-Video)."
    )
    newline_mode: NewlineMode = Field(description="Where newline embeddings are added.")
    default_frames: Size = Field(description="Frames that the model's own code samples.")


class ParameterCounts(APIModel):
    """Exact parameters by tensor class. Their sum is the size of the checkpoint."""

    layers: Count = Field(description="All decoder layers together, norms included.")
    embedding: Count = Field(description="Input embedding.")
    head: Annotated[StrictInt, Field(ge=0, le=1_000_000_000_000)] = Field(
        description="Output head; 0 if tied to the embedding."
    )
    vision: Count = Field(description="Vision tower.")
    projector: Count = Field(description="Multimodal projector, newline embedding included.")

    @property
    def total(self) -> int:
        """Parameters of the whole checkpoint."""
        return self.layers + self.embedding + self.head + self.vision + self.projector


class Architecture(APIModel):
    """Everything that sizing and engine selection need to know of a model."""

    cel_rules = (
        Rule(
            "self.text.tieWordEmbeddings ? self.parameters.head == 0 : self.parameters.head > 0",
            "`parameters.head` must be 0 if `text.tieWordEmbeddings` is true, and more than 0 if "
            "it is false: make them agree with the checkpoint",
            lambda self: self.text.tie_word_embeddings == (self.parameters.head == 0),
            ".parameters.head",
        ),
        Rule(
            "self.text.attentionHeads % self.text.keyValueHeads == 0",
            "`text.attentionHeads` must be a multiple of `text.keyValueHeads`: copy both from "
            "the model's config.json",
            lambda self: self.text.attention_heads % self.text.key_value_heads == 0,
            ".text.attentionHeads",
        ),
    )

    class_name: Annotated[
        str,
        Field(min_length=1, max_length=100),
        matching(
            "[A-Za-z][A-Za-z0-9]*",
            "must be a class name such as 'LlavaQwenForCausalLM': copy `architectures[0]` from the "
            "model's config.json",
        ),
    ] = Field(
        description="`architectures[0]` of config.json, such as `LlavaQwenForCausalLM`; decides "
        "which engine can load the checkpoint."
    )
    text: TextArchitecture = Field(description="Language model.")
    vision: VisionArchitecture = Field(description="Vision tower.")
    video: VideoArchitecture | None = Field(
        default=None, description="Frames to tokens; leave out for image-only models."
    )
    parameters: ParameterCounts = Field(description="Exact parameter counts by tensor class.")
