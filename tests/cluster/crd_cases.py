"""The cases of crd_cases.yaml, and the snapshot of what is said about them."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
SNAPSHOT = FOLDER / "crd_messages.yaml"
UPDATE = "UPDATE_SNAPSHOTS"


@dataclass(frozen=True)
class Case:
    """One object, and for a bad one the fields that its refusal must name."""

    name: str
    obj: dict[str, Any]
    fields: tuple[str, ...] = ()


def patched(target: Any, patch: Any) -> Any:
    """`target` after a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), value)
    return result


_TABLE = yaml.safe_load((FOLDER / "crd_cases.yaml").read_text())
MINIMAL: dict[str, Any] = _TABLE["minimal"]


def _cases(kind: str) -> list[Case]:
    return [
        Case(
            name,
            patched(patched(MINIMAL, {"spec": case.get("spec", {})}), case.get("object", {})),
            tuple(case.get("fields", ())),
        )
        for name, case in _TABLE[kind].items()
    ]


GOOD = _cases("good")
BAD = _cases("bad")


def named(cases: list[Case], name: str) -> Case:
    """The case of that name."""
    return next(case for case in cases if case.name == name)


def check_snapshot(judge: str, said: dict[str, list[str]], version: str = "") -> None:
    """Compare what a judge said about every bad case with the snapshot, or renew it.

    Args:
        judge: `server` or `offline`.
        said: messages by name of the case.
        version: of the judge; another version than the snapshot's may say things in other words.
    """
    known = yaml.safe_load(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
    if os.environ.get(UPDATE):
        renewed = {**known, judge: {"version": version, "messages": said}}
        head = f"# Generated: {UPDATE}=1 pytest tests/unit/api tests/cluster/test_crd.py\n"
        SNAPSHOT.write_text(
            head + yaml.safe_dump(renewed, sort_keys=False, width=100, allow_unicode=True)
        )
    elif known[judge]["version"] == version:
        assert said == known[judge]["messages"], (
            f"if that is meant: {UPDATE}=1 pytest tests/unit/api tests/cluster/test_crd.py, and "
            "read the difference"
        )
