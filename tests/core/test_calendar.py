"""Days and ISO weeks of the plain calendar; a day may have 23 or 25 hours elsewhere (S2.3)."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.calendar import Period, UtcCalendar
from tests.core.harness import DAY, NOON, Desk


def at(text: str) -> int:
    """Return the nanoseconds of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


@given(st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 10**9))
def test_a_period_holds_its_instant_and_ends_at_the_next_midnight(now: int) -> None:
    """The day ends exclusively: one nanosecond before is the same day (S2.3)."""
    calendar = UtcCalendar()
    period = calendar.period(now)
    assert period.day_ends_at - DAY <= now < period.day_ends_at
    assert calendar.period(period.day_ends_at - 1) == period
    assert calendar.period(period.day_ends_at).day != period.day


@given(st.integers(0, 40_000))
def test_weeks_are_iso_weeks(days: int) -> None:
    """Two days share a week exactly where their ISO weeks are one (S2.3)."""
    calendar = UtcCalendar()
    weeks = [calendar.period((days + more) * DAY).week for more in (0, 1)]
    iso = [
        datetime.fromtimestamp((days + more) * 86_400, tz=UTC).isocalendar()[:2] for more in (0, 1)
    ]
    assert (weeks[0] == weeks[1]) is (iso[0] == iso[1])


def test_a_week_starts_on_monday() -> None:
    """Sunday and Monday are two weeks, Monday and Sunday after it are one (S2.3)."""
    calendar = UtcCalendar()
    sunday, monday, next_sunday = (
        calendar.period(at(day)).week for day in ("2024-01-07", "2024-01-08", "2024-01-14")
    )
    assert sunday != monday == next_sunday


class ShortDay:
    """A zone whose day of NOON has 23 hours: what follows is the next day."""

    ends_at = NOON + 11 * 3600 * 10**9

    def period(self, now: int) -> Period:
        """Return the short day, then a day of 25 hours."""
        if now < self.ends_at:
            return Period("short", "w1", self.ends_at)
        return Period("long", "w1", self.ends_at + 25 * 3600 * 10**9)


@pytest.mark.parametrize("early", [1, 0])
def test_the_core_takes_the_end_of_a_day_from_its_calendar(early: int) -> None:
    """A day of 23 hours ends when its calendar says, not after 24 (S2.3)."""
    desk = Desk(calendar=ShortDay())
    assert desk.state.account.day == "short"
    desk.now = ShortDay.ends_at - early
    desk.tick()
    assert desk.state.account.day == ("short" if early else "long")
    desk.assert_replays()
