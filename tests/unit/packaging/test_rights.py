"""What `python -m hack.rights` says of shipped rights and used ones."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import audit
from devcluster.errors import NotAvailableError
from hack import rights
from hack.local_operator import ACCOUNT, NAMESPACE
from hack.rights import NAMESPACED, Right, Use

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PODS = Right("", "pods", "watch", "cluster")
LEASE = Right("coordination.k8s.io", "leases", "update", "own", "videollm-operator")
PODS_OF_SOME = replace(PODS, scope="namespace")
RULES = {NAMESPACE: {PODS, LEASE}, NAMESPACED: {PODS_OF_SOME, LEASE}}
USES = [
    Use(NAMESPACE, PODS, "t"),
    Use(NAMESPACE, LEASE, "t"),
    Use(NAMESPACED, PODS_OF_SOME, "t"),
]


def request(verb: str, resource: str, namespace: str = "video", **other: Any) -> audit.AuditRecord:
    raw = {
        "requestReceivedTimestamp": (NOON + timedelta(seconds=other.get("at", 0))).isoformat(),
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"},
        "userAgent": other.get("agent", rights.USER_AGENT),
        "requestURI": "/",
        "responseStatus": {"code": other.get("code", 200)},
        "annotations": {"authorization.k8s.io/decision": other.get("decision", "allow")},
        "objectRef": {
            "apiGroup": other.get("group", ""),
            "resource": resource,
            "namespace": namespace,
            "name": other.get("name", ""),
            "subresource": other.get("subresource", ""),
        },
    }
    return audit.parse(json.dumps(raw))


def used(*records: audit.AuditRecord) -> dict[Right, int]:
    return {use.right: use.times for use in rights.uses(records, [])}


def test_no_difference_where_all_that_is_shipped_is_used() -> None:
    assert rights.differences(USES, RULES) == []


@pytest.mark.parametrize(
    "extra",
    [
        replace(PODS, verb="delete"),
        replace(PODS, resource="secrets"),
        replace(PODS, resource="pods/exec"),
        replace(PODS, group="metrics.k8s.io"),
        replace(LEASE, name="other"),
        replace(LEASE, scope="namespace"),
    ],
    ids=str,
)
def test_what_is_used_must_be_shipped(extra: Right) -> None:
    (sentence,) = rights.differences([*USES, Use(NAMESPACE, extra, "tests/a.py::t")], RULES)
    assert sentence == f"{extra} is used and not shipped: first by tests/a.py::t"


def test_after_some_tests_what_is_shipped_and_was_not_used_is_no_fault() -> None:
    assert rights.not_shipped(USES[:1], RULES) == []
    extra = Use(NAMESPACE, replace(PODS, verb="delete"), "tests/a.py::t")
    (sentence,) = rights.not_shipped([extra], RULES)
    assert sentence.endswith("is used and not shipped: first by tests/a.py::t")


def test_rights_in_named_namespaces_do_not_reach_further() -> None:
    (sentence,) = rights.differences([*USES, Use(NAMESPACED, PODS, "t")], RULES)
    assert "is used and not shipped" in sentence


def test_what_is_shipped_must_be_used() -> None:
    more = replace(PODS, verb="list")
    rules = {NAMESPACE: {*RULES[NAMESPACE], more}, NAMESPACED: {*RULES[NAMESPACED]}}
    rules[NAMESPACED].add(replace(more, scope="namespace"))
    assert rights.differences(USES, rules)[0].startswith(f"{more} is shipped and never used")
    refused = Use(NAMESPACE, more, "t", times=0)
    assert rights.differences([*USES, refused], rules)[0].startswith(f"{more} is shipped and never")


def test_both_modes_must_ship_the_same_and_both_must_have_been_run() -> None:
    rules = {**RULES, NAMESPACED: {LEASE}}
    assert any("differs between" in each for each in rights.differences(USES, rules))
    assert rights.differences(USES[:2], RULES) == [
        "no operator was run that serves some namespaces only"
    ]


def test_an_apply_that_makes_an_object_takes_more_than_patch() -> None:
    owner = Right("videollm.io", "videollmdeployments/finalizers", "update", "namespace")
    assert used(request("patch", "services", name="a", code=201)) == {
        Right("", "services", "patch", "namespace"): 1,
        Right("", "services", "create", "namespace"): 1,
        owner: 1,
    }
    assert set(used(request("patch", "services", name="a"))) == {
        Right("", "services", "patch", "namespace")
    }


def test_subresources_scopes_and_names_are_told_apart() -> None:
    assert set(
        used(
            request("patch", "statefulsets", group="apps", subresource="scale", name="a"),
            request("list", "nodes", ""),
            request("get", "configmaps", NAMESPACE, name="c"),
        )
    ) == {
        Right("apps", "statefulsets/scale", "patch", "namespace"),
        Right("", "nodes", "list", "cluster"),
        Right("", "configmaps", "get", "own", "c"),
    }


def test_a_refused_request_is_no_use_and_kubectl_is_not_the_operator() -> None:
    assert used(request("get", "pods", decision="forbid", code=403)) == {
        Right("", "pods", "get", "namespace"): 0
    }
    # A quota's refusal has the same code; the right was there.
    assert used(request("patch", "pods", code=403)) == {Right("", "pods", "patch", "namespace"): 1}
    assert used(request("get", "secrets", agent="kubectl/v1.36")) == {}


def test_the_first_test_is_told() -> None:
    begun = [(NOON + timedelta(seconds=at), f"test-{at}") for at in (0, 10, 20)]
    records = [request("get", "pods", at=5), request("list", "pods", at=15)]
    records.append(request("get", "pods", at=25))
    assert [(u.test, u.times) for u in rights.uses(records, begun)] == [
        ("test-0", 2),
        ("test-10", 1),
    ]


def test_records_of_other_code_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here:
        name = "here"

        def audit_events(self) -> list[audit.AuditRecord]:
            return [request("get", "pods")]

    monkeypatch.setattr(rights, "FOLDER", tmp_path / "rights")
    rights.write_down(Here(), [(NOON, "t")])  # type: ignore[arg-type] # as much of one as is used
    old = {"source": "other", "tests": 9, "uses": [asdict(USES[0])]}
    (tmp_path / "rights" / "old.json").write_text(json.dumps(old))
    found, tests = rights.read(rights.FOLDER)
    assert [use.right for use in found] == [Right("", "pods", "get", "namespace")]
    assert tests == 1


def test_a_cluster_without_an_audit_log_writes_nothing_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Foreign:
        name = "foreign"

        def audit_events(self) -> list[audit.AuditRecord]:
            raise NotAvailableError("not here")

    monkeypatch.setattr(rights, "FOLDER", tmp_path)
    rights.write_down(Foreign(), [])  # type: ignore[arg-type] # as much of one as is used
    assert list(tmp_path.iterdir()) == []


def test_roles_count_where_they_are_bound() -> None:
    def role(kind: str, name: str, namespace: str, **rule: Any) -> list[dict[str, Any]]:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        return [
            {"kind": kind, "metadata": metadata, "rules": [rule]},
            {
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"kind": kind, "name": name},
                "subjects": [{"namespace": NAMESPACE}],
            },
        ]

    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch"]}
    lease = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["update"],
        "resourceNames": ["videollm-operator"],
    }
    objects = [
        *role("ClusterRole", "all", "", **pods),
        *role("Role", "own", NAMESPACE, **lease),
        *role("Role", "some", "video", **pods),
        *role("ClusterRole", "unbound", "", **{**pods, "verbs": ["delete"]})[:1],
    ]
    assert rights.shipped(objects, NAMESPACE) == {PODS, LEASE, PODS_OF_SOME}
