"""Building programs, tried with a tiny Go module so that it takes a second."""

from __future__ import annotations

import io
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from devcluster import binaries, goenv
from devcluster.build import CONTROL_PLANE, HELM, Recipe, build, linker_flags, pinned_version
from devcluster.errors import BuildError, StartError
from devcluster.progress import Progress, duration, silent

if TYPE_CHECKING:
    from pathlib import Path

MAIN = 'package main\n\nfunc main() { println("hello") }\n'


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.invalid/hello\n\ngo 1.26.0\n")
    (module / "go.sum").touch()
    (module / "main.go").write_text(MAIN)
    return Recipe("hello", module, {"hello": "example.invalid/hello"}, "a second")


def test_a_program_is_built_once_and_found_after_that(recipe: Recipe, cache: Path) -> None:
    shown = io.StringIO()
    program = build(recipe, Progress(shown))["hello"]
    ran = subprocess.run([program], capture_output=True, text=True, check=True)
    assert ran.stderr == "hello\n"
    assert program.is_relative_to(cache / "bin")
    assert "[1/1] hello" in shown.getvalue()
    again = io.StringIO()
    assert build(recipe, Progress(again))["hello"] == program
    assert again.getvalue() == ""


def test_other_module_files_build_into_another_folder(recipe: Recipe, cache: Path) -> None:
    first = build(recipe, silent())["hello"]
    with (recipe.module / "go.mod").open("a") as file:
        file.write("\n// changed\n")
    second = build(recipe, silent())["hello"]
    assert first != second
    assert first.exists()


def test_a_changed_program_of_our_own_is_built_anew(recipe: Recipe, cache: Path) -> None:
    build(recipe, silent())
    (recipe.module / "main.go").write_text(MAIN.replace("hello", "goodbye"))
    program = build(recipe, silent())["hello"]
    assert subprocess.run([program], capture_output=True, check=True).stderr == b"goodbye\n"


def test_what_the_compiler_says_is_shown(recipe: Recipe, cache: Path) -> None:
    (recipe.module / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(BuildError, match="undefined: nonsense"):
        build(recipe, silent())
    (recipe.module / "main.go").write_text(MAIN)
    assert build(recipe, silent())["hello"].exists()


def test_two_at_once_build_only_once(recipe: Recipe, cache: Path) -> None:
    shown = [io.StringIO(), io.StringIO()]
    threads = [threading.Thread(target=build, args=(recipe, Progress(stream))) for stream in shown]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("Built in" in stream.getvalue() for stream in shown) == 1


def test_a_build_that_was_killed_leaves_nothing_that_counts(recipe: Recipe, cache: Path) -> None:
    folder = build(recipe, silent())["hello"].parent
    partial = folder.rename(folder.with_name(folder.name + ".partial"))
    (partial / "hello").write_text("half a program")
    program = build(recipe, silent())["hello"]
    assert subprocess.run([program], capture_output=True, check=True).stderr == b"hello\n"
    assert not partial.exists()


def test_the_pinned_modules_are_what_the_linker_is_told() -> None:
    control_plane = (CONTROL_PLANE.module / "go.mod").read_text()
    version = pinned_version(control_plane, "k8s.io/kubernetes")
    assert version.startswith("v1.36.")
    flags = linker_flags(control_plane)
    assert f"k8s.io/component-base/version.gitVersion={version}" in flags
    assert "k8s.io/component-base/version.gitMinor=36" in flags
    helm = (HELM.module / "go.mod").read_text()
    assert "internal/version.version=v4." in linker_flags(helm)
    assert pinned_version(control_plane, "example.invalid/none") == ""


def test_every_kubernetes_module_is_replaced_by_its_release() -> None:
    text = (CONTROL_PLANE.module / "go.mod").read_text()
    release = pinned_version(text, "k8s.io/kubernetes").replace("v1.", "v0.")
    replaces = [line.split() for line in text.splitlines() if "=>" in line]
    assert len(replaces) > 30
    assert all(words[0] == words[2] and words[3] == release for words in replaces)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.27rc1 darwin/arm64", (1, 27)),
        ("go version devel +abc", None),
    ],
)
def test_the_version_of_go_is_read(text: str, version: tuple[int, int] | None) -> None:
    assert goenv.parse_version(text) == version


def test_time_left_is_guessed_only_when_there_is_something_to_go_by() -> None:
    assert goenv.remaining(5, 10, 1000) == ""
    assert goenv.remaining(60, 500, 1000) == ", about 1 min 00 s left"
    assert goenv.remaining(60, 1000, 1000) == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (125, "2 min 05 s")])
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_moves_on_a_terminal_and_is_covered_by_the_next_line() -> None:
    stream = Terminal()
    progress = Progress(stream)
    progress.moving("12345")
    progress.line("ok")
    assert stream.getvalue() == "12345\rok   \n"


def test_progress_without_a_terminal_prints_seldom() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.line("begin")
    progress.moving("one")
    assert stream.getvalue() == "begin\n"


def test_assets_must_hold_the_two_programs_that_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(StartError, match="KUBEBUILDER_ASSETS"):
        binaries.assets()
    (tmp_path / "etcd").touch()
    (tmp_path / "kube-apiserver").touch()
    assert set(binaries.assets()) == {"etcd", "kube-apiserver"}


def test_without_assets_none_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    assert binaries.assets() == {}
