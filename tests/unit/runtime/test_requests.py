from __future__ import annotations

import json

import pytest

from videollm_operator.runtime import kinds, requests

STATEFUL_SET = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "x", "namespace": "n"},
    "spec": {"replicas": 1},
}


def test_an_apply_to_somebody_unseen_only_creates_and_never_overrides_other_managers():
    request = requests.apply(kinds.STATEFUL_SET, STATEFUL_SET)
    assert request.method == "PATCH"
    assert request.path == "/apis/apps/v1/namespaces/n/statefulsets/x"
    assert request.content_type == "application/apply-patch+yaml"
    assert request.params == {"fieldManager": "videollm-operator"}
    metadata = {**STATEFUL_SET["metadata"], "resourceVersion": "1"}
    assert json.loads(request.body) == {**STATEFUL_SET, "metadata": metadata}


def test_an_apply_that_carries_the_uid_overrides():
    request = requests.apply(kinds.STATEFUL_SET, STATEFUL_SET, uid="u")
    assert request.params["force"] == "true"
    assert json.loads(request.body)["metadata"] == {**STATEFUL_SET["metadata"], "uid": "u"}


def test_a_status_patch_names_the_very_object_that_was_read():
    request = requests.patch_status(
        kinds.DEPLOYMENT, "n", "x", {"replicas": 1}, uid="u", resource_version="7"
    )
    assert request.path == "/apis/videollm.io/v1alpha1/namespaces/n/videollmdeployments/x/status"
    assert request.content_type == "application/merge-patch+json"
    assert json.loads(request.body) == {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "status": {"replicas": 1},
    }


def test_scale_and_delete_carry_the_uid():
    scale = requests.scale(kinds.STATEFUL_SET, "n", "x", 3, uid="u")
    assert scale.path.endswith("/statefulsets/x/scale")
    assert json.loads(scale.body) == {"metadata": {"uid": "u"}, "spec": {"replicas": 3}}
    delete = requests.delete(kinds.DISRUPTION_BUDGET, "n", "x", uid="u")
    assert delete.method == "DELETE"
    assert json.loads(delete.body)["preconditions"] == {"uid": "u"}


def test_only_creating_is_not_repeatable_and_only_writing_is_a_write():
    writes = [
        requests.apply(kinds.STATEFUL_SET, STATEFUL_SET),
        requests.patch_status(kinds.DEPLOYMENT, "n", "x", {}, uid="u", resource_version="7"),
        requests.scale(kinds.STATEFUL_SET, "n", "x", 3, uid="u"),
        requests.delete(kinds.SERVICE, "n", "x", uid="u"),
        requests.replace(kinds.LEASE, "n", "x", {}),
    ]
    reads = [
        requests.get(kinds.POD, "n", "x"),
        requests.list_page(kinds.POD),
        requests.watch_one(kinds.CONFIG_MAP, "n", "x", 300),
    ]
    create = requests.create(kinds.EVENT, "n", {})
    assert all(request.write and request.repeatable for request in writes)
    assert not any(request.write for request in reads)
    assert create.write
    assert not create.repeatable


def test_a_page_asks_for_what_is_needed_and_no_more():
    request = requests.list_page(
        kinds.POD, "n", selector="a=b", limit=7, token="next", metadata_only=True
    )
    assert request.params == {"limit": "7", "labelSelector": "a=b", "continue": "next"}
    assert "PartialObjectMetadataList" in request.accept
    assert "resourceVersion" not in request.params  # a list from an old cache must not prune


@pytest.mark.parametrize(
    ("kind", "namespace", "path"),
    [
        (kinds.NODE, "", "/api/v1/nodes"),
        (kinds.NODE, "ignored", "/api/v1/nodes"),
        (kinds.POD, "", "/api/v1/pods"),
        (kinds.POD, "n", "/api/v1/namespaces/n/pods"),
        (kinds.LEASE, "n", "/apis/coordination.k8s.io/v1/namespaces/n/leases"),
    ],
)
def test_paths(kind, namespace, path):
    assert kind.path(namespace) == path


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("GET", "/api/v1/pods?limit=500", ("list", "pods")),
        ("GET", "https://h:1/api/v1/pods?watch=true&resourceVersion=1", ("watch", "pods")),
        ("GET", "/api/v1/namespaces/n/pods", ("list", "pods")),
        ("GET", "/api/v1/namespaces/n/pods/x", ("get", "pods")),
        ("GET", "/api/v1/nodes/x", ("get", "nodes")),
        ("PATCH", "/apis/apps/v1/namespaces/n/statefulsets/x", ("patch", "statefulsets")),
        ("PATCH", "/apis/apps/v1/namespaces/n/statefulsets/x/scale?a=b",
         ("patch", "statefulsets/scale")),
        ("PATCH", "/apis/videollm.io/v1alpha1/namespaces/n/videollmdeployments/x/status",
         ("patch", "videollmdeployments/status")),
        ("POST", "/apis/events.k8s.io/v1/namespaces/n/events", ("create", "events")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/x", ("update", "leases")),
        ("DELETE", "/apis/policy/v1/namespaces/n/poddisruptionbudgets/x",
         ("delete", "poddisruptionbudgets")),
        ("GET", "/api/v1/namespaces/n/configmaps/x", ("get", "configmaps")),
        ("GET", "/api/v1", ("get", "other")),
        ("GET", "/apis", ("get", "other")),
        ("GET", "/version", ("get", "other")),
        ("GET", "/api/v1/namespaces/n", ("get", "other")),
        ("GET", "/api/v1/secrets", ("get", "other")),
        ("GET", "/apis/apps/v1/deployments", ("get", "other")),
        ("GET", "/", ("get", "other")),
    ],
)  # fmt: skip
def test_requests_are_described_as_in_rules(method, url, expected):
    assert requests.describe(method, url) == expected
