"""Reads kubeconfig files: the current context's cluster and user.

Tokens and client certificates are understood. Programs that hand out credentials (`exec`,
`auth-provider`) are refused: an operator does not start what it finds in a file.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

import yaml

from videollm_operator.runtime.credentials import (
    Access,
    CredentialsError,
    FileToken,
    StaticToken,
    Token,
)


def load(paths: list[Path]) -> Access:
    """The current context of one or several files; what comes first wins.

    Raises:
        CredentialsError: if it cannot be used; the message says what to change.
    """
    shown = ", ".join(str(path) for path in paths)
    parsed = [(path, _parse(path)) for path in paths if path.exists()]
    if not parsed:
        raise CredentialsError(f"there is no kubeconfig {shown}")
    current = next((c["current-context"] for _, c in parsed if c.get("current-context")), "")
    if not current:
        raise CredentialsError(
            f"kubeconfig {shown} has no current context: set one with `kubectl config use-context`"
        )
    _, context = _named(parsed, "contexts", "context", current, shown)
    cluster_file, cluster = _named(
        parsed, "clusters", "cluster", str(context.get("cluster", "")), shown
    )
    user_name = str(context.get("user", ""))
    user_file, user = _named(parsed, "users", "user", user_name, shown)
    cluster_folder, user_folder = cluster_file.resolve().parent, user_file.resolve().parent
    for refused in ("exec", "auth-provider", "username"):
        if refused in user:
            raise CredentialsError(
                f"user {user_name!r} of kubeconfig {shown} gets its credentials by {refused!r}, "
                "which is not supported: use a token (`kubectl create token`), a token file or a "
                "client certificate"
            )
    server = cluster.get("server")
    if not isinstance(server, str) or not server:
        raise CredentialsError(f"cluster of context {current!r} in {shown} has no `server`")
    return Access(
        server=server.rstrip("/"),
        token=_token(user, user_name, user_file),
        ca_file=_path(cluster, "certificate-authority", cluster_folder),
        ca_data=_pem(cluster, "certificate-authority-data", shown),
        cert_file=_path(user, "client-certificate", user_folder),
        key_file=_path(user, "client-key", user_folder),
        cert_data=_pem(user, "client-certificate-data", shown),
        key_data=_pem(user, "client-key-data", shown),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
        server_name=str(cluster.get("tls-server-name") or ""),
        proxy=str(cluster.get("proxy-url") or ""),
        namespace=str(context.get("namespace") or ""),
    )


def _parse(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CredentialsError(f"kubeconfig {path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise CredentialsError(f"kubeconfig {path} is no kubeconfig: it is not a YAML mapping")
    return config


def _named(
    parsed: list[tuple[Path, dict[str, Any]]], many: str, one: str, name: str, shown: str
) -> tuple[Path, dict[str, Any]]:
    """The entry of a list that has a name, and the file that it is in."""
    for path, config in parsed:
        for entry in config.get(many) or ():
            if isinstance(entry, dict) and entry.get("name") == name:
                found = entry.get(one) or {}
                if isinstance(found, dict):
                    return path, found
    raise CredentialsError(f"kubeconfig {shown} has no {one} named {name!r}")


def _token(user: dict[str, Any], name: str, path: Path) -> Token:
    """The user's token; whatever file it is in, it is read again when it is refused."""
    file = _path(user, "tokenFile", path.resolve().parent)
    if file:
        return FileToken(Path(file))
    if not user.get("token"):
        return StaticToken()
    return FileToken(path, lambda text: _token_in(text, name))


def _token_in(text: str, name: str) -> str:
    """The token of a user in the text of a kubeconfig; "" while somebody is writing it."""
    try:
        users = yaml.safe_load(text)["users"]
        return next(str(each["user"]["token"]) for each in users if each["name"] == name)
    except (yaml.YAMLError, LookupError, TypeError, StopIteration):
        return ""


def _path(entry: dict[str, Any], key: str, folder: Path) -> str:
    value = entry.get(key)
    return str(folder / str(value)) if value and not entry.get(f"{key}-data") else ""


def _pem(entry: dict[str, Any], key: str, shown: str) -> str:
    value = entry.get(key)
    if not value:
        return ""
    try:
        return base64.b64decode(str(value), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise CredentialsError(f"`{key}` in kubeconfig {shown} is not base64 of PEM") from error
