"""Names of children: valid everywhere, apart from each other, stable."""

from __future__ import annotations

import re

from hypothesis import assume, given
from hypothesis import strategies as st

from videollm_operator.api import names

LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""RFC 1035, the strictest of Kubernetes' name forms: what older servers want of a Service."""

LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_part = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,80}[a-z0-9])?", fullmatch=True)
objects = st.lists(_part, min_size=1, max_size=4).map(".".join).filter(lambda n: len(n) <= 253)
"""Names that Kubernetes allows for a custom resource."""


@given(objects)
def test_children_have_valid_names_within_their_limits(name: str) -> None:
    workload = names.workload_name(name)
    assert LABEL.fullmatch(workload)
    assert len(workload) <= 52
    for service in (names.service_name(name), names.headless_service_name(name)):
        assert LABEL.fullmatch(service)
        assert len(service) <= 63
    for value in names.child_labels(name).values():
        assert LABEL_VALUE.fullmatch(value)


@given(objects, objects)
def test_two_deployments_never_share_a_child(one: str, other: str) -> None:
    assume(one != other)
    mine = {names.service_name(one), names.headless_service_name(one)}
    theirs = {names.service_name(other), names.headless_service_name(other)}
    assert len(mine) == len(theirs) == 2
    assert not mine & theirs
    assert names.workload_name(one) != names.workload_name(other)
    assert names.selector_labels(one) != names.selector_labels(other)


def test_a_good_name_stays_as_it_is() -> None:
    assert names.workload_name("llava-video-72b") == "llava-video-72b"
    assert names.service_name("llava-video-72b") == "llava-video-72b"
    assert names.headless_service_name("llava-video-72b") == "llava-video-72b-pods"


def test_other_names_are_told_apart_by_a_hash() -> None:
    assert names.workload_name("a.b") != names.workload_name("a-b")
    assert re.fullmatch(r"a-b-[0-9a-f]{8}", names.workload_name("a.b"))
    assert re.fullmatch(r"vld-72b-[0-9a-f]{8}", names.workload_name("72b"))
    assert len(names.workload_name("a" * 253)) == 52


def test_a_deployment_is_not_taken_for_the_pods_of_another() -> None:
    assert names.headless_service_name("a") == "a-pods"
    assert names.service_name("a-pods") != "a-pods"


def test_labels_do_not_change() -> None:
    """They are immutable in a StatefulSet: a change would strand every running deployment."""
    assert names.child_labels("llava") == {
        "app.kubernetes.io/name": "videollm",
        "app.kubernetes.io/instance": "llava",
        "app.kubernetes.io/component": "engine",
        "app.kubernetes.io/managed-by": "videollm-operator",
    }
    assert names.selector_labels("7b.v2")["app.kubernetes.io/instance"] == "7b.v2"
    assert names.selector_string("llava") == (
        "app.kubernetes.io/instance=llava,app.kubernetes.io/name=videollm"
    )
    assert names.CHILD_SELECTOR == "app.kubernetes.io/managed-by=videollm-operator"
