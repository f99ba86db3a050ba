from __future__ import annotations

from tests.unit.runtime.conftest import travel

__all__ = ["travel"]
