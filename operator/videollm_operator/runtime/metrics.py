"""What the operator tells Prometheus. Names and labels are an API: dashboards depend on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from videollm_operator import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client import Metric

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Backlog(Protocol):
    """What the work queue tells about itself."""

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest of them has waited."""


class Metrics:
    """All metrics, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library left its types out
        self._registry = CollectorRegistry()
        self._reconciles = Counter(
            "videollm_reconciles_total",
            "Reconciles by result: done, retry, error (a bug; see the log).",
            ["result"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "videollm_reconcile_duration_seconds",
            "Time of one reconcile.",
            buckets=_FAST,
            registry=self._registry,
        )
        self._requests = Counter(
            "videollm_api_requests_total",
            "Requests to the API server, watches included, by verb, resource and HTTP code.",
            ["verb", "resource", "code"],
            registry=self._registry,
        )
        self._request_duration = Histogram(
            "videollm_api_request_duration_seconds",
            "Time until the API server began its answer, by verb.",
            ["verb"],
            buckets=_FAST,
            registry=self._registry,
        )
        self.leader = Gauge(
            "videollm_leader", "1 while this process acts, 0 on standby.", registry=self._registry
        )
        self.catalog_problems = Gauge(
            "videollm_catalog_problems",
            "Entries of the administrator's catalogue that are not served.",
            registry=self._registry,
        )
        self.restarts = Counter(
            "videollm_restarts_total",
            "Times that watching broke down and was begun anew.",
            registry=self._registry,
        )
        self.leadership_lost = Counter(
            "videollm_leadership_lost_total",
            "Times that this process had the Lease and lost it.",
            registry=self._registry,
        )
        self.repairs = Counter(
            "videollm_cache_repairs_total",
            "Cached objects that a comparison with the API server had to correct, by resource.",
            ["resource"],
            registry=self._registry,
        )
        build = Gauge("videollm_build_info", "Version.", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        ProcessCollector(registry=self._registry)
        for result in ("done", "retry", "error"):
            self._reconciles.labels(result)

    def request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """Counts one request; see `transport.Observer`."""
        self._requests.labels(verb, resource, code).inc()
        if verb != "watch":
            self._request_duration.labels(verb).observe(seconds)

    def reconciled(self, result: str, seconds: float) -> None:
        """Counts one reconcile; `result` is `done`, `retry` or `error`."""
        self._reconciles.labels(result).inc()
        self._duration.observe(seconds)

    def follow(
        self, backlog: Backlog, reasons: Callable[[], Mapping[str, int]]
    ) -> Callable[[], None]:
        """Shows a work queue and the deployments by reason of `Ready`; returns what ends it."""
        collector = _Live(backlog, reasons)
        self._registry.register(collector)
        return lambda: self._registry.unregister(collector)

    def text(self) -> bytes:
        """Everything in the Prometheus text format."""
        return generate_latest(self._registry)


class _Live(Collector):
    """Numbers that are read when they are asked for."""

    def __init__(self, backlog: Backlog, reasons: Callable[[], Mapping[str, int]]) -> None:
        self._backlog = backlog
        self._reasons = reasons

    def collect(self) -> Iterable[Metric]:
        """The numbers now."""
        depth = GaugeMetricFamily(
            "videollm_queue_depth", "Deployments that wait for a worker.", self._backlog.depth
        )
        oldest = GaugeMetricFamily(
            "videollm_queue_oldest_seconds",
            "How long the oldest of them has waited.",
            self._backlog.oldest_seconds,
        )
        deployments = GaugeMetricFamily(
            "videollm_deployments",
            "VideoLLMDeployments by the reason of their Ready condition.",
            labels=["reason"],
        )
        for reason, count in sorted(self._reasons().items()):
            deployments.add_metric([reason], count)
        return depth, oldest, deployments
