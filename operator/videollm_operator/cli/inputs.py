"""From options and files to checked objects and a catalogue; bad input becomes a sentence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import yaml

from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import validate
from videollm_operator.catalog.loader import builtin, extended
from videollm_operator.cli.exits import ExitCode

if TYPE_CHECKING:
    from videollm_operator.catalog.catalog import Catalog

API_VERSION = "videollm.io/v1alpha1"
KIND = "VideoLLMDeployment"


def fail(*messages: str) -> NoReturn:
    """Ends the command with exit code 2 and the sentences on standard error."""
    for message in messages:
        click.echo(f"Error: {message}", err=True)
    sys.exit(ExitCode.BAD_INPUT)


def catalog_with(path: str | None) -> Catalog:
    """The built-in catalogue, extended by the admin's file; its bad entries are warned of."""
    catalog = builtin()
    if path is None:
        return catalog
    catalog = extended(catalog, read(path), path)
    for problem in catalog.problems:
        click.echo(f"Warning: {problem}", err=True)
    return catalog


def read(path: str) -> str:
    """The text of a file, or of standard input for `-`."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}")


def deployments_in(path: str) -> list[dict[str, Any]]:
    """All VideoLLMDeployments of a YAML or JSON file; other kinds are passed over."""
    try:
        documents = list(yaml.safe_load_all(read(path)))
    except yaml.YAMLError as error:
        fail(f"'{path}' is not YAML: {' '.join(str(error).split())}")
    found = [document for document in documents if is_deployment(document)]
    if not found:
        kinds = sorted({str(d.get("kind")) for d in documents if isinstance(d, dict)})
        seen = f"found {', '.join(kinds)}" if kinds else "found nothing"
        fail(f"'{path}' must hold a {KIND} of {API_VERSION}, {seen}")
    return found


def is_deployment(document: object) -> bool:
    """Whether a document says that it is a VideoLLMDeployment, of any version."""
    return isinstance(document, dict) and document.get("kind") == KIND


def checked(raw: dict[str, Any]) -> VideoLLMDeployment:
    """The object, or exit code 2 with a sentence for each fault."""
    problems = validate(raw)
    if problems:
        fail(*(problem.message for problem in problems))
    return VideoLLMDeployment.from_object(raw)


def object_with(fields: dict[str, Any]) -> dict[str, Any]:
    """The object that options describe; every other field keeps its default.

    Args:
        fields: YAML path below `spec` to value.
    """
    spec: dict[str, Any] = {}
    for path, value in fields.items():
        place = spec
        *parents, last = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": "plan", "namespace": "default"},
        "spec": spec,
    }
