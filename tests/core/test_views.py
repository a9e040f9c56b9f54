"""What a person sees: every layer, what is not armed and why, and the orders that hold (S1.2)."""

from decimal import Decimal

import pytest

from sidecar.core import views
from sidecar.core.answers import OpenOrder, RecoveryState, TradingMode
from sidecar.core.circuit_breaker import CAUSES
from sidecar.core.state import to_plain
from sidecar.core.thresholds import (
    AccountRules,
    CircuitBreakerThresholds,
    OrderRules,
    PositionLimits,
    StrategyRules,
    SymbolRules,
    WhenOpen,
)
from tests.core.harness import SECOND, Desk
from tests.core.readings import status, trigger
from tests.core.stops import strategy_kill


def listing(desk: Desk, strategy: str | None = None, symbol: str | None = None) -> list[OpenOrder]:
    """Return the orders that hold a reservation, as they are listed."""
    return views.list_orders(desk.state, strategy, symbol, desk.now)


def not_armed(desk: Desk) -> dict[str, str]:
    """Return what is not armed, with why."""
    return dict(status(desk).not_armed)


# -- armed or not ----------------------------------------------------------------------------------


def test_what_needs_equity_is_not_armed_until_it_is_known() -> None:
    """It shows as NOT_ARMED with its reason, never as silence [*] (S1.2)."""
    rules = OrderRules(max_order_notional_ratio=Decimal("0.1"))
    desk = Desk(equity=None, order_rules=rules)
    shown = not_armed(desk)
    for name in (
        "circuit_breaker.daily_drawdown_ratio",
        "circuit_breaker.weekly_drawdown_ratio",
        "circuit_breaker.total_drawdown_ratio",
        "position_limits.per_symbol_ratio",
        "position_limits.per_strategy_ratio",
        "position_limits.portfolio_ratio",
        "order_rules.max_order_notional_ratio",
    ):
        assert shown[name] == "equity was never reported"
    for cause in CAUSES[:3]:
        view = trigger(desk, cause)
        assert not view.armed
        assert view.not_armed_reason == "equity was never reported"
        assert view.observed is None
    desk.account(equity=100)
    assert not_armed(desk) == {}
    assert all(trigger(desk, cause).armed for cause in CAUSES[:3])


def test_what_needs_a_mark_is_not_armed_until_there_is_one() -> None:
    """The collar and the age of marks (S1.2, S5, S6)."""
    desk = Desk(
        order_rules=OrderRules(price_collar_ratio=Decimal("0.1")),
        account=AccountRules(mark_age_ns_max=SECOND),
        symbols={"Y": SymbolRules(price_collar_ratio=Decimal("0.2"))},
    )
    assert set(not_armed(desk)) == {
        "order_rules.price_collar_ratio",
        "account.mark_age_seconds_max",
        'symbols."Y".price_collar_ratio',
    }
    desk.mark(X=1)
    assert not_armed(desk) == {'symbols."Y".price_collar_ratio': "Y has no mark"}
    desk.mark(Y=1)
    assert not_armed(desk) == {}


def test_triggers_that_are_off_say_which_key_turns_them_on() -> None:
    """UNSOLICITED and BOT_SILENT are off by default (S7.3, S9)."""
    desk = Desk()
    assert "trip_on_unsolicited" in trigger(desk, "UNSOLICITED").not_armed_reason
    assert "bot_silence_seconds" in trigger(desk, "BOT_SILENT").not_armed_reason


def test_silence_is_armed_while_something_is_held() -> None:
    """With the seconds since the strategy was heard (S9)."""
    rules = CircuitBreakerThresholds(bot_silence_ns=300 * SECOND)
    desk = Desk(marks={"X": 100}, circuit_breaker=rules)
    assert not trigger(desk, "BOT_SILENT").armed
    desk.approve("BUY", 1, 100)
    desk.advance(42)
    view = trigger(desk, "BOT_SILENT")
    assert view.armed
    assert [view.observed, view.threshold] == [42, 300]


def test_every_trigger_is_listed_in_order() -> None:
    """Observed against threshold for each (contract, Status)."""
    names = [view.name for view in status(Desk()).breaker.triggers]
    assert names == list(CAUSES)


