"""Drawdowns, their references, and where days and weeks begin (S8.4, S8.5, S2.3)."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.clock import ZoneCalendar
from sidecar.core.commands import Drawdown
from sidecar.core.denial import CallRefused
from sidecar.core.thresholds import CircuitBreakerThresholds, DrawdownReference
from tests.core.harness import DAY, Desk
from tests.core.readings import STEP, causes, exact_drawdown, instant

PEAK = CircuitBreakerThresholds(drawdown_reference=DrawdownReference.PEAK)
WIDE_DAY = CircuitBreakerThresholds(
    daily_drawdown_ratio=Decimal("0.08"), weekly_drawdown_ratio=Decimal("0.10")
)
AROUND = [(STEP, False), (Decimal(0), True), (-STEP, True)]
"""One step before a threshold, at it, one step past it: reached trips."""


def next_day(desk: Desk) -> None:
    """Let a day pass and the new one begin."""
    desk.advance(86_400)
    desk.tick()


# -- three thresholds ------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "is_open"), AROUND)
def test_daily_drawdown_trips_when_reached(offset: Decimal, is_open: bool) -> None:
    """5 % below the day's start, by default, and not one step before (S8.4, S9)."""
    desk = Desk(equity=100_000)
    desk.account(equity=95_000 + offset)
    assert causes(desk) == (["DAILY_DRAWDOWN"] if is_open else [])


@pytest.mark.parametrize(("offset", "is_open"), AROUND)
def test_weekly_drawdown_trips_when_reached(offset: Decimal, is_open: bool) -> None:
    """10 % below the week's start, in days that each stayed within theirs (S8.4, S9)."""
    desk = Desk(equity=100_000)
    for equity in (96_000, 93_000):
        desk.account(equity=equity)
        next_day(desk)
    desk.account(equity=90_000 + offset)
    assert causes(desk) == (["WEEKLY_DRAWDOWN"] if is_open else [])


@pytest.mark.parametrize(("offset", "is_open"), AROUND)
def test_total_drawdown_trips_when_reached(offset: Decimal, is_open: bool) -> None:
    """20 % below the high-water mark, in weeks that each stayed within theirs (S8.4, S9)."""
    desk = Desk(equity=100_000)
    for equity in (96_000, 92_000, 89_000, 86_000, 83_000):
        desk.account(equity=equity)
        desk.advance(7 * 86_400)
        desk.tick()
    desk.account(equity=80_000 + offset)
    assert causes(desk) == (["TOTAL_DRAWDOWN"] if is_open else [])


def test_one_fall_may_reach_all_three() -> None:
    """Daily is first, the others are appended in the same turn under one epoch (S9)."""
    desk = Desk(equity=100_000)
    epoch = desk.state.stop_epoch
    desk.account(equity=80_000)
    assert causes(desk) == ["DAILY_DRAWDOWN", "WEEKLY_DRAWDOWN", "TOTAL_DRAWDOWN"]
    assert desk.state.stop_epoch == epoch + 1


