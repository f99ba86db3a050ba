"""The CRD on a real API server: taken, filled in, printed, scaled, and a stern judge."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from kubernetes import client, config

from tests.cluster import crd_cases
from tests.cluster.crd_cases import BAD, GOOD, MINIMAL, Case, named, patched
from tests.unit.api import strategies, structural
from videollm_operator.api import crd
from videollm_operator.api.rules import VALIDATIONS
from videollm_operator.api.v1alpha1 import deployment
from videollm_operator.api.validation import parse, validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devcluster.target import Target

pytestmark = pytest.mark.cluster

CRD_FILE = Path(__file__).parents[2] / "crds" / crd.FILE_NAME
NAME = f"{deployment.PLURAL}.{deployment.GROUP}"
STRUCTURE_FIRST = {"groups below none", "an empty SKU"}
"""Cases that break a bound and a rule of one field: offline the bound alone is told."""

UNCHECKED = "some validation rules were not checked"


@dataclass(frozen=True)
class Server:
    """The API server as a judge, strict as kubectl asks it to be."""

    target: Target
    objects: client.CustomObjectsApi
    namespace: str
    version: str

    def create(self, obj: dict[str, Any], *, dry: bool = True) -> dict[str, Any]:
        """The object as the server makes it."""
        options: dict[str, Any] = {"dry_run": "All"} if dry else {}
        made: Any = self.objects.create_namespaced_custom_object(
            deployment.GROUP,
            deployment.VERSION,
            self.namespace,
            deployment.PLURAL,
            obj,
            field_validation="Strict",
            **options,
        )
        return dict(made)

    def refusals(self, obj: dict[str, Any]) -> list[str]:
        """What the server has against an object: `path: message`."""
        try:
            self.create(obj)
        except client.ApiException as refused:
            status = json.loads(refused.body or "{}")
            causes = status.get("details", {}).get("causes", [])
            lines = [f"{cause['field']}: {cause['message']}" for cause in causes]
            return [line for line in lines if UNCHECKED not in line] or [status["message"]]
        return []

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl in the namespace of these tests."""
        return self.target.kubectl("-n", self.namespace, *arguments, input=stdin)


@pytest.fixture(scope="module")
def server(cluster: Target) -> Iterator[Server]:
    """The API server with the CRD and a namespace of this module's own."""
    namespace = f"crd-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("apply", "--server-side", "-f", str(CRD_FILE))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=30s")
    cluster.kubectl("create", "namespace", namespace)
    connect: Any = config.new_client_from_config
    with connect(str(cluster.kubeconfig)) as api:
        code = client.VersionApi(api).get_code()
        version = f"{code.major}.{code.minor}"
        yield Server(cluster, client.CustomObjectsApi(api), namespace, version)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def said(server: Server) -> dict[str, list[str]]:
    """What the server says about each bad case."""
    return {case.name: server.refusals(case.obj) for case in BAD}


@pytest.fixture(scope="module")
def seen(server: Server) -> str:
    """Name of an object with a status as the operator would write it."""
    name = "seen"
    server.create(
        patched(MINIMAL, {"metadata": {"name": name}, "spec": {"replicas": 2}}), dry=False
    )
    status = {
        "observedGeneration": 1,
        "replicas": 2,
        "readyReplicas": 1,
        "selector": f"app.kubernetes.io/instance={name}",
        "url": "http://seen.example.svc:8000/v1",
        "engine": {"type": "VLLM", "version": "0.32.0", "image": "vllm"},
        "sizing": {
            "totalGPUs": 8,
            "tensorParallelSize": 4,
            "pipelineParallelSize": 1,
            "quantization": "None",
        },
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Loading",
                "message": "1 of 2 pods loads",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }
    patch = json.dumps({"status": status})
    server.kubectl("patch", "vld", name, "--subresource=status", "--type=merge", f"--patch={patch}")
    return name


def test_the_server_takes_the_crd_as_structural(server: Server) -> None:
    conditions = server.target.get("crd", NAME)["status"]["conditions"]
    states = {condition["type"]: condition["status"] for condition in conditions}
    assert states == {"Established": "True", "NamesAccepted": "True"}


# Defaults


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case.name)
def test_good_objects_are_taken_and_filled_in(server: Server, case: Case) -> None:
    made = server.create(case.obj)
    assert made["spec"] == structural.filled(strategies.SCHEMA, case.obj)["spec"]
    assert parse(made).spec == parse(case.obj).spec


def test_defaults_apply_inside_objects_that_are_left_out(server: Server) -> None:
    spec = server.create(MINIMAL)["spec"]
    assert spec["replicas"] == 1
    assert spec["workload"]["framesPerVideo"] == 64
    assert spec["quantization"] == {
        "format": "None",
        "method": "Auto",
        "groupSize": 128,
        "visionTower": "Unquantized",
    }
    assert spec["model"]["source"] == {}


