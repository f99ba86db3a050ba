"""Bad input of every kind to `videollm models describe` gets one sentence and exit code 2."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from tests.unit.checkpoints import generator, tiny
from tests.unit.checkpoints.configs import config as real
from videollm_operator.cli import folder as _reader  # noqa: F401 - nobody could not import it
from videollm_operator.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable

FLAT = "lmms-lab/LLaVA-Video-7B-Qwen2"
TENSOR = "language_model.model.norm.weight"


def describe(model: str, *more: str) -> Result:
    return CliRunner().invoke(cli, ["models", "describe", model, *more])


def refused(result: Result, says: str, folder: str = "") -> None:
    """One line on standard error, exit code 2, nothing on standard output."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    said = result.stderr.replace(folder, "DIR") if folder else result.stderr
    assert said == f"Error: {says}\n"


# ---------------------------------------------------------------- files


@dataclass(frozen=True)
class Case:
    """Something wrong with a folder."""

    name: str
    spoil: Callable[[Path], object]
    says: str


def cfg(**changes: Any) -> Callable[[Path], object]:
    """The tiny model's config with changes; `part__key` reaches inside, None removes."""

    def spoil(folder: Path) -> None:
        made = tiny.config()
        for path, value in changes.items():
            place = made
            *parents, last = path.split("__")
            for parent in parents:
                place = place[parent]
            place.pop(last, None)
            if value is not None:
                place[last] = value
        write_config(folder, json.dumps(made))

    return spoil


def flat(**changes: Any) -> Callable[[Path], object]:
    """The config of the original 7B with changes, and no weights."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        write_config(folder, json.dumps(real(FLAT, **changes)))

    return spoil


def write_config(folder: Path, text: str | bytes) -> None:
    path = folder / "config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def text(raw: str | bytes) -> Callable[[Path], object]:
    """This text as config.json."""
    return lambda folder: write_config(folder, raw)


def head(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """The tiny model's header, changed; its file stays as long as it was."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        size = path.stat().st_size
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        entries = json.loads(raw[8 : 8 + length])
        result = change(entries)
        new = json.dumps(entries if result is None else result).encode()
        path.write_bytes(generator.prefixed(new))
        os.truncate(path, size - length + len(new))

    return spoil


def entry(**changes: Any) -> Callable[[Path], object]:
    """One tensor's entry in the header, changed."""
    return head(lambda entries: entries[TENSOR].update(changes))


def begins(first: bytes, rest: bytes = b"") -> Callable[[Path], object]:
    """A weight file of these bytes."""
    return lambda folder: (folder / "model.safetensors").write_bytes(first + rest)


def length(value: int) -> Callable[[Path], object]:
    """Another length before the header."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(value.to_bytes(8, "little") + path.read_bytes()[8:])

    return spoil


def weights(change: Callable[[list[Any]], list[Any]]) -> Callable[[Path], object]:
    """Other tensors, in a file that is whole."""
    return lambda folder: generator.write_file(folder / "model.safetensors", change(tiny.tensors()))


def without(part: str) -> Callable[[Path], object]:
    """No tensor whose name contains this."""
    return weights(lambda listed: [each for each in listed if part not in each.name])


def plus(*extra: Any, without: str = "~") -> Callable[[Path], object]:
    """More tensors, in place of those whose names contain `without`."""
    return weights(lambda listed: [t for t in listed if without not in t.name] + list(extra))


def index(value: Any, *files: str) -> Callable[[Path], object]:
    """An index, and these files beside it."""

    def spoil(folder: Path) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        (folder / "model.safetensors.index.json").write_bytes(raw)
        for name in files:
            generator.write_file(folder / name, tiny.tensors())

    return spoil


def shard(*names: str) -> Callable[[Path], object]:
    """Shards without an index, each with all tensors."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            generator.write_file(folder / name, tiny.tensors())

    return spoil


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something else in a file's place."""

    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def one(name: str, dtype: str, *shape: int) -> Any:
    return generator.tensor(name, dtype, *shape)


Q = "language_model.model.layers.0.mlp.up_proj"
NESTED_DEEP = "[" * 200_000
NORM = f"the tensor '{TENSOR}'"
KNOWN = (
    "'LlavaForConditionalGeneration', 'LlavaNextForConditionalGeneration', "
    "'LlavaNextVideoForConditionalGeneration', 'LlavaOnevisionForConditionalGeneration', "
    "'LlavaQwenForCausalLM', 'LlavaLlamaForCausalLM' or 'LlavaMistralForCausalLM'"
)