def test_a_trigger_shows_what_it_measures_now() -> None:
    """An API error leaves the view when it leaves the window, without any command (S2.4)."""
    desk = Desk(equity=100_000)
    desk.account(equity=96_000)
    desk.api_error()
    assert trigger(desk, "DAILY_DRAWDOWN").observed == Decimal("0.04")
    assert trigger(desk, "DAILY_DRAWDOWN").is_warning
    assert not trigger(desk, "DAILY_DRAWDOWN").is_standing
    assert trigger(desk, "API_ERRORS").observed == 1
    desk.advance(60)
    assert trigger(desk, "API_ERRORS").observed == 0


# -- the breaker, kills and the mode ---------------------------------------------------------------


def test_an_open_breaker_shows_its_causes_and_since_when() -> None:
    """Each with its numbers and its time (contract, Status)."""
    desk = Desk(equity=100_000)
    since = desk.now
    desk.account(equity=94_000)
    desk.advance(5)
    for _ in range(3):
        desk.api_error()
    breaker = status(desk).breaker
    assert breaker.is_open
    assert breaker.opened_at == since
    assert [(c.cause, c.observed, c.threshold) for c in breaker.causes] == [
        ("DAILY_DRAWDOWN", Decimal("0.06"), Decimal("0.05")),
        ("API_ERRORS", Decimal(3), Decimal(3)),
    ]
    assert breaker.causes[1].at == since + 5 * SECOND
    assert trigger(desk, "DAILY_DRAWDOWN").is_standing
    desk.reset_breaker("DAILY")
    breaker = status(desk).breaker
    assert not breaker.is_open
    assert breaker.causes == ()
    assert breaker.last_reset_at == desk.now


@pytest.mark.parametrize(
    ("when_open", "mode"),
    [(WhenOpen.REDUCE_ONLY, TradingMode.REDUCE_ONLY), (WhenOpen.BLOCK_ALL, TradingMode.HALTED)],
)
def test_the_mode_is_what_all_layers_allow(when_open: WhenOpen, mode: TradingMode) -> None:
    """NORMAL, REDUCE_ONLY or HALTED (S4)."""
    desk = Desk(circuit_breaker=CircuitBreakerThresholds(when_open=when_open))
    assert status(desk).mode is TradingMode.NORMAL
    for _ in range(3):
        desk.api_error()
    assert status(desk).mode is mode
    desk.kill()
    assert status(desk).mode is TradingMode.HALTED


def test_a_store_that_refuses_shows_in_the_mode() -> None:
    """What is not reducing is denied then (S4.2)."""
    desk = Desk()
    desk.conditions.store_problem = "fsync failed"
    assert status(desk).mode is TradingMode.REDUCE_ONLY


def test_damage_shows_as_recovery_with_a_way_out() -> None:
    """Status.recovery says which and the way out (S12.4)."""
    desk = Desk()
    desk.conditions.damage = "damage at byte 512"
    desk.conditions.damage_way_out = "`haltline store repair`"
    shown = status(desk)
    assert shown.mode is TradingMode.HALTED
    assert shown.recovery.state is RecoveryState.DAMAGED
    assert shown.recovery.detail == "damage at byte 512"
    assert shown.recovery.way_out == "`haltline store repair`"


def test_stops_and_starts_leave_their_times() -> None:
    """Last-transition fields carry what a reader may have missed (S14)."""
    desk = Desk()
    assert status(desk).last_stop_at is None
    desk.advance(1)
    strategy_kill(desk)
    stopped = desk.now
    desk.advance(1)
    desk.reset_kill()
    shown = status(desk)
    assert [shown.last_stop_at, shown.last_start_at, shown.stop_epoch] == [stopped, desk.now, 1]


# -- limits and positions --------------------------------------------------------------------------


