"""The CustomResourceDefinition, made from the pydantic models.

Pydantic's JSON schema is not what the API server takes (a structural schema: no references, no
unions, no null). This module turns one into the other. `python -m videollm_operator.api.crd`
prints the result; `crds/` holds it, and a test compares the two.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from videollm_operator.api.fields import INT_OR_STRING
from videollm_operator.api.rules import VALIDATIONS
from videollm_operator.api.v1alpha1 import deployment
from videollm_operator.api.v1alpha1.deployment import VideoLLMDeployment

Schema = dict[str, Any]

FILE_NAME = f"{deployment.GROUP}_{deployment.PLURAL}.yaml"

NEVER_SEEN = {"observedGeneration": -1}
"""Status of an object that the operator has not seen: for kstatus it is in progress, not ready."""

COLUMNS: tuple[dict[str, Any], ...] = (
    {"name": "Model", "type": "string", "jsonPath": ".spec.model.name"},
    {"name": "GPU", "type": "string", "jsonPath": ".spec.gpu.sku"},
    {
        "name": "GPUs",
        "type": "integer",
        "jsonPath": ".status.sizing.totalGPUs",
        "description": "GPUs of all replicas.",
    },
    {"name": "Engine", "type": "string", "jsonPath": ".status.engine.type"},
    {"name": "Desired", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Ready", "type": "integer", "jsonPath": ".status.readyReplicas"},
    {
        "name": "Status",
        "type": "string",
        "jsonPath": ".status.conditions[?(@.type=='Ready')].reason",
        "description": "Reason of the condition Ready.",
    },
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {
        "name": "TP",
        "type": "integer",
        "jsonPath": ".status.sizing.tensorParallelSize",
        "priority": 1,
        "description": "Tensor-parallel size.",
    },
    {
        "name": "PP",
        "type": "integer",
        "jsonPath": ".status.sizing.pipelineParallelSize",
        "priority": 1,
        "description": "Pipeline-parallel size.",
    },
    {
        "name": "Quantization",
        "type": "string",
        "jsonPath": ".status.sizing.quantization",
        "priority": 1,
    },
    {"name": "URL", "type": "string", "jsonPath": ".status.url", "priority": 1},
    {
        "name": "Message",
        "type": "string",
        "jsonPath": ".status.conditions[?(@.type=='Ready')].message",
        "priority": 1,
    },
)
"""What `kubectl get` and `kubectl get -o wide` show; the wide ones have priority 1."""

SELECTABLE = (
    ".spec.model.name",
    ".spec.gpu.sku",
    ".spec.engine.type",
    ".spec.quantization.format",
    ".spec.paused",
    ".status.engine.type",
)
"""Fields for `kubectl get --field-selector`; the API server allows eight."""

_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "maxItems",
    "maxProperties",
    INT_OR_STRING,
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    VALIDATIONS,
)
"""Keys that mean the same in both worlds, in the order in which they are written."""

_KNOWN = {
    *_KEPT,
    "title",  # repeats the name
    "properties",
    "required",
    "items",
    "additionalProperties",
    "anyOf",
    "$ref",
    "propertyNames",  # a structural schema cannot say it; LABEL_KEYS does
}


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`node` without references and without null; what stands beside a reference wins."""
    rules = list(node.get(VALIDATIONS, []))
    while "$ref" in node or "anyOf" in node:
        beside = {k: v for k, v in node.items() if k not in {"$ref", "anyOf", VALIDATIONS}}
        if "$ref" in node:
            inner = definitions[node["$ref"].rpartition("/")[2]]
            # A class says more than a field where it has more than one paragraph.
            more = inner.get("description", "").split("\n\n")[1:]
            if "description" in beside:
                beside["description"] = " ".join([beside["description"], *more]).replace("\n", " ")
        else:
            choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
            if len(choices) != 1:
                raise ValueError(f"not a structural schema: {node['anyOf']}")
            (inner,) = choices
            beside.pop("default", None)  # null: the field is absent
        rules = [*inner.get(VALIDATIONS, []), *rules]
        node = {**inner, **beside}
    return {**node, VALIDATIONS: rules} if rules else node


