"""Headers beat config.json, config.json beats names; where they differ, it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import CONFIGS, config, text_of
from videollm_operator.api.architecture import NewlineMode
from videollm_operator.api.v1alpha1.compute import DType
from videollm_operator.checkpoints import images
from videollm_operator.checkpoints.describe import Description, describe
from videollm_operator.checkpoints.facts import Source
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from videollm_operator.checkpoints.safetensors import Tensor

FLAT = "lmms-lab/LLaVA-Video-7B-Qwen2"
LLAVA = "llava-hf/llava-1.5-7b-hf"
ONEVISION = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
NEXT_VIDEO = "llava-hf/LLaVA-NeXT-Video-7B-hf"


def tiny_with(listed: list[Tensor], **changes: Any) -> Description:
    return describe("tiny", tiny.json_of(tiny.config(**changes)), listed)


def text_config(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {**tiny.config()["text_config"], **changes}
    return made


def described(name: str, **changes: Any) -> Description:
    return describe(name, text_of(config(name, **changes)), None)


@pytest.mark.parametrize(
    ("key", "wrong", "path", "right", "tensor"),
    [
        ("vocab_size", 4000, "vocabSize", 4096, "rows of embed_tokens"),
        ("num_hidden_layers", 3, "layers", 2, "decoder layers"),
        ("num_attention_heads", 2, "attentionHeads", 4, "outputs of q_proj"),
        ("num_key_value_heads", 4, "keyValueHeads", 2, "outputs of k_proj"),
    ],
)
def test_shapes_beat_the_text_config(
    key: str, wrong: int, path: str, right: int, tensor: str
) -> None:
    found = tiny_with(tiny.tensors(), text_config=text_config(head_dim=32, **{key: wrong}))
    assert found.warnings == (
        (
            f"architecture.text.{path}: config.json (text_config.{key}) says {wrong}, but {tensor} "
            f"in the files say {right}; the files win"
        ),
    )
    facts = {fact.path: fact for fact in found.facts}
    assert facts[f"architecture.text.{path}"].source is Source.HEADERS
    assert found.entry.architecture == tiny_with(tiny.tensors()).entry.architecture


def test_shapes_beat_the_tower() -> None:
    vision = {**tiny.config()["vision_config"], "num_hidden_layers": 3, "image_size": 70}
    found = tiny_with(tiny.tensors(), vision_config=vision)
    assert {warning.split(":")[0] for warning in found.warnings} == {
        "architecture.vision.patchesPerSide",
        "architecture.vision.layers",
    }
    assert found.entry.architecture.vision.layers == 2
    assert found.entry.architecture.vision.patches_per_side == 4


def test_the_number_format_of_most_weights_wins() -> None:
    found = tiny_with(tiny.tensors(), torch_dtype="bfloat16")
    assert found.entry.dtype is DType.FLOAT16
    (warning,) = found.warnings
    assert "config.json (torch_dtype) says 'BFloat16'" in warning


def test_a_format_that_nothing_tells_is_assumed_without_a_warning() -> None:
    found = describe("tiny", tiny.json_of(tiny.config(torch_dtype=None)), None)
    assert found.entry.dtype is DType.BFLOAT16
    assert found.warnings == ()
    assert tiny_with(tiny.tensors(), torch_dtype=None).entry.dtype is DType.FLOAT16


def test_a_checkpoint_without_plain_weights_keeps_the_configs_format() -> None:
    listed = [
        generator.tensor(each.name, "F8_E4M3", *each.shape) if len(each.shape) > 1 else each
        for each in tiny.tensors()
    ]
    assert tiny_with(listed).entry.dtype is DType.FLOAT16


def test_a_whole_number_may_be_written_with_a_point() -> None:
    found = describe(
        "tiny", tiny.json_of(tiny.config(text_config=text_config(vocab_size=4096.0))), None
    )
    assert found.entry.architecture.text.vocab_size == 4096


@pytest.mark.parametrize("said", [{"dtype": "torch.float32"}, {"torch_dtype": "float"}])
def test_words_for_a_format(said: dict[str, str]) -> None:
    raw = tiny.json_of({**tiny.config(torch_dtype=None), **said})
    assert describe("tiny", raw, None).entry.dtype is DType.FLOAT32


def test_an_own_head_of_a_tied_model_is_counted() -> None:
    found = tiny_with(tiny.tensors(), text_config=text_config(tie_word_embeddings=True))
    assert found.entry.architecture.parameters.head == 4096 * 128
    assert found.warnings == (
        (
            "architecture.text.tieWordEmbeddings: config.json (text_config.tie_word_embeddings) "
            "says true, but an `lm_head` of its own in the files say false; the files win: it is "
            "counted as one"
        ),
    )


def test_a_missing_head_is_told() -> None:
    untied = [t for t in tiny.tensors() if "lm_head" not in t.name and "embed_tokens" not in t.name]
    large = generator.tensor("language_model.model.embed_tokens.weight", "F16", 16384, 128)
    found = tiny_with([*untied, large], text_config=text_config(vocab_size=16384))
    assert found.entry.architecture.parameters.head == 0
    (warning,) = found.warnings
    assert "default (not tied) says false, but no `lm_head` in the files say true" in warning


def test_tied_may_be_said_at_the_top() -> None:
    made = tiny.config(tie_word_embeddings=True, text_config=text_config(vocab_size=16384))
    found = describe("tiny", tiny.json_of(made), None)
    assert found.entry.architecture.text.tie_word_embeddings


@pytest.mark.parametrize(("part", "name"), [("vision_tower", "vision tower"), ("multi_modal", "")])
def test_parts_that_lie_elsewhere_are_computed(part: str, name: str) -> None:
    rest = [
        each for each in tiny.tensors() if part not in each.name and each.name != "image_newline"
    ]
    if name:
        rest += [each for each in tiny.tensors() if each.name == "image_newline"]
    found = tiny_with(rest)
    assert found.entry.architecture == tiny_with(tiny.tensors()).entry.architecture
    (warning,) = found.warnings
    assert warning.startswith(f"the files hold no {name or 'projector'}: the engine must find it")


def test_tensors_of_no_known_part_are_counted_with_the_projector() -> None:
    extra = generator.tensor("audio_tower.proj.weight", "F16", 10, 10)
    found = tiny_with([*tiny.tensors(), extra])
    before = tiny_with(tiny.tensors()).entry.architecture.parameters.projector
    assert found.entry.architecture.parameters.projector == before + 100
    assert found.warnings[0].startswith("100 parameters in the files belong to no part")
    assert [str(part.kind) for part in found.parts][-1] == "other"


def test_more_than_the_widths_give_is_told() -> None:
    extra = generator.tensor("language_model.model.layers.0.mlp.down_proj.bias", "F16", 128)
    found = tiny_with([*tiny.tensors(), extra])
    (warning,) = found.warnings
    assert warning.startswith("architecture.parameters.layers: the widths (text.*) give ")


def test_a_count_that_no_widths_explain_is_refused() -> None:
    extra = generator.tensor("language_model.model.layers.0.adapter", "F16", 30_000_000)
    with pytest.raises(CheckpointProblem, match=r"^`architecture\.parameters\.layers`: "):
        tiny_with([*tiny.tensors(), extra])


def test_a_name_that_tells_another_size_is_not_believed() -> None:
    found = describe("my-org/llava-70b", tiny.json_of(tiny.config()), None)
    assert found.entry.nominal_parameters == found.entry.architecture.parameters.total
    assert found.warnings == (
        "the name says 70B parameters, but there are 0.0B: these are counted",
    )


# ---------------------------------------------------------------- words of config.json


@pytest.mark.parametrize(
    ("changes", "side", "mode", "frames"),
    [
        ({"mm_spatial_pool_mode": "average"}, 13, NewlineMode.GRID, 64),
        ({"mm_spatial_pool_mode": "max", "mm_spatial_pool_stride": 3}, 9, NewlineMode.GRID, 64),
        ({"mm_newline_position": "frame"}, 14, NewlineMode.FRAME, 32),
        ({"mm_newline_position": "no_token"}, 14, NewlineMode.NO_TOKEN, 32),
        ({"mm_newline_position": None}, 14, NewlineMode.ONE_TOKEN, 32),
        (
            {"mm_newline_position": "one_token", "mm_patch_merge_type": "spatial"},
            14,
            NewlineMode.NO_TOKEN,
            32,
        ),
        ({"mm_patch_merge_type": None}, 14, NewlineMode.GRID, 64),
    ],
)
def test_pooling_and_newlines_of_the_originals(
    changes: dict[str, Any], side: int, mode: NewlineMode, frames: int
) -> None:
    video = described(FLAT, **changes).entry.architecture.video
    assert video is not None
    assert (video.pooled_side, video.newline_mode, video.default_frames) == (side, mode, frames)


@pytest.mark.parametrize(
    ("changes", "family", "tokens"),
    [
        ({"mm_patch_merge_type": "spatial_unpad", "image_aspect_ratio": "anyres"}, "1.6", 2928),
        ({"mm_patch_merge_type": None, "image_aspect_ratio": "pad"}, "1.5", 576),
        ({"mm_patch_merge_type": None, "image_aspect_ratio": None}, "1.5", 576),
    ],
)
def test_llava_of_the_original_code(changes: dict[str, Any], family: str, tokens: int) -> None:
    """liuhaotian's checkpoints: no Qwen, CLIP by its name, images only."""
    found = described(
        FLAT,
        architectures=["LlavaLlamaForCausalLM"],
        mm_vision_tower="/models/clip-vit-large-patch14-336/",
        mm_hidden_size=1024,
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        num_key_value_heads=None,
        **changes,
    )
    assert found.entry.family == f"LLaVA {family}"
    assert found.entry.architecture.video is None
    assert found.entry.architecture.vision.max_image_tokens == tokens
    assert found.entry.architecture.text.key_value_heads == 28


