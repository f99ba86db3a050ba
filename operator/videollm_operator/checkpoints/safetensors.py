"""The header of a safetensors file: which tensors it holds, in which format, and where.

A file is 8 bytes with the length of the header, the header (JSON), and the tensors' bytes without
gaps (huggingface/safetensors, README "Format"; the rules are those of its `tensor.rs`).
Only the header is read: a few hundred kB of a checkpoint of 150 GB tell its size to the byte.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeGuard

from videollm_operator.api.sentences import nearest, shown
from videollm_operator.checkpoints import jsontext
from videollm_operator.checkpoints.problem import CheckpointProblem

LENGTH_BYTES = 8
"""Bytes before the header: its length, little-endian."""

LONGEST_HEADER = 25_000_000
"""Bytes of a header; the hub's own limit (huggingface_hub, `SAFETENSORS_MAX_HEADER_LENGTH`)."""

DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
"""Bits of one element (huggingface/safetensors, `tensor.rs`, `Dtype::bitsize`)."""

_LARGEST_BITS = 2**63
_MOST_DIMENSIONS = 16
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the header describes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    """Bytes in the file."""

    @property
    def elements(self) -> int:
        """Elements as stored; packed formats hold several weights in one."""
        return math.prod(self.shape)


def header_length(first: bytes, file_bytes: int, what: str) -> int:
    """Bytes of the header that follows the first eight.

    Args:
        first: the beginning of the file, at least 8 bytes if it has as many.
        file_bytes: size of the whole file.
        what: the file, for the sentence.

    Raises:
        CheckpointProblem: if it cannot be a safetensors file.
    """
    if first.startswith(_LFS_POINTER):
        problem = f"{what} is a Git LFS pointer, not the file itself: run `git lfs pull` there"
        raise CheckpointProblem(problem)
    if len(first) < LENGTH_BYTES:
        problem = f"{what} has {len(first)} bytes and so no safetensors header: download it again"
        raise CheckpointProblem(problem)
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if length > LONGEST_HEADER:
        problem = (
            f"{what} says that its header has {length} bytes, but headers have at most "
            f"{LONGEST_HEADER}: it is not a safetensors file, or was damaged; download it again"
        )
        raise CheckpointProblem(problem)
    if LENGTH_BYTES + length > file_bytes:
        problem = (
            f"{what} says that its header has {length} bytes, but the file ends after "
            f"{file_bytes}: it was cut off; download it again"
        )
        raise CheckpointProblem(problem)
    return length


def read_header(raw: bytes, file_bytes: int, what: str) -> tuple[Tensor, ...]:
    """The tensors of a file, in the order of their bytes.

    Args:
        raw: the header, without the eight bytes before it.
        file_bytes: size of the whole file.
        what: the file, for the sentence.

    Raises:
        CheckpointProblem: if the header cannot be true of the file: unknown formats, sizes that do
            not follow from the shapes, tensors that overlap, leave gaps, or lie outside of it.
    """
    listed = jsontext.read_object(raw, f"the header of {what}", LONGEST_HEADER)
    words = listed.pop("__metadata__", None)
    if words is None:
        words = {}
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        problem = (
            f"{what} has `__metadata__` that is no object of texts, which no engine reads: "
            "download it again"
        )
        raise CheckpointProblem(problem)
    placed = [_placed(name, entry, what) for name, entry in listed.items()]
    placed.sort(key=lambda each: (each[0], each[1].bytes))
    end = 0
    for begin, tensor in placed:
        if begin != end:
            where = "overlaps the one before it" if begin < end else "leaves a gap before it"
            problem = (
                f"{what}: the tensor {shown(tensor.name)} {where} (it begins at byte {begin}, "
                f"where {end} was due): the file was damaged; download it again"
            )
            raise CheckpointProblem(problem)
        end += tensor.bytes
    wanted = LENGTH_BYTES + len(raw) + end
    if wanted != file_bytes:
        problem = (
            f"{what} has {file_bytes} bytes, but its header describes {wanted}: it was cut off or "
            "added to; download it again"
        )
        raise CheckpointProblem(problem)
    return tuple(tensor for _, tensor in placed)


def _placed(name: str, entry: Any, what: str) -> tuple[int, Tensor]:
    """A tensor and the byte at which it begins."""
    place = f"{what}: the tensor {shown(name)}"
    if not isinstance(entry, dict):
        raise CheckpointProblem(f"{place} is {shown(entry)}, but must be an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        meant = nearest(dtype, DTYPE_BITS) if isinstance(dtype, str) else ""
        remedy = f"did you mean '{meant}'?" if meant else "no engine reads it"
        problem = (
            f"{place} has the `dtype` {shown(dtype)}, which safetensors does not know: {remedy}"
        )
        raise CheckpointProblem(problem)
    if not _counts(shape) or len(shape) > _MOST_DIMENSIONS:
        problem = f"{place} has the `shape` {_listed(shape)}, but must have a list of whole numbers"
        raise CheckpointProblem(problem)
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        problem = (
            f"{place} has the `data_offsets` {_listed(offsets)}, but must have two whole numbers, "
            "the first byte and the one after the last"
        )
        raise CheckpointProblem(problem)
    begin, end = offsets
    bits = math.prod(shape) * DTYPE_BITS[dtype]
    wanted = bits // 8 if bits < _LARGEST_BITS else "more than 2^60"
    if bits != (end - begin) * 8:
        problem = (
            f"{place} has {end - begin} bytes, but {dtype} in the shape {_listed(shape)} takes "
            f"{wanted}: the header is wrong; download it again"
        )
        raise CheckpointProblem(problem)
    return begin, Tensor(name, dtype, tuple(shape), end - begin)


def _counts(value: Any) -> TypeGuard[list[int]]:
    """Whether it is a list of whole numbers from 0."""
    return isinstance(value, list) and all(type(each) is int and each >= 0 for each in value)


def _listed(value: Any) -> str:
    """A short list as it stands."""
    if not isinstance(value, list):
        return shown(value)
    if len(value) > 8:
        return f"of {len(value)} numbers"
    return f"[{', '.join(shown(each) for each in value)}]"
