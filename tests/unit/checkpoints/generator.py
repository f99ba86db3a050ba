"""Makes safetensors checkpoints: names, formats and shapes as the real ones have, any size.

Headers are complete and files have their full length, but hold no data: a checkpoint of 146 GB is a
handful of sparse files.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from videollm_operator.checkpoints.safetensors import DTYPE_BITS, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from videollm_operator.api.architecture import Architecture

SHARD_BYTES = 5_000_000_000
"""Largest shard, as `save_pretrained` cuts them."""


def tensor(name: str, dtype: str, *shape: int) -> Tensor:
    """One tensor with the bytes that its shape takes."""
    return Tensor(name, dtype, shape, math.prod(shape) * DTYPE_BITS[dtype] // 8)


@dataclass(frozen=True)
class Names:
    """Prefixes of one form."""

    text: str
    head: str
    vision: str
    projector: tuple[str, ...]
    newline: str


NESTED = Names(
    text="language_model.model.",
    head="language_model.lm_head.weight",
    vision="vision_tower.vision_model.",
    projector=("multi_modal_projector.linear_1", "multi_modal_projector.linear_2"),
    newline="image_newline",
)
NESTED_5 = Names(
    text="model.language_model.",
    head="lm_head.weight",
    vision="model.vision_tower.vision_model.",
    projector=("model.multi_modal_projector.linear_1", "model.multi_modal_projector.linear_2"),
    newline="model.image_newline",
)
"""As transformers 5 saves them."""

FLAT = Names(
    text="model.",
    head="lm_head.weight",
    vision="model.vision_tower.vision_tower.vision_model.",
    projector=("model.mm_projector.0", "model.mm_projector.2"),
    newline="model.image_newline",
)


def tensors(
    model: Architecture, names: Names, *, dtype: str, biases: bool, newline: bool = True
) -> Iterator[Tensor]:
    """Every tensor of a checkpoint in 16 or 32 bit."""
    text = model.text
    h, head = text.hidden_size, text.head_dim
    yield tensor(f"{names.text}embed_tokens.weight", dtype, text.vocab_size, h)
    for n in range(text.layers):
        at = f"{names.text}layers.{n}."
        for name, outputs, inputs in linears(model):
            yield tensor(f"{at}{name}.weight", dtype, outputs, inputs)
        if biases:
            for name, heads in (("q", text.attention_heads), ("k", text.key_value_heads)):
                yield tensor(f"{at}self_attn.{name}_proj.bias", dtype, heads * head)
            yield tensor(f"{at}self_attn.v_proj.bias", dtype, text.key_value_heads * head)
        yield tensor(f"{at}input_layernorm.weight", dtype, h)
        yield tensor(f"{at}post_attention_layernorm.weight", dtype, h)
    yield tensor(f"{names.text}norm.weight", dtype, h)
    if not text.tie_word_embeddings:
        yield tensor(names.head, dtype, text.vocab_size, h)
    yield from vision_tensors(model, names, dtype)
    v = model.vision.hidden_size
    for name, inputs in zip(names.projector, (v, h), strict=True):
        yield tensor(f"{name}.weight", dtype, h, inputs)
        yield tensor(f"{name}.bias", dtype, h)
    if newline:
        yield tensor(names.newline, dtype, h)


def linears(model: Architecture) -> tuple[tuple[str, int, int], ...]:
    """The linear layers of a decoder layer: name, outputs, inputs."""
    text = model.text
    h, inter = text.hidden_size, text.intermediate_size
    q, kv = text.attention_heads * text.head_dim, text.key_value_heads * text.head_dim
    return (
        ("self_attn.q_proj", q, h),
        ("self_attn.k_proj", kv, h),
        ("self_attn.v_proj", kv, h),
        ("self_attn.o_proj", h, q),
        ("mlp.gate_proj", inter, h),
        ("mlp.up_proj", inter, h),
        ("mlp.down_proj", h, inter),
    )


def vision_tensors(model: Architecture, names: Names, dtype: str) -> Iterator[Tensor]:
    """Every tensor of the tower: CLIP where it has 24 patches per side, else SigLIP."""
    vision, at = model.vision, names.vision
    h, inter, side = vision.hidden_size, vision.intermediate_size, vision.patches_per_side
    clip = side == 24
    positions = side * side + (1 if clip else 0)
    yield tensor(f"{at}embeddings.patch_embedding.weight", dtype, h, 3, 14, 14)
    yield tensor(f"{at}embeddings.position_embedding.weight", dtype, positions, h)
    if clip:
        yield tensor(f"{at}embeddings.class_embedding", dtype, h)
    else:
        yield tensor(f"{at}embeddings.patch_embedding.bias", dtype, h)
    for norm in ("pre_layrnorm", "post_layernorm") if clip else ("post_layernorm",):
        yield tensor(f"{at}{norm}.weight", dtype, h)
        yield tensor(f"{at}{norm}.bias", dtype, h)
    for n in range(vision.layers):
        layer = f"{at}encoder.layers.{n}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield tensor(f"{layer}self_attn.{name}.weight", dtype, h, h)
            yield tensor(f"{layer}self_attn.{name}.bias", dtype, h)
        for name, outputs, inputs in (("fc1", inter, h), ("fc2", h, inter)):
            yield tensor(f"{layer}mlp.{name}.weight", dtype, outputs, inputs)
            yield tensor(f"{layer}mlp.{name}.bias", dtype, outputs)
        for name in ("layer_norm1", "layer_norm2"):
            yield tensor(f"{layer}{name}.weight", dtype, h)
            yield tensor(f"{layer}{name}.bias", dtype, h)


def header(listed: Iterable[Tensor]) -> bytes:
    """The JSON of a header, padded with blanks to 8 bytes as the library does."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for each in listed:
        offsets = [end, end + each.bytes]
        entries[each.name] = {
            "dtype": each.dtype,
            "shape": list(each.shape),
            "data_offsets": offsets,
        }
        end += each.bytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def prefixed(text: bytes) -> bytes:
    """A header with its length before it."""
    return len(text).to_bytes(8, "little") + text


