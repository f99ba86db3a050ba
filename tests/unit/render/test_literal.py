import sys
from datetime import date
from enum import StrEnum

import pytest
import yaml
from hypothesis import given

from tests.unit.render.examples import values
from videollm_operator.render.literal import MAX_INTEGER, MAX_KEY, literal

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]
"""Both parsers that PyYAML may have; wheels bring the second one."""


def read(text, loader):
    return yaml.load(text, loader)  # noqa: S506 - safe loaders


@pytest.mark.parametrize("loader", LOADERS)
@given(value=values)
def test_every_value_survives_as_a_block_value_an_item_and_a_flow_value(loader, value):
    text = literal(value)

    found = read(f"a: {text}\nb:\n  - {text}\nc: {{d: {text}, e: 1}}\nf: [{text}, 2]\n", loader)

    assert found == {"a": value, "b": [value], "c": {"d": value, "e": 1}, "f": [value, 2]}


@given(values)
def test_a_literal_is_one_line_of_printable_text(value):
    text = literal(value)

    assert all(" " <= character <= "~" or character > "\uffff" for character in text)


@pytest.mark.parametrize("loader", LOADERS)
def test_every_character_below_the_surrogates_and_up_to_the_end_of_its_plane_survives(loader):
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10000)]))

    assert read(literal(everything), loader) == everything


def test_every_character_beyond_the_first_plane_survives():
    everything = "".join(map(chr, range(0x10000, sys.maxunicode + 1)))

    assert read(literal(everything), LOADERS[-1]) == everything


@pytest.mark.parametrize(
    "text",
    ["", " ", "~", "null", "yes", "No", "on", "0x1F", "017", "1_000", "1e3", "12:30:45", ".inf",
     "2020-01-01", "<<", "=", "!!python/object:os.system", "&a", "*a", "# no", "a: b", "- a", "? a",
     "| a", "> a", "%YAML 1.2", "---", "...", "{{ x }}", "{% raw %}", "{# #}", "`a`", "@a", "\t",
     "a\nb: c", "\r\n", "\x00", "\x7f", "\x85", "\u2028", "\u2029", "\ufeff", "\ufffe", "😀", "\\",
     '"', "'", '\\"', "\\u0041", "$(HOME)", "${HOME}", "é" * 2000]
)  # fmt: skip
def test_words_that_mean_something_to_yaml_or_jinja_are_only_words(text):
    for loader in LOADERS:
        assert read(f"a: {literal(text)}", loader) == {"a": text}
        assert read(literal({text[:100]: 1}), loader) == {text[:100]: 1}


def test_a_word_of_an_enumeration_is_its_text():
    class Word(StrEnum):
        ON = "On"

    assert literal(Word.ON) == '"On"'


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_a_lone_surrogate_is_refused(text):
    with pytest.raises(ValueError, match="lone surrogate"):
        literal(text)


def test_a_key_is_refused_where_yaml_would_not_take_it_for_one():
    longest = "k" * (MAX_KEY - 2)

    assert yaml.safe_load(literal({longest: 1})) == {longest: 1}
    with pytest.raises(ValueError, match="key of more than"):
        literal({longest + "k": 1})
    with pytest.raises(ValueError, match="key of more than"):
        literal({"é" * (MAX_KEY // 2): 1})


@pytest.mark.parametrize("number", [MAX_INTEGER + 1, -MAX_INTEGER - 1, 10**100])
def test_an_integer_that_kubernetes_cannot_hold_is_refused(number):
    with pytest.raises(ValueError, match="64 bits"):
        literal(number)


@pytest.mark.parametrize(
    "value", [1.5, 1e16, float("nan"), date(2020, 1, 1), b"a", {1, 2}, object()]
)
def test_what_is_no_json_value_of_kubernetes_is_refused(value):
    with pytest.raises(TypeError, match="no literal for a"):
        literal([value])


@pytest.mark.parametrize("key", [1, None, True, 1.5, ("a",)])
def test_a_key_that_is_no_word_is_refused(key):
    with pytest.raises(TypeError, match="must be a word"):
        literal({key: 1})