def test_each_limit_shows_exposure_share_and_bound() -> None:
    """Of every symbol, every strategy and the portfolio (contract, Status)."""
    desk = Desk(
        equity=1_000,
        marks={"X": 10, "Y": 10},
        symbols={"X": SymbolRules(per_symbol_ratio=Decimal("0.25"))},
        strategies={"beta": StrategyRules(per_strategy_ratio=Decimal("0.5"))},
    )
    desk.hold(10, 10)
    desk.hold(-5, 10, symbol="Y", strategy="beta")
    desk.approve("SELL", 3, 10, symbol="Y", strategy="beta")
    limits = status(desk).limits
    symbols = {v.name: (v.exposure, v.limit_ratio, v.limit, v.share) for v in limits.symbols}
    strategies = {v.name: (v.exposure, v.limit, v.share) for v in limits.strategies}
    assert symbols == {
        "X": (Decimal(100), Decimal("0.25"), Decimal(250), Decimal("0.1")),
        "Y": (Decimal(80), Decimal("0.30"), Decimal(300), Decimal("0.08")),
    }
    assert strategies == {
        "alpha": (Decimal(100), Decimal(600), Decimal("0.1")),
        "beta": (Decimal(80), Decimal(500), Decimal("0.08")),
    }
    assert [limits.portfolio.exposure, limits.portfolio.limit] == [180, 900]
    assert limits.position_count == 2
    held = {(p.strategy, p.symbol): (p.quantity, p.working_sell_quantity) for p in limits.positions}
    assert held == {
        ("alpha", "X"): (Decimal(10), Decimal(0)),
        ("beta", "Y"): (Decimal(-5), Decimal(3)),
    }


def test_shares_are_rounded_up_so_that_a_full_limit_never_looks_roomy() -> None:
    """Six digits, for people (S2.1)."""
    desk = Desk(equity=3_000_000)
    desk.hold(1, 1)
    assert status(desk).limits.portfolio.share == Decimal("0.000001")


def test_without_a_positive_equity_limits_have_no_number() -> None:
    """A share of nothing is absent, not zero (S1.2)."""
    desk = Desk(equity=None)
    desk.hold(1, 100)
    portfolio = status(desk).limits.portfolio
    assert portfolio.exposure == 100
    assert portfolio.limit is None
    assert portfolio.share is None


# -- account ---------------------------------------------------------------------------------------


def test_the_account_shows_equity_units_and_drawdowns() -> None:
    """With what each drawdown is measured from (S8.4)."""
    desk = Desk(equity=100_000)
    desk.account(flows={"in": 100_000})
    desk.account(equity=193_000)
    account = status(desk).account
    assert [account.equity, account.units, account.unit_value] == [
        193_000,
        200_000,
        Decimal("0.965"),
    ]
    assert [
        (v.drawdown, v.ratio, v.reference_unit_value, v.threshold) for v in account.drawdowns
    ] == [
        ("DAILY", Decimal("0.035"), Decimal(1), Decimal("0.05")),
        ("WEEKLY", Decimal("0.035"), Decimal(1), Decimal("0.10")),
        ("TOTAL", Decimal("0.035"), Decimal(1), Decimal("0.20")),
    ]


def test_an_unknown_equity_is_absent_not_zero() -> None:
    """Nothing is guessed (S1.2)."""
    account = status(Desk(equity=None)).account
    assert account.equity is None
    assert account.units is None
    assert account.unit_value is None
    assert [view.ratio for view in account.drawdowns] == [None] * 3


def test_a_mark_shows_its_age_and_whether_it_is_stale() -> None:
    """The age is always shown; stale only past the bound (S6)."""
    desk = Desk(marks={"X": 100}, account=AccountRules(mark_age_ns_max=10 * SECOND))
    desk.advance(10)
    mark = status(desk).account.marks[0]
    assert mark.age_ns == 10 * SECOND
    assert not mark.is_stale
    desk.now += 1
    assert status(desk).account.marks[0].is_stale


def test_a_held_equity_is_shown() -> None:
    """So that an operator can confirm it (S8.3)."""
    desk = Desk(equity=100, account=AccountRules(equity_jump_ratio_max=Decimal("0.1")))
    desk.account(equity=150)
    assert status(desk).account.held_equity == 150


# -- orders ----------------------------------------------------------------------------------------


def test_orders_show_how_many_are_open_and_how_old_the_silent_ones_are() -> None:
    """Count, oldest unreported age, unsolicited, flagged, conflicting (S7.5, S7.2)."""
    desk = Desk(marks={"X": 100})
    first = desk.approve("BUY", 1, 100)
    desk.advance(3)
    desk.approve("BUY", 1, 100)
    desk.advance(4)
    orders = status(desk).orders
    assert [orders.open_count, orders.unreported_count] == [2, 2]
    assert orders.oldest_unreported_age_ns == 7 * SECOND
    desk.report("ACCEPTED", first)
    desk.fill("stranger", 1, 100)
    orders = status(desk).orders
    assert [orders.open_count, orders.unreported_count] == [2, 1]
    assert orders.oldest_unreported_age_ns == 4 * SECOND
    assert orders.unsolicited_count == 1
    assert orders.flagged_counts == {"UNSOLICITED": 1}


