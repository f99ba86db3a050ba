"""A headless browser for a session of tests; skipped with the reason where there is none."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from hack import browser as chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

FLAGS = ("--headless", "--no-sandbox", "--no-zygote", "--disable-gpu")
"""No sandbox: CI runs as root, and the only page is one that this project wrote."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        found = chromium.browser()
    except chromium.NoBrowserError as problem:
        pytest.skip(str(problem))
    with sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=found.program,
            args=FLAGS,
            env={**os.environ, **found.env},
            timeout=60_000,
        )
        yield started
        started.close()
