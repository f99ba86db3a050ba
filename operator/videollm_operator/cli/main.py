"""The `videollm` command; also `kubectl videollm`.

Commands are imported only when they run: `videollm plan` must start fast and needs neither Kopf
nor a cluster.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

import click

from videollm_operator import __version__

_COMMANDS = {
    "plan": "videollm_operator.cli.plan",
    "render": "videollm_operator.cli.render",
    "models": "videollm_operator.cli.models",
    "gpus": "videollm_operator.cli.gpus",
    "crd": "videollm_operator.cli.crd",
    "operator": "videollm_operator.cli.operator",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are named or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        gc.disable()  # what is imported stays, and to look for garbage in it takes time
        try:
            command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        finally:
            gc.enable()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        name = args[0]
        if name not in _COMMANDS:
            near = difflib.get_close_matches(name, _COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No command '{name}'; there are {', '.join(_COMMANDS)}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="videollm %(version)s")
def cli() -> None:
    """Plan, render and run video language models on Kubernetes.

    \b
    How many A100-80GB does LLaVA-Video-72B need, and why?
      videollm plan --model lmms-lab/LLaVA-Video-72B-Qwen2 --gpu A100-80GB
    Will this object run? What will be created?
      videollm plan -f deployment.yaml
      videollm render -f deployment.yaml

    Exit codes: 0 fits, 2 bad input, 3 does not fit or cannot be served.
    """


def main() -> Any:
    """Entry point of `videollm` and `kubectl-videollm`."""
    # Pydantic would read the metadata of every installed package in search of plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    called_by_kubectl = os.path.basename(sys.argv[0]).startswith("kubectl-")
    return cli(prog_name="kubectl videollm" if called_by_kubectl else "videollm")
