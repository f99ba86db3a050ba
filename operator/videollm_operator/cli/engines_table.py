"""`videollm plan --engines`: what every engine version says of one object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from videollm_operator.api.problem import Problem, Refused
from videollm_operator.engines.deployment import plan_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.catalog.entries import EngineEntry


@dataclass(frozen=True, slots=True)
class Row:
    """One engine version, and its answer."""

    engine: EngineEntry
    layout: str
    """Empty if there is no plan."""
    problem: Problem | None
    """Why not, or why not yet."""

    @property
    def word(self) -> str:
        """yes, planned (nothing runs it yet) or no."""
        if self.problem is None:
            return "yes"
        return "planned" if self.layout else "no"


def rows(deployment: VideoLLMDeployment, catalog: Catalog) -> Iterator[Row]:
    """Every engine version of the catalogue, asked about the object.

    Arguments, variables and image are those of one engine, so another one is asked without them.
    """
    spec = deployment.spec
    for entry in catalog.engines:
        asked: dict[str, Any] = {"type": entry.type, "version": entry.version}
        if entry.type != spec.engine.type:
            asked |= {"image": "", "extra_args": [], "env": []}
        other = spec.model_copy(update={"engine": spec.engine.model_copy(update=asked)})
        try:
            found = plan_deployment(other, catalog)
        except Refused as refused:
            yield Row(entry, "", refused.problems[0])
        else:
            yield Row(entry, str(found.plan.layout), found.not_runnable)


def show_engines(out: Console, deployment: VideoLLMDeployment, catalog: Catalog) -> None:
    """Prints them."""
    out.print()
    out.print(Text("Engines", style="bold"))
    for row in rows(deployment, catalog):
        words = " ".join(filter(None, (row.word, row.layout)))
        out.print(Text(f"{row.engine.type} {row.engine.version}: {words}"))
        if row.problem is not None:
            out.print(Padding(Text(row.problem.message), (0, 0, 0, 2)))


def as_rows(deployment: VideoLLMDeployment, catalog: Catalog) -> list[dict[str, Any]]:
    """The same for programs."""
    return [
        {
            "type": str(row.engine.type),
            "version": row.engine.version,
            "answer": row.word,
            "layout": row.layout,
            "reason": str(row.problem.reason) if row.problem else "",
            "message": row.problem.message if row.problem else "",
        }
        for row in rows(deployment, catalog)
    ]
