import re
from importlib.resources import files

import pytest
import yaml
from jinja2 import TemplateAssertionError, UndefinedError

from videollm_operator.render import template
from videollm_operator.render.template import TemplateError, environment, parse, render_object

FOLDER = files("videollm_operator.render") / "templates"
TEMPLATES = sorted(path.name for path in FOLDER.iterdir())

SHARED = {
    "name": "llava",
    "namespace": "video",
    "labels": {"a": "b"},
    "owner": None,
    "selector": {"a": "b"},
    "port": 8000,
}


def test_a_template_and_its_values_make_an_object():
    assert render_object("poddisruptionbudget", SHARED) == {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "llava", "namespace": "video", "labels": {"a": "b"}},
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def test_an_undefined_name_raises():
    with pytest.raises(UndefinedError, match="'selector' is undefined"):
        render_object("poddisruptionbudget", {k: v for k, v in SHARED.items() if k != "selector"})


@pytest.mark.parametrize("text", ["{{ a | safe }}", "{{ a | tojson }}", "{{ a | upper }}"])
def test_there_is_no_filter_that_could_write_past_the_hook(text):
    with pytest.raises(TemplateAssertionError, match="No filter named"):
        environment().from_string(text)


def test_nothing_can_be_reached_but_the_values():
    assert not environment().globals
    assert not environment().filters
    assert not environment().tests


@pytest.mark.parametrize(
    "name",
    ["x\n  annotations: {a: b}", "x\nkind: Secret", "a: b", "[a, b]", "5", "true"],
)
def test_a_writer_that_lets_a_value_out_of_its_place_is_found_out(monkeypatch, name):
    monkeypatch.setattr(template, "literal", lambda value: value if value == name else '"plain"')

    with pytest.raises((TemplateError, yaml.YAMLError)):
        render_object("serviceaccount", {**SHARED, "name": name})


def test_a_template_that_makes_no_object_is_found_out(monkeypatch):
    monkeypatch.setattr(template, "parse", lambda text: text)

    with pytest.raises(TemplateError, match="'serviceaccount'"):
        render_object("serviceaccount", SHARED)


@pytest.mark.parametrize("name", TEMPLATES)
def test_values_stand_only_where_a_value_may_stand(name):
    """After `key: `, `- ` or `[`, and then the end of the line or `]`; never in quotes or keys."""
    text = (FOLDER / name).read_text()
    for line in text.splitlines():
        written = re.findall(r"\{\{.*?\}\}", line)
        placed = re.fullmatch(
            r" *(- )?[A-Za-z]+: (\[\{\{ [a-z_.]+ \}\}\]|\{\{ [a-z_.]+ \}\})", line
        )
        assert not written or placed, line


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_only_choose_and_include(name):
    text = (FOLDER / name).read_text()
    statements = set(re.findall(r"\{%-?\s*(\w+)", text))

    assert statements <= {"if", "endif", "include", "with", "endwith"}
    assert "{#" not in text


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_text_itself_has_no_word_that_looks_like_a_place_holder(name):
    assert "@" not in (FOLDER / name).read_text()


def test_text_is_read_by_a_safe_loader():
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        parse("!!python/object/apply:os.getcwd []")
