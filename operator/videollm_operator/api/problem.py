"""A refusal as a value: the one sentence that condition, Event and command line all show.

Lives in the lowest layer because every layer refuses something: the catalogue a bad entry,
sizing an impossible layout, an engine an unknown flag. A problem is data, not an exception, so
that pure functions can return several of them; `Refused` carries them across a call stack where
returning would only be noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videollm_operator.api.reasons import Reason


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be done, and what to do about it.

    Attributes:
        reason: entry of the reason registry; fixes whether it stalls, and the documentation page.
        message: the whole sentence for people: wanted, found, needed, remedy. One line.
        field: YAML path of the field to change, such as `spec.gpu.sku`; empty if there is none.
    """

    reason: Reason
    message: str
    field: str = ""


class Refused(Exception):  # noqa: N818 - it is an answer, not a programming error
    """Raised by pure code that has found the object impossible; never a traceback for users.

    Attributes:
        problems: at least one problem, the most important first.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
