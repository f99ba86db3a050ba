"""The operator with less than its rights, with those of some namespaces, and what it never may.

Here it runs under other accounts than elsewhere, in namespaces of their own, with the rights that
the chart renders. That the shipped rights are those which the whole suite uses, neither more nor
less, is for `python -m hack.rights`.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from devcluster.errors import KubectlError
from devcluster.waiting import eventually
from hack import local_operator
from hack.local_operator import ACCOUNT, LocalOperator
from hack.render_install import TARGET, template
from hack.rights import NAMESPACED
from tests.cluster.world import LOAD_SECONDS, SMALL, Namespace, audit_mark, ready, vld
from videollm_operator.api import names
from videollm_operator.catalog.loader import builtin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devcluster.audit import AuditRecord
    from devcluster.target import Target

    Objects = list[dict[str, Any]]

pytestmark = pytest.mark.cluster

RIGHTS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
QUICK = {"podTemplate": {"annotations": {LOAD_SECONDS: "0"}}}
OWN_ACCOUNT = {"podTemplate": {"serviceAccountName": "default", **QUICK["podTemplate"]}}


@dataclass(frozen=True)
class Removal:
    """One right that is missing, and what comes of it.

    Attributes:
        drops: API group, resource, verbs that no rule has.
        said: what log and conditions say together.
        serves: whether the object becomes Ready all the same; None: perhaps, for a moment.
        change: a change of the object that needs the right, made once it is Ready.
    """

    drops: tuple[str, str, set[str]]
    said: tuple[str, ...]
    serves: bool | None = False
    change: dict[str, Any] = field(default_factory=dict)


VIDEOLLM, DEPLOYMENTS = "videollm.io", "videollmdeployments"
REMOVALS = {
    "scale": Removal(
        ("apps", "statefulsets/scale", {"patch"}),
        ('cannot patch resource "statefulsets/scale"',),
        change={"model": {"name": "no/such-model"}},
    ),
    "service-create": Removal(
        ("", "services", {"create"}), ("ChildRefused", 'cannot create resource "services"')
    ),
    "account-delete": Removal(
        ("", "serviceaccounts", {"delete"}),
        ("ChildRefused", 'cannot delete resource "serviceaccounts"'),
        change=OWN_ACCOUNT,
    ),
    "finalizers": Removal(
        (VIDEOLLM, f"{DEPLOYMENTS}/finalizers", {"update"}), ("ChildRefused", "blockOwnerDeletion")
    ),
    "status": Removal(
        (VIDEOLLM, f"{DEPLOYMENTS}/status", {"patch"}),
        (f'cannot patch resource "{DEPLOYMENTS}/status"',),
    ),
    "pods": Removal(("", "pods", {"list", "watch"}), ('cannot list resource "pods"',)),
    "statefulset-watch": Removal(
        ("apps", "statefulsets", {"watch"}), ('cannot watch resource "statefulsets"',), serves=True
    ),
    "events": Removal(
        ("events.k8s.io", "events", {"create"}),
        ("an Event was not posted", 'cannot create resource "events"'),
        serves=True,
    ),
    "nodes": Removal(
        ("", "nodes", {"get", "list", "watch"}),
        ("nodes may not be listed: plans use the catalogue's memory",),
        serves=True,
    ),
    "catalogue-watch": Removal(
        ("", "configmaps", {"watch"}),
        ("the catalogue's ConfigMap is not watched", 'cannot watch resource "configmaps"'),
        serves=True,
    ),
    "lease-create": Removal(
        ("coordination.k8s.io", "leases", {"create"}),
        ("the Lease cannot be read or written", 'cannot create resource "leases"'),
    ),
    "lease-update": Removal(
        ("coordination.k8s.io", "leases", {"update"}),
        ("the Lease was not renewed", 'cannot update resource "leases"'),
        serves=None,
    ),
}


def without(objects: Objects, removal: Removal) -> Objects:
    """The roles without a right."""
    group, resource, verbs = removal.drops
    left = copy.deepcopy(objects)
    for role in left:
        rules = []
        for rule in role.get("rules", ()):
            if group in rule["apiGroups"] and resource in rule["resources"]:
                others = [name for name in rule["resources"] if name != resource]
                kept = [verb for verb in rule["verbs"] if verb not in verbs]
                rules += [{**rule, "resources": others}] if others else []
                rules += [{**rule, "resources": [resource], "verbs": kept}] if kept else []
            else:
                rules.append(rule)
        if "rules" in role:
            role["rules"] = rules
    return left


def rendered(cluster: Target, namespace: str, *watched: str) -> tuple[Objects, list[str]]:
    """Account and roles of an installation for some namespaces, and its operator's options."""
    values = f"--set=watchNamespaces={{{','.join(watched)}}}"
    objects = template(cluster.helm, values, namespace=namespace)
    (deployment,) = (obj for obj in objects if obj["kind"] == "Deployment")
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    options = [arg for arg in args if arg.startswith(("--namespace=", "--no-nodes"))]
    return [obj for obj in objects if obj["kind"] in RIGHTS], options


