"""How much memory a model needs, and which layout of GPUs holds it.

    from videollm_operator.sizing import plan

`plan` takes a `SizingRequest`, which `videollm_operator.engines.deployment.request_for` makes from
a spec, and gives a frozen `Plan` or raises `videollm_operator.api.problem.Refused`. It reads
nothing and changes nothing. docs/howto/python.md has examples that run.
"""

from videollm_operator.sizing.capacity import Capacity, capacity
from videollm_operator.sizing.planner import plan, several_nodes
from videollm_operator.sizing.refuse import quantized
from videollm_operator.sizing.report import sizing_status
from videollm_operator.sizing.techniques import techniques
from videollm_operator.sizing.types import (
    Basis,
    EngineBudget,
    ForbiddenLayout,
    Layout,
    LayoutAlternative,
    Plan,
    SizingRequest,
    Technique,
    Term,
    TermName,
    Verdict,
    VideoRoute,
)

__all__ = [
    "Basis",
    "Capacity",
    "EngineBudget",
    "ForbiddenLayout",
    "Layout",
    "LayoutAlternative",
    "Plan",
    "SizingRequest",
    "Technique",
    "Term",
    "TermName",
    "Verdict",
    "VideoRoute",
    "capacity",
    "plan",
    "quantized",
    "several_nodes",
    "sizing_status",
    "techniques",
]
