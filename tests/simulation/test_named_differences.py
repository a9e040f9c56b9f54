"""Differences the campaigns found between the core and the page, each as its smallest case."""

from decimal import Decimal

import pytest

from sidecar.core import engine, views
from sidecar.core.commands import AcceptClock, ReportedOrder, Side
from sidecar.core.denial import CallRefused
from sidecar.core.thresholds import (
    ApprovalRules,
    CircuitBreakerThresholds,
    DrawdownReference,
    OrderRules,
    Thresholds,
)
from tests.core.harness import DAY, SECOND, Desk, codes


def test_two_legs_marked_in_one_report_make_no_high_water_mark_between_them() -> None:
    """Marks of one report are one moment: a hedge that moved as one loses nothing (S8.3)."""
    desk = Desk(equity=1000, marks={"X": 10, "Y": 10})
    desk.hold(100, 10, symbol="X")
    desk.hold(-100, 10, symbol="Y")
    desk.mark(X=12, Y=12)
    assert desk.state.account.equity == 1000
    assert not desk.state.breaker.is_open


def test_both_broken_order_rates_are_listed() -> None:
    """Every violation inside the deciding layer is listed: each rate by its own scope (S4, S5)."""
    rules = OrderRules(max_orders_per_window=1, max_orders_per_window_per_strategy=1)
    desk = Desk(marks={"X": 10}, order_rules=rules)
    desk.approve("BUY", 1, 10)
    decision = desk.check("BUY", 2, 10)
    assert codes(decision) == ["ORDER_RATE", "ORDER_RATE"]
    assert [item.scope for item in decision.violations] == ["portfolio", "strategy:alpha"]


def test_a_day_that_begins_at_zero_equity_can_be_looked_at_and_lived_through() -> None:
    """A value <= 0 anchors no day: the drawdown that stood goes on standing (S8.4, S9)."""
    desk = Desk(equity=1000)
    desk.account(equity=0)
    desk.now += DAY
    desk.api_error()
    desk.account(equity=1000)
    status = views.status(desk.state, desk.now, desk.conditions)
    assert [item.ratio for item in status.account.drawdowns] == [0, 0, 0]
    desk.account(equity=-5)
    desk.now += 7 * DAY
    desk.api_error()
    desk.account(equity=500)
    assert [
        trigger.is_standing
        for trigger in views.status(desk.state, desk.now, desk.conditions).breaker.triggers[:3]
    ] == [True, True, True]


def test_a_fill_of_a_book_that_only_a_listed_order_named_is_covered() -> None:
    """A complete report covers every book, also one it names by an open order alone (S8.2)."""
    desk = Desk(marks={"Y": 10})
    listed = ReportedOrder(
        order_id="v1",
        strategy="beta",
        symbol="Y",
        side=Side.SELL,
        remaining_quantity=Decimal(4),
        cumulative_filled_quantity=Decimal(0),
        limit_price=Decimal(12),
    )
    desk.account(
        positions=(),
        open_orders=(listed,),
        as_of_sequence=desk.sequence,
        as_of_venue_time=desk.now,
    )
    answer = desk.fill(
        "s1", 4, 12, strategy="beta", symbol="Y", side="SELL", venue_time=desk.now - 1
    )
    assert answer.flags == ("UNSOLICITED", "COVERED_BY_ACCOUNT_REPORT")
    assert desk.book("Y", "beta").position == 0


def listed_open(
    order_id: str, remaining: int = 1, filled: int = 0, limit: int | None = None
) -> ReportedOrder:
    """Return an order of alpha in X as the venue lists it."""
    return ReportedOrder(
        order_id=order_id,
        strategy="alpha",
        symbol="X",
        side=Side.BUY,
        remaining_quantity=Decimal(remaining),
        cumulative_filled_quantity=Decimal(filled),
        limit_price=None if limit is None else Decimal(limit),
    )


def test_an_order_listed_after_its_release_is_not_approved_again() -> None:
    """An id that any report has named is already reported, also by a listing (S4.1, S8.2)."""
    desk = Desk(marks={"X": 10})
    order = desk.order("BUY", 1, 10)
    assert desk.ask(order).is_approved
    desk.release(order.order_id)
    desk.account(open_orders=(listed_open(order.order_id),), as_of_sequence=desk.sequence)
    assert codes(desk.ask(order)) == ["ORDER_ALREADY_REPORTED"]
    assert desk.record(order.order_id).remaining == 1
    desk.assert_replays()


