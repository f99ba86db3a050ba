"""Call kubectl for one cluster, whatever the user's own kubeconfig says."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devcluster.errors import KubectlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig.

    Attributes:
        program: path of kubectl.
        kubeconfig: the only kubeconfig it sees.
        cache: folder for its discovery cache, instead of `~/.kube/cache`.
    """

    program: Path
    kubeconfig: Path
    cache: Path

    def run(self, *arguments: str, input: str | None = None, timeout_s: float = 120) -> str:  # noqa: A002 (the name that subprocess.run has made familiar)
        """What kubectl prints on standard output.

        Args:
            arguments: as on a command line.
            input: text for standard input.
            timeout_s: seconds after which it is killed.

        Raises:
            KubectlError: if it fails or takes too long.
        """
        command = [
            str(self.program),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.cache}",
            *arguments,
        ]
        try:
            done = subprocess.run(
                command,
                input="" if input is None else input,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as late:
            raise KubectlError(arguments, 124, "", f"no answer within {timeout_s:g} s") from late
        if done.returncode != 0:
            raise KubectlError(arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """The answer of `kubectl get ... -o json`, as Python values."""
        answer: dict[str, Any] = json.loads(self.run("get", *arguments, "-o", "json"))
        return answer

    def create(self, objects: Sequence[dict[str, Any]]) -> str:
        """Create objects, status included where the API server lets a creator set it."""
        return self.run("create", "-f", "-", input=_as_list(objects))

    def apply(self, objects: Sequence[dict[str, Any]]) -> str:
        """Apply objects on the server's side."""
        return self.run("apply", "--server-side", "-f", "-", input=_as_list(objects))


def _as_list(objects: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
