"""What must hold after a crash, and what may be otherwise than without one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.cluster.proofs.likeness import differences
from videollm_operator.runtime.kinds import DEPLOYMENT, EVENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from devcluster.audit import AuditRecord
    from tests.cluster.proofs.causes import Causes
    from tests.cluster.proofs.crash_cells import Cell, Content, News

REPAIR = 2
"""Writes that a late write costs at most: it undoes the latest change of one child, which is done
once more. (What the pods of that child then do is told as usual.)"""


@dataclass(frozen=True)
class Reference:
    """A history that nobody disturbed.

    Attributes:
        content: what is there in the end.
        news: the Events.
        acts: the operator's writes until the last act was through.
        all: those of the time after it, too.
    """

    content: Content
    news: News
    acts: Sequence[AuditRecord]
    all: Sequence[AuditRecord]

    @property
    def certain(self) -> int:
        """Writes up to the last one to a child; how many statuses follow depends on pods."""
        last = [n for n, record in enumerate(self.acts, 1) if to_child(record)]
        return max(last, default=0)


@dataclass(frozen=True)
class Trace:
    """What was seen of one crash.

    Attributes:
        cell: where.
        through: whether the history was over before the operator died.
        before: writes of the operator that died.
        after: writes of the next one.
        late: writes since the last one of the dead operator arrived.
        causes: how often status was written in all that time, and how often there was reason to.
        said: what the statuses said that were written all the time, for people.
        looks: content and Events, after the next operator had ended its work, and after the late
            write.
    """

    cell: Cell
    through: bool
    before: Sequence[AuditRecord]
    after: Sequence[AuditRecord]
    late: Sequence[AuditRecord]
    causes: Causes
    said: Sequence[str]
    looks: Sequence[tuple[Content, News]]


def to_child(record: AuditRecord) -> bool:
    """Whether a write is to a child, rather than status or an Event."""
    return record.resource not in {DEPLOYMENT.plural, EVENT.plural}


def judge(trace: Trace, reference: Reference) -> list[str]:
    """What is not as it must be."""
    found = [*_crash(trace, reference), *_writes(trace, reference), *_late(trace)]
    for when, (content, news) in zip(("", "after the late write: "), trace.looks, strict=True):
        lines = [*_content(trace, content, reference), *_news(trace, news, reference)]
        found += [f"{when}{line}" for line in lines]
    return [f"{trace.cell}: {line}" for line in found]


def _crash(trace: Trace, reference: Reference) -> Iterator[str]:
    """It died where it was to die."""
    count, wanted = len(trace.before), trace.cell.writes
    early = trace.through and reference.certain < count < (wanted or 0)
    if count != wanted and not early:
        yield f"it died after {count} writes: {shown(trace.before)}"


def _writes(trace: Trace, reference: Reference) -> Iterator[str]:
    """Each child is written as often as without a crash, and status only for a reason."""
    done = [*trace.before, *trace.after]
    children = Counter(_what(r) for r in done if to_child(r) and r.code < 400)
    wanted = Counter(_what(r) for r in reference.all if to_child(r) and r.code < 400)
    more, less = children - wanted, wanted - children
    if more or (less and not trace.cell.history.down):
        yield f"children were written more often: {dict(more)}, less often: {dict(less)}"
    objects = {r.name for r in [*done, *trace.late] if r.resource == DEPLOYMENT.plural}
    if wrong := trace.causes.too_many(len(objects)):
        yield "\n".join([wrong, *trace.said])
    refused = [r for r in done if r.code >= 400 and not _may_be_refused(r, trace)]
    if refused:
        yield f"refused: {shown(refused)}"


def _may_be_refused(record: AuditRecord, trace: Trace) -> bool:
    """An Event is posted again, under its name, if the status does not say it yet.

    And where an object was made anew, the children of its predecessor are waited for.
    """
    conflict = record.code == 409
    return conflict and (record.resource == EVENT.plural or trace.cell.history.down is not None)


def _late(trace: Trace) -> Iterator[str]:
    """The late write does nothing, or is undone at once."""
    children = [r for r in trace.late if to_child(r) and r.code < 400]
    undone = trace.cell.history.down is not None and len(children) == REPAIR
    if len(children) > 1 and not undone:
        yield f"the late write was followed by more: {shown(trace.late)}"


def _content(trace: Trace, content: Content, reference: Reference) -> Iterator[str]:
    wanted: Any = reference.content
    if trace.cell.history.down:  # how often children were changed on the way is another matter
        content, wanted = _without_generations(content), _without_generations(wanted)
    yield from differences(content, wanted)


def _without_generations(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_generations(part)
            for key, part in value.items()
            if key not in {"generation", "observedGeneration"}
        }
    if isinstance(value, list):
        return [_without_generations(part) for part in value]
    return value


def _news(trace: Trace, news: News, reference: Reference) -> Iterator[str]:
    """No Event comes twice, and none is lost.

    One that says a second time that all is well again is not missed if nobody saw that it was not:
    the pods were replaced while no operator ran.
    """
    more = news - reference.news
    if more:
        yield f"Events came more often: {dict(more)}"
    reasons, wanted = ({reason for _, reason, _ in all_} for all_ in (news, reference.news))
    if reasons < wanted and not trace.cell.history.down:
        yield f"Events are lost: {sorted(wanted - reasons)}"


def _what(record: AuditRecord) -> str:
    return " ".join(
        [record.verb, *filter(None, (record.resource, record.subresource)), record.name]
    )


def shown(records: Iterable[AuditRecord]) -> list[str]:
    """Writes, for people."""
    return [f"{_what(record)}: {record.code}" for record in records]
