"""The command line: python -m devcluster {build,up,down,status,kubeconfig}."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from devcluster import binaries, launch, processes, state, target
from devcluster.build import CONTROL_PLANE, HELM, KSTATUS, build
from devcluster.cluster import Cluster
from devcluster.errors import DevclusterError
from devcluster.foreign import ForeignCluster
from devcluster.progress import Progress, to_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence


DEFAULT_NAME = "dev"

_DESCRIPTION = """\
A real Kubernetes control plane on this computer, without Docker and without root: etcd, API server,
controller manager and scheduler, built from source, with kwok playing GPU nodes.
"""

_EPILOG = """\
a first look:
  python -m devcluster up
  export KUBECONFIG=$(python -m devcluster kubeconfig)
  kubectl get nodes -L nvidia.com/gpu.product
  python -m devcluster down

Several clusters run side by side under different names (--name). All files are in
~/.cache/videollm-operator (or under XDG_CACHE_HOME). If KUBEBUILDER_ASSETS names a folder with
etcd and kube-apiserver, those are used. With KUBE_CONTEXT=kind-... `up` takes that cluster of your
kubeconfig instead and adds simulated GPU nodes to it; `down` takes them out.
devcluster/README.md tells more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        Exit status: 0 fine, 1 it failed and the reason was printed, 3 `status` or `kubeconfig`
        found no such cluster up. (argparse ends with 2 on bad usage.)
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options, to_terminal()))
    except DevclusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devcluster",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser(
        "build",
        help="build the programs if they are not in the cache yet",
        description="Build the programs of the control plane if they are not in the cache yet. "
        "The first time takes some minutes and about 5 GB of disk. `up` does this by itself.",
    )
    one.add_argument(
        "--helm",
        dest="recipe",
        action="store_const",
        const=HELM,
        default=CONTROL_PLANE,
        help="build helm, and nothing else",
    )
    one.add_argument(
        "--kstatus",
        dest="recipe",
        action="store_const",
        const=KSTATUS,
        help="build the program that judges objects as Flux and Helm do, and nothing else",
    )
    one.set_defaults(run=_build)

    one = commands.add_parser(
        "up",
        help="start a cluster, or say that it is up",
        description="Start a cluster with simulated GPU nodes, building its programs first if "
        "necessary. It stays until `down`. A broken cluster of that name is replaced.",
    )
    _name(one)
    one.add_argument(
        "--pod-cidr",
        default=launch.POD_CIDR,
        metavar="CIDR",
        help="range of pod addresses (default %(default)s). Nothing answers at any of them by "
        "itself. With a range outside 127.0.0.0/8 Services get endpoints",
    )
    one.set_defaults(run=_up)

    one = commands.add_parser("down", help="end a cluster and remove its files")
    _name(one)
    one.add_argument("--all", action="store_true", help="all clusters of this user")
    one.set_defaults(run=_down)

    one = commands.add_parser("status", help="list clusters with their processes and memory")
    one.set_defaults(run=_status, name=None)
    one.add_argument("--name", help="only this cluster; exit status 3 if it is not up")

    one = commands.add_parser("kubeconfig", help="print the path of a cluster's kubeconfig")
    _name(one)
    one.set_defaults(run=_kubeconfig)
    return parser


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", default=DEFAULT_NAME, help="the cluster's name (default %(default)s)"
    )


def _build(options: argparse.Namespace, progress: Progress) -> int:
    for path in build(options.recipe, progress).values():
        print(path)
    return 0


def _up(options: argparse.Namespace, progress: Progress) -> int:
    chosen = target.choose(options.name, pod_cidr=options.pod_cidr, progress=progress).start()
    if not chosen.fresh:
        progress.line(f"Cluster {chosen.name} is already up")
    print(_hints(chosen, options.name), end="")
    return 0


def _hints(chosen: target.Target, name: str) -> str:
    """What to type to use the cluster, and to be rid of it."""
    if isinstance(chosen, ForeignCluster):
        down = f"{target.VARIABLE}={chosen.context} python -m devcluster down"
    else:
        down = "python -m devcluster down" + ("" if name == DEFAULT_NAME else f" --name {name}")
    return (
        f"export KUBECONFIG={chosen.kubeconfig}\n"
        f"export KUBECACHEDIR={chosen.folder / 'kubectl-cache'}\n"
        f'export PATH="{binaries.kubectl().parent}:$PATH"\n'
        f"# to remove it: {down}\n"
    )


def _down(options: argparse.Namespace, progress: Progress) -> int:
    if not options.all:
        _remove(target.choose(options.name, progress=progress), progress)
        return 0
    for name in state.names():
        found = state.load(name)
        if found is not None and found.context:
            _remove(ForeignCluster(found.context, progress=progress), progress)
        else:
            _remove(Cluster(name, progress=progress), progress)
    return 0


def _remove(chosen: target.Target, progress: Progress) -> None:
    there = chosen.folder.exists()
    chosen.stop()
    progress.line(f"Cluster {chosen.name} {'is removed' if there else 'was not there'}")


def _status(options: argparse.Namespace, progress: Progress) -> int:
    names = state.names() if options.name is None else [options.name]
    if not names:
        progress.line("No cluster. Start one with: python -m devcluster up")
    for name in names:
        cluster = state.load(name)
        if cluster is None:
            progress.line(f"There is no cluster {name}")
            return 3
        broken = bool(cluster.dead) or not cluster.ready
        where = cluster.context or launch.layout_of(cluster).server
        print(f"{name}: {'broken' if broken else 'up'}, {where}")
        for program, process in cluster.processes.items():
            memory = processes.memory_mib(process)
            how = f"{memory} MiB" if process.alive else f"ended, see {cluster.log(program)}"
            print(f"  {program:<24} pid {process.pid:<8} {how}")
        if broken and options.name is not None:
            return 3
    return 0


def _kubeconfig(options: argparse.Namespace, progress: Progress) -> int:
    chosen = target.choose(options.name)
    found = state.load(chosen.name)
    if found is None or not found.ready:
        progress.line(f"Cluster {chosen.name} is not up. Start it: python -m devcluster up")
        return 3
    print(chosen.kubeconfig)
    return 0
