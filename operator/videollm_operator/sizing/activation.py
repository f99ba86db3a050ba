"""What an engine needs beyond weights and KV cache while it works, per GPU.

Encoder, decoder and sampler run one after the other, so the largest of the three counts; buffers
that stay are added. vLLM 0.32 `v1/worker/gpu/model_runner.py` (`profile_run`): the encoder runs on
the first pipeline stage only, the sampler on the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from videollm_operator.api.v1alpha1.engine import EngineType
from videollm_operator.catalog.shapes import PATCH_VALUES
from videollm_operator.sizing import constants
from videollm_operator.sizing.types import VideoRoute

if TYPE_CHECKING:
    from videollm_operator.api.architecture import Architecture
    from videollm_operator.api.v1alpha1.compute import WorkloadSpec
    from videollm_operator.sizing.formats import Formats
    from videollm_operator.sizing.tokens import Tokens
    from videollm_operator.sizing.types import EngineBudget
    from videollm_operator.sizing.weights import Stage


def batched_tokens(budget: EngineBudget, tokens: Tokens, sequences: int) -> int:
    """Tokens of one engine step (`--max-num-batched-tokens`).

    vLLM's own classes refuse an item that is larger than max(batched tokens, largest profiled
    item), and profile OneVision with 16 frames: the whole video must fit. vLLM 0.32
    `v1/engine/input_processor.py`, `v1/core/encoder_cache_manager.py`. The project's plugin takes
    the largest item from the plan instead. TGI prefills a multimodal prompt in one step (TGI 3.3.7
    `vlm_causal_lm.py`). vLLM wants no fewer tokens than sequences.
    """
    least = constants.BATCHED_TOKENS
    if budget.route is VideoRoute.WHOLE_CLIP:
        least = max(least, -(-tokens.largest_item // 16) * 16)
    if budget.type is EngineType.TGI:
        least = max(least, tokens.context)
    return max(least, sequences)


class Phase(StrEnum):
    """What runs when activation is at its peak."""

    ENCODER = "encoder"
    DECODER = "decoder"
    SAMPLER = "sampler"


@dataclass(frozen=True, slots=True)
class Peak:
    """Activation of one GPU, in bytes."""

    phase: Phase
    """The largest phase."""
    phase_bytes: float
    """Its tensors, and the embeddings or hidden states of the step beside them."""
    bound_bytes: float
    """How much larger they may be: of whichever phase could be the largest."""
    encoder_cache: float
    sampler_state: float


@dataclass(frozen=True, slots=True)
class Activation:
    """Peak sizes that depend on model and workload; bytes come out per GPU."""

    hidden: int
    intermediate: int
    rows: int
    """Vocabulary, padded."""
    value_bytes: int
    frames_at_once: int
    """Frames, or crops of images, that encoder and projector hold at the same time."""
    frames_of_step: int
    """Frames whose pixels lie on the GPU at the same time."""
    patches: int
    """Patches of one frame before pooling."""
    tower_hidden: int
    tower_intermediate: int
    tower_sharded: bool
    cached_tokens: int
    """Tokens that the encoder cache keeps."""
    batched: int
    sequences: int
    sampler_bytes: float
    sampler_state_bytes: float
    sampler_bound_bytes: float = 0.0

    def encoder(self, tensor: int) -> float:
        """Peak of tower and projector, bytes: the larger of the two.

        Projector: the tower's output, and two tensors of patches x hidden size, on every rank
        unsplit (2 x 64 x 729 x 8192 x 2 bytes = 1.4 GiB for 64 frames of the 72B at once). Tower:
        residual, normed input, and the MLP before and after its activation. Pixels of the whole
        step lie beside both.
        """
        tower_width = self.tower_intermediate / (tensor if self.tower_sharded else 1)
        projector = constants.PROJECTOR_TENSORS * self.hidden + self.tower_hidden
        tower = 2 * self.tower_hidden + 2 * tower_width
        values = self.frames_at_once * max(projector, tower) + self.frames_of_step * PATCH_VALUES
        return values * self.patches * self.value_bytes

    def decoder(self, tensor: int) -> float:
        """Peak of a decoder layer, bytes: `tokens x (3 hidden + 3 MLP / TP)`.

        Within 5 % of the one measurement: 1.92 GiB for 2.02 (Qwen2.5-1.5B, 32768 tokens at once).
        """
        width = 3 * self.hidden + 3 * self.intermediate / tensor
        return self.batched * width * self.value_bytes

    def sampler(self) -> float:
        """Peak of the sampler, bytes; logits are gathered from all ranks."""
        return self.sequences * self.rows * self.sampler_bytes

    def rank(self, tensor: int, stage: Stage) -> Peak:
        """What one GPU of a stage needs: the largest phase, and the buffers that stay.

        Those are, on the first stage, the embeddings of one step and the encoder cache; on later
        ones what the stage before hands over (hidden states and residual); on the last one the
        sampler's statistics.
        """
        decoder = self.decoder(tensor)
        phase, peak = Phase.DECODER, decoder
        share = 1 + constants.PEAK_BOUND_PERMILLE / 1000
        most = decoder * share
        row = self.hidden * self.value_bytes
        cache = state = 0.0
        if stage.first:
            encoder = self.encoder(tensor)
            if encoder > peak:
                phase, peak = Phase.ENCODER, encoder
            most = max(most, encoder * share)
            step = self.batched * row
            cache = self.cached_tokens * row
        else:
            step = 2 * self.batched * row
        if stage.last:
            sampler = self.sampler()
            if sampler > peak:
                phase, peak = Phase.SAMPLER, sampler
            logits = self.sequences * self.rows
            most = max(most, sampler + logits * self.sampler_bound_bytes)
            state = logits * self.sampler_state_bytes
        return Peak(phase, peak + step, most - peak, cache, state)


def activation(
    architecture: Architecture,
    formats: Formats,
    budget: EngineBudget,
    workload: WorkloadSpec,
    tokens: Tokens,
    sequences: int,
) -> Activation:
    """The sizes for one choice of `--max-num-seqs`."""
    text, vision = architecture.text, architecture.vision
    batched = batched_tokens(budget, tokens, sequences)
    patches = vision.patches_per_side**2
    image = vision.max_image_tokens
    crops = -(-image // patches) + 1 if image else 1
    if architecture.video is None or budget.route is VideoRoute.IMAGES:
        # One image is an item; a step takes as many as its tokens hold, at least one.
        at_once = of_step = crops * max(1, batched // tokens.per_frame)
    else:
        # A step takes whole videos as long as its tokens hold them, at least one.
        of_step = max(workload.frames_per_video, batched // tokens.per_frame)
        chunked = budget.route is VideoRoute.CHUNKED
        at_once = min(of_step, constants.CHUNK_FRAMES) if chunked else of_step
    # vLLM's video models are started without images, so their largest item is the video.
    cached = max(batched, tokens.largest_item)
    rows = -(-text.vocab_size // constants.VOCABULARY_STEP) * constants.VOCABULARY_STEP
    return Activation(
        hidden=text.hidden_size,
        intermediate=formats.intermediate_size,
        rows=rows,
        value_bytes=formats.plain_bytes,
        frames_at_once=at_once,
        frames_of_step=of_step,
        patches=patches,
        tower_hidden=vision.hidden_size,
        tower_intermediate=vision.intermediate_size,
        tower_sharded=budget.vision_tower_sharded,
        cached_tokens=cached,
        batched=batched,
        sequences=sequences,
        sampler_bytes=budget.sampler_bytes_per_logit,
        sampler_state_bytes=budget.sampler_state_bytes_per_logit,
        sampler_bound_bytes=budget.sampler_bound_bytes_per_logit,
    )
