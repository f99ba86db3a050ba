"""A described model for people (a table with sources) and for programs (entry, fields, report)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from videollm_operator.api.v1alpha1.compute import DType

if TYPE_CHECKING:
    from videollm_operator.checkpoints.describe import Description

_GIB = 1024**3


def show(found: Description) -> None:
    """Prints the table: each number, its value, where it came from; then sizes and warnings."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from videollm_operator.cli.output import console

    out = console()
    what = found.entry.architecture
    out.print(
        Text(
            f"{found.entry.name}: {found.entry.family} ({what.class_name}), "
            f"{what.parameters.total / 1e9:.2f}B parameters",
            style="bold",
        )
    )
    for warning in found.warnings:
        out.print(Padding(Text(f"Warning: {warning}", style="yellow"), (0, 0, 0, 2)))
    out.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("NUMBER", no_wrap=True)
    table.add_column("VALUE", justify="right", overflow="fold")
    table.add_column("FROM", overflow="fold")
    for fact in found.facts:
        source = f"{fact.source}: {fact.detail}" if fact.detail else str(fact.source)
        table.add_row(fact.path.removeprefix("architecture."), _value(fact.value), source)
    out.print(table)
    out.print()
    if not found.parts:
        out.print(
            Text(
                "No safetensors headers were read: the parameters are computed from the widths "
                "above."
            )
        )
    else:
        parts = Table(box=None, pad_edge=False)
        parts.add_column("IN THE FILES")
        for column in ("PARAMETERS", "GiB"):
            parts.add_column(column, justify="right")
        parts.add_column("FORMATS", overflow="fold")
        for part in found.parts:
            shares = ", ".join(f"{name} {size / part.bytes:.1%}" for name, size in part.dtypes)
            row = (str(part.kind), str(part.parameters), f"{part.bytes / _GIB:.3f}", shares)
            parts.add_row(*row)
        total = sum(part.parameters for part in found.parts)
        parts.add_row("all", str(total), f"{found.bytes / _GIB:.3f}", f"{found.bytes} bytes")
        out.print(parts)
    out.print()
    out.print(
        Text(
            "As an entry for --catalog: -o yaml; as fields of an object: --as architecture -o yaml"
        )
    )


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_data(found: Description, kind: str) -> Any:
    """For programs.

    Args:
        found: the model.
        kind: `entry`: a catalogue with one model. `architecture`: the fields of an object that
            describe the model and its number formats. `report`: everything.
    """
    entry = found.entry.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if kind == "entry":
        return {"models": [entry]}
    if kind == "architecture":
        return {"spec": spec_fields(found)}
    return {
        "entry": entry,
        "spec": spec_fields(found),
        "facts": [
            {
                "path": fact.path,
                "value": fact.value,
                "source": str(fact.source),
                "detail": fact.detail,
            }
            for fact in found.facts
        ],
        "warnings": list(found.warnings),
        "bytes": found.bytes,
        "parts": {
            str(part.kind): {
                "parameters": part.parameters,
                "bytes": part.bytes,
                "bytesByFormat": dict(part.dtypes),
            }
            for part in found.parts
        },
        "tensors": [
            {
                "name": tensor.name,
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "bytes": tensor.bytes,
            }
            for tensor in found.tensors
        ],
    }


def spec_fields(found: Description) -> dict[str, Any]:
    """What stands below `spec` in an object that serves this model."""
    architecture = found.entry.architecture
    fields: dict[str, Any] = {
        "model": {
            "name": found.entry.name,
            "architecture": architecture.model_dump(
                mode="json", by_alias=True, exclude_defaults=True
            ),
        }
    }
    if found.entry.dtype is DType.FLOAT16:
        fields["dtype"] = str(found.entry.dtype)
    if found.quantization is not None:
        said = found.quantization.model_dump(mode="json", by_alias=True, exclude_none=True)
        fields["quantization"] = {key: value for key, value in said.items() if value != []}
    return fields