def test_listed_orders_come_oldest_first_and_by_scope() -> None:
    """With what is left of each, its age and its last report (contract, ListOrders)."""
    desk = Desk(marks={"X": 100, "Y": 50}, symbols={"Y": SymbolRules(multiplier=Decimal(2))})
    first = desk.approve("BUY", 4, 100)
    desk.advance(2)
    second = desk.approve("BUY", 3, 50, symbol="Y", strategy="beta")
    desk.advance(1)
    desk.fill(first, 1, 100)
    desk.report("CANCELED", desk.approve("BUY", 1, 100))
    orders = listing(desk)
    assert [order.order_id for order in orders] == [first, second]
    one, two = orders
    assert [one.quantity, one.remaining_quantity, one.filled_quantity] == [4, 3, 1]
    assert [one.remaining_notional, two.remaining_notional] == [300, 300]
    assert [one.last_report_kind, two.last_report_kind] == ["FILLED", ""]
    assert [one.age_ns, two.age_ns] == [3 * SECOND, SECOND]
    assert one.expires_at == one.approved_at + 10 * SECOND
    assert not one.unsolicited
    assert [o.order_id for o in listing(desk, strategy="beta")] == [second]
    assert [o.order_id for o in listing(desk, symbol="X")] == [first]
    assert listing(desk, "alpha", "Y") == []


def test_a_stranger_that_holds_a_reservation_is_listed_as_unsolicited() -> None:
    """An ACCEPTED with quantity and price reserves it (S7.3)."""
    desk = Desk(marks={"X": 100})
    desk.report("ACCEPTED", "stranger", new_quantity=2, new_limit_price=99)
    order = listing(desk)[0]
    assert order.unsolicited
    assert order.expires_at is None
    assert order.remaining_notional == 200


def test_a_bounded_status_lists_the_largest_and_the_oldest() -> None:
    """Largest exposures and oldest marks are told, and beside each list how many there are."""
    names = [f"S{at}" for at in range(5)]
    desk = Desk(marks=dict.fromkeys(names, 100), position_limits=PositionLimits(max_positions=10))
    for at, name in enumerate(names):
        desk.hold(1 + (at * 3) % 5, 100, symbol=name)
        desk.mark(**{name: 100})
    full = status(desk)
    cut = views.status(desk.state, desk.now, desk.conditions, 2)
    by_exposure = sorted(full.limits.symbols, key=lambda view: view.exposure, reverse=True)
    assert cut.limits.symbols == tuple(by_exposure[:2])
    oldest = sorted(full.account.marks, key=lambda view: view.age_ns, reverse=True)
    assert cut.account.marks == tuple(oldest[:2])
    assert {view.symbol for view in cut.limits.positions} == {view.name for view in by_exposure[:2]}
    assert (cut.limits.symbol_count, cut.account.mark_count) == (5, 5)
    assert cut.limits.strategies == full.limits.strategies


def test_looking_changes_nothing() -> None:
    """A status is read from the state and leaves it as it was (S3)."""
    desk = Desk(marks={"X": 100})
    desk.approve("BUY", 1, 100)
    desk.hold(3, 100, strategy="beta")
    desk.kill("REDUCE_ONLY")
    before = to_plain(desk.state)
    assert status(desk) == status(desk)
    listing(desk)
    assert to_plain(desk.state) == before
    desk.assert_replays()


def test_decisions_are_counted() -> None:
    """Approved and denied, dry runs apart (S4.8)."""
    desk = Desk(equity=1_000, marks={"X": 100})
    desk.approve("BUY", 1, 100)
    desk.check("BUY", 1_000, 100)
    desk.check("BUY", 1, 100, dry_run=True)
    shown = status(desk)
    assert [shown.decisions_approved, shown.decisions_denied] == [1, 1]
    assert shown.last_sequence == desk.sequence
