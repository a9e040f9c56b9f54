"""The clocks and the calendar: `now` never goes back, days end where the zone says (S2)."""

from __future__ import annotations

from datetime import datetime

import pytest

from sidecar.clock import (
    JUMP_NS_MAX,
    SECOND_NS,
    TIME_NS_MAX,
    DrivenClock,
    ManualClock,
    WallClock,
    ZoneCalendar,
    format_rfc3339,
)

HOUR_NS = 3600 * SECOND_NS


def instant(text: str) -> int:
    """Return nanoseconds since the epoch."""
    return int(datetime.fromisoformat(text).timestamp()) * SECOND_NS


START_NS = instant("2024-03-10T12:00:00Z")


def started(last_journalled_ns: int = 0) -> ManualClock:
    """Return a manual clock that starts at START_NS on the wall."""
    clock = ManualClock(START_NS)
    clock.start(last_journalled_ns)
    return clock


def test_now_starts_at_the_wall_when_the_journal_is_older() -> None:
    """A start after the last record begins at the wall (S2.2)."""
    assert started(START_NS - 5).now() == START_NS


def test_now_starts_at_the_journal_when_the_wall_is_behind() -> None:
    """A start before the last record begins at the record, so that time never goes back (S2.2)."""
    assert started(START_NS + 5).now() == START_NS + 5


def test_now_advances_with_the_monotonic_clock_while_the_wall_is_behind() -> None:
    """While the wall is behind, the monotonic clock alone counts (S2.2)."""
    clock = started(START_NS + HOUR_NS)
    clock.advance(3 * SECOND_NS)
    assert clock.now() == START_NS + HOUR_NS + 3 * SECOND_NS


def test_now_follows_the_wall_forward() -> None:
    """A wall that is set forward takes `now` with it (S2.2)."""
    clock = started()
    clock.jump(10 * SECOND_NS)
    assert clock.now() == START_NS + 10 * SECOND_NS
    assert clock.take_jump() == 0


def test_now_never_follows_the_wall_back() -> None:
    """A wall that is set back leaves `now` advancing from where it was (S2.2)."""
    clock = started()
    clock.jump(-HOUR_NS)
    clock.advance(SECOND_NS)
    assert clock.now() == START_NS + SECOND_NS


@pytest.mark.parametrize("direction", [1, -1])
def test_a_wall_jump_of_a_minute_is_none_and_one_more_nanosecond_is(direction: int) -> None:
    """A jump is more than 60 s against the monotonic clock, either way (S2.2)."""
    clock = started()
    clock.jump(direction * JUMP_NS_MAX)
    clock.now()
    assert clock.take_jump() == 0
    clock.jump(direction * (JUMP_NS_MAX + 1))
    clock.now()
    assert clock.take_jump() == direction * (JUMP_NS_MAX + 1)
    assert clock.take_jump() == 0


def test_a_start_a_minute_behind_the_journal_is_no_jump_and_more_is() -> None:
    """A start more than 60 s behind the journal is a jump back (S2.2)."""
    assert started(START_NS + JUMP_NS_MAX).take_jump() == 0
    assert started(START_NS + JUMP_NS_MAX + 1).take_jump() == -(JUMP_NS_MAX + 1)


def test_rebase_takes_the_wall_even_back() -> None:
    """AcceptClock re-bases `now` to the wall (S2.2)."""
    clock = started(START_NS + HOUR_NS)
    clock.rebase()
    assert clock.now() == START_NS
    assert clock.take_jump() == 0


def test_the_wall_clock_is_told_nothing() -> None:
    """Only a driven sidecar takes `haltline-time` (S2.5)."""
    clock = started()
    assert not clock.observe(START_NS + HOUR_NS)
    assert clock.now() == START_NS


def test_the_real_clock_never_goes_back() -> None:
    """Two readings of the machine's clock are in order."""
    clock = WallClock()
    clock.start(0)
    first = clock.now()
    assert clock.now() >= first > 0


def test_a_driven_clock_stands_still_until_told() -> None:
    """`now` is the latest time observed; a call without one uses the last (S2.5)."""
    clock = DrivenClock()
    clock.start(100)
    assert clock.now() == 100
    assert clock.observe(START_NS)
    assert clock.now() == START_NS


def test_a_driven_clock_never_goes_back() -> None:
    """An older `haltline-time` changes nothing (S2.5)."""
    clock = DrivenClock()
    clock.observe(START_NS)
    assert not clock.observe(START_NS - 1)
    assert not clock.observe(START_NS)
    assert clock.now() == START_NS


@pytest.mark.parametrize("time_ns", [-1, TIME_NS_MAX + 1])
def test_a_driven_clock_takes_no_time_it_could_never_leave(time_ns: int) -> None:
    """A time outside 1970 to 2255 moves nothing, because `now` could never come back from it."""
    clock = DrivenClock()
    assert not clock.observe(time_ns)
    assert clock.now() == 0


