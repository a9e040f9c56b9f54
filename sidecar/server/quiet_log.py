"""Warnings that strangers can cause: written as often as a person can read, the rest counted.

Rules: at most `LINES_MAX` in a window of `WINDOW_SECONDS`; what was left out is told with the next
line. A log that nobody drains must not hold up a kill.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

LINES_MAX: Final = 20
WINDOW_SECONDS: Final = 10.0


class QuietLog:
    """Writes warnings to one logger."""

    def __init__(
        self, log: logging.Logger, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing was written yet."""
        self._log = log
        self._monotonic = monotonic
        self._window_began = -WINDOW_SECONDS
        self._lines = 0
        self._left_out = 0

    def warning(self, text: str, *values: object) -> None:
        """Write a line, or count it."""
        now = self._monotonic()
        if now - self._window_began >= WINDOW_SECONDS:
            self._window_began, self._lines = now, 0
        if self._lines >= LINES_MAX:
            self._left_out += 1
            return
        self._lines += 1
        if self._left_out:
            text, values = f"{text} (%d lines like it were left out)", (*values, self._left_out)
            self._left_out = 0
        self._log.warning(text, *values)
