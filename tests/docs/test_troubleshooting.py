"""docs/troubleshooting.md has one section for every reason, and quotes the program as it is."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
import yaml

from hack import markdown
from hack.render_install import ROOT
from tests.docs.stories import STORIES
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import REGISTRY, Reason, documentation_anchor
from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import validate
from videollm_operator.catalog.loader import builtin
from videollm_operator.engines.deployment import plan_deployment

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
PARTS = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
HEADINGS = PARTS[1::2]
SECTIONS = dict(zip(HEADINGS, PARTS[2::2], strict=True))
NO_REASONS = ["How to read the status", "Index"]
MESSAGE = re.compile(r"<!-- message -->\n```text\n(.*?)\n```", re.DOTALL)


def words(text: str) -> str:
    """Text without its line breaks."""
    return " ".join(text.split())


def test_every_reason_has_exactly_one_section_and_no_section_is_without_reason() -> None:
    assert [*NO_REASONS, *Reason] == HEADINGS


def test_the_index_leads_to_every_section() -> None:
    links = re.findall(r"\[(\w+)\]\(#(\w+)\)", SECTIONS["Index"])
    assert links == [(str(reason), documentation_anchor(reason)) for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_a_section_has_meaning_remedy_and_commands(reason: Reason) -> None:
    section = words(SECTIONS[reason])
    assert words(REGISTRY[reason].meaning) in section
    assert words(REGISTRY[reason].remedy) in section
    assert "```bash" in section


@pytest.mark.parametrize("reason", STORIES)
def test_a_message_is_what_the_operator_says(reason: Reason) -> None:
    given, message = STORIES[reason]().found()
    assert given == reason
    assert MESSAGE.findall(SECTIONS[reason]) == [message]


def test_every_reason_has_a_message() -> None:
    assert set(STORIES) == set(Reason)


def refusals(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Reason and message of everything that is wrong with a spec."""
    document = {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": "video", "namespace": "default"},
        "spec": spec,
    }
    problems = list(validate(document))
    if not problems:
        try:
            planned = plan_deployment(VideoLLMDeployment.from_object(document).spec, builtin())
            problems = [planned.not_runnable] if planned.not_runnable else []
        except Refused as refused:
            problems = list(refused.problems)
    return [(str(problem.reason), problem.message) for problem in problems]


REFUSED = [
    (block, after)
    for block, after in itertools.pairwise(markdown.blocks(ROOT / "docs" / "troubleshooting.md"))
    if block.mark("refused")
]


@pytest.mark.parametrize(("block", "after"), REFUSED, ids=[one.where for one, _ in REFUSED])
def test_an_object_is_refused_with_the_message_below_it(
    block: markdown.Block, after: markdown.Block
) -> None:
    told = refusals(yaml.safe_load(block.text)["spec"])
    assert told == [(block.mark("refused"), after.text.strip())]


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!#|https?:)([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).is_file(), target