def test_a_released_order_that_the_venue_lists_is_reserved_again() -> None:
    """A release is our word: what lives at the venue is held as listed, and shown (S7.5, S8.2)."""
    desk = Desk(marks={"X": 10})
    order_id = desk.approve("BUY", 8, 10)
    desk.report("ACCEPTED", order_id)
    desk.release(order_id)
    assert desk.book().exposure == 0
    answer = desk.account(
        open_orders=(listed_open(order_id, 5, 3, limit=12),), as_of_sequence=desk.sequence
    )
    assert [(item.kind, item.order_id, item.theirs) for item in answer.drift] == [
        ("ORDER_UNKNOWN", order_id, Decimal(5))
    ]
    assert desk.book().buy_quantity == 5
    assert desk.book().exposure == 60
    desk.assert_replays()
    desk.fill(order_id, 8, 12)
    assert desk.book().buy_quantity == 0
    desk.account(open_orders=(listed_open(order_id),), as_of_sequence=desk.sequence)
    assert desk.book().buy_quantity == 0


def test_an_order_listed_beyond_its_good_till_time_is_not_released_again() -> None:
    """The venue has shown that the order outlives its good-till time (S7.5, S8.2)."""
    desk = Desk(marks={"X": 10})
    order_id = desk.approve("BUY", 8, 10, good_till=desk.now)
    desk.advance(3600)
    desk.account(open_orders=(listed_open(order_id, 8),), as_of_sequence=desk.sequence)
    assert desk.record(order_id).remaining == 8
    desk.advance(3600)
    desk.api_error()
    assert desk.record(order_id).remaining == 8
    desk.account(open_orders=(), as_of_sequence=desk.sequence)
    assert desk.record(order_id).remaining == 0
    desk.assert_replays()


@pytest.mark.parametrize("kind", ["CANCELED", "EXPIRED", "REJECTED", "FILLED", "FAILED"])
def test_an_order_the_venue_ended_after_its_release_stays_ended(kind: str) -> None:
    """Only the venue's end is final, be it reported after a release (S7.3, S8.2)."""
    desk = Desk(marks={"X": 10})
    order_id = desk.approve("BUY", 8, 10)
    desk.release(order_id)
    fields = {"fill_quantity": 8, "fill_price": 10} if kind == "FILLED" else {}
    desk.report(kind, order_id, order_done=kind == "FAILED", **fields)
    answer = desk.account(open_orders=(listed_open(order_id, 8),), as_of_sequence=desk.sequence)
    assert answer.drift == ()
    assert desk.book().buy_quantity == 0
    desk.assert_replays()


def test_a_replaced_report_on_a_released_order_leaves_what_it_replaces_held() -> None:
    """Of an order and its released replacement the old one stays held until listed (S4.10)."""
    desk = Desk(marks={"X": 10})
    old = desk.approve("BUY", 8, 10)
    new = desk.approve("BUY", 8, 10, replaces=old)
    desk.release(new)
    assert desk.report("REPLACED", new, new_quantity=8).flags == ("AFTER_END",)
    assert desk.book().buy_quantity == 8
    desk.assert_replays()


def test_a_renewed_exit_that_no_longer_reduces_counts_beside_its_group() -> None:
    """Only reducing orders of a group count once: two exits without a position are two (S4.10)."""
    desk = Desk(marks={"X": 10})
    desk.hold(10, 10)
    desk.approve("SELL", 10, 10, group="exit")
    second = desk.order("SELL", 10, 10, group="exit")
    assert desk.ask(second).is_approved
    assert desk.book().sell_quantity == 10
    desk.fill("by hand", 10, 10, side="SELL")
    desk.advance(11)
    assert desk.ask(second).replayed
    assert desk.book().sell_quantity == 20
    desk.assert_replays()


