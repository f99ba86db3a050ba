"""Weights by tensor class, and what of them lies on one GPU.

What tensor parallelism splits, copies or pads follows vLLM 0.32: `layers/linear.py` (column and
row parallel, `QKVParallelLinear` copies K/V heads below one per rank),
`vocab_parallel_embedding.py` (padding), `models/utils.py` and `distributed/utils.py`
(`get_pp_indices`), `llava_onevision.py` (tower and projector are built on every rank).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.compute import Projection
from videollm_operator.catalog import shapes
from videollm_operator.sizing import constants
from videollm_operator.sizing.formats import PLAIN_BYTES

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture
    from videollm_operator.api.v1alpha1.compute import DType
    from videollm_operator.sizing.formats import Formats
    from videollm_operator.sizing.types import EngineBudget


@dataclass(frozen=True, slots=True)
class Stage:
    """One pipeline stage: how many decoder layers, and whether it is an end of the pipeline."""

    layers: int
    first: bool
    last: bool
    plain: int = 0
    """Of these, decoder layers that are not quantized though others are."""


def stages(layers: int, pipeline: int, plain: tuple[int, ...] = ()) -> tuple[Stage, ...]:
    """Decoder layers of each pipeline stage.

    Args:
        layers: of the decoder.
        pipeline: stages.
        plain: numbers of the layers that are not quantized though others are.

    What is left over after an even split goes to the stages before the last one, backwards from
    it. vLLM 0.32 `distributed/utils.py:get_pp_indices`.
    """
    share, left = divmod(layers, pipeline)
    sizes = [share] * pipeline
    for back in range(2, left + 2):
        sizes[-back] += 1
    ends = tuple(accumulate(sizes))
    return tuple(
        Stage(
            size,
            first=index == 0,
            last=index == pipeline - 1,
            plain=sum(end - size <= layer < end for layer in plain),
        )
        for index, (size, end) in enumerate(zip(sizes, ends, strict=True))
    )


@cache
def kinds_of_stages(layers: int, pipeline: int, plain: tuple[int, ...] = ()) -> tuple[Stage, ...]:
    """The stages of a pipeline without repetitions: their GPUs hold the same."""
    return tuple(dict.fromkeys(stages(layers, pipeline, plain)))


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters by how they are split, and their bytes. All counts are of the whole model."""

    layers: int
    split_per_layer: int
    """q, o and MLP of one decoder layer: divided by TP."""
    per_kv_head: int
    """K and V of one head of one decoder layer: a rank has at least one."""
    kv_heads: int
    small_per_layer: float
    """Norms and biases of one decoder layer: on every rank, never quantized."""
    embedding: int
    """Rows padded."""
    head: int
    """Rows padded; where it is tied but quantized checkpoints carry it again, its size too."""
    tower_split: int
    tower_whole: int
    """Position embeddings, norms and biases of the tower: on every rank."""
    projector: int
    linear_bytes: float
    plain_bytes: int
    tower_bytes: float
    tower_sharded: bool
    projector_sharded: bool
    plain_layers: tuple[int, ...] = ()
    """Decoder layers that are not quantized though others are."""
    plain_split: int = 0
    """Of `split_per_layer`, weights that are not quantized in any layer."""
    plain_kv: bool = False
    """Whether K and V are not quantized in any layer."""

    def kv_heads_of_rank(self, tensor: int) -> int:
        """K/V heads on one rank; copied where there are fewer heads than ranks."""
        return max(1, self.kv_heads // tensor)

    def layers_of_rank(self, tensor: int, stage: Stage) -> float:
        """Bytes of the decoder layers on one rank; what CPU offload may move away."""
        kv = self.per_kv_head * self.kv_heads_of_rank(tensor)
        linear = self.split_per_layer / tensor + kv
        left = self.plain_split / tensor + (kv if self.plain_kv else 0)
        more = self.plain_bytes - self.linear_bytes
        one = linear * self.linear_bytes + left * more + self.small_per_layer * self.plain_bytes
        return one * stage.layers + (linear - left) * more * stage.plain

    def rank(self, tensor: int, stage: Stage, offload_bytes: int = 0) -> float:
        """Bytes on one GPU of a stage.

        Args:
            tensor: tensor-parallel size.
            stage: its pipeline stage.
            offload_bytes: bytes of decoder layers that stay in host memory (vLLM 0.32
                `offloader/uva.py` moves parameters until so many are moved).
        """
        layers = self.layers_of_rank(tensor, stage)
        total = layers - min(offload_bytes, layers)
        if stage.first:
            total += self.embedding * self.plain_bytes / tensor
        if stage.last and self.head:
            total += self.head * self.plain_bytes / tensor
        elif stage.last and not stage.first:  # tied: both ends of a pipeline hold the embedding
            total += self.embedding * self.plain_bytes / tensor
        split = self.tower_split / (tensor if self.tower_sharded else 1)
        total += split * self.tower_bytes + self.tower_whole * self.plain_bytes
        projector = self.projector / (tensor if self.projector_sharded else 1)
        return total + projector * self.plain_bytes


def weights(architecture: Architecture, formats: Formats, budget: EngineBudget) -> Weights:
    """Parameters of a model in these formats, as this engine splits them."""
    text, counts = architecture.text, architecture.parameters
    attention = shapes.attention_parameters(text)
    per_kv_head = 2 * text.hidden_size * text.head_dim
    matrices = shapes.mlp_matrices(architecture)
    mlp = matrices * shapes.mlp_matrix(text)
    small = counts.layers / text.layers - attention - mlp
    padding = matrices * text.hidden_size * (formats.intermediate_size - text.intermediate_size)
    rows = -(-text.vocab_size // constants.VOCABULARY_STEP) * constants.VOCABULARY_STEP
    embedding = rows * text.hidden_size
    # A quantized copy of a tied model carries its head again: published 0.5B INT4 loads 0.25 GiB
    # more than its layers and one embedding. What is quantized while loading stays tied.
    own_head = counts.head > 0 or formats.ready_made
    tower = min(shapes.vision_matrices(architecture), counts.vision)
    plain_kv = Projection.QKV_PROJ in formats.plain_projections
    left = _left_plain(architecture, formats)
    return Weights(
        layers=text.layers,
        split_per_layer=attention - per_kv_head * text.key_value_heads + mlp + padding,
        per_kv_head=per_kv_head,
        kv_heads=text.key_value_heads,
        small_per_layer=max(0.0, small),
        embedding=embedding,
        head=embedding if own_head else 0,
        tower_split=tower,
        tower_whole=counts.vision - tower,
        projector=counts.projector,
        linear_bytes=formats.linear_bytes,
        plain_bytes=formats.plain_bytes,
        tower_bytes=formats.linear_bytes if formats.tower_quantized else formats.plain_bytes,
        tower_sharded=budget.vision_tower_sharded,
        projector_sharded=budget.projector_sharded,
        plain_layers=formats.plain_layers,
        plain_split=left - (per_kv_head * text.key_value_heads if plain_kv else 0),
        plain_kv=plain_kv,
    )


def _matrices(architecture: Architecture, formats: Formats) -> dict[Projection, int]:
    """Weights of one decoder layer by matrix, padding included."""
    text = architecture.text
    return shapes.projection_parameters(
        hidden_size=text.hidden_size,
        attention_heads=text.attention_heads,
        key_value_heads=text.key_value_heads,
        head_dim=text.head_dim,
        intermediate_size=formats.intermediate_size,
        mlp_matrices=shapes.mlp_matrices(architecture),
    )


def _left_plain(architecture: Architecture, formats: Formats) -> int:
    """Weights of one decoder layer that are not quantized in any layer."""
    sizes = _matrices(architecture, formats)
    return sum(sizes[which] for which in formats.plain_projections)


def on_disk(architecture: Architecture, formats: Formats, checkpoint_dtype: DType) -> float:
    """Bytes of the checkpoint: what is downloaded, stored and read.

    Quantization while loading changes nothing on disk.
    """
    counts = architecture.parameters
    plain = PLAIN_BYTES[checkpoint_dtype]
    if not formats.ready_made:
        return counts.total * plain
    text = architecture.text
    padding = (
        shapes.mlp_matrices(architecture)
        * text.layers
        * text.hidden_size
        * (formats.intermediate_size - text.intermediate_size)
    )
    head = counts.head or counts.embedding
    every = _left_plain(architecture, formats)
    whole = sum(_matrices(architecture, formats).values())
    left = every * text.layers + (whole - every) * len(formats.plain_layers)
    rest = counts.embedding + head + counts.vision + counts.projector + left
    return (counts.layers + padding - left) * formats.linear_bytes + rest * min(plain, 2)
