"""What is rendered survives the Kubernetes client's models: no misspelt field, no wrong type."""

from typing import Any

import pytest
from hypothesis import given
from kubernetes import client

from tests.unit.render import builders
from tests.unit.render.cases import CASES
from tests.unit.render.examples import texts
from videollm_operator.api.v1alpha1.engine import EnvVar
from videollm_operator.render.manifests import render

MODELS = {
    "ServiceAccount": client.V1ServiceAccount,
    "Service": client.V1Service,
    "PersistentVolumeClaim": client.V1PersistentVolumeClaim,
    "StatefulSet": client.V1StatefulSet,
    "PodDisruptionBudget": client.V1PodDisruptionBudget,
}


def returned(manifest: dict[str, Any]) -> dict[str, Any]:
    model = MODELS[manifest["kind"]].from_dict(manifest)
    found: dict[str, Any] = client.ApiClient().sanitize_for_serialization(model)
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_field_is_one_that_kubernetes_knows(name):
    for manifest in CASES[name]():
        assert returned(manifest) == manifest


@given(texts)
def test_odd_words_survive(text):
    run = builders.launch(args=(text,), env=(EnvVar.model_construct(name="A", value=text),))

    for manifest in render(builders.deployment(), builders.planned(run)):
        assert returned(manifest) == manifest


def test_this_check_finds_a_misspelt_field():
    (manifest,) = (m for m in CASES["download"]() if m["kind"] == "ServiceAccount")

    wrong = {**manifest, "automountServiceAccountTokens": False}
    assert returned(wrong) != wrong


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_null_and_nothing_is_empty_but_what_means_something(name):
    def check(value: Any, path: str) -> None:
        if isinstance(value, dict):
            assert value or path.endswith((".emptyDir", ".labelSelector")), path
            for key, item in value.items():
                check(item, f"{path}.{key}")
        elif isinstance(value, list):
            assert value, path
            for index, item in enumerate(value):
                check(item, f"{path}[{index}]")
        else:
            assert isinstance(value, (str, int)), path
            assert value != "", path

    for manifest in CASES[name]():
        check(manifest, manifest["kind"])