def test_the_numbers_of_a_violation_are_those_of_the_contract() -> None:
    """What an order itself measures is projected; distances are fractions of the mark (S4.6)."""
    rules = OrderRules(
        max_order_quantity=Decimal(100),
        max_order_notional=Decimal(25_000),
        max_order_notional_ratio=Decimal("0.1"),
        price_collar_ratio=Decimal("0.1"),
    )
    desk = Desk(marks={"X": 100}, order_rules=rules)
    decision = desk.check("BUY", 300, 112)
    shown = [(item.code.value, item.observed, item.projected) for item in decision.violations[:4]]
    assert shown == [
        ("MAX_ORDER_QUANTITY", None, Decimal(300)),
        ("MAX_ORDER_NOTIONAL", None, Decimal(33_600)),
        ("MAX_ORDER_NOTIONAL_RATIO", None, Decimal(33_600)),
        ("PRICE_COLLAR", None, Decimal("0.12")),
    ]
    assert [item.limit for item in decision.violations[:4]] == [
        Decimal(100),
        Decimal(25_000),
        Decimal(10_000),
        Decimal("0.1"),
    ]


def test_a_jump_of_the_mark_is_shown_as_a_fraction_of_it() -> None:
    """MARK_UNCONFIRMED shows how far the mark jumped, against the ratio that was passed (S6)."""
    desk = Desk(marks={"X": 100})
    desk.mark(X=140)
    (violation,) = desk.check("BUY", 1, 100).violations
    assert violation.code.value == "MARK_UNCONFIRMED"
    assert (violation.observed, violation.projected) == (Decimal("0.4"), None)


def test_a_denied_flip_shows_the_position_before_and_after() -> None:
    """Under REDUCE_ONLY a flip from 12 to -11 is denied with both numbers (S4, S10)."""
    desk = Desk(marks={"X": 10})
    desk.hold(12, 10)
    desk.kill("REDUCE_ONLY")
    decision = desk.check("SELL", 23, 10)
    (violation,) = decision.violations
    assert (violation.observed, violation.projected) == (Decimal(12), Decimal(-11))
    assert decision.approvable_quantity == 12


def test_a_full_day_says_when_the_next_one_begins() -> None:
    """DAILY_NOTIONAL helps with tomorrow what fits into a day, and nothing else (S5)."""
    desk = Desk(marks={"X": 10}, order_rules=OrderRules(max_daily_notional=Decimal(100)))
    desk.approve("BUY", 6, 10)
    (violation,) = desk.check("BUY", 6, 10).violations
    assert violation.retry_after_ns == DAY // 2
    (violation,) = desk.check("BUY", 11, 10).violations
    assert violation.retry_after_ns is None


def test_a_repeated_order_says_that_it_is_the_second() -> None:
    """DUPLICATE_ORDER shows one order before, two with this one, one allowed (S5)."""
    rules = OrderRules(duplicate_window_ns=5 * SECOND)
    desk = Desk(marks={"X": 10}, order_rules=rules)
    desk.approve("BUY", 1, 10)
    desk.advance(2)
    (violation,) = desk.check("BUY", 1, 10).violations
    numbers = (violation.observed, violation.projected, violation.limit)
    assert numbers == (Decimal(1), Decimal(2), Decimal(1))
    assert violation.retry_after_ns == 3 * SECOND


def test_a_drawdown_carried_into_a_new_series_trips_with_what_was_reached() -> None:
    """What stood when a series began goes on standing at its threshold, not at zero (S8.3)."""
    desk = Desk(equity=100)
    desk.account(equity=100, flows={"f1": 300})
    assert [(cause.cause, cause.observed) for cause in desk.state.breaker.causes] == [
        ("DAILY_DRAWDOWN", Decimal("0.05")),
        ("WEEKLY_DRAWDOWN", Decimal("0.1")),
        ("TOTAL_DRAWDOWN", Decimal("0.2")),
    ]


def test_a_peak_asked_for_in_the_middle_of_a_day_begins_with_the_value_of_now() -> None:
    """What is reached when the reference becomes the peak is a peak (S8.4)."""
    desk = Desk(equity=1000)
    desk.account(equity=1030)
    breaker = CircuitBreakerThresholds(drawdown_reference=DrawdownReference.PEAK)
    desk.configure(Thresholds(circuit_breaker=breaker))
    desk.account(equity=1000)
    status = views.status(desk.state, desk.now, desk.conditions)
    assert status.account.drawdowns[0].ratio == Decimal("0.029126")
    desk.assert_replays()


