"""Placeholder replaced within the hour: the clock's interface."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where the service reads `now`."""

    def now(self) -> int:
        """Return nanoseconds since the epoch, never less than before."""
        ...
