"""The demo: from nothing to a served 72B, on a real control plane with simulated GPU nodes.

`python -m hack.demo up` is `make demo`, `python -m hack.demo down` is `make demo-down`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from devcluster import binaries, target
from devcluster.errors import DevclusterError
from devcluster.processes import Process
from devcluster.progress import to_terminal
from hack import local_operator

if TYPE_CHECKING:
    from devcluster.target import Target

NAME = "demo"
SAMPLE = Path("manifests/samples/llava-video-72b-a100-80gb.yaml")
OBJECT = "llava-video-72b-a100-80gb"
LOAD_SECONDS = 8
READY_WITHIN_S = 180


def main() -> int:
    """The command line; 0 fine, 1 it failed and the reason was printed."""
    parser = argparse.ArgumentParser(prog="python -m hack.demo", description=__doc__)
    parser.add_argument("action", choices=["up", "down"])
    action = parser.parse_args().action
    try:
        cluster = target.choose(NAME, progress=to_terminal())
        if action == "down":
            down(cluster)
        else:
            up(cluster)
    except (DevclusterError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        print("`make demo-down` removes what was started.", file=sys.stderr)
        return 1
    return 0


def up(cluster: Target) -> None:
    """Starts everything, applies the sample and shows what comes of it."""
    heading("1. A control plane with GPU nodes")
    cluster.start()
    show(cluster, "get", "nodes", "-L", "nvidia.com/gpu.product,nvidia.com/gpu.count")

    heading("2. The operator: CRD, its own service account, and the program under that account")
    local_operator.install(cluster)
    stop_operator(cluster)
    operator = local_operator.start(cluster, name=NAME)
    (cluster.folder / "operator.json").write_text(json.dumps(asdict(operator.process)))
    print(f"running, log in {operator.log}")
    may(cluster, "patch", "statefulsets.apps")
    may(cluster, "get", "secrets")

    heading("3. The plan, before anything is applied")
    subprocess.run(
        [sys.executable, "-m", "videollm_operator", "plan", "-f", str(SAMPLE)],
        check=True,
        cwd=local_operator.ROOT,
    )

    heading("4. Apply it, and watch")
    cluster.kubectl("delete", "videollmdeployment", OBJECT, "--ignore-not-found", "--wait")
    print(f"$ kubectl apply -f {SAMPLE}")
    print(
        cluster.kubectl(
            "apply", "-f", "-", input=slowed((local_operator.ROOT / SAMPLE).read_text())
        )
    )
    watch(cluster)

    heading("5. What there is now")
    selector = f"app.kubernetes.io/instance={OBJECT}"
    kinds = "statefulset,service,serviceaccount,poddisruptionbudget,persistentvolumeclaim,pod"
    show(cluster, "get", kinds, "-l", selector)
    show(cluster, "get", "pod", f"{OBJECT}-0", "-o", "jsonpath={.spec.nodeName}{'\\n'}")
    print("\nThe engine's arguments:")
    arguments = cluster.get("pod", f"{OBJECT}-0")["spec"]["containers"][0]["args"]
    print("  " + "\n  ".join(arguments))
    print("\nWhy it is so many GPUs:")
    print("  " + cluster.get("vld", OBJECT)["status"]["sizing"]["explanation"])

    heading("It stays up; look around")
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f'  export PATH="{binaries.kubectl().parent}:$PATH"')
    print("  kubectl get vld -o wide")
    print(f"  kubectl describe vld {OBJECT}")
    print(f"  kubectl scale vld {OBJECT} --replicas=2")
    print("  kubectl apply -f manifests/samples/impossible.yaml && kubectl get vld")
    context = os.environ.get(target.VARIABLE, "")
    print(
        "\nRemove everything with:  make demo-down"
        + (f" KUBE_CONTEXT={context}" if context else "")
    )


def slowed(text: str) -> str:
    """The sample with a word to the simulated nodes: let "loading" last long enough to be seen."""
    documents = list(yaml.safe_load_all(text))
    template = {"annotations": {"devcluster.videollm.io/load-seconds": str(LOAD_SECONDS)}}
    for document in documents:
        if document["kind"] == "VideoLLMDeployment":
            document["spec"]["podTemplate"] = template
    return yaml.safe_dump_all(documents)


def down(cluster: Target) -> None:
    """Ends the operator and the cluster."""
    there = cluster.folder.exists()
    if there:
        stop_operator(cluster)
    cluster.stop()
    print("The demo is removed." if there else "There was no demo.")


def stop_operator(cluster: Target) -> None:
    """Ends the operator that an earlier run has started, if it still runs."""
    written = cluster.folder / "operator.json"
    if written.exists():
        process = Process(**json.loads(written.read_text()))
        local_operator.LocalOperator(process, Path(), 0, 0).stop()
        written.unlink()


def watch(cluster: Target) -> None:
    """Prints each new state of the object until it is Ready.

    Raises:
        RuntimeError: if it is not Ready in time; says what it waits for.
    """
    print("$ kubectl get vld -o wide --watch")
    seen = None
    ready: dict[str, str] = {}
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        conditions = cluster.get("vld", OBJECT)["status"].get("conditions", [])
        table = cluster.kubectl("get", "vld", OBJECT, "-o", "wide").splitlines()
        ready = next((c for c in conditions if c["type"] == "Ready"), {})
        now = (ready.get("reason"), ready.get("message"))
        if now != seen:
            print("\n".join(table if seen is None else table[1:]), flush=True)
            seen = now
        if ready.get("status") == "True":
            return
        time.sleep(0.3)
    msg = f"{OBJECT} is not Ready after {READY_WITHIN_S} s: {ready.get('message', 'no status')}"
    raise RuntimeError(msg)


def show(cluster: Target, *arguments: str) -> None:
    """Runs kubectl as a person would, command line and answer printed."""
    print(f"$ kubectl {' '.join(arguments)}")
    print(cluster.kubectl(*arguments), flush=True)


def may(cluster: Target, verb: str, resource: str) -> None:
    """Says whether the operator's service account has a right."""
    account = f"system:serviceaccount:{local_operator.NAMESPACE}:{local_operator.ACCOUNT}"
    asked = ["auth", "can-i", verb, resource, f"--as={account}", "--all-namespaces"]
    try:
        answer = cluster.kubectl(*asked).strip()
    except DevclusterError:
        answer = "no"  # kubectl ends with 1 for "no"
    print(f"may it {verb} {resource}? {answer}")


def heading(text: str) -> None:
    """A line that divides the demo's steps."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
