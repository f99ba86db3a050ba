"""Everything that can go wrong here, as a tree, so that callers catch what they can handle.

DevclusterError
├── BuildError            a program could not be built, or no Go was found to build it
├── StartError            a program of the cluster did not start, or is not there
├── KubectlError          kubectl ended with an error
├── ContextError          KUBE_CONTEXT names no usable context
│   └── ForeignContextError   a context that this project did not make was not named explicitly
└── NotAvailableError     this kind of cluster cannot do what was asked (audit log, outage)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class DevclusterError(Exception):
    """Base of all errors of this package; the text is meant for the person at the terminal."""


class BuildError(DevclusterError):
    """A program could not be built."""


class StartError(DevclusterError):
    """The cluster, or a program of it, is not running as it should."""


class KubectlError(DevclusterError):
    """Kubectl failed.

    Attributes:
        arguments: what kubectl was called with.
        code: its exit status.
        stdout: what it had printed.
        stderr: what it said was wrong.
    """

    def __init__(self, arguments: Sequence[str], code: int, stdout: str, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)}: exit {code}: {stderr.strip()}")
        self.arguments = tuple(arguments)
        self.code = code
        self.stdout = stdout
        self.stderr = stderr


class ContextError(DevclusterError):
    """KUBE_CONTEXT cannot be used as it is."""


class ForeignContextError(ContextError):
    """A cluster that this project did not make may be used only when KUBE_CONTEXT names it."""


class NotAvailableError(DevclusterError):
    """The feature needs a cluster that this project started itself."""
