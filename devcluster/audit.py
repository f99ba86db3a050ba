"""Read the API server's audit log: who asked for what, and what the answer was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class AuditRecord:
    """One request.

    Attributes:
        time: when the API server received it, with time zone.
        stage: `ResponseComplete`; for a watch also `ResponseStarted`, when it begins.
        verb: get, list, watch, create, update, patch, delete or deletecollection; for URLs that
            are no objects the HTTP method in lower case.
        user: name of the user, such as `system:serviceaccount:NAMESPACE:NAME`.
        user_agent: how the program calls itself.
        code: HTTP status of the answer.
        group: API group, "" for the core group.
        resource: plural, such as `statefulsets`; "" if the URL is no object.
        subresource: such as `status`; "" for the object itself.
        namespace: "" if there is none.
        name: "" for lists, and for objects whose creator left the name to the body.
        uri: path and query.
        raw: all that was recorded.
    """

    time: datetime
    stage: str
    verb: str
    user: str
    user_agent: str
    code: int
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    uri: str
    raw: Mapping[str, Any]

    @property
    def write(self) -> bool:
        """Whether it was a request to change something; dry runs change nothing."""
        return self.verb in WRITE_VERBS and "dryRun=All" not in self.uri


def parse(line: str | bytes) -> AuditRecord:
    """The record that one line of the log holds."""
    raw: dict[str, Any] = json.loads(line)
    target = raw.get("objectRef", {})
    return AuditRecord(
        time=datetime.fromisoformat(raw["requestReceivedTimestamp"]),
        stage=raw["stage"],
        verb=raw["verb"],
        user=raw["user"].get("username", ""),
        user_agent=raw.get("userAgent", ""),
        code=raw.get("responseStatus", {}).get("code", 0),
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        uri=raw["requestURI"],
        raw=raw,
    )


def read(log: Path, since: int | datetime | None = None) -> Iterator[AuditRecord]:
    """Records of the log, in the order in which their answers were complete.

    Args:
        log: the file; one that does not exist yet has no records.
        since: an offset from `end_of`, or the time of receipt (with time zone) before which
            requests are left out; None for all.
    """
    offset = since if isinstance(since, int) else 0
    earliest = since if isinstance(since, datetime) else None
    if not log.exists():
        return
    with log.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return  # the API server is writing it now
            record = parse(line)
            if earliest is None or record.time >= earliest:
                yield record


def end_of(log: Path) -> int:
    """A mark for `read`: records after it were written after this call."""
    return log.stat().st_size if log.exists() else 0
