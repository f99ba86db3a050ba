"""`python -m videollm_vllm.prepare`: what it writes, what it refuses, and how it gets there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from videollm_vllm import prepare
from videollm_vllm.checkpoint import INDEX, Checkpoint
from videollm_vllm.config import TOWERS
from videollm_vllm.tokenizer import tokenizer_files

from tests.plugin.tiny import CONFIG, write_checkpoint
from tests.serving_env import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable

SO400M = "google/siglip-so400m-patch14-384"


def config_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "config.json").read_text()))


def refusal(source: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert prepare.main([str(source), str(target)]) == 1
    assert not target.exists()
    return capsys.readouterr().err


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_the_config_says_what_vllm_needs(prepared: Path) -> None:
    config = config_of(prepared)
    assert config["architectures"] == ["LlavaQwenForCausalLM"]
    assert config["model_type"] == "llava_onevision"
    assert config["text_config"]["hidden_size"] == CONFIG["hidden_size"]
    assert config["vision_config"]["num_hidden_layers"] == 3  # of four
    assert config["mm_newline_position"] == "grid"
    assert config["mm_spatial_pool_mode"] == "bilinear"
    assert config["image_grid_pinpoints"] == [[70, 70], [140, 70], [70, 140], [140, 140]]
    assert (config["image_token_index"], config["video_token_index"]) == (259, 260)


def test_pixels_are_normalized_as_siglip_wants_it(prepared: Path) -> None:
    """HF's default for this processor is CLIP's mean and deviation."""
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        written = json.loads((prepared / name).read_text())
        assert written["image_mean"] == written["image_std"] == [0.5, 0.5, 0.5]


def test_weights_are_links_to_the_original(prepared: Path, checkpoint: Path) -> None:
    links = {path.name: path.readlink() for path in prepared.iterdir() if path.is_symlink()}
    shards = [path.name for path in checkpoint.glob("*.safetensors")]
    assert set(links) == {*shards, INDEX, "generation_config.json"}
    assert all(place == checkpoint / name for name, place in links.items())


def test_a_second_run_changes_nothing(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "deep" / "model"
    assert prepare.main([str(checkpoint), str(target)]) == 0
    assert ": prepared from" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in target.resolve().iterdir()}
    assert prepare.main([str(checkpoint), str(target)]) == 0
    assert ": already prepared from" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in target.resolve().iterdir()}
    assert len(list(target.parent.iterdir())) == 2


def test_a_changed_checkpoint_is_prepared_anew_beside_the_old(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "checkpoint")
    target = tmp_path / "model"
    assert prepare.main([str(source), str(target)]) == 0
    old = target.resolve()
    rewrite(source / "config.json", lambda c: c.update(mm_newline_position="frame"))
    assert prepare.main([str(source), str(target)]) == 0
    assert config_of(target)["mm_newline_position"] == "frame"
    assert config_of(old)["mm_newline_position"] == "grid"  # a running server still reads it


def test_a_damaged_folder_is_made_anew(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "model"
    assert prepare.main([str(checkpoint), str(target)]) == 0
    (target / "config.json").unlink()
    assert prepare.main([str(checkpoint), str(target)]) == 0
    assert config_of(target)["mm_newline_position"] == "grid"


def test_an_interrupted_run_leaves_nothing_that_counts(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "symlink_to", fail)
        assert prepare.main([str(checkpoint), str(target)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert prepare.main([str(checkpoint), str(target)]) == 0


def test_eight_at_once_on_one_volume(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "model"
    command = [sys.executable, "-m", "videollm_vllm.prepare", str(checkpoint), str(target)]
    environment = os.environ | {"PYTHONPATH": str(PLUGIN)}
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(8)]
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert config_of(target)["mm_newline_position"] == "grid"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [target.name, target.readlink().name]
    )


def test_the_loser_of_a_race_takes_the_winners_folder(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay = prepare.plan(Checkpoint.open(checkpoint))
    target = tmp_path / "model"
    rename = Path.rename

    def after_another(mine: Path, folder: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        assert prepare.publish(overlay, target)
        return rename(mine, folder)

    monkeypatch.setattr(Path, "rename", after_another)
    assert prepare.publish(overlay, target)
    assert config_of(target)["mm_newline_position"] == "grid"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_of_somebody_else_is_left_alone(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare.main([str(checkpoint), str(tmp_path)]) == 1
    assert f"such as {tmp_path / 'model'}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_hub_id_is_found_in_the_hub_cache(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As downloads lie there: a snapshot folder of links to blobs."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--lmms-lab--LLaVA-Video-Tiny"
    snapshot = repository / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    snapshot.mkdir()
    for path in checkpoint.iterdir():
        (snapshot / path.name).symlink_to(path)
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}

    def prepared(repository: str, target: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "videollm_vllm.prepare", repository, str(tmp_path / target)],
            env=os.environ | environment | {"PYTHONPATH": str(PLUGIN)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = prepared("lmms-lab/LLaVA-Video-Tiny", "model")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / INDEX).readlink() == snapshot / INDEX
    missing = prepared("lmms-lab/LLaVA-Video-Other", "other")
    assert missing.returncode == 1
    assert "lmms-lab/LLaVA-Video-Other is no folder" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architectures": ["LlavaOnevisionForConditionalGeneration"]}, "needs no preparation"),
        ({"num_key_value_heads": None}, "config.json lacks num_key_value_heads"),
        ({"mm_newline_position": "row"}, "mm_newline_position: 'row'"),
        ({"mm_spatial_pool_mode": "mean"}, "bilinear or average or max"),
        ({"mm_spatial_pool_stride": 4}, "mm_spatial_pool_stride: 4"),
        ({"mm_patch_merge_type": "flat"}, "spatial_unpad"),
        ({"mm_projector_type": "linear"}, "mlp2x_gelu"),
        ({"mm_resampler_type": "perceiver"}, "only no value there"),
        ({"add_faster_video": True}, "add_faster_video: True"),
        ({"image_aspect_ratio": "pad"}, "image_aspect_ratio is 'pad'"),
        ({"mm_vision_tower": "openai/clip-vit-large"}, f"known are {SO400M}"),
        ({"mm_vision_tower": SO400M}, "not of one checkpoint"),
        ({"vocab_size": 260}, "the embedding ends at 259"),
        ({"num_hidden_layers": 0, "hidden_size": 64}, "has shape"),
    ],
)
def test_what_cannot_be_served_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_checkpoint(tmp_path / "checkpoint", **change)
    assert words in refusal(source, tmp_path / "model", capsys)


def _without_shard(source: Path) -> None:
    next(source.glob("*-of-*")).unlink()


def _without_weights(source: Path) -> None:
    for path in source.glob("*safetensors*"):
        path.unlink()


def _lfs_pointer(source: Path) -> None:
    for path in source.glob("*.safetensors"):
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n")


def _without_tower(source: Path) -> None:
    def forget(index: dict[str, Any]) -> None:
        places = index["weight_map"]
        index["weight_map"] = {n: s for n, s in places.items() if "vision_tower" not in n}

    rewrite(source / INDEX, forget)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: (s / "config.json").unlink(), "config.json is missing in"),
        (lambda s: (s / "config.json").write_text("{"), "config.json cannot be read"),
        (lambda s: (s / "config.json").write_text("[]"), "holds no JSON object"),
        (lambda s: (s / INDEX).write_text("{}"), "has no weight_map"),
        (lambda s: (s / "tokenizer_config.json").unlink(), "tokenizer_config.json is missing"),
        (lambda s: (s / "tokenizer.json").unlink(), "has no tokenizer.json, nor"),
        (_without_shard, "1 of 2 weight files are missing"),
        (_without_weights, "there is no *.safetensors file"),
        (_lfs_pointer, "Git LFS"),
        (_without_tower, "with its vision tower?"),
    ],
)
def test_an_incomplete_checkpoint_is_refused(
    spoil: Callable[[Path], object],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = write_checkpoint(tmp_path / "checkpoint")
    spoil(source)
    assert words in refusal(source, tmp_path / "model", capsys)


def test_a_source_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a folder" in refusal(tmp_path / "none", tmp_path / "model", capsys)


def test_one_file_of_weights_needs_no_index(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "checkpoint")
    (source / INDEX).unlink()
    assert prepare.main([str(source), str(tmp_path / "model")]) == 0


def test_what_a_config_leaves_out_is_as_in_the_original_code(tmp_path: Path) -> None:
    source = write_checkpoint(
        tmp_path / "checkpoint", mm_newline_position=None, mm_spatial_pool_mode=None
    )
    assert prepare.main([str(source), str(tmp_path / "model")]) == 0
    config = config_of(tmp_path / "model")
    assert (config["mm_newline_position"], config["mm_spatial_pool_mode"]) == (
        "one_token",
        "bilinear",
    )


@pytest.mark.parametrize("text", ["(1x1),...,(2x2)", "[(70, 70), (70, 140), (140, 70)]"])
def test_crop_sizes_may_be_text(text: str, tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "checkpoint", image_grid_pinpoints=text)
    assert prepare.main([str(source), str(tmp_path / "model")]) == 0
    assert config_of(tmp_path / "model")["image_grid_pinpoints"][:3] == [
        [70, 70],
        [140, 70],
        [70, 140],
    ]


def test_a_tower_with_a_whole_siglip_config(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "checkpoint")
    place = source / "tower" / "config.json"
    place.write_text(json.dumps({"vision_config": json.loads(place.read_text())}))
    assert prepare.main([str(source), str(tmp_path / "model")]) == 0


def test_the_real_tower_keeps_26_of_27_layers() -> None:
    assert TOWERS[SO400M]["num_hidden_layers"] == 27
    assert TOWERS[SO400M]["image_size"] // TOWERS[SO400M]["patch_size"] == 27


def test_placeholders_that_the_tokenizer_has_are_kept(checkpoint: Path, prepared: Path) -> None:
    files, image, video = tokenizer_files(prepared, 320)
    assert (image, video) == (259, 260)
    again = [token["content"] for token in files["tokenizer.json"]["added_tokens"]]
    assert again.count("<image>") == again.count("<video>") == 1


def test_the_tokenizers_list_of_added_tokens_is_kept_in_step(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "checkpoint")
    rewrite(
        source / "tokenizer_config.json",
        lambda c: c.update(added_tokens_decoder={}, chat_template="old"),
    )
    files, image, _ = tokenizer_files(source, 320)
    written = files["tokenizer_config.json"]
    assert written["added_tokens_decoder"][str(image)]["content"] == "<image>"
    assert "chat_template" not in written


def test_the_commands_of_the_readme_make_the_folder_that_they_serve(
    checkpoint: Path, tmp_path: Path
) -> None:
    """`test_http` serves such a folder."""
    text = (PLUGIN / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    write, serve = (shlex.split(line) for line in block.strip().splitlines())
    program, source, target = write[:3], write[3], write[4]
    assert source == "/models/LLaVA-Video-7B-Qwen2"
    assert serve == ["vllm", "serve", target]
    done = subprocess.run(
        [sys.executable, *program[1:], str(checkpoint), str(tmp_path / "model")],
        env=os.environ | {"PYTHONPATH": str(PLUGIN)},
        check=False,
    )
    assert done.returncode == 0
    assert config_of(tmp_path / "model")["architectures"] == ["LlavaQwenForCausalLM"]
