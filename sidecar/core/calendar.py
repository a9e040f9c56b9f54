"""Days and weeks as the core sees them; the time zone database stays outside (S2.3)."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Period:
    """The day and ISO week that hold an instant, and when that day ends (exclusive)."""

    day: str
    week: str
    day_ends_at: int


class Calendar(Protocol):
    """Maps an instant to its day in the configured zone; 23 and 25 h days exist."""

    def period(self, now: int) -> Period:
        """Return the period of `now`."""


class UtcCalendar:
    """Days of 24 hours from the epoch: for tests, and where no zone is configured."""

    def period(self, now: int) -> Period:
        """Return the UTC day and the Monday-based week as counts from the epoch."""
        days = now // _DAY_NS
        week = (days + 3) // 7
        return Period(f"d{days}", f"w{week}", (days + 1) * _DAY_NS)


_DAY_NS = 86_400 * 1_000_000_000
