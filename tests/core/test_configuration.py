"""Thresholds that come into force while running: what stays, what trips, what a day is called."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from sidecar.clock import ZoneCalendar
from sidecar.core.events import BreakerOpened, ConfigurationApplied, PeriodStarted
from sidecar.core.thresholds import (
    AccountRules,
    ApprovalRules,
    CircuitBreakerThresholds,
    OrderRules,
    PositionLimits,
    Thresholds,
)
from tests.core.harness import DAY, NOON, SECOND, Desk, codes

HOUR = 3_600 * SECOND


def changed(desk: Desk, **rules: Any) -> Thresholds:  # noqa: ANN401 - the sections of thresholds
    """Return what is in force with some sections changed."""
    return replace(desk.state.thresholds, **rules)


def loosen(desk: Desk, thresholds: Thresholds) -> ConfigurationApplied:
    """Prepare, journal, make effective, follow: the order in which a start is durable."""
    event = ConfigurationApplied(
        thresholds=thresholds,
        config_hash="looser",
        previous_hash=desk.state.config_hash,
        changed=("account.zone",),
        applied_by="ann",
        reason="moved",
    )
    desk.loosen(event, ZoneCalendar(thresholds.account.zone))
    return event


def test_a_limit_below_present_use_denies_increases_and_trips_nothing() -> None:
    """A passive breach: what is held stays, exits pass, more of it does not (S6)."""
    desk = Desk(marks={"X": 100})
    desk.hold(200, 100)
    assert desk.check("BUY", 10, 100).is_approved
    desk.configure(changed(desk, position_limits=PositionLimits(per_symbol_ratio=Decimal("0.1"))))
    assert not desk.state.breaker.is_open
    assert codes(desk.check("BUY", 10, 100)) == ["SYMBOL_EXPOSURE"]
    assert desk.check("SELL", 150, 100).is_approved
    desk.assert_replays()


def test_an_approval_given_before_stays_as_it_was() -> None:
    """A tighter limit is no stop: neither epoch nor reservation nor expiry moves (S4.6)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 100, 100)
    before, epoch = replace(desk.record(order_id)), desk.state.stop_epoch
    desk.configure(
        changed(
            desk,
            order_rules=OrderRules(max_order_quantity=Decimal(1)),
            approvals=ApprovalRules(valid_ns=SECOND),
        )
    )
    assert desk.record(order_id) == before
    assert desk.state.stop_epoch == epoch
    desk.assert_replays()


@pytest.mark.parametrize(
    ("breaker", "cause"),
    [
        (CircuitBreakerThresholds(api_errors=2), "API_ERRORS"),
        (CircuitBreakerThresholds(daily_drawdown_ratio=Decimal("0.04")), "DAILY_DRAWDOWN"),
    ],
)
def test_a_threshold_that_is_reached_already_trips_in_the_same_turn(
    breaker: CircuitBreakerThresholds, cause: str
) -> None:
    """Reached trips, whichever of the two moved (S9)."""
    desk = Desk()
    desk.api_error()
    desk.api_error()
    desk.account(equity=96_000)
    assert not desk.state.breaker.is_open
    desk.configure(changed(desk, circuit_breaker=breaker))
    assert [type(event) for event in desk.events][:2] == [ConfigurationApplied, BreakerOpened]
    assert [found.cause for found in desk.state.breaker.causes] == [cause]
    assert desk.state.stop_epoch == 1
    desk.assert_replays()


def test_what_a_looser_file_tightens_trips_in_the_record_that_follows() -> None:
    """A start is decided before it is effective, so what follows from it is judged after."""
    desk = Desk()
    desk.api_error()
    desk.api_error()
    loosen(
        desk,
        changed(
            desk,
            circuit_breaker=CircuitBreakerThresholds(api_errors=2),
            position_limits=PositionLimits(portfolio_ratio=Decimal(1)),
        ),
    )
    assert [found.cause for found in desk.state.breaker.causes] == ["API_ERRORS"]
    desk.assert_replays()


def test_windows_streaks_anchors_and_latches_stay() -> None:
    """Nothing that was counted or stopped is forgotten by other rules (S8.5, S10)."""
    desk = Desk()
    desk.api_error()
    desk.kill()
    desk.account(equity=98_000)
    anchor = replace(desk.state.account.day_anchor)
    desk.configure(changed(desk, circuit_breaker=CircuitBreakerThresholds(api_errors=5)))
    assert desk.state.breaker.api_errors.times == [NOON]
    assert list(desk.state.activations) == ["ALL"]
    assert desk.state.account.day_anchor == anchor
    desk.assert_replays()