@pytest.mark.parametrize(
    ("kind", "name"), [("linear", 3584 * 1152 + 3584), (None, 3584 * 1152 + 3584)]
)
def test_a_linear_projector(kind: str | None, name: int) -> None:
    found = described(FLAT, mm_projector_type=kind, mm_patch_merge_type="spatial")
    assert found.entry.architecture.parameters.projector == name


@pytest.mark.parametrize(
    ("kind", "name"),
    [("llava_qwen", "LlavaQwenForCausalLM"), ("llava_mistral", "LlavaMistralForCausalLM")],
)
def test_a_class_that_only_the_model_type_tells(kind: str, name: str) -> None:
    found = described(FLAT, architectures=None, model_type=kind)
    assert found.entry.architecture.class_name == name


def test_a_nested_class_that_only_the_model_type_tells() -> None:
    found = described(LLAVA, architectures=[])
    assert found.entry.architecture == described(LLAVA).entry.architecture


@pytest.mark.parametrize("key", ["text_config__model_type", "vision_config__model_type"])
def test_parts_without_a_type_are_llama_and_clip(key: str) -> None:
    changes: dict[str, Any] = {key: None}
    assert described(LLAVA, **changes).entry == described(LLAVA).entry


def test_biases_follow_the_config() -> None:
    bare = described(LLAVA).entry.architecture.parameters
    attention = described(LLAVA, text_config__attention_bias=True).entry.architecture.parameters
    mlp = described(LLAVA, text_config__mlp_bias=True).entry.architecture.parameters
    projector = described(LLAVA, multimodal_projector_bias=False).entry.architecture.parameters
    assert attention.layers - bare.layers == 32 * 4 * 4096
    assert mlp.layers - bare.layers == 32 * (2 * 11008 + 4096)
    assert bare.projector - projector.projector == 2 * 4096


