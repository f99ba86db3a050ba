"""What holds for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# `videollm plan` asks the hub about models that the catalogue lacks; no test may depend on it.
# tests/unit/cli/test_hub.py talks to a hub of its own.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example, or making one, takes says how busy the computer is, not whether the code is
# right, so neither fails a test; `pytest --durations 20` tells what is slow.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
