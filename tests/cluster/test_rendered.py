"""A real API server gives rendered objects back exactly as they were sent."""

from __future__ import annotations

import copy
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes import client, config

from tests.unit.render import builders
from tests.unit.render.cases import CASES
from tests.unit.render.test_injection import NASTY
from tests.unit.render.test_quantity import CANONICAL
from videollm_operator.api import names
from videollm_operator.api.v1alpha1.engine import EnvVar
from videollm_operator.reconcile.projection import content, dropped, owned
from videollm_operator.render.literal import literal
from videollm_operator.render.manifests import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devcluster.target import Target

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def namespace(cluster: Target) -> Iterator[str]:
    """A namespace that takes only pods of the restricted pod security standard."""
    name = f"rendered-{uuid.uuid4().hex[:8]}"
    cluster.create_namespace(name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def without_owner_and_pods(manifest: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A child whose owner is not looked for (and not found), and that starts no pod."""
    made = copy.deepcopy(manifest)
    made["metadata"].pop("ownerReferences", None)
    made["metadata"]["namespace"] = namespace
    if made["kind"] == "StatefulSet":
        made["spec"]["replicas"] = 0
    return made


@pytest.fixture(scope="module")
def api(cluster: Target) -> client.ApiClient:
    """A client of the API server that sends bytes as they are."""
    return config.new_client_from_config(str(cluster.kubeconfig))


@pytest.fixture(scope="module")
def apply(api: client.ApiClient) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Applies an object as the operator does, and reads it: what the API server has then.

    The API server reads the body of an apply as YAML, so that is sent as a literal too.
    """

    def send(method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        kind = {"Content-Type": "application/apply-patch+yaml"} if body else {}
        response = api.call_api(
            *api.param_serialize(
                method, path, header_params=kind, body=body, auth_settings=["BearerToken"]
            )
        )
        text = response.read()
        assert response.status < 300, text
        found: dict[str, Any] = json.loads(text)
        return found

    def applied(manifest: dict[str, Any]) -> dict[str, Any]:
        metadata, version = manifest["metadata"], manifest["apiVersion"]
        path = (
            f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/"
            f"{metadata['namespace']}/{manifest['kind'].lower()}s/{metadata['name']}"
        )
        query = f"?fieldManager={names.FIELD_MANAGER}&fieldValidation=Strict"
        send("PATCH", path + query, literal(manifest).encode())
        return send("GET", path)

    return applied


def differences(sent: Any, returned: Any, path: str = "") -> list[str]:
    """Where `returned` lacks something that was sent, or has something else there."""
    if isinstance(sent, dict) and isinstance(returned, dict):
        return [
            difference
            for key, value in sent.items()
            for difference in differences(value, returned.get(key), f"{path}.{key}")
        ]
    if isinstance(sent, list) and isinstance(returned, list) and len(sent) == len(returned):
        return [
            difference
            for index, (mine, theirs) in enumerate(zip(sent, returned, strict=True))
            for difference in differences(mine, theirs, f"{path}[{index}]")
        ]
    same = type(sent) is type(returned) and sent == returned
    return [] if same else [f"{path}: sent {sent!r}, returned {returned!r}"]


@dataclass(frozen=True)
class Taken:
    """What was sent, and what the API server had after the first and the second time."""

    manifest: dict[str, Any]
    first: dict[str, Any]
    second: dict[str, Any]


@pytest.fixture(scope="module", params=CASES)
def taken(
    request: pytest.FixtureRequest,
    cluster: Target,
    namespace: str,
    apply: Callable[[dict[str, Any]], dict[str, Any]],
) -> list[Taken]:
    """All children of one case, applied and taken away again."""
    found = []
    for rendered in CASES[request.param]():
        manifest = without_owner_and_pods(rendered, namespace)
        found.append(Taken(manifest, apply(manifest), apply(manifest)))
        cluster.kubectl("delete", manifest["kind"], manifest["metadata"]["name"], "-n", namespace)
    return found


def test_what_is_sent_comes_back(taken):
    for each in taken:
        assert differences(each.manifest, each.first) == []
        assert dropped(each.manifest, each.first, names.FIELD_MANAGER) == []


def test_what_we_own_is_what_was_sent(taken):
    for each in taken:
        mine, wanted = owned(each.first, names.FIELD_MANAGER), content(each.manifest)
        for kept in (mine, wanted):  # one atomic value: the server's defaults in it are ours too
            kept["spec"] = {
                key: value
                for key, value in kept.get("spec", {}).items()
                if key != "volumeClaimTemplates"
            }
        assert mine == wanted


def test_applying_again_changes_nothing(taken):
    for each in taken:
        assert spec_version(each.second) == spec_version(each.first)


def spec_version(obj: dict[str, Any]) -> tuple[Any, ...]:
    """What changes with every write of the spec, and not with a controller's writes to status."""
    times = [
        entry["time"]
        for entry in obj["metadata"]["managedFields"]
        if entry["manager"] == names.FIELD_MANAGER
    ]
    return obj["metadata"].get("generation"), times


@pytest.mark.parametrize("case", CASES)
def test_pods_are_taken_where_only_restricted_ones_are(cluster, namespace, apply, case):
    (workload,) = (child for child in CASES[case]() if child["kind"] == "StatefulSet")
    account = workload["spec"]["template"]["spec"]["serviceAccountName"]
    template = copy.deepcopy(workload["spec"]["template"])
    template["spec"].pop("priorityClassName", None)  # neither class exists here
    template["spec"].pop("runtimeClassName", None)
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        template["spec"]["volumes"].append(
            {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "x"}}
        )
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {**pod["metadata"], "name": "pod", "namespace": namespace}
    apply(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account, "namespace": namespace},
        },
    )

    cluster.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(pod)
    )


def test_nasty_words_come_back_as_they_are(namespace, apply):
    words = [word for word in NASTY if "\x00" not in word]  # no program can get a NUL
    run = builders.launch(
        args=tuple(NASTY),
        env=tuple(
            EnvVar.model_validate({"name": f"WORD_{index}", "value": word})
            for index, word in enumerate(words)
            if len(word) <= 4096
        ),
    )
    rendered = render(
        builders.deployment(
            uid="",
            podTemplate={
                "annotations": {
                    f"word-{index}": word for index, word in enumerate(NASTY) if len(word) <= 4096
                }
            },
        ),
        builders.planned(run),
    )
    (workload,) = (child for child in rendered if child["kind"] == "StatefulSet")
    manifest = without_owner_and_pods(workload, namespace)

    assert differences(manifest, apply(manifest)) == []


def test_quantities_come_back_in_the_spelling_that_we_call_canonical(namespace, apply):
    pairs = [(text, wanted) for text, wanted in CANONICAL.items() if wanted and wanted[0] != "-"]
    (workload,) = (child for child in CASES["download"]() if child["kind"] == "StatefulSet")
    manifest = without_owner_and_pods(workload, namespace)
    manifest["metadata"]["name"] = "quantities"
    manifest["spec"]["template"]["spec"]["volumes"] += [
        {"name": f"v{index}", "emptyDir": {"sizeLimit": wanted}}
        for index, (_, wanted) in enumerate(pairs)
    ]

    returned = apply(manifest)

    assert differences(manifest, returned) == []
