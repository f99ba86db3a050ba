"""`videollm render`: the manifests exactly as the operator would apply them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import yaml

from videollm_operator.cli import inputs
from videollm_operator.cli.exits import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-f", "--filename", metavar="FILE", required=True, help="Objects ('-': stdin).")
@click.option("--catalog", metavar="FILE", help="Further models, GPUs and engines (YAML).")
@click.option(
    "-o", "--output", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True
)
def command(filename: str, catalog: str | None, form: str) -> None:
    """The manifests exactly as the operator would apply them.

    Only the owner reference is missing, since an object in a file has no uid yet.

    \b
    videollm render -f deployment.yaml
    videollm render -f deployment.yaml | kubectl diff -f -
    """
    from videollm_operator.cli.output import emit
    from videollm_operator.reconcile.decide import decide
    from videollm_operator.reconcile.record import children_in_force
    from videollm_operator.reconcile.world import World

    entries = inputs.catalog_with(catalog)
    manifests: list[Mapping[str, Any]] = []
    refused = False
    for raw in inputs.deployments_in(filename):
        deployment = inputs.checked(raw)
        decision = decide(World(deployment=raw), entries)
        for problem in decision.refusals:
            click.echo(f"Error: {deployment.metadata.name}: {problem.message}", err=True)
            refused = True
        if decision.record is not None:
            manifests.extend(
                children_in_force(decision.record, deployment, deployment.spec.replicas)
            )
    if form == "json":
        emit({"apiVersion": "v1", "kind": "List", "items": manifests}, "json")
    elif manifests:
        click.echo(yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True), nl=False)
    sys.exit(ExitCode.DOES_NOT_FIT if refused else ExitCode.FITS)