def write_file(path: Path, listed: list[Tensor]) -> None:
    """One safetensors file; its data is a hole."""
    begin = prefixed(header(listed))
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(len(begin) + sum(each.bytes for each in listed))


def write(folder: Path, config: dict[str, Any], listed: Iterable[Tensor]) -> None:
    """A model's folder: one file, or shards with an index where it is larger than one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    shards: list[list[Tensor]] = [[]]
    size = 0
    for each in listed:
        if size + each.bytes > SHARD_BYTES and shards[-1]:
            shards.append([])
            size = 0
        shards[-1].append(each)
        size += each.bytes
    if len(shards) == 1:
        write_file(folder / "model.safetensors", shards[0])
        return
    placed: dict[str, str] = {}
    for n, shard in enumerate(shards, start=1):
        name = f"model-{n:05}-of-{len(shards):05}.safetensors"
        write_file(folder / name, shard)
        placed |= {each.name: name for each in shard}
    total = sum(each.bytes for shard in shards for each in shard)
    index = {"metadata": {"total_size": total}, "weight_map": placed}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def quantized(
    listed: Iterable[Tensor], scheme: str, *, skip: str = "", group: int = 128
) -> Iterator[Tensor]:
    """The same checkpoint with the decoder's linear layers quantized.

    Args:
        listed: a checkpoint in 16 bit.
        scheme: GPTQ, AWQ, packed (compressed-tensors INT4), FP8, FP8-block, INT8, NF4 or LLM.int8.
        skip: layers whose name contains this stay as they are.
        group: weights that share a scale.
    """
    for each in listed:
        name = each.name.removesuffix(".weight")
        linear = name.endswith("_proj") and ".layers." in name and "vision" not in name
        if not linear or each.name == name or (skip and skip in name):
            yield each
            continue
        outputs, inputs = each.shape
        yield from _SCHEMES[scheme](name, outputs, inputs, group)


def _gptq(name: str, out: int, inp: int, group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.qweight", "I32", inp // 8, out)
    yield tensor(f"{name}.qzeros", "I32", inp // group, out // 8)
    yield tensor(f"{name}.scales", "F16", inp // group, out)
    yield tensor(f"{name}.g_idx", "I32", inp)


def _awq(name: str, out: int, inp: int, group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.qweight", "I32", inp, out // 8)
    yield tensor(f"{name}.qzeros", "I32", inp // group, out // 8)
    yield tensor(f"{name}.scales", "F16", inp // group, out)


def _packed(name: str, out: int, inp: int, group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.weight_packed", "I32", out, inp // 8)
    yield tensor(f"{name}.weight_scale", "BF16", out, inp // group if group > 0 else 1)
    yield tensor(f"{name}.weight_shape", "I64", 2)


def _fp8(name: str, out: int, inp: int, _group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.weight", "F8_E4M3", out, inp)
    yield tensor(f"{name}.weight_scale", "F32", out, 1)


def _fp8_block(name: str, out: int, inp: int, group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.weight", "F8_E4M3", out, inp)
    yield tensor(f"{name}.weight_scale_inv", "F32", -(-out // group), -(-inp // group))


def _int8(name: str, out: int, inp: int, _group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.weight", "I8", out, inp)
    yield tensor(f"{name}.weight_scale", "BF16", out, 1)


def _nf4(name: str, out: int, inp: int, _group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.weight", "U8", out * inp // 2, 1)
    yield tensor(f"{name}.weight.absmax", "F32", out * inp // 64)
    yield tensor(f"{name}.weight.quant_map", "F32", 16)
    yield tensor(f"{name}.weight.quant_state.bitsandbytes__nf4", "U8", 90)


def _llm_int8(name: str, out: int, inp: int, _group: int) -> Iterator[Tensor]:
    yield tensor(f"{name}.weight", "I8", out, inp)
    yield tensor(f"{name}.SCB", "F32", out)
    yield tensor(f"{name}.weight_format", "U8")


_SCHEMES = {
    "GPTQ": _gptq,
    "AWQ": _awq,
    "packed": _packed,
    "FP8": _fp8,
    "FP8-block": _fp8_block,
    "INT8": _int8,
    "NF4": _nf4,
    "LLM.int8": _llm_int8,
}
