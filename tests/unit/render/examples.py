"""What hypothesis may think of, and how long it may take."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from videollm_operator.render.literal import MAX_INTEGER

patient = settings(deadline=None)
"""No limit of time for one example: a busy computer is no failure."""

few = settings(max_examples=25, deadline=None)
"""For tests that run for many fields."""

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts.filter(lambda key: len(key) < 80), inner),
    max_leaves=20,
)
"""JSON values as Kubernetes may hold them."""
