"""What stands on the page; tests/browser looks at it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.catalog.loader import builtin
from videollm_operator.cli.answer import Answer, answer
from videollm_operator.cli.main import cli
from videollm_operator.cli.report import content
from videollm_operator.cli.report.page import accuracy, page
from videollm_operator.sizing.curve import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

BIG = "lmms-lab/LLaVA-Video-72B-Qwen2"
SMALL = "llava-hf/llava-onevision-qwen2-7b-ov-hf"
SAMPLES = Path(__file__).resolve().parents[3] / "manifests" / "samples"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["plan", *arguments], input=stdin)


def asked(model: str = SMALL, sku: str = "L40") -> Answer:
    raw = {
        "apiVersion": "videollm.io/v1alpha1",
        "kind": "VideoLLMDeployment",
        "metadata": {"name": "a", "namespace": "default"},
        "spec": {"model": {"name": model}, "gpu": {"sku": sku}},
    }
    return answer(VideoLLMDeployment.from_object(raw), builtin(), to_apply=False)


class Text(HTMLParser):
    """The words of a page, and the addresses that it names."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [
            value for name, value in attrs if name.endswith(("href", "src")) and value is not None
        ]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "out.html"
    result = run("--model", SMALL, "--gpu", "L40", "--report", str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith("Fits: ")
    assert result.stderr == f"Report: {path}\n"
    return path.read_text()


def test_the_page_loads_nothing(fits: str) -> None:
    found = Text(fits)
    outside = [at for at in found.addresses if not at.startswith(("#", "data:,"))]
    assert outside == []
    assert found.tags & {"script", "iframe", "img", "object", "embed"} == set()
    assert not re.search(r"@import|url\((?!#)", fits)


def test_the_page_says_what_the_table_says(fits: str) -> None:
    words = " ".join(" ".join(Text(fits).words).split())
    planned = asked().planned
    assert planned is not None
    assert planned.plan.explanation in words
    assert planned.launch is not None
    assert planned.launch.image in words
    assert planned.plan.rule_of_thumb.note in words
    for heading in ("Memory by GPU", "GPUs against frames", "GPUs against concurrency"):
        assert heading in words
    assert "Activation checkpointing" in words
    for sku in builtin().gpus:
        assert sku in words


def test_the_same_question_gives_the_same_page(fits: str, tmp_path: Path) -> None:
    path = tmp_path / "again.html"
    run("--model", SMALL, "--gpu", "L40", "--report", str(path))
    assert path.read_text() == fits


def test_colours_are_all_the_pages_own(fits: str) -> None:
    svg = "".join(re.findall(r"<svg.*?</svg>", fits, re.DOTALL))
    found = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) - {"none"}
    assert found == set(re.findall(r"var\(--[a-z0-9-]+\)", svg))


def test_what_does_not_fit_has_a_page_too(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    result = run("--model", BIG, "--gpu", "T4", "-o", "json", "--report", str(path))
    assert result.exit_code == 3
    assert not json.loads(result.stdout)["fits"]
    words = " ".join(" ".join(Text(path.read_text()).words).split())
    assert "It cannot be served like this" in words
    assert "GPUs against frames" in words


def test_a_mig_slice_stands_among_whole_gpus(tmp_path: Path) -> None:
    path, slice_ = tmp_path / "out.html", "H100-80GB-MIG-3g.40gb"
    result = run("--model", SMALL, "--gpu", slice_, "--report", str(path))
    assert result.exit_code == 0
    words = Text(path.read_text()).words
    assert words.count(slice_) > 3
    assert content.neighbours("L5", builtin()) == ()
    assert slice_ in content.neighbours(slice_, builtin())


def test_a_model_that_no_gpu_serves_has_a_page_without_plots(tmp_path: Path) -> None:
    path = tmp_path / "out.html"
    result = run("--model", SMALL, "--gpu", "L4", "--engine", "TGI", "--report", str(path))
    assert result.exit_code == 3
    words = " ".join(Text(path.read_text()).words)
    assert "GPUs against" not in words
    assert "Ways to need less memory" not in words


def test_names_are_text_and_never_markup() -> None:
    found = asked()
    spec = found.deployment.spec
    named = spec.model.model_copy(update={"name": "my-org/<b>bold</b>", "base": SMALL})
    other = found.deployment.model_copy(update={"spec": spec.model_copy(update={"model": named})})
    source = page(answer(other, builtin(), to_apply=False), builtin(), accuracy())
    assert "<b>bold" not in source
    assert "&lt;b&gt;bold" in source


def test_the_accuracy_is_that_of_the_comparison(fits: str) -> None:
    words = " ".join(" ".join(Text(fits).words).split())
    measured = accuracy()
    assert measured["verdicts"] in words
    for row in measured["summary"]:
        cells = (row[key] for key in ("term", "rows", "median", "p90", "worst"))
        assert " ".join(map(str, cells)) in words


def test_a_bar_is_the_budget() -> None:
    for found in content.answers_by_gpu(asked().deployment, builtin()):
        assert found.planned is not None
        assert sum(content.parts(found)) == found.planned.plan.memory.budget
        assert sum(content.bar(found).shares) <= 100
    refused = asked(BIG, "T4")
    assert content.parts(refused) == ()
    assert content.bar(refused).words == "> 1 node"


@pytest.mark.parametrize("sku", ["T4", "L40", "A100-80GB", "GB300"])
def test_neighbours_are_five_sizes_with_the_one_that_was_asked(sku: str) -> None:
    found = content.neighbours(sku, builtin())
    assert sku in found
    sizes = [builtin().gpus[each].nominal_gb for each in found]
    assert len(sizes) == content.MOST_CURVES
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([Step(1, 87, 4), Step(88, 143, 8), Step(144, 150, None)], "4 GPUs up to 87, 8 up to 143"),
        ([Step(1, 9, 1)], "1 GPU up to 9"),
        ([Step(1, 2, None), Step(3, 9, 1)], "nothing up to 2, 1 up to 9"),
    ],
)
def test_a_curve_in_words(steps: list[Step], words: str) -> None:
    assert content.thresholds(content.Curve("L40", True, tuple(steps))).startswith(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", SMALL, "--gpu", "L40", "--report", "/nowhere/at/all.html"), "cannot write"),
        (("--model", "no/such", "--gpu", "L40", "--report", "x.html"), "is 'no/such'"),
        (("--compare", "--model", SMALL, "--report", "x.html"), "--report is for one model"),
        (("-f", "-", "--report", "x.html"), "the file has 2"),
        (("-f", "-", "--report", "x.html", "--nodes", "x"), "remove it, or --nodes"),
    ],
)
def test_bad_input_ends_with_two_and_a_sentence(arguments: Sequence[str], words: str) -> None:
    sample = (SAMPLES / "llava-video-72b-l40.yaml").read_text()
    result = run(*arguments, stdin=f"{sample}\n---\n{sample}")
    assert result.exit_code == 2
    assert words in result.stderr


def test_without_the_plotting_library_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from videollm_operator.cli.main import cli\n"
        f"cli(['plan', '--model', '{SMALL}', '--gpu', 'L40', '--report', '{tmp_path / 'x'}'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: --report draws with matplotlib")
    assert "pip install 'videollm-operator[report]'" in done.stderr
    assert "Traceback" not in done.stderr
