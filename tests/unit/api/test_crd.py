"""The generated CRD: up to date, structural, bounded, and known to the official client."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.unit.api.strategies import ALL, Node, places
from tests.unit.api.strategies import Path as SchemaPath
from videollm_operator.api import crd
from videollm_operator.api.rules import VALIDATIONS
from videollm_operator.api.v1alpha1 import deployment

FILE = Path(__file__).parents[3] / "crds" / crd.FILE_NAME
STATUS = list(places(crd.openapi()["properties"]["status"], ("status",)))


def ident(value: object) -> str:
    return ".".join(map(str, value)) if isinstance(value, tuple) else ""


def test_the_file_is_what_the_models_give() -> None:
    assert FILE.read_text() == crd.to_yaml(), "run `make generate`"


def test_running_the_module_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module("videollm_operator.api.crd", run_name="__main__")
    assert capsys.readouterr().out == FILE.read_text()


def test_it_stays_well_below_the_limit_of_an_annotation() -> None:
    """kubectl apply keeps the whole object in an annotation, which may have 256 KiB."""
    assert len(json.dumps(crd.crd())) < 262144 / 2


def test_the_official_client_knows_every_key() -> None:
    wire = json.loads(json.dumps(crd.crd()))
    with client.ApiClient() as api:
        model = api.deserialize(json.dumps(wire), "V1CustomResourceDefinition", "application/json")
        assert api.sanitize_for_serialization(model) == wire


def test_names() -> None:
    spec = crd.crd()["spec"]
    assert crd.crd()["metadata"]["name"] == "videollmdeployments.videollm.io"
    assert spec["scope"] == "Namespaced"
    assert spec["names"]["shortNames"] == ["vld"]
    assert FILE.name == "videollm.io_videollmdeployments.yaml"


def test_columns_are_those_of_the_design_and_wide_ones_come_last() -> None:
    narrow = [column["name"].upper() for column in crd.COLUMNS if not column.get("priority")]
    wide = [column["name"].upper() for column in crd.COLUMNS if column.get("priority")]
    assert narrow == ["MODEL", "GPU", "GPUS", "ENGINE", "DESIRED", "READY", "STATUS", "AGE"]
    assert wide == ["TP", "PP", "QUANTIZATION", "URL", "MESSAGE"]
    assert [column["name"].upper() for column in crd.COLUMNS] == narrow + wide


@pytest.mark.parametrize(
    "json_path",
    [*crd.SELECTABLE, *(column["jsonPath"] for column in crd.COLUMNS), ".status.selector"],
)
def test_every_path_of_columns_and_selectors_exists(json_path: str) -> None:
    if json_path.startswith(".metadata"):
        return
    node = crd.openapi()
    for step in re.sub(r"\[.*?\]", "[]", json_path).removeprefix(".").split("."):
        node = node["properties"][step.removesuffix("[]")]
        node = node["items"] if step.endswith("[]") else node
    assert node["type"] in {"string", "integer", "boolean"}


def test_a_status_that_nobody_wrote_is_of_no_generation() -> None:
    status = crd.openapi()["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["observedGeneration"]["default"] == -1


def test_the_server_fills_in_nothing_else_in_status() -> None:
    """A default would look like something that the operator has said."""
    with_default = [path for path, node in STATUS if "default" in node]
    assert with_default == [("status",), ("status", "observedGeneration")]


@pytest.mark.parametrize(("path", "node"), ALL + STATUS, ids=ident)
def test_every_field_has_a_type_and_a_description(path: SchemaPath, node: Node) -> None:
    assert ("type" in node) != ("x-kubernetes-int-or-string" in node)
    of_list_or_map = path[-1] in {0, "key"}
    assert of_list_or_map or node["description"].endswith((".", ")"))
    assert not {"$ref", "anyOf", "title", "const", "$defs"} & node.keys()
    if node.get("type") == "array":
        assert node["x-kubernetes-list-type"] in {"atomic", "map", "set"}


@pytest.mark.parametrize(("path", "node"), ALL, ids=ident)
def test_every_field_that_a_user_writes_is_bounded(path: SchemaPath, node: Node) -> None:
    del path
    kind = node.get("type")
    if kind == "string":
        assert "enum" in node or "maxLength" in node
    if kind == "array":
        assert node["maxItems"] <= 64
    if kind == "integer":
        assert "minimum" in node
        assert "maximum" in node
    if "additionalProperties" in node:
        assert node["maxProperties"] <= 64


@pytest.mark.parametrize(
    ("path", "node"), [place for place in ALL if VALIDATIONS in place[1]], ids=ident
)
def test_rules_read_well_and_point_at_fields(path: SchemaPath, node: Node) -> None:
    del path
    for rule in node[VALIDATIONS]:
        message = rule["message"]
        assert "\n" not in message
        assert len(message) < 500
        assert message.startswith(("must ", "`", "an entry of `")), "names the field, or `must`"
        assert not message.endswith(".")
        target = node
        for step in rule.get("fieldPath", "").split(".")[1:]:
            target = target["properties"][step]


def test_an_object_that_is_left_out_gets_the_defaults_inside_it() -> None:
    spec = crd.openapi()["properties"]["spec"]["properties"]
    assert spec["workload"]["default"] == {}
    # The server judges a default by its rules before it fills it.
    assert spec["quantization"]["default"] == {
        "format": "None",
        "method": "Auto",
        "groupSize": 128,
        "visionTower": "Unquantized",
    }


def test_parts_that_kubernetes_checks_itself_are_kept_whole() -> None:
    spec = crd.openapi()["properties"]["spec"]["properties"]
    free = "x-kubernetes-preserve-unknown-fields"
    assert spec["scheduling"]["properties"]["affinity"][free]
    assert spec["scheduling"]["properties"]["tolerations"]["items"][free]
    assert spec["podTemplate"]["properties"]["extraVolumes"]["items"][free]
    assert free not in spec["podTemplate"]


@pytest.mark.parametrize(
    "node",
    [
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": "^a$"},
    ],
)
def test_what_a_structural_schema_cannot_say_is_an_error(node: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not a structural schema|no conversion for"):
        crd.structural(node, {})


def test_rules_beside_a_reference_are_added_to_those_inside() -> None:
    inner = {
        "type": "object",
        "description": "Inner.\n\nMore of\nit.",
        VALIDATIONS: [{"rule": "a"}],
    }
    node = {"$ref": "#/$defs/Inner", "description": "Field.", VALIDATIONS: [{"rule": "b"}]}
    result = crd.structural(node, {"Inner": inner})
    assert result[VALIDATIONS] == [{"rule": "a"}, {"rule": "b"}]
    assert result["description"] == "Field. More of it."
    assert crd.structural({"$ref": "#/$defs/Inner"}, {"Inner": inner})["type"] == "object"


def test_the_yaml_is_plain() -> None:
    text = crd.to_yaml()
    assert yaml.safe_load(text) == crd.crd()
    assert "&id" not in text
    assert f"{deployment.GROUP}/{deployment.VERSION}" == deployment.API_VERSION