def test_an_object_that_nobody_has_seen_is_not_current(server: Server) -> None:
    made = server.create(patched(MINIMAL, {"metadata": {"name": "unseen"}}), dry=False)
    assert made["status"] == {"observedGeneration": -1}
    assert made["metadata"]["generation"] == 1
    # Whoever writes a part of the status does not make it current either.
    server.kubectl(
        *("patch", "vld", "unseen", "--subresource=status", "--type=json"),
        '--patch=[{"op": "replace", "path": "/status", "value": {"replicas": 0}}]',
    )
    read = json.loads(server.kubectl("get", "vld", "unseen", "-o", "json"))
    assert read["status"] == {"observedGeneration": -1, "replicas": 0}


def test_null_means_absent(server: Server) -> None:
    obj = patched(MINIMAL, {})
    obj["spec"] |= {"replicas": None, "rollout": None, "engine": {"env": None, "type": None}}
    obj["spec"]["podTemplate"] = {"labels": {"team": None}}
    spec = server.create(obj)["spec"]
    assert spec["replicas"] == 1
    assert spec["rollout"]["strategy"] == "RemoveFirst"
    assert spec["engine"] == {"type": "Auto", "allowUncheckedArgs": False}
    assert validate(obj) == []
    assert parse(obj).spec == parse(server.create(obj)).spec


# Refusals


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_bad_objects_are_refused_by_field(said: dict[str, list[str]], case: Case) -> None:
    for field in case.fields:
        # In a map the server writes labels.team for types, and labels[team] for rules.
        other = "[".join(field.rsplit(".", 1)) + "]"
        unknown = f'strict decoding error: unknown field "{field}'
        assert any(line.startswith((field, other)) or unknown in line for line in said[case.name])


def test_what_the_server_says_is_as_reviewed(server: Server, said: dict[str, list[str]]) -> None:
    crd_cases.check_snapshot("server", said, server.version)


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_a_broken_rule_is_told_in_the_same_words_offline(
    said: dict[str, list[str]], case: Case
) -> None:
    texts = {rule["message"] for _, node in strategies.ALL for rule in node.get(VALIDATIONS, [])}
    online = {text for text in texts for line in said[case.name] if text in line}
    offline = {text for text in texts for each in validate(case.obj) if text in each.message}
    assert offline <= online
    assert bool(offline) == bool(online) or case.name in STRUCTURE_FIRST


def outside(node: dict[str, Any]) -> Iterator[Any]:
    """Values just beyond each bound of a field."""
    if "enum" in node:
        yield from (node["enum"][0].lower(), "", 1)
    elif "maximum" in node:
        yield from (node["minimum"] - 1, node["maximum"] + 1, "1", 1.5, True)
    elif node.get("type") == "boolean":
        yield from ("true", 0)
    elif node.get("type") == "string":
        yield from (7, ["a"], True)
        if "maxLength" in node:
            yield "a" * (node["maxLength"] + 1)
        if "minLength" in node:
            yield ""
    elif node.get("type") == "array":
        yield from ({}, "a", ["a" if node["items"]["type"] == "integer" else 0])
        yield [{} if node["items"]["type"] == "object" else "a"] * (node["maxItems"] + 1)
    elif "maxProperties" in node:
        yield from ([], "a", {f"a{i}": "" for i in range(node["maxProperties"] + 1)})
    else:
        yield [1]


@pytest.mark.parametrize(
    ("path", "node"),
    [pytest.param(path, node, id=".".join(map(str, path))) for path, node in strategies.LEAVES],
)
def test_every_bound_of_every_field_holds(
    server: Server, path: strategies.Path, node: strategies.Node
) -> None:
    field = ".".join(step for step in path if isinstance(step, str)).removesuffix(".key")
    for value in outside(node):
        obj = strategies.edited(named(GOOD, strategies.EVERYTHING).obj, path, value)
        said = [line.replace("[0]", "") for line in server.refusals(obj)]
        assert any(line.startswith(field) for line in said), (value, said)
        offline = [problem.field.replace("[0]", "") for problem in validate(obj)]
        assert any(each.startswith(field) for each in offline), (value, offline)


@given(obj=strategies.objects())
@settings(max_examples=500)
def test_server_and_validate_give_the_same_verdict(server: Server, obj: dict[str, Any]) -> None:
    said = server.refusals(obj)
    assert bool(said) == bool(validate(obj)), said
    if not said:
        made = server.create(obj)
        assert made["spec"] == structural.filled(strategies.SCHEMA, obj)["spec"]
        assert parse(made).spec == parse(obj).spec


def test_the_largest_object_is_within_the_cost_of_rules(server: Server) -> None:
    """The API server ends a validation that gets too expensive; none of ours may."""
    label = f"{'b' * 61}.{'b' * 61}.{'b' * 61}.{'b' * 61}/{'c' * 60}"
    labels = {f"{label}{i:02}": "a" * 63 for i in range(32)}
    volumes = [f"{'v' * 60}{i:03}" for i in range(32)]
    obj = patched(named(GOOD, strategies.EVERYTHING).obj, {})
    obj["spec"]["scheduling"]["nodeSelector"] = labels
    obj["spec"]["network"]["allowedMediaDomains"] = [f"{'m' * 240}.{i:02}" for i in range(64)]
    obj["spec"]["engine"] |= {
        "extraArgs": ["x" * 4096] * 64,
        "env": [{"name": f"{'E' * 120}{i}", "value": "v" * 4096} for i in range(64)],
    }
    obj["spec"]["podTemplate"] |= {
        "labels": labels,
        "annotations": dict.fromkeys(labels, "a" * 4096),
        "imagePullSecrets": [{"name": f"{'s' * 250}{i:02}"} for i in range(16)],
        "extraVolumes": [{"name": name, "emptyDir": {}} for name in volumes],
        "extraVolumeMounts": [
            {"name": name, "mountPath": f"/{i:02}{'p' * 1020}"} for i, name in enumerate(volumes)
        ],
    }
    assert validate(obj) == []
    assert server.refusals(obj) == []