def test_what_was_approved_today_counts_once_after_the_clock_was_accepted() -> None:
    """An order renewed on a day with another name is still the order of today (S2.2, S5)."""
    desk = Desk(marks={"X": 10}, order_rules=OrderRules(max_daily_notional=Decimal(100)))
    order = desk.order("BUY", 6, 10)
    assert desk.ask(order).is_approved
    desk.run(AcceptClock(accepted_by="ann", reason="checked", wall=desk.now - 3 * DAY))
    desk.now -= 3 * DAY
    desk.advance(11)
    assert desk.ask(order).replayed
    assert desk.state.account.daily_notional == 60
    desk.assert_replays()


def test_an_order_that_fell_with_its_batch_replaces_nothing() -> None:
    """Asked again for itself it is no successor of what the batch would have replaced (S4.10)."""
    desk = Desk(marks={"X": 10, "Y": 10})
    old = desk.approve("BUY", 5, 10)
    new = desk.order("BUY", 5, 10, replaces=old)
    too_large = desk.order("BUY", 10_000, 10, symbol="Y")
    results = desk.check_batch([new, too_large])
    assert [result.decision.is_approved for result in results if result.decision] == [False, False]
    assert desk.ask(desk.order("BUY", 5, 10, order_id=new.order_id)).is_approved
    desk.report("REPLACED", old, new_quantity=5)
    assert desk.book().buy_quantity == 10
    desk.assert_replays()


def test_a_known_order_is_not_reserved_at_no_price() -> None:
    """A listed order that will be held anew needs a price, whether its id was seen or not (S8.2).

    At no price it held nothing, and its silent bot was not missed.
    """
    desk = Desk(equity=1000)
    desk.report("FAILED", "s1")
    with pytest.raises(CallRefused, match="limit_price"):
        desk.account(open_orders=(listed_open("s1"),), as_of_sequence=desk.sequence)
    desk.account(open_orders=(listed_open("s1", limit=10),), as_of_sequence=desk.sequence)
    assert desk.book().exposure == 10


def test_an_order_is_remembered_for_seven_days_after_its_last_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Released, asked again at once and released later: the later end counts (S7.2)."""
    monkeypatch.setattr(engine, "REMEMBERED_IDS_MIN", 1)
    desk = Desk(
        marks={"X": 10, "Y": 10},
        approvals=ApprovalRules(release_unreported_after_ns=40 * SECOND),
    )
    order = desk.order("BUY", 1, 10)
    assert desk.ask(order).is_approved
    desk.advance(40)
    assert desk.ask(order).replayed
    desk.approve("BUY", 1, 10, symbol="Y")
    desk.approve("BUY", 1, 10, symbol="Y")
    desk.advance(40)
    desk.api_error()
    desk.now += 7 * DAY - SECOND
    desk.api_error()
    assert order.order_id in desk.state.orders
    desk.now += SECOND
    desk.api_error()
    assert order.order_id not in desk.state.orders


def test_an_id_used_before_is_malformed_first() -> None:
    """What replaces an order of another symbol is no request at all, whatever its id (S4.1)."""
    desk = Desk(marks={"X": 10, "Y": 10})
    used = desk.approve("BUY", 1, 10, symbol="Y")
    old = desk.approve("BUY", 1, 10, symbol="Y")
    with pytest.raises(CallRefused, match="replaces_order_id"):
        desk.check("BUY", 1, 10, symbol="X", order_id=used, replaces=old)


def test_a_dry_run_of_an_approved_id_counts_as_one_more_order_of_the_day() -> None:
    """A dry run reads no ids: what its id spent today is spent like any other's (S4.1, S5)."""
    desk = Desk(marks={"X": 10}, order_rules=OrderRules(max_daily_notional=Decimal(150)))
    order_id = desk.approve("BUY", 10, 10)
    assert codes(desk.check("BUY", 10, 10, order_id=order_id, dry_run=True)) == ["DAILY_NOTIONAL"]
    assert desk.check("BUY", 10, 10, order_id=order_id).replayed
