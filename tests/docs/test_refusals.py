"""Every way in which planning refuses has its page section, its example there, and its test."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from hack.render_install import ROOT
from tests.docs.test_troubleshooting import REFUSED, SECTIONS
from tests.engines.faults import FAULTS
from videollm_operator.api.reasons import REGISTRY, Reason, Stall

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = ROOT / "operator" / "videollm_operator"


def raised() -> Iterator[Reason]:
    """The reason of every `Problem(...)` that the planner and the engines make."""
    for layer in ("engines", "sizing"):
        for path in sorted((PACKAGE / layer).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                if named and node.func.id == "Problem" and node.args:
                    yield from _reasons(node.args[0])


def _reasons(argument: ast.expr) -> Iterator[Reason]:
    if isinstance(argument, ast.Attribute):
        yield Reason[argument.attr]


COUNTS = Counter(raised())
REFUSING = {reason for reason in COUNTS if REGISTRY[reason].stall is Stall.AT_ONCE}
WARNING = {Reason.ENGINE_VERSION_UNKNOWN, Reason.ENGINE_IMAGE_UNKNOWN}


def test_what_is_no_refusal_is_a_warning() -> None:
    assert set(COUNTS) - REFUSING == WARNING


def test_every_refusal_has_a_section_with_an_object_that_is_refused_so() -> None:
    shown = {Reason(str(block.mark("refused"))) for block, _ in REFUSED}
    assert shown >= REFUSING
    assert {str(reason) for reason in REFUSING} <= set(SECTIONS)


def test_every_refusal_is_among_the_faults_that_are_tested() -> None:
    assert {fault.reason for fault in FAULTS} >= REFUSING


def test_the_scan_finds_what_it_is_to_find() -> None:
    assert COUNTS[Reason.ENGINE_UNSUPPORTED] >= 5
    assert COUNTS.total() >= 40
