"""A model's own files, in a folder or on the hub, read as far as its numbers need.

The decisions are in `checkpoints`; here are the reads, of which there are three kinds: the names of
the files, a small file as a whole, the header of a large one.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from videollm_operator.api.sentences import shown
from videollm_operator.api.v1alpha1.model import HUB_ID
from videollm_operator.checkpoints import shards
from videollm_operator.checkpoints.describe import Description, describe
from videollm_operator.checkpoints.fields import LONGEST_CONFIG
from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.checkpoints.safetensors import read_header

if TYPE_CHECKING:
    from collections.abc import Collection

    from videollm_operator.checkpoints.safetensors import Tensor
    from videollm_operator.checkpoints.shards import Shards

_AT_ONCE = 8
"""Headers read at the same time; on the hub each costs one or two round trips."""

_CACHED = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/[^/]+/?$")


class Files(Protocol):
    """Where a model's files lie. Every method raises `CheckpointProblem` if it cannot answer."""

    def names(self) -> Collection[str]:
        """Files at the top."""
        ...

    def whole(self, name: str, most: int) -> bytes:
        """A file's content, of which no more than one byte beyond `most` is read."""
        ...

    def header(self, name: str) -> tuple[bytes, int]:
        """A safetensors header without its length, and the size of the whole file in bytes."""
        ...


def is_folder(model: str) -> bool:
    """Whether a model is named by its folder, not by a hub id."""
    looks = model.startswith((".", "/", "~")) or model.endswith("/") or model.count("/") > 1
    return looks or os.path.isdir(model)


def described(model: str, name: str = "", revision: str = "main") -> Description:
    """Describes a folder or a model on the hub.

    Args:
        model: path of a folder, or hub id.
        name: what to call it; by default the hub id or the folder's name.
        revision: branch, tag or commit on the hub.

    Raises:
        CheckpointProblem: with the sentence why not.
    """
    if name and not re.fullmatch(HUB_ID, name):
        raise CheckpointProblem(f"{shown(name)} is no model id such as 'my-org/my-model'")
    files: Files
    if is_folder(model):
        from videollm_operator.cli.folder import Folder

        files = Folder(model)
    else:
        if not re.fullmatch(HUB_ID, model):
            problem = f"{shown(model)} is neither a folder here nor a hub id such as 'org/model'"
            raise CheckpointProblem(problem)
        from videollm_operator.cli.hub import Hub

        files = Hub(model, revision)
    return read(files, name or own_name(model))


def read(files: Files, name: str) -> Description:
    """Describes what lies there.

    Raises:
        CheckpointProblem: with the sentence why not.
    """
    names = files.names()
    if shards.CONFIG not in names:
        problem = "there is no config.json among the files: name the folder that holds the model's"
        if any(each.endswith(".gguf") for each in names):
            problem = "there are GGUF files, but no config.json: name the model that they come from"
        raise CheckpointProblem(problem)
    config = files.whole(shards.CONFIG, LONGEST_CONFIG)
    index = None
    if shards.INDEX in names:
        index = files.whole(shards.INDEX, shards.LONGEST_INDEX)
    weights = shards.weight_files(names, index)
    return describe(name, config, _tensors(files, weights) if weights.files else None)


def _tensors(files: Files, weights: Shards) -> tuple[Tensor, ...]:
    def of_file(file: str) -> tuple[Tensor, ...]:
        raw, size = files.header(file)
        return read_header(raw, size, shown(file))

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        headers = pool.map(of_file, weights.files)
        return shards.joined(dict(zip(weights.files, headers, strict=True)), weights.placed)
    finally:
        pool.shutdown(cancel_futures=True)  # after one failure no other is waited for


def own_name(model: str) -> str:
    """The hub id, or the folder's name made fit for `spec.model.name`.

    A folder of the hub's cache is called by the id that it was downloaded as.
    """
    if not is_folder(model):
        return model
    model = os.path.expanduser(model)
    cached = _CACHED.search(os.path.abspath(model))
    if cached:
        return f"{cached[1]}/{cached[2]}"
    last = PurePath(os.path.realpath(model)).name
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]", "", last)[:200] or "model"
