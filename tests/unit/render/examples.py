"""What hypothesis may think of, and how much of it is tried."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from videollm_operator.render.literal import MAX_INTEGER

few = settings(max_examples=25)
"""For tests that run for many fields."""

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts.filter(lambda key: len(key) < 80), inner),
    max_leaves=20,
)
"""JSON values as Kubernetes may hold them."""
