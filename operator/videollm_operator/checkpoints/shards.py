"""Which files hold a checkpoint's weights, and all their tensors together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from videollm_operator.api.sentences import shown
from videollm_operator.checkpoints import jsontext
from videollm_operator.checkpoints.problem import CheckpointProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from videollm_operator.checkpoints.safetensors import Tensor

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

LONGEST_INDEX = 64 * 1024 * 1024
"""Bytes of an index; that of a model with 100 000 tensors has 10 MB."""

MOST_SHARDS = 2000
"""Files of one checkpoint; the largest on the hub have a few hundred."""

_OF_MODEL = re.compile(r"(?!consolidated|adapter_).+\.safetensors")
_NUMBERED = re.compile(r"(.+)-(\d{1,6})-of-(\d{1,6})\.safetensors")


@dataclass(frozen=True, slots=True)
class Shards:
    """The weight files of a checkpoint.

    Attributes:
        files: their names, sorted; empty if there are none.
        placed: file of each tensor as the index has it; empty without an index.
    """

    files: tuple[str, ...]
    placed: Mapping[str, str]


def weight_files(names: Collection[str], index: bytes | None) -> Shards:
    """The safetensors files to read.

    With an index those that it names. Else `model.safetensors`; else all files of the model, as
    engines do (`consolidated*` are second copies, `adapter_*` are no model).

    Args:
        names: all files at the top of the folder or repository.
        index: text of the index, if there is one.

    Raises:
        CheckpointProblem: if a file is missing, or the index cannot be read.
    """
    placed: Mapping[str, str] = {}
    if index is not None:
        placed = _indexed(index)
        wanted = set(placed.values())
    elif SINGLE in names:
        return Shards((SINGLE,), placed)
    else:
        found = {name for name in names if _OF_MODEL.fullmatch(name)}
        wanted = found | _announced(found)
    missing = sorted(wanted - set(names))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        problem = (
            f"{shown(missing[0])}{more} of {len(wanted)} weight files missing: finish the download"
        )
        raise CheckpointProblem(
            problem.replace(" missing", " are missing" if more else " is missing")
        )
    return Shards(tuple(sorted(wanted)), placed)


def joined(files: Mapping[str, Iterable[Tensor]], placed: Mapping[str, str]) -> tuple[Tensor, ...]:
    """The tensors of all files, each once.

    Args:
        files: tensors by file.
        placed: where the index has them.

    Raises:
        CheckpointProblem: if a tensor stands in two files or not where the index has it, or there
            is none at all.
    """
    place: dict[str, str] = {}
    tensors: list[Tensor] = []
    for file, held in files.items():
        for tensor in held:
            other = place.setdefault(tensor.name, file)
            if other != file:
                problem = (
                    f"the tensor {shown(tensor.name)} stands in {shown(other)} and in "
                    f"{shown(file)}: remove the file that does not belong to the model"
                )
                raise CheckpointProblem(problem)
            tensors.append(tensor)
    for name, file in placed.items():
        if place.get(name) != file:
            problem = (
                f"the index puts the tensor {shown(name)} into {shown(file)}, which lacks it: "
                "index and files are of different checkpoints; download them again"
            )
            raise CheckpointProblem(problem)
    if not tensors:
        raise CheckpointProblem("the safetensors files hold no tensors: download them again")
    return tuple(tensors)


def _indexed(text: bytes) -> dict[str, str]:
    """The file of each tensor."""
    what = f"'{INDEX}'"
    listed = jsontext.read_object(text, what, LONGEST_INDEX).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        problem = (
            f"{what} has the `weight_map` {shown(listed)}, but must name a file for each tensor"
        )
        raise CheckpointProblem(problem)
    for tensor, file in listed.items():
        named = isinstance(file, str) and file.endswith(".safetensors")
        if not named or re.search(r"[/\\\0]", file):
            problem = (
                f"{what} puts the tensor {shown(tensor)} into {shown(file)}, but must name a "
                "'.safetensors' file beside it"
            )
            raise CheckpointProblem(problem)
    count = len(set(listed.values()))
    if count > MOST_SHARDS:
        raise CheckpointProblem(f"{what} names {count} files, but may name {MOST_SHARDS}")
    return listed


def _announced(found: Iterable[str]) -> set[str]:
    """The files that must be there when `model-00001-of-00004.safetensors` is."""
    every: set[str] = set()
    for name in found:
        match = _NUMBERED.fullmatch(name)
        if match:
            stem, number, count = match.groups()
            width = len(number)
            last = min(int(count), MOST_SHARDS)
            every |= {f"{stem}-{n:0{width}}-of-{count}.safetensors" for n in range(1, last + 1)}
    return every
