"""An original checkpoint as it lies on disk: its `config.json`, its weights' names and shapes.

Only the standard library; of the weights only the headers are read.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

INDEX = "model.safetensors.index.json"
_HEADER_LENGTH = struct.Struct("<Q")
_MOST_HEADER_BYTES = 100_000_000  # as in safetensors' own reader


class PrepareError(Exception):
    """The checkpoint cannot be prepared; the message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder with an original checkpoint."""

    folder: Path
    config: dict[str, Any]
    shards: tuple[str, ...]
    """Names of the safetensors files."""

    @classmethod
    def open(cls, folder: Path) -> Checkpoint:
        """Read `config.json` and see whether the weights are all there."""
        if not folder.is_dir():
            raise PrepareError(f"{folder} is not a folder; name the one with config.json")
        return cls(folder, read_json(folder / "config.json"), _shards(folder))

    def shapes(self, *names: str) -> dict[str, list[int] | None]:
        """The shapes of these tensors; None for one that the checkpoint lacks."""
        places: dict[str, str] | None = None
        wanted = set(self.shards)
        if (self.folder / INDEX).is_file():
            places = read_json(self.folder / INDEX)["weight_map"]
            wanted = {places[name] for name in names if name in places}
        headers: dict[str, Any] = {}
        for shard in sorted(wanted):
            headers |= _header(self.folder / shard)
        known = headers.keys() & (headers if places is None else places).keys()
        return {name: headers[name]["shape"] if name in known else None for name in names}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise PrepareError(f"{path.name} is missing in {path.parent}") from None
    except (OSError, ValueError) as error:
        raise PrepareError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise PrepareError(f"{path} holds no JSON object; is the download complete?")
    return value


def _shards(folder: Path) -> tuple[str, ...]:
    if (folder / INDEX).is_file():
        places = read_json(folder / INDEX).get("weight_map")
        if not isinstance(places, dict) or not places:
            raise PrepareError(f"{folder / INDEX} has no weight_map; is the download complete?")
        names = sorted(set(places.values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise PrepareError(
                f"{len(missing)} of {len(names)} weight files are missing in {folder}, the first "
                f"is {missing[0]}; finish the download first"
            )
        return tuple(names)
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    if not names:
        raise PrepareError(
            f"there is no *.safetensors file in {folder}; other formats of weights are not served"
        )
    return tuple(names)


def _header(path: Path) -> dict[str, Any]:
    """Name to type and shape, from the beginning of a safetensors file."""
    try:
        with path.open("rb") as file:
            (length,) = _HEADER_LENGTH.unpack(file.read(_HEADER_LENGTH.size))
            header = json.loads(file.read(min(length, _MOST_HEADER_BYTES)))
    except (OSError, ValueError, struct.error) as error:
        raise PrepareError(
            f"{path} is not a safetensors file ({error}); if it is small, it may be a Git LFS "
            "pointer, not the weights"
        ) from None
    header.pop("__metadata__", None)
    return dict(header)
