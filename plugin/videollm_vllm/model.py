"""LLaVA-Video as a vLLM model: its weight names, its pooling, its newlines.

Tower, projector, language model, tensor and pipeline parallelism are those of vLLM's
LLaVA-OneVision, which has the same parts. Checked with vLLM 0.32 by running and with 0.33 by its
source, where that class is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers.models.llava_onevision.modeling_llava_onevision import (
    get_anyres_image_grid_shape,
)
from vllm.model_executor.models.llava_onevision import (
    LlavaOnevisionDummyInputsBuilder,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionMultiModalProcessor,
    LlavaOnevisionProcessingInfo,
)
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from videollm_vllm.layout import STRIDE, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vllm.config import VllmConfig
    from vllm.model_executor.models.llava_onevision import LlavaOnevisionVideoPixelInputs

MOST_FRAMES = 64
"""Frames of the largest video that vLLM prepares for: what LLaVA-Video was trained with."""


class LlavaVideoProcessingInfo(LlavaOnevisionProcessingInfo):
    """How many tokens an item has."""

    @property
    def layout(self) -> Layout:
        """The checkpoint's layout."""
        return Layout.of(self.get_hf_config())

    def get_num_video_tokens(self, *, image_width: int, image_height: int, num_frames: int) -> int:
        """Tokens of a video; frames are resized, so their size does not matter."""
        return self.layout.video_tokens(num_frames)

    def get_num_image_tokens(self, *, image_width: int, image_height: int) -> int:
        """Tokens of an image of this size in pixels."""
        config = self.get_hf_config()
        down, across = get_anyres_image_grid_shape(
            (image_height, image_width),
            config.image_grid_pinpoints,
            config.vision_config.image_size,
        )
        return self.layout.image_tokens(image_width, image_height, across, down)

    def get_num_frames_with_most_features(self, seq_len: int, mm_counts: Mapping[str, int]) -> int:
        """Frames of the video by which vLLM sizes its encoder cache."""
        videos = max(mm_counts.get("video", 0), 1)
        return max(min(self._get_max_video_frames(seq_len) // videos, MOST_FRAMES), 1)


@MULTIMODAL_REGISTRY.register_processor(
    LlavaOnevisionMultiModalProcessor,
    info=LlavaVideoProcessingInfo,
    dummy_inputs=LlavaOnevisionDummyInputsBuilder,
)
class LlavaQwenForCausalLM(LlavaOnevisionForConditionalGeneration):
    """`LlavaQwenForCausalLM` of the LLaVA-NeXT repository."""

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={  # in this order: "model." would match all others
            "model.vision_tower.vision_tower.": "vision_tower.",
            "model.mm_projector.0.": "multi_modal_projector.linear_1.",
            "model.mm_projector.2.": "multi_modal_projector.linear_2.",
            "model.image_newline": "image_newline",
            "model.faster_token": None,  # of "faster" videos, which `prepare` refuses
            "lm_head.": "language_model.lm_head.",
            "model.": "language_model.model.",
        }
    )

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.layout = Layout.of(self.config)

    def apply_pooling(self, image_features: torch.Tensor, stride: int = STRIDE) -> torch.Tensor:
        """Pool frames: (frames, patches, features) to (frames, rows, columns, features)."""
        side = self.layout.patches
        frames, _, features = image_features.shape
        grid = image_features.view(frames, side, side, features).permute(0, 3, 1, 2)
        if self.layout.pooling == "average":
            pooled = torch.nn.functional.avg_pool2d(grid, stride)
        elif self.layout.pooling == "max":
            pooled = torch.nn.functional.max_pool2d(grid, stride)
        else:
            size = (self.layout.rows, self.layout.rows)
            pooled = torch.nn.functional.interpolate(grid, size=size, mode="bilinear")
        return pooled.permute(0, 2, 3, 1)

    def _process_video_pixels(self, inputs: LlavaOnevisionVideoPixelInputs) -> list[torch.Tensor]:
        """Each video's embeddings, (tokens, features)."""
        videos = list(inputs["pixel_values_videos"])
        pooled = self._video_pixels_to_features(self.vision_tower, torch.cat(videos))
        return [self._lay_out(video) for video in pooled.split([len(video) for video in videos])]

    def _lay_out(self, frames: torch.Tensor) -> torch.Tensor:
        """Tokens of a video in their order, (frames, rows, columns, features) given."""
        if self.layout.newline == "grid":
            return self._end_lines(frames)
        if self.layout.newline == "frame":
            return self._end_lines(frames.flatten(1, 2))
        if self.layout.newline == "one_token":
            return self._end_lines(frames.flatten(0, 2))
        return frames.flatten(0, 2)

    def _end_lines(self, lines: torch.Tensor) -> torch.Tensor:
        """Put a newline at the end of each line, (..., tokens, features), and join the lines."""
        newline = self.image_newline.to(lines).expand(*lines.shape[:-2], 1, -1)
        return torch.cat((lines, newline), dim=-2).flatten(0, -2)

    def _merge_image_patch_embeddings(
        self, image_size: torch.Tensor, patch_embeddings: torch.Tensor, **_: object
    ) -> torch.Tensor:
        """Tokens of an image in their order: its overview, then its crops put together.

        Args:
            image_size: height and width as it was sent, in pixels.
            patch_embeddings: (1 + crops, patches, features); crops of other images' number may
                follow.
        """
        overview, crops = patch_embeddings[0], patch_embeddings[1:]
        if not len(crops):
            return self._end_lines(overview)
        height, width = image_size.tolist()
        down, across = get_anyres_image_grid_shape(
            (height, width), self.config.image_grid_pinpoints, self.config.vision_config.image_size
        )
        side = self.layout.patches
        whole = crops[: down * across].view(down, across, side, side, -1)
        whole = whole.permute(4, 0, 2, 1, 3).flatten(3, 4).flatten(1, 2)
        cells = self.layout.image_cells(width, height, across, down)
        shown = whole[
            :, cells.top : cells.top + cells.rows, cells.left : cells.left + cells.columns
        ]
        if cells.shrunk:
            size = (cells.shrunk_rows, cells.shrunk_columns)
            shown = torch.nn.functional.interpolate(shown[None], size=size, mode="bilinear")[0]
        return torch.cat((overview, self._end_lines(shown.permute(1, 2, 0))))