def requests_of(cluster: Target, namespace: str, mark: int) -> list[AuditRecord]:
    """What the account of an operator asked for."""
    user = f"system:serviceaccount:{namespace}:{ACCOUNT}"
    return [record for record in cluster.audit_events(mark) if record.user == user]


def is_refused(record: AuditRecord) -> bool:
    """Whether the account has no right to it; a quota's refusal has the same code."""
    return bool(record.raw["annotations"]["authorization.k8s.io/decision"] == "forbid")


def namespace(name: str) -> dict[str, Any]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def placed(obj: dict[str, Any], space: Namespace) -> dict[str, Any]:
    """The object in a namespace."""
    return {**obj, "metadata": {**obj["metadata"], "namespace": space.name}}


@dataclass(frozen=True)
class Case:
    """One installation without a right."""

    removal: Removal
    space: Namespace
    operator: LocalOperator
    full: Objects

    def told(self) -> str:
        """What log and conditions say."""
        return self.operator.log.read_text() + json.dumps(self.space.items("vld"))


@pytest.fixture(scope="module")
def cases(installed: Target) -> Iterator[dict[str, Case]]:
    """All removals side by side, each with its object, told and changed."""
    text = json.dumps(rendered(installed, "less-name", "less-name")[0])
    full = {name: json.loads(text.replace("less-name", f"less-{name}")) for name in REMOVALS}
    spaces = {name: Namespace(installed, f"less-{name}") for name in REMOVALS}
    installed.apply([namespace(space.name) for space in spaces.values()])
    installed.apply([obj for name in full for obj in without(full[name], REMOVALS[name])])
    installed.apply([placed(vld(**QUICK), space) for space in spaces.values()])
    found: dict[str, Case] = {}
    try:
        for name, removal in REMOVALS.items():
            operator = local_operator.start(
                installed,
                name=f"operator-less-{name}",
                namespace=spaces[name].name,
                options=[f"--namespace={spaces[name].name}", "--resync-seconds=5"],
                wait_s=0,
            )
            found[name] = Case(removal, spaces[name], operator, full[name])
        for case in found.values():
            if case.removal.change:
                case.space.until_ready(within_s=180)
                case.space.patch("vld", {"spec": case.removal.change})
        only_replicas_are_left(found["scale"].space)
        yield found
    finally:
        for case in found.values():
            case.operator.stop(grace_s=0)
        everything = [space.name for space in spaces.values()]
        installed.kubectl("delete", "namespace", *everything, "--wait=false")


def only_replicas_are_left(space: Namespace) -> None:
    """Another number of replicas, for a spec that is refused, with the record of the last one gone.

    Whatever else is written, the replicas are written with it; only here they go alone.
    """
    space.until_reason("ModelUnknown")
    space.patch("statefulset", {"metadata": {"annotations": {names.ANNOTATION_RECORD: None}}})
    space.patch("vld", {"spec": {"replicas": 2}})


@pytest.mark.parametrize("name", REMOVALS)
def test_it_says_which_right_it_lacks_and_goes_on(cases: dict[str, Case], name: str) -> None:
    case = cases[name]
    eventually(
        case.told, lambda told: all(w in told for w in escaped(case.removal.said)), timeout_s=120
    )
    if case.removal.serves:
        case.space.until_ready(within_s=180)
    elif case.removal.serves is False:
        assert ready(case.space.get("vld"))[0] != "True"
    assert case.operator.alive
    assert "Traceback" not in case.operator.log.read_text()


def escaped(said: Sequence[str]) -> list[str]:
    """As the words stand in log lines, or in JSON if they have quotes and come from a condition."""
    return [json.dumps(words)[1:-1] if said[0] == "ChildRefused" else words for words in said]


