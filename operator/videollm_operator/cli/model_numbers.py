"""`videollm plan --model` with a model that the catalogue does not have: read its own files."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from videollm_operator.checkpoints.problem import CheckpointProblem
from videollm_operator.cli import inputs
from videollm_operator.cli.checkpoint import described, is_folder
from videollm_operator.cli.description import spec_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.checkpoints.describe import Description


def with_own_numbers(fields: dict[str, Any], entries: Catalog) -> tuple[dict[str, Any], Catalog]:
    """The fields of the object and the catalogue, with the numbers of a model's own files.

    An unquantized model becomes an entry of the catalogue. A quantized one is described in the
    object itself, with the format that its files have, unless options say another. What cannot be
    read of the hub is told, and the plan says that the catalogue does not have the model.

    Args:
        fields: YAML path below `spec` to value; `model.name` is a folder or a hub id.
        entries: the catalogue.
    """
    found = _described(fields["model.name"])
    if found is None:
        return fields, entries
    fields = {**fields, "model.name": found.entry.name}
    if found.quantization is None:
        return fields, _with_entry(entries, found)
    if "quantization.format" in fields:
        return {**_architecture(found), **fields}, entries
    return {**_architecture(found), **_format(found), **fields}, entries


def compared(models: Sequence[str], entries: Catalog) -> tuple[tuple[str, ...], Catalog]:
    """Names of models and a catalogue that has all of them whose own files could be read.

    A comparison goes through the formats of the weights, so that of the files plays no part.
    """
    names: list[str] = []
    for model in models:
        found = None if entries.model(model) else _described(model)
        names.append(found.entry.name if found else model)
        entries = _with_entry(entries, found) if found else entries
    return tuple(names), entries


def _described(model: str) -> Description | None:
    """The model, with its warnings told; None if it is no folder and the hub does not tell.

    A name without a slash is taken for a mistyped one, and sent nowhere.
    """
    folder = is_folder(model)
    if not folder and "/" not in model:
        return None
    try:
        found = described(model)
    except CheckpointProblem as problem:
        if folder:
            inputs.fail(str(problem))
        inputs.complain(f"Note: {problem}")
        return None
    for warning in found.warnings:
        inputs.complain(f"Warning: {warning}")
    read = "safetensors headers and config.json" if found.parts else "config.json alone"
    inputs.complain(f"Note: the numbers of '{found.entry.name}' are from its {read}.")
    return found


def _with_entry(entries: Catalog, found: Description) -> Catalog:
    models = MappingProxyType({**entries.models, found.entry.name: found.entry})
    return replace(entries, models=models)


def _architecture(found: Description) -> dict[str, Any]:
    """The object's fields that say what a model is."""
    described = spec_fields(found)
    fields = {"model.architecture": described["model"]["architecture"]}
    if "dtype" in described:
        fields["dtype"] = described["dtype"]
    return fields


def _format(found: Description) -> dict[str, Any]:
    """The object's fields that say how its weights are quantized."""
    return {
        f"quantization.{key}": value for key, value in spec_fields(found)["quantization"].items()
    }
