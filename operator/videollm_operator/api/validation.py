"""The API server's verdict on an object, without an API server.

`videollm plan -f` uses it on files, and reconcile on what the API server gives, where it finds
fault only if CRD and operator are of different versions.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import ValidationError

from videollm_operator.api import sentences
from videollm_operator.api.base import as_json
from videollm_operator.api.problem import Problem, Refused
from videollm_operator.api.v1alpha1.deployment import API_VERSION, KIND, VideoLLMDeployment


def parse(obj: object) -> VideoLLMDeployment:
    """Reads an object as YAML or the API server gives it, with defaults filled in.

    Raises:
        Refused: if it does not match the schema or breaks a rule; with all that was found, each
            with the field's YAML path.
    """
    found: list[Problem] = []
    plain = as_json(obj)
    if isinstance(plain, dict):
        for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
            if plain.get(key) is None:
                text = f"`{key}` is required, but missing: add `{key}: {wanted}`"
                found.append(sentences.problem(text, key))
    try:
        deployment = VideoLLMDeployment.read(plain)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            found += sentences.problems(error, _schema())
    if found:
        raise Refused(*found)
    return deployment


def validate(obj: object) -> list[Problem]:
    """What is wrong with an object; empty if nothing is. See `parse`."""
    try:
        parse(obj)
    except Refused as refused:
        return list(refused.problems)
    return []


@cache
def _schema() -> dict[str, Any]:
    """Structural schema of the kind; made only when there is something to say."""
    from videollm_operator.api import crd

    return crd.openapi()
