"""What may happen to a deployment: the steps of random histories, in miniature and for real."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.scenario.objects import CHILDREN, SMALL, UNKNOWN_MODEL

Step = tuple[str, Any]

EDITS = st.one_of(
    st.tuples(st.just("replicas"), st.integers(0, 3)),
    st.tuples(st.just("engine"), st.sampled_from([None, {"extraArgs": ["--seed=7"]}])),
    st.tuples(st.just("model"), st.sampled_from([SMALL["model"], UNKNOWN_MODEL])),
    st.tuples(st.just("workload"), st.sampled_from([SMALL["workload"], {"framesPerVideo": 0}])),
    st.tuples(st.just("paused"), st.booleans()),
    st.tuples(st.just("rollout"), st.sampled_from([{"restartToken": "a"}, {"restartToken": "b"}])),
)
DISTURBANCES = st.one_of(
    st.tuples(st.just("edit"), EDITS),
    st.tuples(st.sampled_from(["hand_edit", "hand_delete"]), st.sampled_from(CHILDREN)),
    st.tuples(st.just("hand_scale"), st.integers(0, 5)),
    st.tuples(st.just("record"), st.sampled_from(["", "{}", "[", "null"])),
)
