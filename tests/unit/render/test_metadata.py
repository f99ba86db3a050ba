import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.render import builders
from tests.unit.render.builders import of_kind
from videollm_operator.api import names
from videollm_operator.api.problem import Refused
from videollm_operator.api.reasons import Reason
from videollm_operator.render import metadata
from videollm_operator.render.manifests import render

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

object_names = st.from_regex(
    r"\A[a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?([.][a-z0-9]([-a-z0-9]{0,60}[a-z0-9])?){0,3}\Z"
).filter(lambda name: len(name) <= 253)


@given(object_names)
def test_whatever_the_object_is_called_kubernetes_can_name_every_child(name):
    made = render(
        builders.deployment(name, cache={"accessMode": "ReadWriteMany"}), builders.planned()
    )

    for child in made:
        assert DNS_LABEL.fullmatch(child["metadata"]["name"])
        for value in child["metadata"]["labels"].values():
            assert LABEL_VALUE.fullmatch(value)
    workload = of_kind(made, "StatefulSet")
    assert len(workload["metadata"]["name"]) <= 52  # + "-" + revision hash of 10: a pod label
    pods = workload["spec"]["serviceName"]
    assert pods in [child["metadata"]["name"] for child in made if child["kind"] == "Service"]


@given(object_names, object_names)
def test_children_of_two_objects_stay_apart(one, other):
    if one == other:
        return
    mine, theirs = (
        {
            (child["kind"], child["metadata"]["name"])
            for child in render(builders.deployment(name), builders.planned())
        }
        for name in (one, other)
    )

    assert not mine & theirs


def test_every_child_is_labelled_and_lives_in_the_objects_namespace():
    for child in render(builders.deployment(), builders.planned()):
        assert child["metadata"]["labels"] == names.child_labels("llava")
        assert child["metadata"]["namespace"] == "video"


def test_every_child_goes_with_its_owner():
    for child in render(builders.deployment(), builders.planned()):
        assert child["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "videollm.io/v1alpha1",
                "kind": "VideoLLMDeployment",
                "name": "llava",
                "uid": builders.UID,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]


def test_an_object_from_a_file_owns_nothing_yet():
    for child in render(builders.deployment(uid=""), builders.planned()):
        assert "ownerReferences" not in child["metadata"]


def test_labels_of_the_user_are_on_pods_only():
    made = render(builders.deployment(podTemplate={"labels": {"team": "x"}}), builders.planned())

    workload = of_kind(made, "StatefulSet")
    assert workload["spec"]["template"]["metadata"]["labels"] == {
        **names.child_labels("llava"),
        "team": "x",
    }
    assert "team" not in workload["metadata"]["labels"]
    assert "team" not in workload["spec"]["selector"]["matchLabels"]


FOREIGN = [
    "argocd.argoproj.io/instance",
    "helm.sh/chart",
    "meta.helm.sh/release-name",
    "kustomize.toolkit.fluxcd.io/name",
    "helm.toolkit.fluxcd.io/name",
    "kubectl.kubernetes.io/last-applied-configuration",
]


@pytest.mark.parametrize("key", FOREIGN)
@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_keys_by_which_delivery_tools_claim_objects_are_refused(field, key):
    with pytest.raises(Refused) as refused:
        render(builders.deployment(podTemplate={field: {key: "x"}}), builders.planned())

    (problem,) = refused.value.problems
    assert problem.reason is Reason.INVALID_SPEC
    assert problem.field == f"spec.podTemplate.{field}"
    assert f"must not have '{key}'" in problem.message


def test_annotations_and_the_restart_token_are_on_the_pod_template():
    given = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z", "note": ""}
    made = render(
        builders.deployment(podTemplate={"annotations": given}, rollout={"restartToken": "2"}),
        builders.planned(),
    )

    assert of_kind(made, "StatefulSet")["spec"]["template"]["metadata"]["annotations"] == {
        **given,
        "videollm.io/restart-token": "2",
    }


def test_without_annotations_there_is_no_empty_map():
    made = render(builders.deployment(), builders.planned())

    assert "annotations" not in of_kind(made, "StatefulSet")["spec"]["template"]["metadata"]


def test_more_annotations_than_an_object_can_hold_are_refused():
    big = {f"note-{number}": "é" * 4096 for number in range(32)}
    fits = builders.deployment(podTemplate={"annotations": dict(list(big.items())[:31])})

    assert metadata.pod_annotations(fits)
    with pytest.raises(Refused, match="must not exceed 262144 bytes together"):
        metadata.pod_annotations(builders.deployment(podTemplate={"annotations": big}))