# kubectl


def test_kubectl_refuses_an_unknown_field_by_itself(server: Server) -> None:
    obj = patched(MINIMAL, {"spec": {"workload": {"frames": 64}}})
    with pytest.raises(Exception, match=r'unknown field "spec\.workload\.frames"'):
        server.kubectl("apply", "-f", "-", stdin=json.dumps(obj))


def test_columns(server: Server, seen: str) -> None:
    header, row = server.kubectl("get", "vld", seen).splitlines()
    assert header.split() == [
        *("NAME", "MODEL", "GPU", "GPUS", "ENGINE", "DESIRED", "READY", "STATUS", "AGE")
    ]
    assert row.split()[:-1] == [
        *(seen, "lmms-lab/LLaVA-Video-72B-Qwen2", "A100-80GB", "8", "VLLM", "2", "1", "Loading")
    ]


def test_wide_columns(server: Server, seen: str) -> None:
    header, row = server.kubectl("get", "vld", seen, "-o", "wide").splitlines()
    assert header.split()[9:] == ["TP", "PP", "QUANTIZATION", "URL", "MESSAGE"]
    assert " 4 " in row
    assert row.endswith("http://seen.example.svc:8000/v1   1 of 2 pods loads")


def test_kubectl_explains_fields(server: Server) -> None:
    text = server.kubectl("explain", "vld.spec.gpu.sku")
    assert "GPU of the catalogue" in text
    assert "-required-" in server.kubectl("explain", "vld.spec.gpu")
    words = server.kubectl("explain", "vld.spec.gpu.nodeSelection").split()
    assert words[words.index("ENUM:") :][1:3] == ["Auto", "None"]


def test_short_name_and_category(server: Server, seen: str) -> None:
    assert seen in server.kubectl("get", "inference", "-o", "name")
    assert f"videollmdeployment.videollm.io/{seen}" in server.kubectl("get", "vld", "-o", "name")


def test_fields_can_be_selected(server: Server, seen: str) -> None:
    found = server.kubectl(
        *("get", "vld", "-o", "name", "--field-selector"),
        "status.engine.type=VLLM,spec.gpu.sku=A100-80GB,spec.paused=false",
    )
    assert found.split() == [f"videollmdeployment.videollm.io/{seen}"]
    none = server.kubectl("get", "vld", "-o", "name", "--field-selector", "spec.gpu.sku=L40")
    assert none == ""


def test_scale_answers_and_changes_only_replicas(server: Server) -> None:
    server.create(patched(MINIMAL, {"metadata": {"name": "scaled"}}), dry=False)
    status = {"status": {"replicas": 1, "selector": "app=scaled", "observedGeneration": 1}}
    server.kubectl(
        *("patch", "vld", "scaled", "--subresource=status", "--type=merge"),
        f"--patch={json.dumps(status)}",
    )
    server.kubectl("scale", "vld/scaled", "--replicas=0")
    path = f"/apis/{deployment.API_VERSION}/namespaces/{server.namespace}/{deployment.PLURAL}"
    scale = json.loads(server.kubectl("get", "--raw", f"{path}/scaled/scale"))
    assert scale["spec"] == {}  # 0 replicas
    assert scale["status"] == {"replicas": 1, "selector": "app=scaled"}
    read = json.loads(server.kubectl("get", "vld", "scaled", "-o", "json"))
    assert read["spec"]["replicas"] == 0
    assert read["metadata"]["generation"] == 2


def test_status_is_written_only_through_its_subresource(server: Server, seen: str) -> None:
    server.kubectl("patch", "vld", seen, "--type=merge", '--patch={"status": {"url": "x"}}')
    assert json.loads(server.kubectl("get", "vld", seen, "-o", "json"))["status"]["url"] != "x"


def test_two_owners_share_a_list_by_name(server: Server) -> None:
    """Server-side apply: a platform team adds a variable, the user's own stay."""
    for owner in ("user", "platform"):
        obj = patched(
            MINIMAL,
            {
                "metadata": {"name": "shared"},
                "spec": {"engine": {"env": [{"name": owner.upper(), "value": "1"}]}},
            },
        )
        server.kubectl(
            *("apply", "--server-side", f"--field-manager={owner}", "-f", "-"),
            stdin=json.dumps(obj),
        )
    read = json.loads(server.kubectl("get", "vld", "shared", "-o", "json"))
    assert [each["name"] for each in read["spec"]["engine"]["env"]] == ["USER", "PLATFORM"]
