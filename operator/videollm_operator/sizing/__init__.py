"""How much memory a model needs, and which layout of GPUs holds it.

from videollm_operator.sizing import plan
"""

from videollm_operator.sizing.capacity import Capacity, capacity
from videollm_operator.sizing.planner import plan
from videollm_operator.sizing.refuse import quantized
from videollm_operator.sizing.report import sizing_status
from videollm_operator.sizing.techniques import techniques
from videollm_operator.sizing.types import (
    Basis,
    EngineBudget,
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
    "sizing_status",
    "techniques",
]
