"""`videollm crd`: the CustomResourceDefinition."""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """The CustomResourceDefinition, as YAML.

    \b
    videollm crd | kubectl apply --server-side -f -
    """
    from videollm_operator.api.crd import to_yaml

    click.echo(to_yaml(), nl=False)
