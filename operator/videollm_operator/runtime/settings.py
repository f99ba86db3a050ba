"""Everything that can be set about the operator process, checked once, at the start."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("json", "text")
_SHORTEST_LEASE = 2
"""Seconds; one second is the mark of a Lease that was given back."""


@dataclass(frozen=True, slots=True)
class ConfigMapReference:
    """Which ConfigMap the administrator's catalogue is in."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the operator; the flags of `videollm operator`.

    Attributes:
        namespaces: namespaces to serve; empty: all.
        kubeconfig: file, or several joined by the path separator; None: the pod's own account.
        leader_election: whether several operators take turns by a Lease.
        lease_name: name of the Lease.
        lease_namespace: its namespace.
        identity: this process's name in the Lease; never shared with another process.
        lease_seconds: how long others wait after the last renewal before they take over; a whole
            number, since a Lease knows no other.
        renew_deadline_seconds: how long after it this process still acts; must be shorter.
        retry_seconds: time between renewals.
        metrics_port: TCP port of /metrics; 0: none.
        health_port: TCP port of /healthz and /readyz; 0: none.
        workers: deployments that are reconciled at the same time.
        resync_seconds: how soon a deployment is looked at again if nothing happens.
        max_concurrent_updates: deployments that take an update up by themselves at the same time.
        catalog_file: further catalogue entries; None: no file.
        catalog_configmap: the same, followed; None: no ConfigMap.
        nodes: whether nodes are read for the memory that their GPUs report.
        log_level: least severity that is logged.
        log_format: one JSON object a line, or text.
    """

    namespaces: tuple[str, ...] = ()
    kubeconfig: str | None = None
    leader_election: bool = True
    lease_name: str = "videollm-operator"
    lease_namespace: str = "default"
    identity: str = ""
    lease_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0
    metrics_port: int = 8080
    health_port: int = 8081
    workers: int = 4
    resync_seconds: float = 600.0
    max_concurrent_updates: int = 2
    catalog_file: str | None = None
    catalog_configmap: ConfigMapReference | None = None
    nodes: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "text"] = "text"

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
            ValueError: with a sentence that names the flag.
        """
        for namespace in self.namespaces:
            _require_name("--namespace", namespace)
        if self.leader_election:
            _require_name("--lease-name", self.lease_name)
            _require_name("--lease-namespace", self.lease_namespace)
        for flag, port in (
            ("--metrics-port", self.metrics_port),
            ("--health-port", self.health_port),
        ):
            _require(0 <= port <= 65535, flag, port, "a TCP port, or 0 for none")
        _require(self.workers >= 1, "--workers", self.workers, "1 or more")
        _require(self.resync_seconds >= 1, "--resync-seconds", self.resync_seconds, "1 or more")
        concurrent = self.max_concurrent_updates
        _require(concurrent >= 0, "--max-concurrent-updates", concurrent, "0 (none) or more")
        _require(self.log_level in _LEVELS, "--log-level", self.log_level, " or ".join(_LEVELS))
        _require(
            self.log_format in _FORMATS, "--log-format", self.log_format, " or ".join(_FORMATS)
        )
        _require(
            self.lease_seconds >= _SHORTEST_LEASE and self.lease_seconds == int(self.lease_seconds),
            "--lease-seconds",
            self.lease_seconds,
            f"a whole number, {_SHORTEST_LEASE} or more",
        )
        if not 0 < self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            raise ValueError(
                "the Lease's times must satisfy --retry-seconds < --renew-deadline-seconds < "
                f"--lease-seconds; found {self.retry_seconds:g}, {self.renew_deadline_seconds:g} "
                f"and {self.lease_seconds:g}"
            )

    @property
    def undelivered_seconds(self) -> float | None:
        """How long what a leader sent at the last moment may be on its way; None: for ever."""
        return self.lease_seconds - self.renew_deadline_seconds if self.leader_election else None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Settings:
        """Settings from command-line options, named as the attributes.

        `catalog_configmap` is text, NAMESPACE/NAME; lists become tuples; an empty identity becomes
        the host's name and the process id.

        Raises:
            ValueError: if a value is not possible, with a sentence that names the flag.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ValueError(
                f"unknown setting {unknown[0]!r}: known are {', '.join(sorted(known))}"
            )
        values = {name: value for name, value in options.items() if value is not None}
        if "namespaces" in values:
            values["namespaces"] = tuple(dict.fromkeys(values["namespaces"]))
        if isinstance(values.get("catalog_configmap"), str):
            values["catalog_configmap"] = configmap_reference(values["catalog_configmap"])
        if not values.get("identity"):
            values["identity"] = f"{socket.gethostname()}_{os.getpid()}"
        return cls(**values)


def configmap_reference(text: str) -> ConfigMapReference:
    """Reads NAMESPACE/NAME.

    Raises:
        ValueError: if it is not that.
    """
    namespace, slash, name = text.partition("/")
    if not slash or not _NAME.fullmatch(namespace) or not _NAME.fullmatch(name):
        raise ValueError(
            f"--catalog-configmap is {text!r}: write NAMESPACE/NAME, such as "
            "videollm-system/videollm-catalog"
        )
    return ConfigMapReference(namespace, name)


def _require_name(flag: str, value: str) -> None:
    _require(
        _NAME.fullmatch(value) is not None,
        flag,
        repr(value),
        "a Kubernetes name (lower-case letters, digits, '-' and '.')",
    )


def _require(fine: bool, flag: str, found: object, wanted: str) -> None:
    if not fine:
        raise ValueError(f"{flag} is {found}: it must be {wanted}")
