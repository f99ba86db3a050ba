from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from videollm_operator.runtime.merge import merge_patch

scalars = st.one_of(st.booleans(), st.integers(-3, 3), st.text(max_size=2))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def apply(patch, target):
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(value, result.get(key))
    return result


@given(old=objects, new=objects)
def test_the_patch_makes_the_new_of_the_old(old, new):
    assert apply(merge_patch(old, new), old) == new


@given(old=objects)
def test_equal_values_need_no_patch(old):
    assert merge_patch(old, old) == {}


def test_only_what_differs_is_sent():
    old = {"a": 1, "b": {"c": 1, "d": 2}, "list": [1, 2], "gone": "x"}
    new = {"a": 1, "b": {"c": 3, "d": 2}, "list": [1, 2]}
    assert merge_patch(old, new) == {"b": {"c": 3}, "gone": None}
