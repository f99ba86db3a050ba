"""Printing for people and for programs: tables, JSON, YAML; no colour when piped."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

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
        plain: Any = _Trimmed(sys.stdout)
        width = max(80, console.width)
        console = Console(file=plain, highlight=False, emoji=False, width=width, no_color=True)
    return console


class _Trimmed:
    """A stream without the blanks with which tables fill their lines.

    What its encoding lacks becomes a question mark.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        kept = text.encode(self.encoding, "replace").decode(self.encoding)
        self._stream.write(re.sub(r" +(?=\n)", "", kept))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def emit(value: Any, form: str) -> None:
    """Prints JSON or YAML for programs."""
    if form == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
