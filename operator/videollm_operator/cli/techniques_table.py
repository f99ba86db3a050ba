"""`videollm plan --techniques`: every way to need less memory, and what it does here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from videollm_operator.api.problem import Refused
from videollm_operator.engines.deployment import request_for
from videollm_operator.sizing import techniques
from videollm_operator.sizing.text import count

if TYPE_CHECKING:
    from rich.console import Console

    from videollm_operator.api.v1alpha1 import VideoLLMDeployment
    from videollm_operator.catalog.catalog import Catalog
    from videollm_operator.sizing import Technique


def show_techniques(out: Console, deployment: VideoLLMDeployment, catalog: Catalog) -> None:
    """Prints the list for one object: what each way does, then how and at what cost."""
    out.print()
    out.print(Text("Ways to need less memory", style="bold"))
    try:
        ways = ways_of(deployment, catalog)
    except Refused:
        out.print(Padding(Text("none helps before the refusal above is mended"), (0, 0, 0, 2)))
        return
    for way in ways:
        style = "" if way.offered else "dim"
        out.print(Text(f"{way.name}: {effect(way)}", style=style))
        for words in filter(None, (way.how, way.note)):
            out.print(Padding(Text(words, style=style), (0, 0, 0, 2)))


def as_rows(deployment: VideoLLMDeployment, catalog: Catalog) -> list[dict[str, Any]]:
    """The same list for programs; empty if nothing helps before a refusal is mended."""
    try:
        ways = ways_of(deployment, catalog)
    except Refused:
        return []
    return [
        {
            "name": way.name,
            "offered": way.offered,
            "gpus": way.gpus,
            "weightsGiB": way.weights_gib,
            "savesGiB": way.saves_gib,
            "how": way.how,
            "note": way.note,
        }
        for way in ways
    ]


def ways_of(deployment: VideoLLMDeployment, catalog: Catalog) -> tuple[Technique, ...]:
    """All techniques for one object.

    Raises:
        Refused: if model, GPU and engine do not go together, or the workload exceeds the window.
    """
    return techniques(request_for(deployment.spec, catalog))


def effect(way: Technique) -> str:
    """What a technique does here, in a few words."""
    if not way.offered:
        return "not offered"
    parts = ["does not fit in a node" if way.gpus is None else count(way.gpus, "GPU")]
    if way.weights_gib is not None:
        parts.append(f"weights {way.weights_gib:.1f} GiB")
    if way.saves_gib is not None:
        parts.append(f"saves {way.saves_gib:.1f} GiB")
    return ", ".join(parts)
