"""config.json of the original code: one flat object, `mm_*` keys, the tower by name.

Read in LLaVA-NeXT, `llava/model`: `llava_arch.py` (pooling and newlines of a video),
`multimodal_projector/builder.py`, `multimodal_encoder/builder.py`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from videollm_operator.api.architecture import NewlineMode
from videollm_operator.api.sentences import choice, shown
from videollm_operator.checkpoints import images
from videollm_operator.checkpoints.facts import Facts, Source
from videollm_operator.checkpoints.families import FLAT_CLASSES, TEXT, TOWERS
from videollm_operator.checkpoints.parameters import Parts
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.text import read_text, read_tied

if TYPE_CHECKING:
    from videollm_operator.checkpoints.families import Tower
    from videollm_operator.checkpoints.fields import Fields

_MODES = {
    "grid": NewlineMode.GRID,
    "frame": NewlineMode.FRAME,
    "one_token": NewlineMode.ONE_TOKEN,
    "no_token": NewlineMode.NO_TOKEN,
}
_POOLING = ("bilinear", "average", "max")
_STRIDE = 2
"""`get_2dPool(image_feature, stride=2)`, where config.json does not say."""

_FRAMES = {NewlineMode.GRID: 64}
"""LLaVA-Video's README samples 64 frames, LLaVA-OneVision's training at most 32."""


def read(facts: Facts, config: Fields, class_name: str) -> Parts:
    """Puts the facts, and gives what counts follow from.

    Raises:
        CheckpointProblem: if a part is missing, unknown or impossible.
    """
    biases = read_text(facts, config, TEXT[FLAT_CLASSES[class_name]], complete=True)
    read_tied(facts, config)
    tower = _read_tower(facts, config)
    merge = config.text("mm_patch_merge_type") or "flat"
    unpad = "unpad" in merge
    _read_images(facts, config, tower)
    family = "LLaVA 1.6" if unpad else "LLaVA 1.5"
    if class_name == "LlavaQwenForCausalLM":
        mode = _read_video(facts, config, tower, merge)
        family = "LLaVA-Video" if mode is NewlineMode.GRID else "LLaVA-OneVision"
    facts.put("family", family, Source.CONFIG, "class, mm_newline_position, mm_patch_merge_type")
    return Parts(
        biases=biases,
        tower=tower,
        pooling_head=False,
        projector_layers=_projector_layers(config),
        projector_bias=True,
        projector_inputs=1,
        newline=unpad,
    )


def _read_tower(facts: Facts, config: Fields) -> Tower:
    name = config.text("mm_vision_tower")
    if name is None:
        problem = (
            "`mm_vision_tower` is missing in config.json: add the name of the vision tower, such "
            "as 'google/siglip-so400m-patch14-384'"
        )
        raise CheckpointProblem(problem)
    tower = TOWERS.get(name.rstrip("/").rpartition("/")[2].lower())
    if tower is None:
        problem = (
            f"`mm_vision_tower` in config.json is {shown(name)}, whose sizes are not known; those "
            f"of {choice(TOWERS)} are: give the numbers in `spec.model.architecture`"
        )
        raise CheckpointProblem(problem)
    width = config.integer("mm_hidden_size")
    if width not in {None, tower.hidden_size}:
        problem = (
            f"`mm_hidden_size` in config.json is {width}, but {shown(name)} has a width of "
            f"{tower.hidden_size}: correct one of them"
        )
        raise CheckpointProblem(problem)
    for path, value in (
        ("layers", tower.layers),
        ("hiddenSize", tower.hidden_size),
        ("intermediateSize", tower.intermediate_size),
        ("attentionHeads", tower.heads),
        ("patchesPerSide", tower.side),
    ):
        facts.put(f"architecture.vision.{path}", value, Source.TOWER, "mm_vision_tower")
    return tower


def _read_images(facts: Facts, config: Fields, tower: Tower) -> None:
    known: frozenset[tuple[int, int]] = frozenset()
    ratio = config.text("image_aspect_ratio") or "square"
    if ratio.startswith("anyres"):
        known = images.grids(config.raw("image_grid_pinpoints"), tower.image_size)
    tokens, rule = images.largest_image(known, tower.side, images.most_crops(ratio))
    facts.put("architecture.vision.maxImageTokens", tokens, Source.COMPUTED, rule)


def _read_video(facts: Facts, config: Fields, tower: Tower, merge: str) -> NewlineMode:
    pooling = config.text("mm_spatial_pool_mode") or "bilinear"
    if pooling not in _POOLING:
        problem = (
            f"`mm_spatial_pool_mode` in config.json is {shown(pooling)}, but must be "
            f"{choice(_POOLING)}: correct it"
        )
        raise CheckpointProblem(problem)
    stride = config.integer("mm_spatial_pool_stride", most=tower.side) or _STRIDE
    side = -(-tower.side // stride) if pooling == "bilinear" else tower.side // stride
    detail = f"mm_spatial_pool_mode {pooling}, stride {stride}"
    facts.put("architecture.video.pooledSide", side, Source.CONFIG, detail)
    said = config.text("mm_newline_position")
    if said is not None and said not in _MODES:
        problem = (
            f"`mm_newline_position` in config.json is {shown(said)}, but must be "
            f"{choice(_MODES)}: correct it"
        )
        raise CheckpointProblem(problem)
    mode = _MODES[said or "one_token"]
    if mode is NewlineMode.ONE_TOKEN and "unpad" not in merge:
        mode = NewlineMode.NO_TOKEN
    source = Source.CODE if said is None else Source.CONFIG
    facts.put("architecture.video.newlineMode", mode, source, "mm_newline_position")
    frames = _FRAMES.get(mode, 32)
    facts.put("architecture.video.defaultFrames", frames, Source.CODE, "frames the family samples")
    return mode


def _projector_layers(config: Fields) -> int:
    kind = config.text("mm_projector_type") or "linear"
    match = re.fullmatch(r"linear|mlp([1-9])x_gelu", kind)
    if match is None:
        problem = (
            f"`mm_projector_type` in config.json is {shown(kind)}, but what can be read is "
            "'linear' or 'mlp2x_gelu': give the numbers in `spec.model.architecture`"
        )
        raise CheckpointProblem(problem)
    return int(match[1] or 1)