CASES = [
    Case(
        "no config",
        lambda folder: (folder / "config.json").unlink(),
        "there is no config.json among the files: name the folder that holds the model's",
    ),
    Case(
        "only gguf",
        lambda folder: (folder / "config.json").rename(folder / "m.gguf"),
        "there are GGUF files, but no config.json: name the model that they come from",
    ),
    Case(
        "config is a list",
        text("[1, 2]"),
        "config.json holds a list, but must hold an object (`{...}`)",
    ),
    Case(
        "config is a string",
        text('"llava"'),
        "config.json holds 'llava', but must hold an object (`{...}`)",
    ),
    Case(
        "config is null",
        text("null"),
        "config.json holds null, but must hold an object (`{...}`)",
    ),
    Case(
        "config is empty",
        text(""),
        "config.json is empty: download it again",
    ),
    Case(
        "config is cut off",
        text('{"architectures": ["Llava'),
        "config.json is not JSON (unterminated string starting at, line 1): download it again",
    ),
    Case(
        "config is binary",
        text(b"\xff\xfe\x00\x01"),
        "config.json is not text in UTF-8 (byte 0): download it again",
    ),
    Case(
        "config has NaN",
        text('{"hidden_size": NaN}'),
        "config.json holds NaN, which is no number: write a number",
    ),
    Case(
        "config has infinity",
        text('{"hidden_size": 1e999}'),
        "config.json holds the number '1e999', which is too large: correct it",
    ),
    Case(
        "config has a number of 5000 digits",
        text('{"hidden_size": ' + "9" * 5000 + "}"),
        "config.json holds the number "
        "'99999999999999999999999999999999999999999999999999999999999…', which is too "
        "large: correct it",
    ),
    Case(
        "config is a JSON bomb in depth",
        text('{"a":' + NESTED_DEEP),
        "config.json is nested too deeply to be read: it is not what its name says",
    ),
    Case(
        "config is a JSON bomb in size",
        text("{" + " " * 4_200_000 + "}"),
        "config.json has 4194305 bytes, but may have 4194304: it is not what its name says",
    ),
    Case(
        "config has a key twice",
        text('{"architectures": ["A"], "architectures": ["B"]}'),
        "config.json has the key 'architectures' twice: one of them must go",
    ),
    Case(
        "config is a text model",
        text('{"architectures": ["Qwen2ForCausalLM"], "hidden_size": 8}'),
        "config.json describes a Qwen2ForCausalLM, no vision language model: what can "
        f"be read is {KNOWN}; for others write the numbers into "
        "`spec.model.architecture`",
    ),
    Case(
        "config is another VLM",
        text('{"architectures": ["Qwen2VLForConditionalGeneration"], "vision_config": {}}'),
        "config.json describes a Qwen2VLForConditionalGeneration, a model of another "
        f"family: what can be read is {KNOWN}; for others write the numbers into "
        "`spec.model.architecture`",
    ),
    Case(
        "config names no class",
        text('{"hidden_size": 8}'),
        "config.json names no class in `architectures`, and its `model_type` is null: "
        f"it must describe one of {KNOWN}",
    ),
    Case(
        "class is no name",
        cfg(architectures=["a b\n"]),
        "`architectures[0]` in config.json is 'a b\\n', but must be a class name",
    ),
    Case(
        "class is a number",
        cfg(architectures=[7]),
        "`architectures[0]` in config.json is 7, but must be a class name",
    ),
    Case(
        "architectures is a word",
        cfg(architectures="LlavaForConditionalGeneration"),
        "`architectures` in config.json is 'LlavaForConditionalGeneration', but must be "
        "a list: correct it",
    ),
    Case(
        "the trap: nested class without text_config",
        cfg(text_config=None),
        "config.json describes a LlavaOnevisionForConditionalGeneration, but has no "
        "`text_config`: transformers would fill in the sizes of LLaVA 1.5 7B without a "
        "word; take the config.json of the model itself",
    ),
    Case(
        "no vision_config",
        cfg(vision_config=None),
        "config.json describes a LlavaOnevisionForConditionalGeneration, but has no "
        "`vision_config`: transformers would fill in the sizes of LLaVA 1.5 7B without "
        "a word; take the config.json of the model itself",
    ),
    Case(
        "text_config is a list",
        cfg(text_config=[1]),
        "`text_config` in config.json is a list, but must be an object: correct it",
    ),
    Case(
        "unknown text model",
        cfg(text_config__model_type="phi3"),
        "`text_config.model_type` in config.json is 'phi3', but what can be read is "
        "'llama', 'mistral', 'qwen2' or 'qwen3': give the numbers in "
        "`spec.model.architecture`",
    ),
    Case(
        "unknown vision model",
        cfg(vision_config__model_type="eva"),
        "`vision_config.model_type` in config.json is 'eva', but what can be read is "
        "'clip_vision_model' or 'siglip_vision_model': give the numbers in "
        "`spec.model.architecture`",
    ),
    Case(
        "text model type is a number",
        cfg(text_config__model_type=3),
        "`text_config.model_type` in config.json is 3, but must be a string: correct it",
    ),
    Case(
        "width is a word",
        cfg(text_config__hidden_size="128"),
        "`text_config.hidden_size` in config.json is '128', but must be a whole number "
        "between 1 and 10000000: correct it",
    ),
    Case(
        "width is true",
        cfg(text_config__hidden_size=True),
        "`text_config.hidden_size` in config.json is true, but must be a whole number "
        "between 1 and 10000000: correct it",
    ),
    Case(
        "width is zero",
        cfg(text_config__hidden_size=0),
        "`text_config.hidden_size` in config.json is 0, but must be a whole number "
        "between 1 and 10000000: correct it",
    ),
    Case(
        "width is negative",
        cfg(text_config__hidden_size=-128),
        "`text_config.hidden_size` in config.json is -128, but must be a whole number "
        "between 1 and 10000000: correct it",
    ),
    Case(
        "width is a fraction",
        cfg(text_config__hidden_size=128.5),
        "`text_config.hidden_size` in config.json is 128.5, but must be a whole number "
        "between 1 and 10000000: correct it",
    ),
    Case(
        "width is absurd",
        cfg(text_config__hidden_size=10**12),
        "`text_config.hidden_size` in config.json is 1000000000000, but must be a whole "
        "number between 1 and 10000000: correct it",
    ),
    Case(
        "heads do not divide the width",
        cfg(text_config__num_attention_heads=3, text_config__num_key_value_heads=1),
        "`text_config.hidden_size` is 128, which 3 attention heads do not divide: "
        "correct one of them in config.json, or add `head_dim`",
    ),
    Case(
        "groups do not divide the heads",
        cfg(text_config__num_key_value_heads=3),
        "config.json gives 4 attention heads and 3 key/value heads, but the second must "
        "divide the first: correct one of them",
    ),
    Case(
        "tied is a word",
        cfg(text_config__tie_word_embeddings="yes"),
        "`text_config.tie_word_embeddings` in config.json is 'yes', but must be true or "
        "false: correct it",
    ),
    Case(
        "more parameters than any model",
        flat(
            hidden_size=10_000_000,
            num_attention_heads=1,
            num_key_value_heads=1,
            num_hidden_layers=10_000_000,
        ),
        "`nominalParameters` would be 4005683803053237747744, which no model has (input "
        "should be less than or equal to 10000000000000): correct the numbers in "
        "config.json",
    ),
    Case(
        "fewer parameters than any model",
        lambda folder: (
            (folder / "model.safetensors").unlink(),
            cfg(text_config__vocab_size=8, text_config__hidden_size=4)(folder),
        ),
        "`nominalParameters` would be 112416, which no model has (input should be "
        "greater than or equal to 1000000): correct the numbers in config.json",
    ),
    Case(
        "patches larger than images",
        cfg(vision_config__patch_size=100),
        "`vision_config` in config.json has images of 56 pixels and patches of 100: no "
        "patch fits into an image; correct one of them",
    ),
    Case(
        "pinpoints beyond all bounds",
        lambda folder: (
            (folder / "model.safetensors").unlink(),
            cfg(image_grid_pinpoints=[[99_960, 99_960]], vision_aspect_ratio="anyres")(folder),
        ),
        "`architecture.vision.maxImageTokens` would be 50986756, which no model has "
        "(input should be less than or equal to 10000000): correct the numbers in "
        "config.json",
    ),
    Case(
        "unknown dtype",
        cfg(torch_dtype="float8_e4m3fn"),
        "`torch_dtype` in config.json is 'float8_e4m3fn', but weights that are not "
        "quantized are 'bfloat16', 'float16' or 'float32': correct it",
    ),
    Case(
        "dtype is a number",
        cfg(torch_dtype=16),
        "`torch_dtype` in config.json is 16, but must be a string: correct it",
    ),
    Case(
        "unknown vision tower",
        flat(mm_vision_tower="google/siglip2-giant-opt-patch16-384"),
        "`mm_vision_tower` in config.json is 'google/siglip2-giant-opt-patch16-384', "
        "whose sizes are not known; those of 'siglip-so400m-patch14-384', "
        "'clip-vit-large-patch14-336' or 'clip-vit-large-patch14' are: give the numbers "
        "in `spec.model.architecture`",
    ),
    Case(
        "tower is a list",
        flat(mm_vision_tower=["a"]),
        "`mm_vision_tower` in config.json is a list, but must be a string: correct it",
    ),
    Case(
        "tower is missing",
        flat(mm_vision_tower=None),
        "`mm_vision_tower` is missing in config.json: add the name of the vision tower, "
        "such as 'google/siglip-so400m-patch14-384'",
    ),
    Case(
        "tower of another width",
        flat(mm_hidden_size=1024),
        "`mm_hidden_size` in config.json is 1024, but "
        "'google/siglip-so400m-patch14-384' has a width of 1152: correct one of them",
    ),
    Case(
        "flat without a width",
        flat(hidden_size=None),
        "`hidden_size` is missing in config.json, and the form has no default for it: "
        "add it, or give the numbers in `spec.model.architecture`",
    ),
    Case(
        "unknown projector",
        flat(mm_projector_type="perceiver"),
        "`mm_projector_type` in config.json is 'perceiver', but what can be read is "
        "'linear' or 'mlp2x_gelu': give the numbers in `spec.model.architecture`",
    ),
    Case(
        "unknown pooling",
        flat(mm_spatial_pool_mode="median"),
        "`mm_spatial_pool_mode` in config.json is 'median', but must be 'bilinear', "
        "'average' or 'max': correct it",
    ),
    Case(
        "pooling beyond the tower",
        flat(mm_spatial_pool_stride=28),
        "`mm_spatial_pool_stride` in config.json is 28, but must be a whole number "
        "between 1 and 27: correct it",
    ),
    Case(
        "unknown newline",
        flat(mm_newline_position="sometimes"),
        "`mm_newline_position` in config.json is 'sometimes', but must be 'grid', "
        "'frame', 'one_token' or 'no_token': correct it",
    ),
    Case(
        "unknown quantization",
        cfg(quantization_config={"quant_method": "hqq"}),
        "`quantization_config.quant_method` in config.json is 'hqq', but must be 'awq', "
        "'bitsandbytes', 'compressed-tensors', 'fbgemm_fp8', 'fp8' or 'gptq': use "
        "another checkpoint, or correct it",
    ),
    Case(
        "quantization is a word",
        cfg(quantization_config="int4"),
        "`quantization_config` in config.json is 'int4', but must be an object: correct it",
    ),
    Case(
        "GPTQ in 3 bit",
        cfg(quantization_config={"quant_method": "gptq", "bits": 3}),
        "`quantization_config.bits` in config.json is 3, but must be 4 or 8 (AWQ: 4): "
        "use another checkpoint, or correct it",
    ),
    Case(
        "AWQ in 8 bit",
        cfg(quantization_config={"quant_method": "awq", "w_bit": 8}),
        "`quantization_config.w_bit` in config.json is 8, but must be 4 or 8 (AWQ: 4): "
        "use another checkpoint, or correct it",
    ),
    Case(
        "groups of 7",
        cfg(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 7}),
        "groups of 7 weights (quantization_config) are none that engines take: they take 16 to "
        "4096, or whole channels (-1); use another checkpoint",
    ),
    Case(
        "groups of none",
        cfg(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 0}),
        "groups of 0 weights (quantization_config) are none that engines take: they take 16 to "
        "4096, or whole channels (-1); use another checkpoint",
    ),
    Case(
        "FP8 blocks of one side",
        cfg(quantization_config={"quant_method": "fp8", "weight_block_size": [128]}),
        "`quantization_config.weight_block_size` in config.json is a list, but must be "
        "two whole numbers: use another checkpoint, or correct it",
    ),
    Case(
        "compressed without groups",
        cfg(quantization_config={"quant_method": "compressed-tensors"}),
        "`quantization_config.config_groups` in config.json is null, but must be an "
        "object whose groups have `weights`: use another checkpoint, or correct it",
    ),
    Case(
        "compressed in float 4",
        cfg(
            quantization_config={
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"weights": {"num_bits": 4, "type": "float"}}},
            }
        ),
        "`quantization_config.config_groups.a.weights.num_bits` in config.json means 4 "
        "bit float weights, but must mean 8 bit float, or 8 or 4 bit int: use another "
        "checkpoint",
    ),
    Case(
        "compressed with empty groups",
        cfg(quantization_config={"quant_method": "compressed-tensors", "config_groups": {"a": {}}}),
        "`quantization_config.config_groups` in config.json is an object, but must be "
        "an object whose groups have `weights`: use another checkpoint, or correct it",
    ),
    Case(
        "weights are empty",
        begins(b""),
        "'model.safetensors' has 0 bytes and so no safetensors header: download it again",
    ),
    Case(
        "weights end in the length",
        begins(b"\x08\x00\x00"),
        "'model.safetensors' has 3 bytes and so no safetensors header: download it again",
    ),
    Case(
        "header longer than the file",
        length(20_000_000),
        "'model.safetensors' says that its header has 20000000 bytes, but the file ends "
        "after 2959216: it was cut off; download it again",
    ),
    Case(
        "header longer than any",
        length(2**63),
        "'model.safetensors' says that its header has 9223372036854775808 bytes, but "
        "headers have at most 25000000: it is not a safetensors file, or was damaged; "
        "download it again",
    ),
    Case(
        "weights are a Git LFS pointer",
        begins(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "'model.safetensors' is a Git LFS pointer, not the file itself: run `git lfs pull` there",
    ),
    Case(
        "weights are a pickle",
        begins(b"PK\x03\x04\x00\x00\x08\x08", b"archive/data.pkl" * 9),
        "'model.safetensors' says that its header has 578712552184433488 bytes, but "
        "headers have at most 25000000: it is not a safetensors file, or was damaged; "
        "download it again",
    ),
    Case(
        "header is no JSON",
        begins(generator.prefixed(b"not JSON")),
        "the header of 'model.safetensors' is not JSON (expecting value, line 1): "
        "download it again",
    ),
    Case(
        "header is a list",
        begins(generator.prefixed(b"[]")),
        "the header of 'model.safetensors' holds a list, but must hold an object (`{...}`)",
    ),
    Case(
        "header is a JSON bomb",
        begins(generator.prefixed(b'{"a":' + NESTED_DEEP.encode())),
        "the header of 'model.safetensors' is nested too deeply to be read: it is not "
        "what its name says",
    ),
    Case(
        "header has a tensor twice",
        begins(generator.prefixed(b'{"a": {}, "a": {}}')),
        "the header of 'model.safetensors' has the key 'a' twice: one of them must go",
    ),
    Case(
        "header without tensors",
        begins(generator.prefixed(b"{}")),
        "the safetensors files hold no tensors: download them again",
    ),
    Case(
        "weights are cut off",
        lambda folder: os.truncate(folder / "model.safetensors", 900_000),
        "'model.safetensors' has 900000 bytes, but its header describes 2959216: it was "
        "cut off or added to; download it again",
    ),
    Case(
        "weights were added to",
        lambda folder: os.truncate(folder / "model.safetensors", 9_000_000),
        "'model.safetensors' has 9000000 bytes, but its header describes 2959216: it "
        "was cut off or added to; download it again",
    ),
    Case(
        "tensor is a list",
        head(lambda entries: entries.update({TENSOR: [1]})),
        f"'model.safetensors': {NORM} is a list, but must be an object",
    ),
    Case(
        "metadata that is no text",
        head(lambda entries: entries.update({"__metadata__": {"format": 1}})),
        "'model.safetensors' has `__metadata__` that is no object of texts, which no engine reads: "
        "download it again",
    ),
    Case(
        "metadata that is a list",
        head(lambda entries: entries.update({"__metadata__": []})),
        "'model.safetensors' has `__metadata__` that is no object of texts, which no engine reads: "
        "download it again",
    ),
    Case(
        "unknown number format",
        entry(dtype="F61"),
        f"'model.safetensors': {NORM} has the `dtype` 'F61', which safetensors does not "
        "know: did you mean 'F64'?",
    ),
    Case(
        "number format is a number",
        entry(dtype=16),
        f"'model.safetensors': {NORM} has the `dtype` 16, which safetensors does not "
        "know: no engine reads it",
    ),
    Case(
        "negative offsets",
        entry(data_offsets=[-256, 0]),
        f"'model.safetensors': {NORM} has the `data_offsets` [-256, 0], but must have "
        "two whole numbers, the first byte and the one after the last",
    ),
    Case(
        "offsets the wrong way round",
        entry(data_offsets=[512, 256]),
        f"'model.safetensors': {NORM} has the `data_offsets` [512, 256], but must have "
        "two whole numbers, the first byte and the one after the last",
    ),
    Case(
        "offsets of three",
        entry(data_offsets=[0, 1, 2]),
        f"'model.safetensors': {NORM} has the `data_offsets` [0, 1, 2], but must have "
        "two whole numbers, the first byte and the one after the last",
    ),
    Case(
        "offsets are words",
        entry(data_offsets=["0", "256"]),
        f"'model.safetensors': {NORM} has the `data_offsets` ['0', '256'], but must have "
        "two whole numbers, the first byte and the one after the last",
    ),
    Case(
        "no offsets",
        head(lambda entries: entries[TENSOR].pop("data_offsets") and None),
        f"'model.safetensors': {NORM} has the `data_offsets` null, but must have two "
        "whole numbers, the first byte and the one after the last",
    ),
    Case(
        "tensors overlap",
        entry(data_offsets=[0, 256]),
        "'model.safetensors': the tensor 'language_model.model.embed_tokens.weight' "
        "overlaps the one before it (it begins at byte 0, where 256 was due): the file "
        "was damaged; download it again",
    ),
    Case(
        "tensors leave a gap",
        head(lambda entries: entries.pop(TENSOR) and None),
        "'model.safetensors': the tensor 'language_model.lm_head.weight' leaves a gap "
        "before it (it begins at byte 1640704, where 1640448 was due): the file was "
        "damaged; download it again",
    ),
    Case(
        "shape does not fit the bytes",
        entry(shape=[127]),
        f"'model.safetensors': {NORM} has 256 bytes, but F16 in the shape [127] takes "
        "254: the header is wrong; download it again",
    ),
    Case(
        "shape is negative",
        entry(shape=[-128]),
        f"'model.safetensors': {NORM} has the `shape` [-128], but must have a list of "
        "whole numbers",
    ),
    Case(
        "shape is a word",
        entry(shape="128"),
        f"'model.safetensors': {NORM} has the `shape` '128', but must have a list of whole numbers",
    ),
    Case(
        "shape is true",
        entry(shape=[True]),
        f"'model.safetensors': {NORM} has the `shape` [true], but must have a list of "
        "whole numbers",
    ),
    Case(
        "shape of a milliard dimensions",
        entry(shape=[1] * 1000),
        f"'model.safetensors': {NORM} has the `shape` of 1000 numbers, but must have a "
        "list of whole numbers",
    ),
    Case(
        "shape beyond all bounds",
        entry(shape=[10**19] * 16),
        f"'model.safetensors': {NORM} has 256 bytes, but F16 in the shape of 16 numbers "
        "takes more than 2^60: the header is wrong; download it again",
    ),
    Case(
        "wrong number format for the bytes",
        entry(dtype="F64"),
        f"'model.safetensors': {NORM} has 256 bytes, but F64 in the shape [128] takes "
        "1024: the header is wrong; download it again",
    ),
    Case(
        "no embedding",
        without("embed_tokens"),
        "the safetensors files hold no embedding (`embed_tokens.weight`): they are not "
        "a whole language model; finish the download, or take the merged model instead "
        "of an adapter",
    ),
    Case(
        "no layers at all",
        without("model.layers."),
        "the safetensors files hold no decoder layers (`layers.0...`): they are not a "
        "whole language model; finish the download",
    ),
    Case(
        "a layer is missing",
        without("layers.0."),
        "the safetensors files hold decoder layers up to 1, but not layer 0: finish the download",
    ),
    Case(
        "a vision layer is missing",
        without("encoder.layers.0."),
        "the safetensors files hold vision layers up to 1, but not layer 0: finish the download",
    ),
    Case(
        "heads of no whole number",
        plus(
            *(
                one(f"language_model.model.layers.{n}.self_attn.q_proj.weight", "F16", 100, 128)
                for n in (0, 1)
            ),
            without="self_attn.q_proj.weight",
        ),
        "q_proj has 100 outputs in the files, which heads of 32 do not divide: correct "
        "`head_dim` or the heads in config.json",
    ),
    Case(
        "layers of different width",
        plus(
            one("language_model.model.layers.1.mlp.gate_proj.weight", "F16", 200, 128),
            without="layers.1.mlp.gate_proj.weight",
        ),
        "gate_proj has 200 outputs in one decoder layer and 256 in another: models "
        "whose layers differ in width cannot be planned",
    ),
    Case(
        "index of another checkpoint",
        index({"weight_map": {"a": "x-1.safetensors"}}, "x-1.safetensors"),
        "the index puts the tensor 'a' into 'x-1.safetensors', which lacks it: index "
        "and files are of different checkpoints; download them again",
    ),
    Case(
        "packed weights without scales",
        plus(one(f"{Q}.qweight", "I32", 16, 256), without=Q),
        "'language_model.model.layers.0.mlp.up_proj' has packed weights (`qweight`), "
        "but no matrix of `scales` beside them: the checkpoint is not whole; download "
        "it again",
    ),
    Case(
        "packed weights in 2 bit",
        plus(
            one(f"{Q}.qweight", "I32", 8, 256),
            one(f"{Q}.qzeros", "I32", 1, 16),
            one(f"{Q}.scales", "F16", 1, 256),
            without=Q,
        ),
        "'language_model.model.layers.0.mlp.up_proj' has weights in 2 bit, but engines "
        "take packed weights in 4 or 8 bit: use another checkpoint",
    ),
    Case(
        "packed weights of one dimension",
        plus(one(f"{Q}.weight_packed", "I32", 4096), without=Q),
        "'language_model.model.layers.0.mlp.up_proj' has packed weights of the shape "
        "[4096]: no matrix",
    ),
    Case(
        "index is a list",
        index([]),
        "'model.safetensors.index.json' holds a list, but must hold an object (`{...}`)",
    ),
    Case(
        "index without a map",
        index({"metadata": {}}),
        "'model.safetensors.index.json' has the `weight_map` null, but must name a file "
        "for each tensor",
    ),
    Case(
        "index with an empty map",
        index({"weight_map": {}}),
        "'model.safetensors.index.json' has the `weight_map` an object, but must name a "
        "file for each tensor",
    ),
    Case(
        "index is no JSON",
        index(b"{"),
        "'model.safetensors.index.json' is not JSON (expecting property name enclosed "
        "in double quotes, line 1): download it again",
    ),
    Case(
        "index leads out of the folder",
        index({"weight_map": {"a": "../../etc/secret.safetensors"}}),
        "'model.safetensors.index.json' puts the tensor 'a' into "
        "'../../etc/secret.safetensors', but must name a '.safetensors' file beside it",
    ),
    Case(
        "index names no file",
        index({"weight_map": {"a": 7}}),
        "'model.safetensors.index.json' puts the tensor 'a' into 7, but must name a "
        "'.safetensors' file beside it",
    ),
    Case(
        "index names a pickle",
        index({"weight_map": {"a": "model.bin"}}),
        "'model.safetensors.index.json' puts the tensor 'a' into 'model.bin', but must "
        "name a '.safetensors' file beside it",
    ),
    Case(
        "index names missing files",
        index({"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}, "x-1.safetensors"),
        "'x-2.safetensors' of 2 weight files is missing: finish the download",
    ),
    Case(
        "index names too many files",
        index({"weight_map": {str(n): f"{n}.safetensors" for n in range(2001)}}),
        "'model.safetensors.index.json' names 2001 files, but may name 2000",
    ),
    Case(
        "a tensor in two files",
        index(
            {"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}},
            "x-1.safetensors",
            "x-2.safetensors",
        ),
        "the tensor 'language_model.model.embed_tokens.weight' stands in "
        "'x-1.safetensors' and in 'x-2.safetensors': remove the file that does not "
        "belong to the model",
    ),
    Case(
        "one of three shards",
        shard("model-00001-of-00003.safetensors"),
        "'model-00002-of-00003.safetensors' and 1 more of 3 weight files are missing: "
        "finish the download",
    ),
    Case(
        "two of three shards",
        shard("model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"),
        "'model-00002-of-00003.safetensors' of 3 weight files is missing: finish the download",
    ),
    Case(
        "shards of a milliard",
        shard("m-1-of-999999.safetensors"),
        "'m-10-of-999999.safetensors' and 1998 more of 2000 weight files are missing: "
        "finish the download",
    ),
    Case(
        "config is a folder",
        replaced("config.json", lambda path: path.mkdir()),
        "cannot read 'DIR/config.json': Is a directory",
    ),
    Case(
        "config is a pipe",
        replaced("config.json", os.mkfifo),
        "'DIR/config.json' is no regular file",
    ),
    Case(
        "config is a loop of links",
        replaced("config.json", lambda path: path.symlink_to(path)),
        "cannot read 'DIR/config.json': Too many levels of symbolic links",
    ),
    Case(
        "config is a dangling link",
        replaced("config.json", lambda path: path.symlink_to("nowhere")),
        "cannot read 'DIR/config.json': No such file or directory",
    ),
    Case(
        "weights are a loop of links",
        replaced("model.safetensors", lambda path: path.symlink_to(path)),
        "cannot read 'DIR/model.safetensors': Too many levels of symbolic links",
    ),
    Case(
        "weights are a folder",
        replaced("model.safetensors", lambda path: path.mkdir()),
        "cannot read 'DIR/model.safetensors': Is a directory",
    ),
]


def test_there_are_many_ways_to_be_wrong() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 100


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_folder_gets_one_sentence(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny.write(folder)
    case.spoil(folder)
    refused(describe(str(folder)), case.says, str(folder))


@pytest.mark.parametrize(
    ("model", "more", "says"),
    [
        ("./nothing", (), "there is no folder './nothing'"),
        ("/etc/hosts", (), "'/etc/hosts' is a file: name the folder in which config.json lies"),
        ("./a\0b", (), r"'./a\x00b' is no path: it holds a NUL"),
        ("a\0b", (), r"'a\x00b' is neither a folder here nor a hub id such as 'org/model'"),
        ("two words", (), "'two words' is neither a folder here nor a hub id such as 'org/model'"),
        ("", (), "'' is neither a folder here nor a hub id such as 'org/model'"),
        ("a/b/c", (), "there is no folder 'a/b/c'"),
        ("./x", ("--name", "no name"), "'no name' is no model id such as 'my-org/my-model'"),
    ],
)  # fmt: skip
def test_a_bad_name_gets_one_sentence(model: str, more: tuple[str, ...], says: str) -> None:
    refused(describe(model, *more), says)


@pytest.mark.parametrize("name", ["", "config.json", "model.safetensors"])
def test_without_permission(name: str) -> None:
    """As a user who may not read; root, who may read everything, becomes nobody for it."""
    root = tempfile.mkdtemp()
    folder = Path(root) / "model"
    tiny.write(folder)
    (folder / name).chmod(0)
    as_root = os.geteuid() == 0
    Path(root).chmod(0o755)
    try:
        if as_root:
            os.seteuid(65534)
        result = describe(str(folder))
    finally:
        if as_root:
            os.seteuid(0)
        (folder / name).chmod(0o700)
        shutil.rmtree(root)
    path = f"{folder}/{name}".rstrip("/")
    refused(result, f"cannot read '{path}': Permission denied")


def test_a_plan_of_a_bad_folder_says_the_same(tmp_path: Path) -> None:
    tiny.write(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("[]")
    planned = CliRunner().invoke(cli, ["plan", "--model", str(tmp_path / "model"), "--gpu", "L4"])
    refused(planned, "config.json holds a list, but must hold an object (`{...}`)")
