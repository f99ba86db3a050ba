"""From options and files to checked objects and a catalogue; bad input becomes a sentence."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from videollm_operator.api.v1alpha1 import VideoLLMDeployment
from videollm_operator.api.validation import validate
from videollm_operator.catalog import yamlnodes
from videollm_operator.catalog.loader import builtin, extended
from videollm_operator.cli.exits import ExitCode

if TYPE_CHECKING:
    from videollm_operator.catalog.catalog import Catalog

API_VERSION = "videollm.io/v1alpha1"
KIND = "VideoLLMDeployment"


def fail(*messages: str) -> NoReturn:
    """Ends the command with exit code 2 and the sentences on standard error."""
    for message in messages:
        complain(f"Error: {message}")
    sys.exit(ExitCode.BAD_INPUT)


def complain(sentence: str) -> None:
    """Writes to standard error; wrapped for a person, one line for a log."""
    if sys.stderr.isatty():
        width = min(shutil.get_terminal_size().columns, 100)
        sentence = click.wrap_text(sentence, width, subsequent_indent="  ")
    click.echo(sentence, err=True)


def catalog_with(path: str | None) -> Catalog:
    """The built-in catalogue, extended by the admin's file; its bad entries are warned of."""
    catalog = builtin()
    if path is None:
        return catalog
    catalog = extended(catalog, read(path), path)
    for problem in catalog.problems:
        complain(f"Warning: {problem}")
    return catalog


def read(path: str) -> str:
    """The text of a file, or of standard input for `-`."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}")


def write(path: str, text: str) -> None:
    """Writes a text file; exit code 2 with a sentence if that is not possible."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        fail(f"cannot write '{path}': {getattr(error, 'strerror', None) or error}")


def deployments_in(path: str) -> list[dict[str, Any]]:
    """All VideoLLMDeployments of a YAML or JSON file, lists opened; other kinds are passed over."""
    try:
        documents = yamlnodes.read_all(read(path))
    except yamlnodes.YAMLProblem as problem:
        fail(f"'{path}' line {problem.line}: {problem}")
    objects: list[Any] = []
    for document in documents:
        for location, key, line in document.repeated:
            where = ".".join(map(str, location)) or "the object"
            fail(f"'{path}' line {line}: `{key}` stands twice in {where}: remove one of them")
        objects.extend(_opened(document.value))
    found = [obj for obj in objects if is_deployment(obj)]
    if not found:
        kinds = sorted({_kind(obj) for obj in objects if obj is not None})
        seen = f"found {', '.join(kinds)}" if kinds else "but it is empty"
        fail(f"'{path}' must hold a {KIND} of {API_VERSION}, {seen}")
    return found


def _opened(document: Any) -> list[Any]:
    """The objects of a document: itself, or the items of what `kubectl get -o yaml` prints."""
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
        items = document.get("items")
        return items if isinstance(items, list) else []
    return [document]


def _kind(document: Any) -> str:
    """What a document is, for people."""
    if isinstance(document, dict):
        return str(document["kind"]) if "kind" in document else "an object without `kind`"
    return "a list" if isinstance(document, list) else "text"


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
