"""Where the API server is, and how this process shows who it is: `Access` and its sources.

Inside a pod that is the service account's folder; outside, a kubeconfig. Tokens in files are read
again when they change, since Kubernetes rotates them. No Secret is ever read through the API.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_AGE_SECONDS = 60.0
"""A token file is read again after this long; kubelet replaces it well before it expires."""


class CredentialsError(ValueError):
    """There are no usable credentials; the message says where they were looked for."""


class StaticToken:
    """A token that never changes; an empty one for none."""

    def __init__(self, token: str = "") -> None:
        self._token = token

    def current(self) -> str:
        """The token; empty if there is none."""
        return self._token

    def refused(self, token: str) -> bool:
        """Takes note that `token` was not accepted; whether there is another one now."""
        return False


class FileToken:
    """A token in a file that somebody else replaces from time to time.

    Args:
        path: the file.
        extract: finds the token in its text; "" if there is none now.
    """

    def __init__(self, path: Path, extract: Callable[[str], str] = str.strip) -> None:
        self._path = path
        self._extract = extract
        self._token = ""
        self._read_at = -_TOKEN_AGE_SECONDS

    def current(self) -> str:
        """The token, as it was in the file at most a minute ago.

        Raises:
            CredentialsError: if there is no token to be read, and never was.
        """
        if time.monotonic() - self._read_at >= _TOKEN_AGE_SECONDS or not self._token:
            self._read()
        return self._token

    def refused(self, token: str) -> bool:
        """Reads the file again; whether it holds another token than the one refused."""
        with contextlib.suppress(CredentialsError):
            self._read()
        return self._token != token

    def _read(self) -> None:
        try:
            self._token = self._extract(self._path.read_text()) or self._token
            self._read_at = time.monotonic()
        except OSError as error:
            if not self._token:
                raise CredentialsError(
                    f"the token file {self._path} cannot be read: {error.strerror}"
                ) from error


Token = StaticToken | FileToken


@dataclass(frozen=True)
class Access:
    """How to reach one API server.

    Attributes:
        server: its URL.
        token: bearer token.
        ca_file: certificate authority that signed its certificate; "" for the system's.
        ca_data: the same as PEM text.
        cert_file: client certificate.
        key_file: its key.
        cert_data: client certificate as PEM text.
        key_data: its key as PEM text.
        insecure: whether its certificate is not checked.
        server_name: name to expect in its certificate; "" for the URL's host.
        proxy: URL of an HTTP proxy; "" for none.
        namespace: namespace of the account or context; "" if it has none.
        identity: which of several processes with the same account this is; "" if it has no name.
    """

    server: str
    token: Token = field(default_factory=StaticToken)
    ca_file: str = ""
    ca_data: str = ""
    cert_file: str = ""
    key_file: str = ""
    cert_data: str = field(default="", repr=False)
    key_data: str = field(default="", repr=False)
    insecure: bool = False
    server_name: str = ""
    proxy: str = ""
    namespace: str = ""
    identity: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """TLS settings for connections to it.

        Raises:
            CredentialsError: if a certificate or key cannot be read.
        """
        try:
            context = ssl.create_default_context(
                cafile=self.ca_file or None, cadata=self.ca_data or None
            )
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.cert_file or self.cert_data:
                self._load_client_certificate(context)
        except (OSError, ssl.SSLError) as error:
            raise CredentialsError(
                f"a certificate or key for {self.server} cannot be read: {error}"
            ) from error
        return context

    def _load_client_certificate(self, context: ssl.SSLContext) -> None:
        # The ssl module reads certificates only from files; these are private and gone at once.
        with tempfile.TemporaryDirectory(prefix="videollm-") as folder:
            cert, key = self.cert_file, self.key_file
            if self.cert_data:
                cert = _private(Path(folder) / "cert", self.cert_data)
            if self.key_data:
                key = _private(Path(folder) / "key", self.key_data)
            context.load_cert_chain(cert, key or None)


def _private(path: Path, text: str) -> str:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return str(path)


def in_cluster(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> Access | None:
    """The pod's own service account; None outside a pod."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (folder / "token").exists():
        return None
    namespace = folder / "namespace"
    return Access(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        token=FileToken(folder / "token"),
        ca_file=str(folder / "ca.crt"),
        namespace=namespace.read_text().strip() if namespace.exists() else "",
    )


def find(kubeconfig: str | None, environ: Mapping[str, str]) -> Access:
    """The credentials to use: a kubeconfig that was named, the pod's account, ~/.kube/config.

    Args:
        kubeconfig: file, or several joined by the path separator; None or "": not named.
        environ: the environment.

    Raises:
        CredentialsError: if there are none, or they cannot be used.
    """
    from videollm_operator.runtime import kubeconfig as files

    if kubeconfig:
        return files.load([Path(part) for part in kubeconfig.split(os.pathsep) if part])
    account = in_cluster(environ)
    if account is not None:
        return account
    usual = Path(environ.get("HOME", "/")) / ".kube" / "config"
    if usual.exists():
        return files.load([usual])
    raise CredentialsError(
        "no cluster to connect to: this is not a pod with a service account, and there is no "
        f"{usual}: name a kubeconfig with --kubeconfig"
    )
