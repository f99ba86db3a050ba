from __future__ import annotations

from videollm_operator import __version__
from videollm_operator.runtime.metrics import Metrics


class Backlog:
    depth = 3
    oldest_seconds = 1.5


def test_everything_is_told_under_its_name():
    metrics = Metrics()
    metrics.request("patch", "statefulsets", "409", 0.2)
    metrics.request("watch", "pods", "200", 300)
    metrics.reconciled("retry", 0.02)
    metrics.leader.set(1)
    metrics.leadership_lost.inc()
    end = metrics.follow(Backlog(), lambda: {"Serving": 4, "Loading": 1})
    text = metrics.text().decode()
    for line in (
        'videollm_api_requests_total{code="409",resource="statefulsets",verb="patch"} 1.0',
        'videollm_api_requests_total{code="200",resource="pods",verb="watch"} 1.0',
        'videollm_reconciles_total{result="retry"} 1.0',
        'videollm_reconciles_total{result="error"} 0.0',
        "videollm_reconcile_duration_seconds_count 1.0",
        "videollm_leader 1.0",
        "videollm_leadership_lost_total 1.0",
        "videollm_restarts_total 0.0",
        "videollm_queue_depth 3.0",
        "videollm_queue_oldest_seconds 1.5",
        'videollm_deployments{reason="Loading"} 1.0',
        'videollm_deployments{reason="Serving"} 4.0',
        f'videollm_build_info{{version="{__version__}"}} 1.0',
        "process_resident_memory_bytes",
    ):
        assert line in text
    assert "_created" not in text
    assert 'verb="watch",le=' not in text  # a watch lasts minutes; that is no latency
    end()
    assert "videollm_queue_depth" not in metrics.text().decode()


def test_two_sets_of_metrics_do_not_disturb_each_other():
    one, other = Metrics(), Metrics()
    one.leader.set(1)
    assert "videollm_leader 0.0" in other.text().decode()
