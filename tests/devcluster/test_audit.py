"""Reading an audit log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from devcluster import audit

if TYPE_CHECKING:
    from pathlib import Path

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(minutes: int = 0, **changes: Any) -> str:
    record = {
        "stage": "ResponseComplete",
        "requestURI": "/apis/apps/v1/namespaces/n/statefulsets/s/status?fieldManager=x",
        "verb": "patch",
        "user": {"username": "system:serviceaccount:n:operator"},
        "userAgent": "videollm-operator",
        "objectRef": {
            "resource": "statefulsets",
            "namespace": "n",
            "name": "s",
            "apiGroup": "apps",
            "apiVersion": "v1",
            "subresource": "status",
        },
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": (NOON + timedelta(minutes=minutes)).isoformat(),
    }
    return json.dumps(record | changes) + "\n"


def test_a_record_tells_who_did_what_with_which_result() -> None:
    record = audit.parse(line())
    assert record.user == "system:serviceaccount:n:operator"
    assert (record.verb, record.group, record.resource, record.subresource) == (
        "patch",
        "apps",
        "statefulsets",
        "status",
    )
    assert (record.namespace, record.name, record.code) == ("n", "s", 200)
    assert record.time == NOON
    assert record.write


@pytest.mark.parametrize(
    ("verb", "uri", "write"),
    [
        ("create", "/api/v1/pods", True),
        ("deletecollection", "/api/v1/pods", True),
        ("get", "/api/v1/pods/p", False),
        ("watch", "/api/v1/pods?watch=1", False),
        ("patch", "/api/v1/pods/p?dryRun=All", False),
    ],
)
def test_a_write_is_a_request_to_change_something(verb: str, uri: str, write: bool) -> None:
    assert audit.parse(line(verb=verb, requestURI=uri)).write is write


def test_a_request_for_no_object_has_empty_fields() -> None:
    record = audit.parse(line(verb="get", objectRef={}))
    assert (record.resource, record.namespace, record.name) == ("", "", "")


def test_reading_begins_at_a_mark(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    assert audit.end_of(log) == 0
    log.write_text(line())
    mark = audit.end_of(log)
    with log.open("a") as file:
        file.write(line(verb="create"))
    assert [record.verb for record in audit.read(log)] == ["patch", "create"]
    assert [record.verb for record in audit.read(log, mark)] == ["create"]


def test_reading_begins_at_a_time(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(line(0) + line(5, verb="create"))
    later = NOON + timedelta(minutes=1)
    assert [record.verb for record in audit.read(log, later)] == ["create"]


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(line() + line()[:50])
    assert len(list(audit.read(log))) == 1


def test_a_log_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert list(audit.read(tmp_path / "none")) == []
