from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.render.examples import texts, values
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.render.freeform import MAX_DEPTH, canonical, mapping, sequence


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"key": "a", "value": "", "operator": None}, {"key": "a"}),
        ({"namespaces": [], "topologyKey": "a"}, {"topologyKey": "a"}),
        ({"emptyDir": {}}, {"emptyDir": {}}),
        ({"labelSelector": {}}, {"labelSelector": {}}),
        ({"labelSelector": {"matchLabels": {}}}, {"labelSelector": {}}),
        ({"matchLabels": {"a": ""}}, {"matchLabels": {"a": ""}}),
        ({"matchLabels": {"a": None}}, {}),
        ({"values": ["", "a"]}, {"values": ["", "a"]}),
        ({"storageClassName": ""}, {"storageClassName": ""}),
        ({"readOnly": False}, {}),
        ({"readOnly": True}, {"readOnly": True}),
        ({"optional": False}, {"optional": False}),
        ({"partition": 0}, {}),
        ({"partition": 1}, {"partition": 1}),
        ({"tolerationSeconds": 0}, {"tolerationSeconds": 0}),
        ({"weight": 50.0}, {"weight": 50}),
        ({"sizeLimit": "2048Mi"}, {"sizeLimit": "2Gi"}),
        ({"sizeLimit": 1024}, {"sizeLimit": "1024"}),
        ({"sizeLimit": "much"}, {"sizeLimit": "much"}),
        ({"sizeLimit": True}, {"sizeLimit": True}),
        ({"divisor": "1000m"}, {"divisor": "1"}),
        ({"requests": {"storage": "1024Gi"}}, {"requests": {"storage": "1Ti"}}),
        (
            {"volumeAttributes": {"sizeLimit": "2048Mi"}},
            {"volumeAttributes": {"sizeLimit": "2048Mi"}},
        ),
        ({"metadata": {"labels": {}}}, {}),
    ],
)
def test_parts_of_a_pod_take_the_form_in_which_the_api_server_gives_them_back(given, kept):
    assert canonical({"x": [given]}, "spec") == {"x": [kept]}


@given(values)
def test_canonical_is_canonical(value):
    try:
        once = canonical({"x": value}, "spec")
    except Refused:
        return
    assert canonical(once, "spec") == once


@given(st.dictionaries(texts.filter(lambda key: len(key) < 80), texts))
def test_words_of_the_user_are_kept_as_they_are(words):
    assert canonical({"annotations": words}, "spec") == ({"annotations": words} if words else {})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.5, "`spec.a[0].b` must be a whole number, not 0.5: a pod has no fractions"),
        (float("nan"), "`spec.a[0].b` must be a whole number, not nan: a pod has no fractions"),
        ([None], "`spec.a[0].b[0]` must not be null: remove the list item"),
        (date(2020, 1, 1), "`spec.a[0].b` cannot be part of a pod: no literal for a date"),
        (2**63, "`spec.a[0].b` cannot be part of a pod: an integer of more than 64 bits"),
        ("\ud800", "`spec.a[0].b` cannot be part of a pod: a lone surrogate (U+D800) is no text"),
        (
            {1: "x"},
            "`spec.a[0].b` cannot be part of a pod: the key of a mapping must be a word",
        ),
        (
            {"k" * 2000: "x"},
            "`spec.a[0].b` cannot be part of a pod: a key of more than 1000 characters",
        ),
    ],
)
def test_what_no_kubernetes_object_can_hold_is_refused_with_its_path(value, sentence):
    with pytest.raises(Refused) as refused:
        canonical([{"b": value}], "spec.a")

    (problem,) = refused.value.problems
    assert problem.message == sentence
    assert problem.reason is Reason.INVALID_SPEC
    assert f"`{problem.field}`" in sentence


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_endless_nesting_is_refused(wrap):
    value = "x"
    for _ in range(MAX_DEPTH + 2):
        value = wrap(value)

    with pytest.raises(Refused, match="is nested more than 32 levels deep"):
        canonical(value, "spec")


def test_nothing_stands_for_an_empty_mapping_or_list():
    assert mapping(None, "spec") == {}
    assert sequence(None, "spec") == []


def test_another_kind_of_value_than_a_pod_has_is_refused():
    with pytest.raises(Refused, match=r"`spec\.a` must be a mapping"):
        mapping([], "spec.a")
    with pytest.raises(Refused, match=r"`spec\.a` must be a list"):
        sequence({}, "spec.a")
