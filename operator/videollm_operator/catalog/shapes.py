"""Whether the numbers of a model can belong together, by the shapes of its tensors.

Counts of parameters follow from widths and layers, so a number with a digit too many shows before
it sizes a cluster. Formulas: Hugging Face transformers 5.23, `models/qwen2`, `models/llama`,
`models/siglip`, `models/clip`, `models/llava_onevision` (Linear layers of a decoder layer, a tower
layer and the two-layer projector).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import Projection

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture, TextArchitecture

PATCH_VALUES = 14 * 14 * 3
"""Input values of one patch; the SigLIP and CLIP towers of LLaVA all use patches of 14 x 14 RGB."""


def attention_parameters(text: TextArchitecture) -> int:
    """Weights of q, k, v and o of one decoder layer, without biases."""
    heads = text.attention_heads + text.key_value_heads
    return 2 * text.hidden_size * heads * text.head_dim


def mlp_matrix(text: TextArchitecture) -> int:
    """Weights of one of the matrices of the MLP (gate, up, down) of one decoder layer."""
    return text.hidden_size * text.intermediate_size


def mlp_matrices(architecture: Architecture) -> int:
    """Matrices in the MLP: 3 with a gate (all LLaVA models), 2 without."""
    text = architecture.text
    in_mlp = architecture.parameters.layers - text.layers * attention_parameters(text)
    return 3 if in_mlp >= 3 * text.layers * mlp_matrix(text) else 2


def projection_parameters(
    *,
    hidden_size: int,
    attention_heads: int,
    key_value_heads: int,
    head_dim: int,
    intermediate_size: int,
    mlp_matrices: int = 3,
) -> dict[Projection, int]:
    """Weights of one decoder layer by matrix, as engines join them, without biases."""
    queries = hidden_size * attention_heads * head_dim
    mlp = hidden_size * intermediate_size
    return {
        Projection.QKV_PROJ: queries + 2 * hidden_size * key_value_heads * head_dim,
        Projection.O_PROJ: queries,
        Projection.GATE_UP_PROJ: (mlp_matrices - 1) * mlp,
        Projection.DOWN_PROJ: mlp,
    }


def vision_matrices(architecture: Architecture) -> int:
    """Weights of attention and MLP of all tower layers: what tensor parallelism splits."""
    vision = architecture.vision
    h, inter = vision.hidden_size, vision.intermediate_size
    return vision.layers * (4 * h * h + 2 * h * inter)


def contradictions(architecture: Architecture) -> tuple[tuple[str, str], ...]:
    """What cannot be true of these numbers, as (path inside `architecture`, sentence).

    Exact where the formula is (embedding, head); elsewhere between what the matrices alone need
    and a bound that leaves room for biases, norms, position embeddings and pooling heads.
    """
    text, vision, counts = architecture.text, architecture.vision, architecture.parameters
    found: list[tuple[str, str]] = []

    def between(name: str, count: int, low: int, high: int, because: str) -> None:
        if not low <= count <= high:
            wanted = f"exactly {low}" if low == high else f"between {low} and {high}"
            sentence = (
                f"`parameters.{name}` is {count}, but {because} give {wanted}: correct the one "
                "that is wrong"
            )
            found.append((f"parameters.{name}", sentence))

    embedding = text.vocab_size * text.hidden_size
    between(
        "embedding", counts.embedding, embedding, embedding, "`vocabSize` and `hiddenSize` of text"
    )
    if counts.head:
        between("head", counts.head, embedding, embedding, "`vocabSize` and `hiddenSize` of text")

    attention = text.layers * attention_parameters(text)
    mlp = text.layers * mlp_matrix(text)
    qkv = (text.attention_heads + 2 * text.key_value_heads) * text.head_dim
    small = text.layers * (2 * qkv + 8 * text.hidden_size + 3 * text.intermediate_size)
    between(
        "layers",
        counts.layers,
        attention + 2 * mlp,
        attention + 3 * mlp + small + 2 * text.hidden_size,
        "`layers`, widths and heads of text",
    )

    tower = vision_matrices(architecture)
    positions = vision.patches_per_side**2 + PATCH_VALUES + 64
    between(
        "vision",
        counts.vision,
        tower,
        tower
        + 2 * (tower // vision.layers)
        + (positions + 64 * vision.layers) * vision.hidden_size
        + 16 * vision.layers * vision.intermediate_size,
        "`layers` and widths of vision",
    )

    width = vision.hidden_size + text.hidden_size
    between(
        "projector",
        counts.projector,
        vision.hidden_size * text.hidden_size,
        16 * width * width,
        "`hiddenSize` of vision and of text",
    )

    video = architecture.video
    if video and video.pooled_side > vision.patches_per_side:
        sentence = (
            f"`video.pooledSide` is {video.pooled_side}, but a frame has only "
            f"{vision.patches_per_side} patches per side: pooling cannot make more of them"
        )
        found.append(("video.pooledSide", sentence))
    return tuple(found)