@given(
    st.lists(st.decimals("0.97", "1.04", places=3), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
@settings(max_examples=40)
def test_drawdowns_agree_with_a_second_count(
    steps: list[Decimal], turns_of_day: list[bool]
) -> None:
    """Against day's start, week's start and highest value so far, kept apart (S8.4)."""
    desk = Desk(equity=100_000)
    value = day_open = week_open = highest = Fraction(100_000)
    week = desk.state.account.week
    for step, is_new_day in zip(steps, turns_of_day, strict=False):
        if is_new_day:
            next_day(desk)
            day_open = value
            if desk.state.account.week != week:
                week, week_open = desk.state.account.week, value
        value *= Fraction(step)
        highest = max(highest, value)
        desk.account(equity=Decimal(value.numerator) / Decimal(value.denominator))
        assert exact_drawdown(desk.state, Drawdown.DAILY) == 1 - value / day_open
        assert exact_drawdown(desk.state, Drawdown.WEEKLY) == 1 - value / week_open
        assert exact_drawdown(desk.state, Drawdown.TOTAL) == 1 - value / highest
    desk.assert_replays()


# -- open or peak ----------------------------------------------------------------------------------


def test_by_default_a_gain_given_back_is_no_daily_drawdown() -> None:
    """`reference = "open"`: measured from the day's start, not its best moment (S8.4)."""
    desk = Desk(equity=100_000)
    desk.account(equity=110_000)
    desk.account(equity=100_000)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == 0
    assert not desk.state.breaker.is_open


@pytest.mark.parametrize(("offset", "is_open"), AROUND)
def test_with_peak_a_gain_given_back_counts(offset: Decimal, is_open: bool) -> None:
    """`reference = "peak"`: measured from the best value of the period (S8.4)."""
    desk = Desk(equity=100_000, circuit_breaker=PEAK)
    desk.account(equity=110_000)
    desk.account(equity=104_500 + offset)
    assert causes(desk) == (["DAILY_DRAWDOWN"] if is_open else [])


def test_the_peak_of_a_day_ends_with_it_and_the_weeks_goes_on() -> None:
    """Each peak belongs to its period (S8.4)."""
    desk = Desk(equity=100_000, circuit_breaker=PEAK)
    desk.account(equity=110_000)
    desk.account(equity=106_000)
    next_day(desk)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == 0
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(4, 110)


def test_a_peak_between_account_reports_counts() -> None:
    """A mark's peak raises the reference as a report's does (S8.1, S8.4)."""
    desk = Desk(equity=100_000, circuit_breaker=PEAK)
    desk.hold(500, 100)
    desk.mark(X=120)
    desk.mark(X=108)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(6, 110)
    assert causes(desk) == ["DAILY_DRAWDOWN"]


def test_the_high_water_mark_is_of_unit_value_not_of_money() -> None:
    """A deposit at the top is no new high, and a withdrawal no fall from it (S8.3, S8.4)."""
    desk = Desk(equity=100_000)
    desk.account(flows={"in": 900_000})
    desk.account(equity=980_000)
    assert exact_drawdown(desk.state, Drawdown.TOTAL) == Fraction(2, 100)


# -- days and weeks --------------------------------------------------------------------------------


def test_a_new_day_measures_from_the_last_value_before_it() -> None:
    """The day's start is the last value known (S8.4)."""
    desk = Desk(equity=100_000)
    desk.account(equity=96_000)
    next_day(desk)
    desk.account(equity=92_000)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(4, 96)
    assert not desk.state.breaker.is_open


def test_weeks_begin_on_monday() -> None:
    """The week's start moves on Monday alone (S2.3)."""
    saturday = instant("2024-01-06T12:00:00+00:00")
    desk = Desk(equity=100_000, now=saturday, circuit_breaker=WIDE_DAY)
    desk.account(equity=97_000)
    next_day(desk)  # Sunday
    desk.account(equity=95_000)
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(5, 100)
    desk.advance(43_199)
    desk.account(equity=94_000)
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(6, 100)
    desk.advance(1)  # Monday 00:00
    desk.account(equity=93_000)
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(1, 94)


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_down_across_a_boundary_the_last_value_before_it_is_the_reference(
    from_snapshot: bool,
) -> None:
    """The first equity seen afterwards is not taken for the boundary's (S8.4)."""
    desk = Desk(equity=100_000)
    desk.account(equity=99_000)
    desk.restart(from_snapshot=from_snapshot)
    desk.advance(10 * 86_400)
    desk.configure(desk.state.thresholds)
    desk.account(equity=94_050)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(5, 100)
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(5, 100)
    assert causes(desk) == ["DAILY_DRAWDOWN"]


def test_a_loss_in_the_first_report_after_midnight_counts_for_the_new_day() -> None:
    """The boundary comes before the report that crosses it (S8.4)."""
    desk = Desk(equity=100_000)
    desk.advance(86_400)
    desk.account(equity=95_000)
    assert causes(desk) == ["DAILY_DRAWDOWN"]


def test_days_begin_while_nothing_is_held_or_known() -> None:
    """Without an equity there is nothing to anchor, and the day still turns (S8.4)."""
    desk = Desk(equity=None)
    day = desk.state.account.day
    next_day(desk)
    assert desk.state.account.day != day
    desk.account(equity=100)
    desk.account(equity=96)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(4, 100)


def test_a_carried_condition_outlives_the_day() -> None:
    """What stood before a new series stands until `rebase[]` names it (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=-20)
    desk.account(flows={"rescue": 120})
    next_day(desk)
    assert desk.state.account.carried == list(Drawdown)


def test_a_carried_condition_is_not_said_to_stand_at_nothing() -> None:
    """The refusal says how a drawdown of before a new series stands, not `at 0 %` (S8.3, S9).

    A deposit after equity 0 starts a new series at 1: measured on that, nothing was ever lost.
    """
    desk = Desk(equity=100)
    desk.account(equity=0)
    desk.account(flows={"rescue": 120})
    with pytest.raises(CallRefused) as refused:
        desk.reset_breaker()
    assert refused.value.reason == "DRAWDOWN_STANDS"
    assert "DAILY drawdown stands since equity was at or below 0" in refused.value.message
    assert "0 %" not in refused.value.message
    assert refused.value.message.endswith("add --rebase daily,weekly,total")


def test_the_days_allowance_is_not_fresh_after_a_reset() -> None:
    """Equity recovered, the breaker was reset: the day still counts from its start (S8.5)."""
    desk = Desk(equity=100_000)
    desk.account(equity=95_000)
    desk.account(equity=96_000)
    desk.reset_breaker()
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(4, 100)
    desk.account(equity=95_000)
    assert causes(desk) == ["DAILY_DRAWDOWN"]


NEW_YORK_DAYS = [
    ("2024-03-10T05:00:00+00:00", "2024-03-11T04:00:00+00:00", 23),
    ("2024-11-03T04:00:00+00:00", "2024-11-04T05:00:00+00:00", 25),
    ("2024-07-02T04:00:00+00:00", "2024-07-03T04:00:00+00:00", 24),
]


@pytest.mark.parametrize(("begins", "ends", "hours"), NEW_YORK_DAYS)
def test_a_day_in_new_york_has_the_hours_it_has(begins: str, ends: str, hours: int) -> None:
    """23 and 25 h days exist: the reference moves at local midnight, not a second before (S2.3)."""
    start, end = instant(begins), instant(ends)
    assert end - start == hours * DAY // 24
    desk = Desk(equity=100_000, now=start, calendar=ZoneCalendar("America/New_York"))
    desk.account(equity=97_000)
    desk.now = end - 1
    desk.account(equity=96_000)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(4, 100)
    desk.now = end
    desk.account(equity=95_000)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == Fraction(1, 96)
    assert not desk.state.breaker.is_open
    desk.assert_replays()


def test_the_week_of_a_clock_change_ends_on_monday_in_new_york() -> None:
    """The changed Sunday ends the week at Monday's local midnight (S2.3)."""
    sunday, monday = NEW_YORK_DAYS[0][0], NEW_YORK_DAYS[0][1]
    desk = Desk(
        equity=100_000,
        now=instant(sunday),
        calendar=ZoneCalendar("America/New_York"),
        circuit_breaker=WIDE_DAY,
    )
    desk.account(equity=97_000)
    desk.now = instant(monday) - 1
    desk.tick()
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(3, 100)
    desk.now = instant(monday)
    desk.tick()
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == 0
    assert desk.state.account.week == "2024-W11"


def test_iso_weeks_hold_over_new_year() -> None:
    """31 December 2024 is in the first week of 2025: no new week begins with the year (S2.3)."""
    desk = Desk(
        equity=100_000,
        now=instant("2024-12-31T12:00:00+00:00"),
        calendar=ZoneCalendar("UTC"),
        circuit_breaker=WIDE_DAY,
    )
    desk.account(equity=95_000)
    next_day(desk)
    assert desk.state.account.week == "2025-W01"
    assert exact_drawdown(desk.state, Drawdown.WEEKLY) == Fraction(5, 100)
    assert exact_drawdown(desk.state, Drawdown.DAILY) == 0