@pytest.mark.parametrize(
    ("zone", "moment", "day", "ends_at"),
    [
        # 20:00 UTC is tomorrow in Tokyo, whose day ends at 15:00 UTC.
        ("Asia/Tokyo", 20, "2024-01-04", NOON + DAY + 3 * HOUR),
        # 03:00 UTC is yesterday in New York, whose day ends at 05:00 UTC.
        ("America/New_York", 3, "2024-01-02", NOON - 7 * HOUR),
        # Noon is of one day in Berlin too; only its end moves.
        ("Europe/Berlin", 12, "2024-01-03", NOON + 11 * HOUR),
    ],
)
def test_another_zone_renames_the_day_and_gives_no_fresh_allowance(
    zone: str, moment: int, day: str, ends_at: int
) -> None:
    """What was lost and approved today counts today; the next midnight is the zone's (S8.5)."""
    begins = NOON - 12 * HOUR + moment * HOUR
    desk = Desk(
        now=begins,
        calendar=ZoneCalendar(),
        marks={"X": 100},
        order_rules=OrderRules(max_daily_notional=Decimal(1_500)),
    )
    desk.approve("BUY", 10, 100)
    desk.account(equity=97_000)
    anchor = replace(desk.state.account.day_anchor)
    loosen(desk, changed(desk, account=AccountRules(zone=zone)))
    account = desk.state.account
    assert (account.day, account.day_ends_at) == (day, ends_at)
    assert account.day_anchor == anchor
    assert account.daily_notional == 1_000
    assert codes(desk.check("BUY", 6, 100)) == ["DAILY_NOTIONAL"]
    desk.now = ends_at
    desk.tick()
    assert desk.state.account.daily_notional == 0
    assert desk.state.account.day > day
    assert desk.state.account.day_anchor != anchor
    desk.assert_replays()


def test_a_renamed_week_is_measured_from_no_lower_value_than_that_of_now() -> None:
    """Sunday in UTC is Monday in Tokyo: its week begins at the gain of the old one (S8.4)."""
    desk = Desk(now=NOON + 4 * DAY + 6 * HOUR, calendar=ZoneCalendar())
    week, day = desk.state.account.week, desk.state.account.day
    desk.account(equity=150_000)
    loosen(desk, changed(desk, account=AccountRules(zone="Asia/Tokyo")))
    account = desk.state.account
    assert account.week > week
    assert account.day > day
    assert account.day_anchor.equity == account.week_anchor.equity == 150_000
    desk.assert_replays()


def test_an_order_of_the_renamed_day_is_counted_once() -> None:
    """A renewal adds to the day only what it adds to the order, whatever the day is called (S5)."""
    desk = Desk(
        now=NOON + 8 * HOUR,
        calendar=ZoneCalendar(),
        marks={"X": 100},
        order_rules=OrderRules(max_daily_notional=Decimal(5_000)),
    )
    order = desk.order("BUY", 10, 100)
    assert desk.ask(order).is_approved
    loosen(desk, changed(desk, account=AccountRules(zone="Asia/Tokyo")))
    desk.advance(11)
    assert desk.ask(order).is_approved
    assert desk.state.account.daily_notional == 1_000
    desk.assert_replays()


def test_a_day_that_ended_while_nothing_ran_is_over_in_any_zone() -> None:
    """Only the day that goes on is renamed: a start after midnight begins a new one (S8.4)."""
    desk = Desk(calendar=ZoneCalendar())
    desk.account(equity=97_000)
    desk.now = NOON + DAY
    desk.conditions.calendar = ZoneCalendar("Asia/Tokyo")
    desk.configure(changed(desk, account=AccountRules(zone="Asia/Tokyo")))
    period = desk.events[1]
    assert isinstance(period, PeriodStarted)
    assert (period.day, period.is_new_day) == ("2024-01-04", True)
    desk.assert_replays()


def test_the_record_says_what_was_before_what_changed_and_who_did_it() -> None:
    """One record holds both hashes, the keys, the name and the reason (S13)."""
    desk = Desk()
    before = desk.state.config_hash
    event = loosen(desk, changed(desk, account=AccountRules(zone="Asia/Tokyo")))
    assert (event.previous_hash, event.config_hash) == (before, "looser")
    desk.assert_replays()
    desk.configure(changed(desk, account=AccountRules()))
    applied = desk.events[0]
    assert isinstance(applied, ConfigurationApplied)
    assert applied.previous_hash != applied.config_hash


def test_less_dust_makes_room_for_a_symbol_that_counts_by_now() -> None:
    """Why dust_notional is UNKNOWN: a symbol that counts already is not added by its next order."""
    rules = AccountRules(dust_notional=Decimal(50))
    desk = Desk(
        marks={"X": 100, "Y": 1},
        account=rules,
        position_limits=PositionLimits(max_positions=1),
    )
    desk.hold(10, 100)
    desk.hold(10, 1, symbol="Y")
    assert codes(desk.check("BUY", 10, 1, symbol="Y")) == ["POSITION_COUNT"]
    desk.configure(changed(desk, account=AccountRules()))
    assert desk.check("BUY", 10, 1, symbol="Y").is_approved
    desk.assert_replays()


def test_a_younger_mark_lets_an_exit_past_the_collar() -> None:
    """Why mark_age_seconds_max is UNKNOWN beside a collar: a stale mark holds no exit (S4.5)."""
    desk = Desk(marks={"X": 100}, order_rules=OrderRules(price_collar_ratio=Decimal("0.1")))
    desk.hold(10, 100)
    desk.advance(60)
    assert codes(desk.check("SELL", 5, 50)) == ["PRICE_COLLAR"]
    desk.configure(changed(desk, account=AccountRules(mark_age_ns_max=SECOND)))
    assert desk.check("SELL", 5, 50).is_approved
