"""What docs/benchmarks.md says of the aims."""

from __future__ import annotations

from collections import Counter

from hack import aims
from hack.load import Burst
from hack.scale import Scale

CALLS = {
    "patch services": 4,
    "patch statefulsets": 2,
    "get videollmdeployments": 9,
    "create events": 9,
    aims.STATUS: 4,
}


def measured(behind: float = 1.0, mib: int = 80, milliseconds: float = 40.0) -> Scale:
    """Two objects at once, ten in all."""
    return Scale(
        Burst((0.0, 1.0), (1.0, 1.5), (1.5, 1.0 + behind), Counter(CALLS)),
        {"kube-apiserver": 3.0, "operator": 1.0},
        memory=[(0, 60), (2, mib), (10, 150)],
        latency_ms=[(2, [10.0]), (10, [milliseconds])],
    )


def missed(scale: Scale) -> list[str]:
    return [aim.what for aim in aims.aims(scale) if not aim.reached]


def test_what_is_within_its_limit_is_reached() -> None:
    assert missed(measured()) == []
    assert "All aims are reached on this computer." in aims.section(measured(), 2)


def test_what_is_not_is_said_to_be_missed() -> None:
    found = measured(behind=3.0, mib=90, milliseconds=50.0)
    assert len(missed(found)) == 3
    text = aims.section(found, 2)
    assert "| last child of 2 at most 2 s after the last create | 3.0 s | missed |" in text
    assert "3 of 6 aims are missed on this computer." in text


def test_a_write_more_to_each_child_or_status_is_seen() -> None:
    found = measured()
    found.burst.calls.update({"patch statefulsets": 4, aims.STATUS: 2})
    assert [what.partition(",")[0] for what in missed(found)] == [
        "at most 2 writes to each child",
        "at most 2 writes of status",
    ]


def test_what_limits_a_burst_is_read_from_processor_time() -> None:
    text = aims.limit(measured(), 2)
    assert "used 4 s of processor time, 100 % of what 2 cores give in those 2 s" in text
    assert "kube-apiserver used 75 % of it, and the operator 25 %, 500 ms for each object" in text
