from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hack.accuracy import outputs

if TYPE_CHECKING:
    from hack.accuracy.compare import Result


@pytest.fixture(scope="session")
def result() -> Result:
    """All published rows, compared with today's planner."""
    return outputs.result()
