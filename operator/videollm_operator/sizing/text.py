"""Numbers and lists as people read them; shared by explanation, refusals and techniques."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def gib(mib: float) -> str:
    """MiB as GiB with one decimal: `34.2 GiB`."""
    return f"{mib / 1024:.1f} GiB"


def mib(size: float) -> str:
    """MiB with a thousands' blank where a tenth of a GiB is too coarse: `1 282 MiB`."""
    return f"{size:,.0f} MiB".replace(",", " ")


def count(number: int, thing: str) -> str:
    """`1 GPU`, `4 GPUs`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def listing(items: Iterable[object], joint: str = "and") -> str:
    """`1, 2 and 4`."""
    *most, last = [str(item) for item in items]
    return f"{', '.join(most)} {joint} {last}" if most else last
