"""The Dockerfile cannot be built everywhere, so what it promises is read out of its text."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field

import pytest

from hack.image_constraints import PYTHON, requirements
from hack.render_install import ROOT
from videollm_operator import __version__


@dataclass
class Stage:
    """One `FROM` with what follows it."""

    image: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [value for name, value in self.instructions if name == instruction]


def parse(text: str) -> list[Stage]:
    stages: list[Stage] = []
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for logical in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines():
        instruction, _, value = logical.partition(" ")
        if instruction == "FROM":
            image, _, name = value.partition(" AS ")
            stages.append(Stage(image, name))
        else:
            stages[-1].instructions.append((instruction, value.strip()))
    return stages


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return parse((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def final(stages: list[Stage]) -> Stage:
    return stages[-1]


def test_every_base_is_pinned_by_digest(stages: list[Stage]) -> None:
    assert len(stages) >= 2
    for stage in stages:
        assert re.fullmatch(r"[a-z0-9./-]+:[a-z0-9.-]+@sha256:[a-f0-9]{64}", stage.image)


def test_both_bases_have_the_same_python_and_debian(stages: list[Stage]) -> None:
    build, final = stages
    assert build.image.startswith(f"python:{PYTHON}-slim-trixie@")
    assert final.image.startswith("gcr.io/distroless/python3-debian13:nonroot@")  # trixie is 13
    assert all(f"python{PYTHON}" in command for command in build.all("RUN")[:1])


def test_nothing_is_added_from_a_url_or_an_archive(stages: list[Stage]) -> None:
    for stage in stages:
        assert not stage.all("ADD")
        assert not any("://" in value for _, value in stage.instructions)


def test_final_stage_runs_no_command_while_it_is_built(final: Stage) -> None:
    assert not final.all("RUN"), "there is no shell in it"


def test_user_is_numeric_and_not_root(final: Stage) -> None:
    (user,) = final.all("USER")
    uid, _, gid = user.partition(":")
    assert uid == gid == "65532"


def test_entrypoint_and_command_need_no_shell(final: Stage) -> None:
    (entrypoint,) = final.all("ENTRYPOINT")
    (command,) = final.all("CMD")
    assert json.loads(entrypoint) == ["videollm"]
    assert json.loads(command) == ["--help"]


def test_nothing_is_written_into_the_root_file_system(final: Stage) -> None:
    assert any("PYTHONDONTWRITEBYTECODE=1" in value for value in final.all("ENV"))
    assert not final.all("VOLUME")


def test_labels_describe_the_image(final: Stage) -> None:
    labels = " ".join(final.all("LABEL"))
    for name in ("title", "description", "version", "revision", "licenses"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert f"VERSION={__version__}" in final.all("ARG")


def test_no_secret_and_no_git_history_gets_into_the_build() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is left out that is not named"


def test_all_that_is_copied_is_in_the_build_context(stages: list[Stage]) -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    named = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = set()
    for stage in stages:
        for value in stage.all("COPY"):
            if not value.startswith("--from="):
                copied |= set(value.split()[:-1])
    assert copied == named
    assert all((ROOT / path).exists() for path in copied)


def test_installed_versions_are_pinned_and_allowed_by_the_project() -> None:
    lines = (ROOT / "hack" / "image-constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9_.-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    pinned = {pin.partition("==")[0].replace("_", "-") for pin in pins}
    wanted = {re.split(r"[><=!~\[; ]", each)[0].lower() for each in requirements()}
    assert wanted <= pinned


def test_build_backend_is_pinned_too() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "hatchling.build"
    assert "hatchling==" in (ROOT / "hack" / "image-constraints.txt").read_text()
