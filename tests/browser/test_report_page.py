"""The report in a real browser: complete in itself, readable on a phone and in the dark."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from videollm_operator.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

LLAVA_VIDEO = ("--model", "lmms-lab/LLaVA-Video-72B-Qwen2")
CASES = {
    "fits": ("--model", "llava-hf/llava-onevision-qwen2-72b-ov-hf", "--gpu", "A100-80GB"),
    "not yet runnable": (*LLAVA_VIDEO, "--gpu", "L4", "--quantization", "INT4"),
    "does not fit": (*LLAVA_VIDEO, "--gpu", "T4"),
}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SMALLEST = 8.0
"""Pixels of the smallest letters of a plot on a phone."""

TEXTS = """() => {
  const rgb = text => (text.match(/[0-9.]+/g) || []).map(Number);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    const box = element.getBoundingClientRect();
    if (!node.textContent.trim() || !box.width) continue;
    const style = getComputedStyle(element);
    const drawn = element.ownerSVGElement;
    const scale = drawn ? drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width : 1;
    found.push({
      text: node.textContent.trim().slice(0, 40),
      colour: rgb(drawn ? style.fill : style.color).slice(0, 3),
      behind: behind(element),
      size: parseFloat(style.fontSize) * scale,
      drawn: Boolean(drawn),
    });
  }
  return found;
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report")
    found = {}
    for name, arguments in CASES.items():
        found[name] = folder / f"{name}.html"
        result = CliRunner().invoke(cli, ["plan", *arguments, "--report", str(found[name])])
        assert result.exit_code in (0, 3), result.output
    return found


@pytest.fixture(params=[(size, scheme) for size in SIZES for scheme in ("light", "dark")], ids=str)
def view(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    size, scheme = request.param
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    yield page
    page.close()


def luminance(colour: list[float]) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [value / 255 for value in colour]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(text: dict[str, Any]) -> float:
    """WCAG 2.2, contrast ratio; 4.5 is wanted of text."""
    light, dark = sorted((luminance(text["colour"]), luminance(text["behind"])), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("case", CASES)
def test_the_page_needs_nothing_else_and_can_be_read(
    case: str, pages: dict[str, Path], view: Page
) -> None:
    requests: list[str] = []
    said: list[str] = []
    view.on("request", lambda request: requests.append(request.url))
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    address = pages[case].as_uri()
    view.goto(address)
    view.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    assert requests == [address]
    assert said == []
    # The page was opened with a viewport, so there is a size.
    assert view.evaluate("document.documentElement.scrollWidth") <= view.viewport_size["width"]  # type: ignore[index]
    texts = view.evaluate(TEXTS)
    assert len(texts) > 100
    pale = [(text["text"], round(contrast(text), 1)) for text in texts if contrast(text) < 4.5]
    assert pale == []
    small = {text["text"] for text in texts if text["size"] < SMALLEST}
    assert small == set()
    assert sum(text["drawn"] for text in texts) > 30


def test_the_colours_follow_the_reader(pages: dict[str, Path], browser: Browser) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type] # of two literals
        page.goto(pages["fits"].as_uri())
        texts = page.evaluate(TEXTS)
        page.close()
        seen[scheme] = {
            (text["drawn"], luminance(text["behind"]) < 0.2, luminance(text["colour"]) < 0.5)
            for text in texts
        }
    assert {behind for _, behind, _ in seen["light"]} == {False}
    assert {behind for _, behind, _ in seen["dark"]} == {True}
    assert {drawn for drawn, _, _ in seen["dark"]} == {True, False}


@pytest.mark.parametrize("case", CASES)
def test_the_page_can_be_followed_without_seeing_it(
    case: str, pages: dict[str, Path], browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(pages[case].as_uri())
    told = page.evaluate(
        """() => ({
          language: document.documentElement.lang,
          levels: [...document.querySelectorAll('h1, h2, h3')].map(each => +each.tagName[1]),
          twice: [...document.querySelectorAll('[id]')].map(each => each.id)
            .filter((id, at, all) => all.indexOf(id) !== at),
          lost: [...document.querySelectorAll('[aria-labelledby]')]
            .filter(each => !document.getElementById(each.getAttribute('aria-labelledby')))
            .length,
          figures: [...document.querySelectorAll('figure')].map(each => ({
            caption: each.querySelector('figcaption').textContent.trim(),
            picture: each.querySelector('svg').getAttribute('aria-hidden'),
            table: each.parentElement.querySelectorAll('table').length,
          })),
          heads: [...document.querySelectorAll('th')].filter(each => !each.scope).length,
          scrolled: [...document.querySelectorAll('.scroll')]
            .filter(each => each.tabIndex !== 0 || !each.getAttribute('aria-label')).length,
        })"""
    )
    page.close()
    assert told["language"] == "en"
    assert told["levels"][0] == 1
    assert told["levels"].count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(told["levels"]))
    assert told["twice"] == []
    assert (told["lost"], told["heads"], told["scrolled"]) == (0, 0, 0)
    assert len(told["figures"]) >= 2
    for figure in told["figures"]:
        assert figure["caption"]
        assert figure["picture"] == "true"
        assert figure["table"] == 1
