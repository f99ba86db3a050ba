"""What the chart renders: typed as Kubernetes has it, with no right too many, and hardened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import kubernetes.client
import pytest
import yaml

from hack.generate import CRD
from hack.render_install import NAMESPACE, TARGET, install_yaml
from videollm_operator.cli.operator import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Object = dict[str, Any]
    Render = Callable[..., list[Object]]

VARIANTS = {
    "defaults": [],
    "two replicas": ["--set=replicas=2"],
    "some namespaces": ["--set=watchNamespaces={video,demo}"],
    "no nodes": ["--set=nodes.enabled=false"],
    "openshift": ["--set=podSecurity.runAsUser=null", "--set=podSecurity.runAsGroup=null"],
    "catalogue": ['--set-json=catalog.gpus=[{"sku":"X1","visibleMiB":81920}]'],
    "scheduling": [
        "--set=nodeSelector.pool=system",
        '--set-json=tolerations=[{"key":"system","operator":"Exists"}]',
        '--set-json=affinity={"podAntiAffinity":{}}',
        "--set=priorityClassName=system-cluster-critical",
        '--set-json=imagePullSecrets=[{"name":"registry"}]',
        "--set-string=podAnnotations.note=true",
        "--set=podLabels.team=video",
    ],
    "own account": ["--set=serviceAccount.create=false", "--set=serviceAccount.name=theirs"],
    "bare": [
        "--set=crds.install=false",
        "--set=rbac.create=false",
        "--set=metrics.service.enabled=false",
    ],
}

# What the operator may do beyond its own namespace, besides reading nodes. A new right is a
# decision: it is added here on purpose, with the code that needs it.
WORKLOAD_RIGHTS = {
    ("", "persistentvolumeclaims"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "pods"): {"get", "list", "watch"},
    ("", "serviceaccounts"): {"get", "list", "watch", "create", "patch", "delete"},
    ("", "services"): {"get", "list", "watch", "create", "patch", "delete"},
    ("apps", "statefulsets"): {"get", "list", "watch", "create", "patch", "delete"},
    ("apps", "statefulsets/scale"): {"patch"},
    ("events.k8s.io", "events"): {"create"},
    ("policy", "poddisruptionbudgets"): {"get", "list", "watch", "create", "patch", "delete"},
    ("videollm.io", "videollmdeployments"): {"get", "list", "watch"},
    ("videollm.io", "videollmdeployments/finalizers"): {"update"},
    ("videollm.io", "videollmdeployments/status"): {"patch"},
}


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [obj for obj in objects if obj["kind"] in kinds]


def one(objects: Iterable[Object], kind: str, suffix: str = "") -> Object:
    (found,) = [obj for obj in of_kind(objects, kind) if obj["metadata"]["name"].endswith(suffix)]
    return found


def rights(role: Object) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def container(objects: Iterable[Object]) -> Object:
    (only,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("variant", VARIANTS)
def test_objects_survive_the_clients_strict_models(render: Render, variant: str) -> None:
    client = kubernetes.client.ApiClient()
    objects = render(*VARIANTS[variant])
    assert objects
    for obj in objects:
        typed = getattr(kubernetes.client, f"V1{obj['kind']}").from_dict(obj)
        back = client.sanitize_for_serialization(typed)  # type: ignore[no-untyped-call] # no types
        assert back == obj, f"misspelt or mistyped in {obj['kind']}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_object_is_labelled_and_in_the_release_namespace(
    render: Render, variant: str
) -> None:
    for obj in render(*VARIANTS[variant], namespace="team"):
        if obj["kind"] == "CustomResourceDefinition":
            continue
        assert obj["metadata"]["labels"]["app.kubernetes.io/name"] == "videollm-operator"
        if obj["kind"].startswith("Cluster"):
            assert "namespace" not in obj["metadata"]
        elif obj["metadata"]["name"].startswith("team-"):
            assert obj["metadata"]["namespace"] in {"video", "demo"}  # the rights there
        else:
            assert obj["metadata"]["namespace"] == "team"


def test_operator_has_exactly_the_rights_it_needs(render: Render) -> None:
    objects = render()
    assert rights(one(objects, "ClusterRole", "videollm-operator")) == WORKLOAD_RIGHTS
    assert rights(one(objects, "ClusterRole", "-nodes")) == {
        ("", "nodes"): {"get", "list", "watch"}
    }
    own = one(objects, "Role")
    assert own["metadata"]["namespace"] == NAMESPACE
    assert own["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["videollm-catalog"],
            "verbs": ["get", "watch"],
        },
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["videollm-operator"],
            "verbs": ["get", "update"],
        },
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nobody_gets_secrets_wildcards_or_the_means_to_more_rights(
    render: Render, variant: str
) -> None:
    for role in of_kind(render(*VARIANTS[variant]), "Role", "ClusterRole"):
        for (group, resource), verbs in rights(role).items():
            assert "*" not in {group, resource, *verbs}
            assert resource.partition("/")[0] != "secrets"
            assert resource not in {"pods/exec", "pods/attach", "serviceaccounts/token"}
            assert group not in {"rbac.authorization.k8s.io", "admissionregistration.k8s.io"}
            assert not verbs & {"escalate", "bind", "impersonate"}


def test_every_binding_names_a_rendered_role_and_the_operators_account(render: Render) -> None:
    for arguments in VARIANTS.values():
        objects = render(*arguments)
        roles = {
            (obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"])
            for obj in of_kind(objects, "Role", "ClusterRole")
        }
        account = one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
        for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
            ref = binding["roleRef"]
            assert (ref["kind"], binding["metadata"].get("namespace"), ref["name"]) in roles
            assert binding["subjects"] == [
                {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}
            ]


def test_named_namespaces_replace_the_cluster_wide_rights(render: Render) -> None:
    objects = render("--set=watchNamespaces={video,demo}", "--set=nodes.enabled=false")
    cluster_wide = of_kind(objects, "ClusterRole")
    assert all("rbac.authorization.k8s.io/aggregate-to" in str(role) for role in cluster_wide)
    assert not of_kind(objects, "ClusterRoleBinding")
    there = [
        role for role in of_kind(objects, "Role") if role["metadata"]["namespace"] != NAMESPACE
    ]
    assert {role["metadata"]["namespace"] for role in there} == {"video", "demo"}
    assert all(rights(role) == WORKLOAD_RIGHTS for role in there)
    assert {"--namespace=video", "--namespace=demo", "--no-nodes"} <= set(
        container(objects)["args"]
    )


def test_install_without_any_cluster_wide_object_is_possible(render: Render) -> None:
    objects = render(
        "--set=watchNamespaces={video}",
        *("--set=nodes.enabled=false", "--set=rbac.aggregate=false", "--set=crds.install=false"),
    )
    assert all("namespace" in obj["metadata"] for obj in objects)


def test_two_releases_in_two_namespaces_share_no_cluster_wide_name(render: Render) -> None:
    def names(namespace: str) -> set[str]:
        objects = render("--set=crds.install=false", namespace=namespace)
        return {obj["metadata"]["name"] for obj in objects if "namespace" not in obj["metadata"]}

    assert names("one")
    assert not names("one") & names("two")


def test_people_get_rights_through_the_clusters_own_roles(render: Render) -> None:
    objects = render()
    for suffix, target in {"viewer": "view", "editor": "edit", "admin": "admin"}.items():
        role = one(objects, "ClusterRole", f"-{suffix}")
        assert (
            role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{target}"] == "true"
        )
        granted = rights(role)
        assert ("videollm.io", "videollmdeployments") in granted
        assert granted["videollm.io", "videollmdeployments/status"] == {"get"}
        writes = granted["videollm.io", "videollmdeployments"] - {"get", "list", "watch"}
        assert bool(writes) == (suffix != "viewer")


def test_pod_meets_the_restricted_profile(render: Render) -> None:
    pod = one(render(), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (only,) = pod["containers"]
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))


def test_user_can_be_left_to_the_platform(render: Render) -> None:
    pod = one(render(*VARIANTS["openshift"]), "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_flags_are_those_of_the_command(render: Render) -> None:
    only = container(render())
    assert only["command"] == ["videollm", "operator"]
    assert only["args"] == [
        "--lease-name=videollm-operator",
        f"--catalog-configmap={NAMESPACE}/videollm-catalog",
        "--metrics-port=8080",
        "--health-port=8081",
        "--workers=4",
        "--resync-seconds=600",
        "--max-concurrent-updates=2",
        "--log-level=info",
        "--log-format=json",
    ]
    fields = {env["name"]: env["valueFrom"]["fieldRef"]["fieldPath"] for env in only["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_flags_are_taken_by_the_real_command_line(render: Render, variant: str) -> None:
    arguments = container(render(*VARIANTS[variant]))["args"]
    with command.make_context("operator", list(arguments)) as context:
        assert context.params["lease_name"] == "videollm-operator"


def test_probes_ask_the_health_port(render: Render) -> None:
    only = container(render("--set=health.port=9001", "--set=metrics.port=9000"))
    assert {port["name"]: port["containerPort"] for port in only["ports"]} == {
        "metrics": 9000,
        "health": 9001,
    }
    probes = {name: only[name]["httpGet"] for name in only if name.endswith("Probe")}
    assert probes == {
        "startupProbe": {"path": "/healthz", "port": "health"},
        "livenessProbe": {"path": "/healthz", "port": "health"},
        "readinessProbe": {"path": "/readyz", "port": "health"},
    }


def test_image_by_digest_wins_over_the_tag(render: Render) -> None:
    digest = f"sha256:{'a' * 64}"
    arguments = ("--set=image.repository=registry.example.com/op", "--set=image.tag=1.2.3")
    assert container(render(*arguments))["image"] == "registry.example.com/op:1.2.3"
    by_digest = container(render(*arguments, f"--set=image.digest={digest}"))
    assert by_digest["image"] == f"registry.example.com/op@{digest}"


def test_disruption_budget_only_with_a_second_replica(render: Render) -> None:
    assert not of_kind(render(), "PodDisruptionBudget")
    assert not of_kind(render("--set=replicas=0"), "PodDisruptionBudget")
    budget = one(render("--set=replicas=2"), "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1


def test_catalogue_values_become_the_configmap_that_the_operator_reads(render: Render) -> None:
    entry = {"name": "team/model", "parameters": 1_000_000_000_000, "note": "a: 'b' {{ c }}"}
    assert not of_kind(render(), "ConfigMap")
    objects = render(
        f"--set-json=catalog.models={json.dumps([entry])}",
        "--set=catalog.configMapName=mine",
    )
    configmap = one(objects, "ConfigMap")
    assert configmap["metadata"]["name"] == "mine"
    assert yaml.safe_load(configmap["data"]["catalog.yaml"]) == {"models": [entry]}
    assert f"--catalog-configmap={NAMESPACE}/mine" in container(objects)["args"]
    assert one(objects, "Role")["rules"][0]["resourceNames"] == ["mine"]


def test_crd_is_the_apis_own_and_is_kept(render: Render) -> None:
    source = yaml.safe_load(CRD.read_text())
    kept = one(render(), "CustomResourceDefinition")
    annotations = kept["metadata"].pop("annotations")
    assert annotations["helm.sh/resource-policy"] == "keep"
    assert kept == source
    assert one(render("--set=crds.keep=false"), "CustomResourceDefinition") == source
    assert not of_kind(render("--set=crds.install=false"), "CustomResourceDefinition")


def test_service_monitor_finds_the_metrics_service(render: Render) -> None:
    objects = render(
        "--set=metrics.serviceMonitor.enabled=true",
        "--set=metrics.serviceMonitor.labels.release=prometheus",
    )
    monitor, service = one(objects, "ServiceMonitor"), one(objects, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    assert wanted <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_install_yaml_is_the_rendered_chart(helm: Path) -> None:
    assert TARGET.read_text() == install_yaml(helm), "run `make generate`"
