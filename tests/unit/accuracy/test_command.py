"""`python -m hack.accuracy`: writes what is right, and refuses what got worse."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from hack.accuracy import outputs, scores
from hack.accuracy.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from hack.accuracy.compare import Result


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["accuracy", *arguments])
    return main()


def into(monkeypatch: pytest.MonkeyPatch, folder: Path, result: Result) -> Path:
    """Lets the command write one page into a folder instead of the repository."""
    page = folder / "page.md"
    monkeypatch.setattr(outputs, "ROOT", folder)
    monkeypatch.setattr(outputs, "result", lambda: result)
    monkeypatch.setattr(outputs, "files", lambda _: {page: "text\n"})
    return page


def test_it_writes_what_is_out_of_date_and_with_check_only_says_so(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    result: Result,
) -> None:
    page = into(monkeypatch, tmp_path, result)
    assert run(monkeypatch, "--check") == 1
    assert capsys.readouterr().out == "page.md: out of date, run `python -m hack.accuracy`\n"
    assert not page.exists()
    assert run(monkeypatch) == 0
    assert capsys.readouterr().out == "page.md: written\n"
    assert page.read_text() == "text\n"
    assert run(monkeypatch, "--check") == 0
    assert capsys.readouterr().out == ""


def test_it_refuses_worse_figures_unless_they_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    result: Result,
) -> None:
    page = into(monkeypatch, tmp_path, result)
    monkeypatch.setattr(scores, "committed", lambda: {"KV cache, median GiB": 0.0})
    assert run(monkeypatch) == 1
    assert "worse than committed: KV cache, median GiB: 0.3" in capsys.readouterr().err
    assert not page.exists()
    assert run(monkeypatch, "--accept-worse") == 0
    assert page.exists()


def test_there_are_no_figures_before_the_first_are_committed(tmp_path: Path) -> None:
    assert scores.committed(tmp_path / "none.json") == {}
