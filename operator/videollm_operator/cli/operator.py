"""`videollm operator`: runs the operator."""

from __future__ import annotations

import sys

import click


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "VIDEOLLM",
        "max_content_width": 100,
        "show_default": True,
    }
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    envvar="VIDEOLLM_NAMESPACE",
    metavar="NS",
    help="Watch only this namespace; repeatable. Default: all.",
)
@click.option(
    "--kubeconfig",
    envvar="KUBECONFIG",
    metavar="FILE",
    help="Default: the service account of the pod.",
)
@click.option("--leader-election/--no-leader-election", default=True, help="Take turns by a Lease.")
@click.option("--lease-name", default="videollm-operator", help="Name of the Lease.")
@click.option(
    "--lease-namespace",
    envvar=["VIDEOLLM_LEASE_NAMESPACE", "POD_NAMESPACE"],
    default="default",
    help="Its namespace.",
)
@click.option(
    "--identity",
    envvar=["VIDEOLLM_IDENTITY", "POD_NAME"],
    default="",
    metavar="ID",
    help="Name in the Lease. Default: the host's name and the process id.",
)
@click.option(
    "--lease-seconds", default=15, help="Others take over this long after the last renewal."
)
@click.option(
    "--renew-deadline-seconds",
    default=10.0,
    help="Without a renewal for this long, nothing is written any more.",
)
@click.option("--retry-seconds", default=2.0, help="Time between renewals, and between looks.")
@click.option("--metrics-port", default=8080, help="Port of /metrics; 0: none.")
@click.option("--health-port", default=8081, help="Port of /healthz and /readyz; 0: none.")
@click.option("--workers", default=4, help="Objects that are reconciled at the same time.")
@click.option(
    "--resync-seconds", default=600, help="Every object is looked at again after about this long."
)
@click.option(
    "--max-concurrent-updates",
    default=2,
    help="Objects with `rollout.updates: Automatic` that take an update up at the same time; 0: "
    "none does.",
)
@click.option(
    "--catalog", "catalog_file", metavar="FILE", help="Further models, GPUs and engines (YAML)."
)
@click.option(
    "--catalog-configmap",
    metavar="NAMESPACE/NAME",
    help="The same from a ConfigMap's key `catalog.yaml`; followed.",
)
@click.option(
    "--nodes/--no-nodes",
    default=True,
    help="Read node labels: a GPU with less memory than its table wins.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info"
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text")
def command(**options: object) -> None:
    """Run the operator until it is told to stop.

    Every option can be given as an environment variable VIDEOLLM_..., such as
    VIDEOLLM_METRICS_PORT.
    """
    from videollm_operator.kopfapp.app import run
    from videollm_operator.runtime.settings import Settings

    try:
        settings = Settings.from_options(options)
    except ValueError as error:
        from videollm_operator.cli.inputs import fail

        fail(str(error))
    sys.exit(run(settings))
