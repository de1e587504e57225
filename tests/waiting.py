"""Waiting for what another thread or process does: as short as it takes, and long enough for a machine that is busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")
PATIENCE = 200.0
"""Seconds after which what was waited for is taken to be broken; a process with torch may need a minute to begin."""


def wait_until(condition: Callable[[], Value], what: str, seconds: float = PATIENCE) -> Value:
    """The first true value of ``condition``, which is asked every 20 ms. Fails with ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return value