@pytest.mark.parametrize("name", ["nodes"])
def test_without_nodes_the_plan_uses_the_table(cases: dict[str, Case], name: str) -> None:
    obj = cases[name].space.until_ready(within_s=180)
    table = builtin().gpus["A100-80GB"].visible_mib
    assert obj["status"]["sizing"]["memoryPerGPU"]["visible"] == table


@pytest.mark.parametrize("name", REMOVALS)
def test_it_does_not_knock_without_pause(cases: dict[str, Case], name: str) -> None:
    cluster = cases[name].space.cluster
    audit_mark(cluster)  # skips where there is no audit log
    refused = [r for r in requests_of(cluster, f"less-{name}", 0) if r.code == 403]
    assert refused
    seconds = (refused[-1].time - refused[0].time).total_seconds()
    # Each request for itself: one try may be about several children.
    (_, most), *_ = Counter((r.verb, r.uri) for r in refused).most_common(1)
    assert most <= 10 + seconds


@pytest.fixture(scope="module")
def given_back(cases: dict[str, Case]) -> dict[str, Case]:
    """All rights are there again, and catalogues to be read."""
    catalogue = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"catalog.yaml": "{}"}}
    catalogue["metadata"] = {"name": "videollm-catalog"}
    objects = [obj for case in cases.values() for obj in case.full]
    objects += [placed(catalogue, case.space) for case in cases.values()]
    cases["scale"].space.cluster.apply(objects)
    return cases


@pytest.mark.parametrize("name", REMOVALS)
def test_it_recovers_when_the_right_comes_back(given_back: dict[str, Case], name: str) -> None:
    case = given_back[name]
    if name == "scale":
        case.space.until(lambda found: found["spec"]["replicas"] == 2, kind="statefulset")
        case.space.patch("vld", {"spec": {"model": {"name": SMALL}}})
    case.space.until_ready(within_s=180)
    eventually(case.operator.ready, bool, timeout_s=60)
    if name == "nodes":
        log = case.operator.log
        eventually(log.read_text, lambda text: "nodes may be read now" in text, timeout_s=90)
        eventually(case.operator.metrics, lambda text: 'resource="nodes",verb="watch"' in text)
    if name.startswith("catalogue"):
        log = case.operator.log
        eventually(log.read_text, lambda text: "the catalogue has changed" in text, timeout_s=90)
    if name == "events":
        case.space.patch("vld", {"spec": {"replicas": 0}})
        eventually(lambda: case.space.items("events.events.k8s.io"), reported, timeout_s=60)
    assert case.operator.alive


def reported(events: Objects) -> bool:
    """Whether the operator posted any."""
    return any(e.get("reportingController") == "videollm.io/operator" for e in events)


@dataclass(frozen=True)
class Few:
    """An operator for two namespaces, and a third one."""

    one: Namespace
    two: Namespace
    other: Namespace
    options: list[str]
    mark: int


@pytest.fixture(scope="module")
def few(installed: Target) -> Few:
    """The rights of an installation for two namespaces."""
    one, two, other = (Namespace(installed, f"few-{name}") for name in ("one", "two", "other"))
    installed.apply([namespace(name) for name in (NAMESPACED, one.name, two.name, other.name)])
    mark = audit_mark(installed)
    objects, options = rendered(installed, NAMESPACED, one.name, two.name)
    installed.apply(objects)
    assert options == [f"--namespace={one.name}", f"--namespace={two.name}"]
    return Few(one, two, other, options, mark)


