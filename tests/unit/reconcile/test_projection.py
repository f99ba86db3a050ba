from __future__ import annotations

from typing import Any

import pytest

from videollm_operator.reconcile.projection import canonical, content, digest, dropped, owned

MANAGER = "videollm-operator"


def applied(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"manager": MANAGER, "operation": "Apply", "fieldsV1": fields, **more}


def live(body: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "a", "managedFields": list(entries), **body.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "X", "metadata": metadata, **body}


def test_only_fields_of_our_manager_are_projected() -> None:
    obj = live(
        {"spec": {"replicas": 3, "paused": True}},
        applied({"f:spec": {"f:replicas": {}}}),
        {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}},
    )
    assert owned(obj, MANAGER) == {"spec": {"replicas": 3}}


def test_updates_and_subresources_of_our_manager_do_not_count() -> None:
    obj = live(
        {"spec": {"replicas": 3}},
        {"manager": MANAGER, "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        applied({"f:spec": {"f:replicas": {}}}, subresource="scale"),
    )
    assert owned(obj, MANAGER) == {}


def test_an_object_that_nobody_applied_has_nothing_of_ours() -> None:
    assert owned({"metadata": {"name": "a"}}, MANAGER) == {}


def test_list_items_are_found_by_their_keys_and_keep_the_live_order() -> None:
    obj = live(
        {
            "spec": {
                "env": [{"name": "b", "value": "2"}, {"name": "x"}, {"name": "a", "value": "1"}]
            }
        },
        applied(
            {
                "f:spec": {
                    "f:env": {
                        'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}},
                        'k:{"name":"b"}': {".": {}, "f:name": {}, "f:value": {}},
                    }
                }
            }
        ),
    )
    assert owned(obj, MANAGER) == {
        "spec": {"env": [{"name": "b", "value": "2"}, {"name": "a", "value": "1"}]}
    }


def test_members_of_a_set_are_found_by_value() -> None:
    obj = live(
        {"metadata": {"finalizers": ["x/other", "x/ours"]}},
        applied({"f:metadata": {"f:finalizers": {'v:"x/ours"': {}}}}),
    )
    assert owned(obj, MANAGER) == {"metadata": {"finalizers": ["x/ours"]}}


def test_an_atomic_value_is_taken_whole() -> None:
    obj = live({"spec": {"args": ["--a", "--b"]}}, applied({"f:spec": {"f:args": {}}}))
    assert owned(obj, MANAGER) == {"spec": {"args": ["--a", "--b"]}}


def test_what_the_server_fills_into_claim_templates_is_no_difference() -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "cache"},
        "spec": {"accessModes": ["ReadWriteOnce"]},
    }
    ours = {"metadata": {"name": "a"}, "spec": {"volumeClaimTemplates": [claim]}}
    filled = {
        **claim,
        "metadata": {"name": "cache", "creationTimestamp": None},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"},
        "status": {"phase": "Pending"},
    }
    obj = live(
        {"spec": {"volumeClaimTemplates": [filled]}},
        applied({"f:spec": {"f:volumeClaimTemplates": {}}}),
    )
    assert owned(obj, MANAGER) == content(ours) == {"spec": {"volumeClaimTemplates": [claim]}}
    assert dropped(ours, obj, MANAGER) == []


def test_a_container_that_is_owned_without_its_members_is_empty() -> None:
    obj = live(
        {"metadata": {"labels": {"theirs": "1"}}, "data": "text"},
        applied({"f:metadata": {"f:labels": {".": {}}}, "f:data": {".": {}}}),
    )
    assert owned(obj, MANAGER) == {"metadata": {"labels": {}}, "data": "text"}


def test_a_field_that_is_gone_is_not_projected() -> None:
    obj = live({"spec": {}}, applied({"f:spec": {"f:replicas": {}}}))
    assert owned(obj, MANAGER) == {"spec": {}}


def test_members_of_what_became_a_scalar_are_taken_as_they_are() -> None:
    obj = live({"spec": 3}, applied({"f:spec": {"f:replicas": {}}}))
    assert owned(obj, MANAGER) == {"spec": 3}


def test_what_identifies_an_object_is_no_content() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "n", "uid": "u", "labels": {"x": "y"}},
        "spec": {"ports": []},
    }
    assert content(manifest) == {"metadata": {"labels": {"x": "y"}}, "spec": {"ports": []}}


def test_an_unchanged_object_has_the_digest_of_its_manifest() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "labels": {"l": "1"}},
        "spec": {"ports": [{"port": 80, "name": "http"}]},
    }
    obj = live(
        {
            "metadata": {"labels": {"l": "1", "other": "2"}},
            "spec": {
                "clusterIP": "10.0.0.1",
                "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
            },
        },
        applied(
            {
                "f:metadata": {"f:labels": {"f:l": {}}},
                "f:spec": {
                    "f:ports": {
                        'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}
                    }
                },
            }
        ),
    )
    assert digest(owned(obj, MANAGER)) == digest(content(manifest))
    obj["metadata"]["labels"]["l"] = "edited"
    assert digest(owned(obj, MANAGER)) != digest(content(manifest))


def test_dropped_fields_are_named_by_path() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "a"},
        "spec": {"volumes": [{"name": "w", "image": {"reference": "r"}}, {"name": "v"}], "gate": 1},
    }
    obj = live(
        {"spec": {"volumes": [{"name": "w"}]}},
        applied({"f:spec": {"f:volumes": {'k:{"name":"w"}': {".": {}, "f:name": {}}}}}),
    )
    assert dropped(manifest, obj, MANAGER) == [
        "spec.volumes[0].image",
        "spec.volumes[1]",
        "spec.gate",
    ]


def test_nothing_is_dropped_from_an_object_that_came_back_whole() -> None:
    manifest = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {"args": ["a"]}}
    obj = live({"spec": {"args": ["a"]}}, applied({"f:metadata": {}, "f:spec": {"f:args": {}}}))
    assert dropped(manifest, obj, MANAGER) == []


@pytest.mark.parametrize("value", [{"b": 1, "a": [1, {"d": None, "c": "ü"}]}, "\ud800", [], 1.5])
def test_the_digest_does_not_depend_on_key_order(value: Any) -> None:
    assert digest(value) == digest(value)
    if isinstance(value, dict):
        assert canonical(value) == canonical(dict(reversed(value.items())))
