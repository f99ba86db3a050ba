from __future__ import annotations

from datetime import UTC, datetime

import pytest

from videollm_operator.reconcile.actions import EventDraft
from videollm_operator.runtime.events import event

DEPLOYMENT = {
    "metadata": {"namespace": "team", "name": "video", "uid": "u", "resourceVersion": "7"}
}
NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def made(message="because", name="video", instance="pod-1", uid="u", status=None):
    metadata = {**DEPLOYMENT["metadata"], "name": name, "uid": uid}
    deployment = {"metadata": metadata, "status": status or {"readyReplicas": 0}}
    draft = EventDraft("Warning", "DoesNotFit", "Reconcile", message)
    return event(draft, deployment, instance, NOW)


def test_an_event_says_what_about_whom_and_who_says_so():
    found = made()
    assert found["metadata"]["namespace"] == "team"
    assert found["metadata"]["name"].startswith("video.")
    assert found["eventTime"] == "2026-05-01T12:00:00.123456Z"
    assert (found["type"], found["reason"], found["action"]) == (
        "Warning", "DoesNotFit", "Reconcile",
    )  # fmt: skip
    assert found["note"] == "because"
    assert found["reportingController"] == "videollm.io/operator"
    assert found["reportingInstance"] == "pod-1"
    assert found["regarding"]["uid"] == "u"


def test_the_same_news_has_the_same_name_whoever_says_it_and_when():
    assert made()["metadata"]["name"] == made(instance="pod-2")["metadata"]["name"]


@pytest.mark.parametrize(
    "other", [{"message": "for another"}, {"uid": "v"}, {"status": {"readyReplicas": 1}}], ids=str
)
def test_other_news_has_another_name(other):
    assert made()["metadata"]["name"] != made(**other)["metadata"]["name"]


def test_everything_stays_within_what_the_api_server_takes():
    found = made(message="ü" * 2000, name="n" * 253, instance="i" * 500)
    assert len(found["note"].encode()) <= 1024
    assert found["note"].endswith("…")
    assert len(found["metadata"]["name"]) <= 253
    assert len(found["reportingInstance"]) == 128