def test_qwen3_has_norms_over_its_heads() -> None:
    two = described(ONEVISION).entry.architecture.parameters
    three = described(ONEVISION, text_config__model_type="qwen3").entry.architecture.parameters
    assert three.layers - two.layers == 28 * (2 * 128 - (28 + 2 * 4) * 128)


def test_several_feature_layers_widen_the_projector() -> None:
    one = described(LLAVA).entry.architecture.parameters.projector
    two = described(LLAVA, vision_feature_layer=[-2, -5]).entry.architecture.parameters.projector
    assert two - one == 1024 * 4096


def test_a_pooling_head_is_counted_where_it_was_not_dropped() -> None:
    without = described(ONEVISION).entry.architecture.parameters.vision
    with_it = described(ONEVISION, vision_config__vision_use_head=None)
    more = with_it.entry.architecture.parameters.vision - without
    h, inter = 1152, 4304
    assert more == h + 4 * h * h + 4 * h + 2 * h + 2 * h * inter + inter + h


def test_pooling_of_next_video_follows_its_stride() -> None:
    for stride, side in ((None, 12), (3, 8)):
        video = described(NEXT_VIDEO, spatial_pool_stride=stride).entry.architecture.video
        assert video is not None
        assert video.pooled_side == side


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("pinpoints", "tokens"),
    [
        (None, 8748),
        ("(1x1),...,(6x6)", 8748),
        ("(1x1),...,(2x2)", 4 * 729 + 54 + 729),
        ("anything", 8748),
        ([[384, "x"]], 8748),
        ([[1]], 8748),
        ([7], 8748),
        (7, 8748),
        ([[384, 384]] * 1001, 8748),
        ([[384, 768]], 2 * 729 + 27 + 729),
        ([[3840, 3840]], 7938 + 270 + 729),
    ],
)
def test_the_largest_image_of_onevision(pinpoints: Any, tokens: int) -> None:
    found = described(ONEVISION, image_grid_pinpoints=pinpoints)
    assert found.entry.architecture.vision.max_image_tokens == tokens


def test_next_without_pinpoints_has_the_usual_ones() -> None:
    name = "llava-hf/llava-v1.6-mistral-7b-hf"
    assert described(name, image_grid_pinpoints=None).entry == described(name).entry


def test_the_worst_image_of_vllm_is_what_its_rule_gives() -> None:
    """1153 x 944 in a grid of 3 x 4: 98 of 108 columns stay, and each of 81 rows has a newline."""
    columns = 108 - 2 * ((108 - 1153 * 81 // 944) // 2)
    assert 81 * columns + 81 + 729 == images.LARGEST_ONEVISION


def test_every_config_is_read_from_text_alone() -> None:
    assert all(
        describe(name, text_of(made), None).entry.name == name for name, made in CONFIGS.items()
    )
