"""Which browser is taken, and what is said where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hack.browser import NoBrowserError, browser

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VIDEOLLM_BROWSER", raising=False)


def program(folder: Path, name: str, script: str = "") -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_named_browser_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "chromium")
    monkeypatch.setenv("VIDEOLLM_BROWSER", "/opt/mine")
    assert browser().program == "/opt/mine"


def test_one_on_the_path_is_taken_before_any_is_fetched(tmp_path: Path) -> None:
    found = program(tmp_path, "google-chrome")
    assert browser().program == str(found)


def test_without_npm_it_says_what_to_install() -> None:
    with pytest.raises(NoBrowserError, match="no Chromium on PATH, and no npm"):
        browser()


def test_an_npm_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    program(tmp_path, "node")
    program(tmp_path, "npm", "echo 'no such host' >&2; exit 1")
    with pytest.raises(NoBrowserError, match="`npm install` failed: no such host"):
        browser()
