"""What holds for every test."""

from __future__ import annotations

import os

# `videollm plan` asks the hub about models that the catalogue lacks; no test may depend on it.
# tests/unit/cli/test_hub.py talks to a hub of its own.
os.environ["HF_HUB_OFFLINE"] = "1"
