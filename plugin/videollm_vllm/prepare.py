"""Writes a folder that vLLM serves an original LLaVA-Video checkpoint from.

    python -m videollm_vllm.prepare SOURCE TARGET

SOURCE is the folder of the checkpoint, or its hub id (then `--revision` counts, and what is not in
the hub cache is downloaded). TARGET becomes a folder with config, processor, chat template and
tokenizer files, and links to the safetensors files of SOURCE: those must be found at the same path
when vLLM starts.

TARGET is a link to a folder beside it that is named by its contents and appears at once or not at
all. So a second run changes nothing, two at a time do no harm on any file system with an atomic
rename, and a running server keeps what it reads when a changed checkpoint is prepared.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videollm_vllm.checkpoint import INDEX, Checkpoint, PrepareError
from videollm_vllm.config import vllm_config
from videollm_vllm.tokenizer import CHAT_TEMPLATE, IMAGE, VIDEO, tokenizer_files

_LINKED_IF_THERE = (INDEX, "generation_config.json", "special_tokens_map.json")
_MEAN = [0.5, 0.5, 0.5]  # SigLIP's, in LLaVA's own image processor; HF's default is CLIP's
_BICUBIC = 3


@dataclass
class Overlay:
    """What the folder is to hold."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, Path] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Names the contents."""
        seen = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            seen.update(f"{name} {len(content)}\n".encode() + content)
        for name, place in sorted(self.links.items()):
            seen.update(f"{name} -> {place}\n".encode())
        return seen.hexdigest()[:16]

    def is_in(self, folder: Path) -> bool:
        """Whether the folder holds this, whole."""
        try:
            return all(
                (folder / name).read_bytes() == content for name, content in self.files.items()
            ) and all((folder / name).readlink() == place for name, place in self.links.items())
        except OSError:
            return False


def plan(checkpoint: Checkpoint) -> Overlay:
    """Everything the folder is to hold. Raises PrepareError if the plugin cannot serve it."""
    vocabulary = int(checkpoint.config.get("vocab_size") or 0)
    tokenizer, image, video = tokenizer_files(checkpoint.folder, vocabulary)
    config = vllm_config(checkpoint, image, video)
    size = config["vision_config"]["image_size"]
    pixels = {
        "size": {"height": size, "width": size},
        "do_resize": True,
        "resample": _BICUBIC,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": _MEAN,
        "image_std": _MEAN,
        "do_convert_rgb": True,
    }
    jsons: dict[str, Any] = {
        **tokenizer,
        "config.json": config,
        "preprocessor_config.json": {
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "image_grid_pinpoints": config["image_grid_pinpoints"],
            "do_pad": True,
            **pixels,
        },
        "video_preprocessor_config.json": {
            "video_processor_type": "LlavaOnevisionVideoProcessor",
            **pixels,
        },
        "processor_config.json": {
            "processor_class": "LlavaOnevisionProcessor",
            "image_token": IMAGE,
            "video_token": VIDEO,
            "num_image_tokens": (size // config["vision_config"]["patch_size"]) ** 2,
            "vision_feature_select_strategy": "full",
            "vision_aspect_ratio": config["vision_aspect_ratio"],
        },
    }
    overlay = Overlay()
    for name, value in jsons.items():
        overlay.files[name] = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    overlay.files["chat_template.jinja"] = CHAT_TEMPLATE.encode()
    there = [name for name in _LINKED_IF_THERE if (checkpoint.folder / name).is_file()]
    for name in (*checkpoint.shards, *there):
        overlay.links[name] = checkpoint.folder.absolute() / name
    return overlay


def publish(overlay: Overlay, target: Path) -> bool:
    """Make `target` a link to a folder with these contents. False if it was one already."""
    target = target.absolute()
    folder = target.parent / f".{target.name}-{overlay.digest}"
    if target.exists() and not target.is_symlink():
        raise PrepareError(
            f"{target} exists and was not made by this program; name a path that is not there "
            f"yet, such as {target / 'model'}"
        )
    if target.is_symlink() and overlay.is_in(target):
        return False
    if folder.is_dir() and not overlay.is_in(folder):  # somebody has removed files from it
        folder = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    target.parent.mkdir(parents=True, exist_ok=True)
    mine = target.parent / f".{target.name}-{uuid.uuid4().hex}"
    mine.mkdir()
    try:
        for name, content in overlay.files.items():
            (mine / name).write_bytes(content)
        for name, place in overlay.links.items():
            (mine / name).symlink_to(place)
        _rename_new(mine, folder)
    finally:
        shutil.rmtree(mine, ignore_errors=True)
    link = target.parent / f".{target.name}-{uuid.uuid4().hex}"
    link.symlink_to(folder.name)
    os.replace(link, target)
    return True


def _rename_new(mine: Path, folder: Path) -> None:
    """Rename a folder, unless another process was first: its folder has the same contents."""
    try:
        mine.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _find(source: str, revision: str | None) -> Path:
    """The folder that SOURCE means."""
    if Path(source).is_dir() or source.count("/") != 1 or source.startswith((".", "/", "~")):
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise PrepareError(
            f"{source} is no folder, and the hub cache and the hub do not give it: {first}"
        ) from None


def main(arguments: list[str] | None = None) -> int:
    """Run the program; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m videollm_vllm.prepare",
        description="Write a folder that vLLM serves an original LLaVA-Video checkpoint from.",
    )
    parser.add_argument("source", help="folder of the checkpoint, or its hub id")
    parser.add_argument("target", help="folder to make; a path that is not there yet", type=Path)
    parser.add_argument("--revision", help="of a hub id: branch, tag or commit")
    options = parser.parse_args(arguments)
    try:
        checkpoint = Checkpoint.open(_find(options.source, options.revision))
        overlay = plan(checkpoint)
        new = publish(overlay, options.target)
    except (PrepareError, OSError) as error:
        sys.stderr.write(f"prepare: {error}\n")
        return 1
    config = json.loads(overlay.files["config.json"])
    sys.stdout.write(
        f"{options.target}: {'prepared' if new else 'already prepared'} from {checkpoint.folder}, "
        f"{len(checkpoint.shards)} weight files, newlines {config['mm_newline_position']}, "
        f"pooling {config['mm_spatial_pool_mode']}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