def test_an_operator_for_some_namespaces_serves_them_and_no_others(few: Few) -> None:
    cluster = few.one.cluster
    operator = local_operator.start(
        cluster, name="operator-few", namespace=NAMESPACED, options=few.options
    )
    try:
        h100 = {"gpu": {"sku": "H100-80GB"}, **QUICK}
        few.other.apply(vld(**h100))
        few.one.apply(vld(**h100))
        few.two.apply(vld(**h100))
        few.one.until_ready()
        few.two.until_ready()
        few.one.patch("vld", {"spec": {"replicas": 0}})
        few.one.until_ready(reason="ScaledToZero")
        assert few.other.children() == []
        assert "conditions" not in few.other.get("vld").get("status", {})
        asked = requests_of(cluster, NAMESPACED, few.mark)
        own = [r for r in asked if r.user_agent.startswith("videollm-operator/")]
        assert [r.uri for r in own if is_refused(r)] == []
        assert {r.namespace for r in own if r.resource not in {"", "nodes"}} == {
            *(few.one.name, few.two.name, NAMESPACED)
        }

        # A namespace that goes takes its roles along; the other one must not notice.
        few.two.kubectl("delete", "vld", "--all", "--wait")
        cluster.kubectl("delete", "namespace", few.two.name, timeout_s=240)
        few.one.patch("vld", {"spec": {"replicas": 1}})
        few.one.until_ready()
        operator.stop()
        operator = local_operator.start(
            cluster, name="operator-few-again", namespace=NAMESPACED, options=few.options
        )
        few.one.patch("vld", {"spec": {"replicas": 0}})
        few.one.until_ready(reason="ScaledToZero")
        assert f'in the namespace "{few.two.name}"' in operator.log.read_text()

        # It comes back with its role, and is served.
        cluster.create_namespace(few.two.name)
        cluster.apply(rendered(cluster, NAMESPACED, few.one.name, few.two.name)[0])
        few.two.apply(vld(**h100))
        few.two.until_ready(within_s=120)
    finally:
        operator.stop()


def test_without_watches_comparisons_find_what_happened(space: Namespace) -> None:
    cluster = space.cluster
    roles = {ACCOUNT, f"{ACCOUNT}-nodes"}
    mine = [
        document
        for document in yaml.safe_load_all(TARGET.read_text())
        if document["kind"] == "ClusterRole" and document["metadata"]["name"] in roles
    ]
    blind = copy.deepcopy(mine)
    for role in blind:
        for rule in role["rules"]:
            rule["verbs"] = [verb for verb in rule["verbs"] if verb != "watch"]
    cluster.apply(blind)
    operator = local_operator.start(
        cluster, name="operator-blind", options=["--resync-seconds=2"], wait_s=0
    )
    try:
        shared = {"type": "PersistentVolumeClaim", "accessMode": "ReadWriteMany"}
        space.apply(vld(cache=shared, **QUICK))
        space.until_ready(within_s=240)
        assert 'cannot watch resource "pods"' in operator.log.read_text()
        cluster.kubectl("annotate", "node", "cpu-0", "test.videollm.io/seen=no")
        eventually(
            operator.metrics,
            lambda text: 'code="200",resource="nodes",verb="get"' in text,
            timeout_s=60,
        )
        cluster.apply(mine)
        space.patch("vld", {"spec": {"replicas": 0}})
        space.until_ready(reason="ScaledToZero")
        space.patch("vld", {"spec": {"model": {"name": "no/such-model"}}})
        only_replicas_are_left(space)
        space.until(lambda found: found["spec"]["replicas"] == 2, kind="statefulset")
    finally:
        operator.stop()
        cluster.apply(mine)
        cluster.kubectl("annotate", "node", "cpu-0", "test.videollm.io/seen-")


FORBIDDEN_VERBS = {"*", "escalate", "bind", "impersonate", "deletecollection"}
FORBIDDEN_RESOURCES = {
    *("*", "secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy"),
    *("serviceaccounts/token", "nodes/proxy", "roles", "clusterroles", "rolebindings"),
    *("clusterrolebindings", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
}


def test_its_token_reads_no_secret_and_leads_to_no_more_rights(installed: Target) -> None:
    kubeconfig = installed.service_account_kubeconfig(local_operator.NAMESPACE, ACCOUNT)
    as_operator = f"--kubeconfig={kubeconfig}"
    namespaces = [n["metadata"]["name"] for n in installed.get("namespaces")["items"]]
    assert {"default", "kube-system", local_operator.NAMESPACE} <= set(namespaces)
    for namespace in namespaces:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        answer = json.loads(
            installed.kubectl(
                *("create", as_operator, "--validate=false", "-o", "json", "-f", "-"),
                input=json.dumps(review),
            )
        )
        rules = answer["status"]["resourceRules"]
        assert any("statefulsets" in rule["resources"] for rule in rules)
        for rule in rules:
            assert not FORBIDDEN_VERBS & set(rule["verbs"]), rule
            assert not FORBIDDEN_RESOURCES & set(rule["resources"]), rule
            assert "*" not in rule["apiGroups"], rule
    for verb in ("get", "list", "watch"):
        for scope in (f"--namespace={local_operator.NAMESPACE}", "--all-namespaces"):
            with pytest.raises(KubectlError) as no:
                installed.kubectl("auth", "can-i", verb, "secrets", scope, as_operator)
            assert no.value.stdout.strip() == "no"