def day_length_hours(calendar: ZoneCalendar, noon: str) -> int:
    """Return the hours between the two ends around `noon`."""
    end_ns = calendar.period(instant(noon)).day_ends_at
    start_ns = calendar.period(instant(noon) - 24 * HOUR_NS).day_ends_at
    return (end_ns - start_ns) // HOUR_NS


@pytest.mark.parametrize(
    ("noon", "hours"),
    [
        ("2024-03-09T17:00:00Z", 24),
        ("2024-03-10T16:00:00Z", 23),
        ("2024-03-11T16:00:00Z", 24),
        ("2024-11-03T17:00:00Z", 25),
        ("2024-11-04T17:00:00Z", 24),
    ],
)
def test_days_in_new_york_have_23_and_25_hours_across_clock_changes(noon: str, hours: int) -> None:
    """A day is the zone's calendar day, whatever its length (S2.3)."""
    assert day_length_hours(ZoneCalendar("America/New_York"), noon) == hours


def test_a_day_ends_at_local_midnight_exactly() -> None:
    """The last nanosecond belongs to the day, the next one to the next (S2.3)."""
    calendar = ZoneCalendar("America/New_York")
    end_ns = instant("2024-03-11T04:00:00Z")
    assert calendar.period(end_ns - 1).day == "2024-03-10"
    assert calendar.period(end_ns - 1).day_ends_at == end_ns
    assert calendar.period(end_ns).day == "2024-03-11"


@pytest.mark.parametrize(
    ("at", "week"),
    [
        ("2024-03-10T23:59:59Z", "2024-W10"),
        ("2024-03-11T00:00:00Z", "2024-W11"),
        ("2024-12-30T00:00:00Z", "2025-W01"),
        ("2021-01-03T00:00:00Z", "2020-W53"),
    ],
)
def test_a_week_is_the_iso_week_from_monday(at: str, week: str) -> None:
    """The week begins on Monday and may belong to the year beside (S2.3)."""
    assert ZoneCalendar().period(instant(at)).week == week


def test_a_day_whose_midnight_is_skipped_begins_at_the_clock_change() -> None:
    """In Cairo, 2024-04-26 began at 01:00: its first instant is the change itself."""
    calendar = ZoneCalendar("Africa/Cairo")
    end_ns = calendar.period(instant("2024-04-25T12:00:00Z")).day_ends_at
    assert end_ns == instant("2024-04-25T22:00:00Z")
    assert calendar.period(end_ns).day == "2024-04-26"


def test_a_day_that_began_does_not_begin_twice() -> None:
    """In St. John's, 2006-10-29 fell back over midnight at 00:01: the day began, and goes on."""
    calendar = ZoneCalendar("America/St_Johns")
    began_ns = instant("2006-10-29T02:30:00Z")
    days = [calendar.period(began_ns + minutes * 60 * SECOND_NS).day for minutes in (-1, 0, 2, 61)]
    assert days == ["2006-10-28", "2006-10-29", "2006-10-29", "2006-10-29"]


def test_a_day_the_zone_left_out_does_not_exist() -> None:
    """Samoa had no 2011-12-30: the 29th is followed by the 31st."""
    calendar = ZoneCalendar("Pacific/Apia")
    end_ns = calendar.period(instant("2011-12-29T20:00:00Z")).day_ends_at
    assert calendar.period(end_ns - 1).day == "2011-12-29"
    assert calendar.period(end_ns).day == "2011-12-31"


def test_periods_do_not_depend_on_what_was_asked_before() -> None:
    """The remembered day serves only its own instants, so a replay finds the same days."""
    asked = ZoneCalendar("America/New_York")
    for hours in (0, 30, -30, 5, 24 * 400, 1):
        instant_ns = START_NS + hours * HOUR_NS
        assert asked.period(instant_ns) == ZoneCalendar("America/New_York").period(instant_ns)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/passwd"])
def test_an_unknown_zone_is_refused_by_name(zone: str) -> None:
    """A zone that does not exist is a fault of the configuration, named with the way out."""
    with pytest.raises(ValueError, match=r"account\.zone: .* is no IANA zone"):
        ZoneCalendar(zone)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.000000001Z", SECOND_NS + 1),
        ("2008-10-10T20:00:00.25Z", 1_223_668_800 * SECOND_NS + SECOND_NS // 4),
    ],
)
def test_a_time_is_written_to_the_nanosecond(text: str, time_ns: int) -> None:
    """People read times as RFC 3339 in UTC, with as many digits as there are."""
    assert format_rfc3339(time_ns) == text
