"""Printing for people and for programs: tables, JSON, YAML; no colour when piped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
import yaml

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = click.Choice(["table", "json", "yaml"])


def console() -> Console:
    """A terminal for people: as wide as it is, at least 80 columns; plain text when piped."""
    from rich.console import Console

    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, emoji=False, width=max(80, console.width), no_color=True)
    return console


def emit(value: Any, form: str) -> None:
    """Prints JSON or YAML for programs."""
    if form == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
