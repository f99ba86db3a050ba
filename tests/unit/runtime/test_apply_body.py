from __future__ import annotations

import json

import yaml

from videollm_operator.runtime import kinds, requests

ODD = "emoji \U0001f600, delete \x7f, next line \x85, separator \u2028, {{ x }}, 'quotes\", ü"


def test_the_body_of_an_apply_is_read_alike_as_yaml_and_as_json() -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": "n", "annotations": {"odd": ODD}},
    }
    service = next(kind for kind in kinds.CHILDREN if kind.kind == "Service")
    body = requests.apply(service, manifest, uid="u").body
    sent = {**manifest, "metadata": {**manifest["metadata"], "uid": "u"}}
    assert yaml.safe_load(body.decode()) == json.loads(body) == sent
