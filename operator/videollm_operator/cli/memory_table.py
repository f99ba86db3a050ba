"""The memory of the fullest GPU for people: its terms as a table, the budget as a bar.

Told apart by marks and not by colour, so that it reads the same on paper, in a log and without
colour; in plain ASCII where the terminal's encoding has no blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from videollm_operator.sizing import TermName

if TYPE_CHECKING:
    from rich.console import Console

    from videollm_operator.sizing import Plan

STROKE = "|"
WIDEST = 100
"""Columns of the bar at most; it would say no more if it were longer."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a term is called and drawn."""

    words: str
    mark: str
    plain: str
    """The same for terminals without block characters."""


LOOKS = {
    TermName.WEIGHTS: Look("weights", "█", "#"),
    TermName.KV_CACHE: Look("KV cache of the workload", "▓", "="),
    TermName.ENCODER_CACHE: Look("encoder cache", "▒", "e"),
    TermName.ACTIVATION: Look("activations at their peak", "▒", "a"),
    TermName.SAMPLER_STATE: Look("sampler's statistics", "░", "s"),
    TermName.CUDA_GRAPHS: Look("CUDA graphs", "░", "g"),
    TermName.RUNTIME: Look("runtime and communication", "·", "."),
}
BASES = {
    "Exact": "counted",
    "Source": "read in source",
    "Measured": "measured",
    "Estimated": "estimated",
}


def show_memory(out: Console, plan: Plan) -> None:
    """Prints table and bar."""
    blocks = "utf" in out.encoding.lower()
    table = Table(title="Memory of the fullest GPU", title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("")
    table.add_column("GiB", justify="right")
    table.add_column("up to", justify="right")
    table.add_column("known from")
    memory = plan.memory
    for term in plan.terms:
        look = LOOKS[term.name]
        decides = term.name == plan.deciding_term
        table.add_row(
            look.mark if blocks else look.plain,
            look.words,
            gib(term.mib),
            gib(term.mib + term.bound_mib) if term.bound_mib else "",
            BASES[term.basis] + (", decides" if decides else ""),
            style="bold" if decides else "",
        )
    margin = f"safety margin {gib(plan.margin_mib)}"
    table.add_row("", "free for more KV cache", gib(memory.headroom), "", margin)
    table.add_row("", "budget of the engine", gib(memory.budget), "", "", style="bold")
    table.add_row("", "visible to CUDA on this card", gib(memory.visible), "", "")
    out.print(table)
    drawn = bar(plan, min(out.width, WIDEST) - 2, blocks=blocks)
    out.print(Text(drawn))
    if STROKE in drawn:
        out.print(Text("The safety margin begins at the |."))
    out.print()


def bar(plan: Plan, width: int, *, blocks: bool) -> str:
    """The budget as one line; every term that is there gets at least one place.

    A stroke shows where the safety margin begins, unless memory reaches into it.
    """
    budget = plan.memory.budget
    filled = ""
    for term in plan.terms:
        look = LOOKS[term.name]
        if term.mib:
            filled += (look.mark if blocks else look.plain) * max(
                1, round(term.mib * width / budget)
            )
    cells = list(filled[:width].ljust(width))
    margin = width - 1 - round(plan.margin_mib * width / budget)
    if plan.memory.headroom >= plan.margin_mib and cells[margin] == " ":
        cells[margin] = STROKE
    return f"[{''.join(cells)}]"


def gib(mib: int) -> str:
    """MiB as GiB, with one decimal."""
    return f"{mib / 1024:.1f}"