def structural(node: Schema, definitions: dict[str, Schema], *, defaults: bool = True) -> Schema:
    """The structural schema of a node of pydantic's JSON schema.

    Args:
        node: the node.
        definitions: `$defs` of the whole schema.
        defaults: whether the API server is to fill in defaults (spec yes, status no).

    Raises:
        ValueError: for what a structural schema cannot say, so that nothing is lost unseen.
    """
    node = _resolved(node, definitions)
    unknown = node.keys() - _KNOWN
    if unknown:
        raise ValueError(f"no conversion for {sorted(unknown)} in {node}")
    result = {key: node[key] for key in _KEPT if key in node}
    if node.get("default") == "" or not defaults:
        result.pop("default", None)  # absent says the same, and keeps objects short
    if node.get("type") == "array":
        result.setdefault("x-kubernetes-list-type", "atomic")
        result["items"] = structural(node["items"], definitions, defaults=defaults)
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(
            node["additionalProperties"], definitions, defaults=defaults
        )
    if node.get("additionalProperties") is True:
        result["x-kubernetes-preserve-unknown-fields"] = True
    if "properties" in node:
        result["properties"] = {}
        required = node.get("required", [])
        for name, child in node["properties"].items():
            converted = structural(child, definitions, defaults=defaults)
            whole = "anyOf" not in child and "properties" in converted
            if defaults and whole and name not in required:
                converted["default"] = _default_of(converted)
            result["properties"][name] = converted
        if required:
            result["required"] = sorted(required)
    return _ordered(result)


def _default_of(schema: Schema) -> Schema:
    """The default of an object, so that one that is left out still gets the defaults inside it.

    The API server fills `{}` by itself, but judges a default by the object's CEL rules before it
    does, so an object with rules has its defaults spelled out.
    """
    if VALIDATIONS not in schema:
        return {}
    fields: Schema = schema["properties"]
    return {name: field["default"] for name, field in fields.items() if "default" in field}


def _ordered(result: Schema) -> Schema:
    """The same with keys in the order in which people read them."""
    order = [*_KEPT, "x-kubernetes-preserve-unknown-fields", "required"]
    tail = ["properties", "additionalProperties", "items"]
    return {key: result[key] for key in [*order, *tail] if key in result}


def openapi() -> Schema:
    """The `openAPIV3Schema` of the kind."""
    schema = VideoLLMDeployment.model_json_schema()
    definitions = schema["$defs"]
    fields = schema["properties"]
    status = structural(fields["status"], definitions, defaults=False)
    status["default"] = NEVER_SEEN
    status["properties"]["observedGeneration"]["default"] = NEVER_SEEN["observedGeneration"]
    return {
        "description": schema["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "description": "Version of the schema of this object.",
                "type": "string",
            },
            "kind": {"description": "Kind of this object.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(fields["spec"], definitions),
            "status": _ordered(status),
        },
    }


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{deployment.PLURAL}.{deployment.GROUP}"},
        "spec": {
            "group": deployment.GROUP,
            "scope": deployment.SCOPE,
            "names": {
                "kind": deployment.KIND,
                "listKind": f"{deployment.KIND}List",
                "plural": deployment.PLURAL,
                "singular": deployment.SINGULAR,
                "shortNames": list(deployment.SHORT_NAMES),
                "categories": list(deployment.CATEGORIES),
            },
            "versions": [
                {
                    "name": deployment.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [dict(column) for column in COLUMNS],
                    "selectableFields": [{"jsonPath": path} for path in SELECTABLE],
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "schema": {"openAPIV3Schema": openapi()},
                }
            ],
        },
    }


class _Plain(yaml.SafeDumper):
    """Writes shared values out in full, without YAML anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """No anchors."""
        return True


def to_yaml() -> str:
    """The CRD as the text of `crds/`."""
    text = yaml.dump(crd(), Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True)
    return "# Generated by `videollm crd` from the API's models; change those.\n" + text


if __name__ == "__main__":
    sys.stdout.write(to_yaml())
