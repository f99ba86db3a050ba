"""What config.json says of a checkpoint's quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.sentences import choice, shown
from videollm_operator.api.v1alpha1.compute import (
    PER_CHANNEL,
    QuantizationFormat,
    QuantizationMethod,
)
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from videollm_operator.checkpoints.fields import Fields

_METHODS = ("awq", "bitsandbytes", "compressed-tensors", "fbgemm_fp8", "fp8", "gptq")
_FORMATS = {
    ("float", 8): QuantizationFormat.FP8,
    ("int", 8): QuantizationFormat.INT8,
    ("int", 4): QuantizationFormat.INT4,
}


@dataclass(frozen=True, slots=True)
class Said:
    """`quantization_config`, in the words of `spec.quantization`."""

    format: QuantizationFormat
    method: QuantizationMethod
    group_size: int
    place: str
    """Where it stands in config.json."""

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return 4 if self.format is QuantizationFormat.INT4 else 8


def said_quantization(*places: Fields) -> Said | None:
    """The first `quantization_config` there is; None if there is none.

    Args:
        places: the config, and the part of it that describes the language model.

    Raises:
        CheckpointProblem: for a method that no engine takes, or impossible numbers.
    """
    found = section_of(*places)
    return _read(*found) if found else None


def section_of(*places: Fields) -> tuple[Fields, str] | None:
    """The first `quantization_config` there is, and where it stands; None if there is none."""
    for fields in places:
        for key in ("quantization_config", "compression_config"):
            section = fields.section(key)
            if section is not None:
                return section, fields.place(key)
    return None


def unloadable(*places: Fields) -> str:
    """Why engines cannot load what the first `quantization_config` says, or nothing.

    vLLM 0.33 `quantization/auto_gptq.py` (`TYPE_MAP`).
    """
    found = section_of(*places)
    if found is None or method_of(found[0]) != "gptq" or found[0].boolean("sym") is not False:
        return ""
    return (
        f"`{found[0].place('sym')}` in config.json is false, but vLLM loads GPTQ weights only if "
        "they are symmetric: quantize with `sym: true`, or use AWQ or compressed-tensors"
    )


def method_of(section: Fields) -> str:
    """Its `quant_method`, in small letters."""
    return (section.text("quant_method") or "").lower()


def _read(section: Fields, place: str) -> Said:
    method = method_of(section)
    if method == "gptq":
        return _integers(section, place, QuantizationMethod.GPTQ, ("bits",), ("group_size",))
    if method == "awq":
        bits, groups = ("bits", "w_bit"), ("group_size", "q_group_size")
        return _integers(section, place, QuantizationMethod.AWQ, bits, groups)
    if method == "compressed-tensors":
        return _compressed(section, place)
    if method in {"fp8", "fbgemm_fp8"}:
        blocks = section.items("weight_block_size")
        group = PER_CHANNEL
        if blocks:
            if len(blocks) != 2 or any(type(side) is not int or side < 1 for side in blocks):
                raise _wrong(section, "weight_block_size", "two whole numbers")
            group = blocks[1]
        files = QuantizationMethod.COMPRESSED_TENSORS
        return checked(QuantizationFormat.FP8, files, group, place)
    if method == "bitsandbytes":
        four = section.boolean("load_in_4bit")
        form = QuantizationFormat.INT4 if four else QuantizationFormat.INT8
        return checked(form, QuantizationMethod.BITS_AND_BYTES, PER_CHANNEL, place)
    raise _wrong(section, "quant_method", choice(_METHODS))


def _integers(
    section: Fields,
    place: str,
    method: QuantizationMethod,
    bits_keys: tuple[str, ...],
    group_keys: tuple[str, ...],
) -> Said:
    bits = next((bits for key in bits_keys if (bits := section.integer(key, 1, 64))), 4)
    form = _FORMATS.get(("int", bits))
    if form is None or (method is QuantizationMethod.AWQ and bits != 4):
        raise _wrong(section, next(key for key in bits_keys if key in section), "4 or 8 (AWQ: 4)")
    groups = (section.integer(key, PER_CHANNEL) for key in group_keys)
    group = next((group for group in groups if group is not None), 128)
    return checked(form, method, group, place)


def _compressed(section: Fields, place: str) -> Said:
    """compressed-tensors: the group with the widest weights, which is the careful one."""
    groups = section.section("config_groups")
    found: list[Said] = []
    for name in groups.keys() if groups else ():
        group = groups.section(name) if groups else None
        weights = group.section("weights") if group else None
        if weights is None:
            continue
        bits, kind = weights.integer("num_bits", 1, 64), weights.text("type") or "int"
        form = _FORMATS.get((kind, bits or 8))
        if form is None:
            problem = (
                f"`{weights.place('num_bits')}` in config.json means {bits} bit {kind} weights, "
                "but must mean 8 bit float, or 8 or 4 bit int: use another checkpoint"
            )
            raise CheckpointProblem(problem)
        size = weights.integer("group_size", PER_CHANNEL) or PER_CHANNEL
        if weights.text("strategy") == "block":
            blocks = weights.items("block_structure") or [128, 128]
            size = blocks[-1] if type(blocks[-1]) is int else PER_CHANNEL
        found.append(checked(form, QuantizationMethod.COMPRESSED_TENSORS, size, place))
    if not found:
        raise _wrong(section, "config_groups", "an object whose groups have `weights`")
    return max(found, key=lambda each: each.bits)


def checked(form: QuantizationFormat, method: QuantizationMethod, group: int, place: str) -> Said:
    """A quantization with groups that `spec.quantization` can say.

    Raises:
        CheckpointProblem: for others.
    """
    if group != PER_CHANNEL and not 16 <= group <= 4096:
        problem = (
            f"groups of {group} weights ({place}) are none that engines take: they take 16 to "
            "4096, or whole channels (-1); use another checkpoint"
        )
        raise CheckpointProblem(problem)
    return Said(form, method, group, place)


def _wrong(section: Fields, key: str, wanted: str) -> CheckpointProblem:
    found = shown(section.raw(key))
    problem = f"`{section.place(key)}` in config.json is {found}, but must be {wanted}"
    return CheckpointProblem(f"{problem}: use another checkpoint, or correct it")
