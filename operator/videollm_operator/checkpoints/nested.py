"""config.json as transformers writes it: `text_config` and `vision_config` inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from videollm_operator.api.architecture import NewlineMode
from videollm_operator.api.sentences import choice, shown
from videollm_operator.checkpoints import images
from videollm_operator.checkpoints.facts import Facts, Source
from videollm_operator.checkpoints.families import NESTED_CLASSES, TEXT, TOWER_DEFAULTS, TowerKind
from videollm_operator.checkpoints.parameters import Parts
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.text import read_text, read_tied

if TYPE_CHECKING:
    from videollm_operator.checkpoints.families import Tower
    from videollm_operator.checkpoints.fields import Fields

LLAVA, NEXT, NEXT_VIDEO, ONEVISION = NESTED_CLASSES.values()

FAMILIES = {
    LLAVA: "LLaVA 1.5",
    NEXT: "LLaVA 1.6",
    NEXT_VIDEO: "LLaVA-NeXT-Video",
    ONEVISION: "LLaVA-OneVision",
}

DEFAULT_FRAMES = 32
"""Frames that the families' own code samples (model cards; vLLM's loader)."""


def read(facts: Facts, config: Fields, class_name: str) -> tuple[Fields, Parts]:
    """Puts the facts, and gives the part of the language model and what counts follow from.

    Raises:
        CheckpointProblem: if a part is missing, unknown or impossible.
    """
    text, vision = config.section("text_config"), config.section("vision_config")
    if text is None or vision is None:
        missing = "text_config" if text is None else "vision_config"
        problem = (
            f"config.json describes a {class_name}, but has no `{missing}`: transformers would "
            "fill in the sizes of LLaVA 1.5 7B without a word; take the config.json of the model "
            "itself"
        )
        raise CheckpointProblem(problem)
    family = TEXT.get(text.text("model_type") or "llama")
    if family is None:
        problem = (
            f"`text_config.model_type` in config.json is {shown(text.text('model_type'))}, but "
            f"what can be read is {choice(TEXT)}: give the numbers in `spec.model.architecture`"
        )
        raise CheckpointProblem(problem)
    facts.put("family", FAMILIES[class_name], Source.CONFIG, "class")
    biases = read_text(facts, text, family, complete=False)
    read_tied(facts, text, config)
    tower, head = _read_tower(facts, vision)
    _read_images(facts, config, class_name, tower)
    _read_video(facts, config, class_name, tower)
    layers = config.raw("vision_feature_layer")
    parts = Parts(
        biases=biases,
        tower=tower,
        pooling_head=head,
        projector_layers=2,
        projector_bias=config.boolean("multimodal_projector_bias") is not False,
        projector_inputs=len(layers) if isinstance(layers, list) and 0 < len(layers) < 100 else 1,
        newline=class_name != LLAVA,
    )
    return text, parts


def _read_tower(facts: Facts, vision: Fields) -> tuple[Tower, bool]:
    """The tower, and whether it has its pooling head."""
    kind = vision.text("model_type") or "clip_vision_model"
    default = TOWER_DEFAULTS.get(kind)
    if default is None:
        problem = (
            f"`vision_config.model_type` in config.json is {shown(kind)}, but what can be read is "
            f"{choice(TOWER_DEFAULTS)}: give the numbers in `spec.model.architecture`"
        )
        raise CheckpointProblem(problem)
    sizes = {}
    for key, attribute, path in (
        ("num_hidden_layers", "layers", "layers"),
        ("hidden_size", "hidden_size", "hiddenSize"),
        ("intermediate_size", "intermediate_size", "intermediateSize"),
        ("num_attention_heads", "heads", "attentionHeads"),
        ("image_size", "image_size", ""),
        ("patch_size", "patch_size", ""),
    ):
        said = vision.integer(key)
        value = sizes[attribute] = said or getattr(default, attribute)
        if path:
            source = Source.LIBRARY if said is None else Source.CONFIG
            facts.put(f"architecture.vision.{path}", value, source, vision.place(key))
    tower = type(default)(default.kind, **sizes)
    if tower.side < 1:
        problem = (
            f"`vision_config` in config.json has images of {tower.image_size} pixels and patches "
            f"of {tower.patch_size}: no patch fits into an image; correct one of them"
        )
        raise CheckpointProblem(problem)
    detail = "vision_config.image_size / patch_size"
    facts.put("architecture.vision.patchesPerSide", tower.side, Source.COMPUTED, detail)
    head = tower.kind is TowerKind.SIGLIP and vision.boolean("vision_use_head") is not False
    return tower, head


def _read_images(facts: Facts, config: Fields, class_name: str, tower: Tower) -> None:
    path = "architecture.vision.maxImageTokens"
    if class_name == NEXT_VIDEO:
        facts.put(path, 0, Source.CODE, "vLLM's class takes videos only")
        return
    known: frozenset[tuple[int, int]] = frozenset()
    if class_name != LLAVA:
        known = images.grids(config.raw("image_grid_pinpoints"), tower.image_size)
    crops = 0
    if class_name == ONEVISION:
        crops = images.most_crops(config.text("vision_aspect_ratio") or "anyres_max_9")
    if class_name == ONEVISION and not known:
        known = images.ONEVISION_GRIDS
    elif class_name == NEXT and not known:
        known = images.NEXT_GRIDS
    tokens, rule = images.largest_image(known, tower.side, crops)
    facts.put(path, tokens, Source.COMPUTED, rule)


def _read_video(facts: Facts, config: Fields, class_name: str, tower: Tower) -> None:
    """Tokens of a frame: transformers 5.23 `processing_llava_{onevision,next_video}.py`."""
    if class_name not in {NEXT_VIDEO, ONEVISION}:
        return
    if class_name == ONEVISION:
        side, mode = -(-tower.side // 2), NewlineMode.ONE_TOKEN
        facts.put("architecture.video.pooledSide", side, Source.CODE, "half, rounded up")
    else:
        stride = config.integer("spatial_pool_stride", most=tower.side)
        side, mode = tower.side // (stride or 2), NewlineMode.NO_TOKEN
        source = Source.LIBRARY if stride is None else Source.CONFIG
        facts.put("architecture.video.pooledSide", side, source, "spatial_pool_stride")
    facts.put("architecture.video.newlineMode", mode, Source.CODE, class_name)
    facts.put("architecture.video.defaultFrames", DEFAULT_FRAMES, Source.CODE, "model cards")
