"""What a trade report does to reservations and memory; odd facts are applied and flagged (S7)."""

from decimal import Decimal
from typing import Any

import pytest

from sidecar.core import engine
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.state import to_plain
from sidecar.core.thresholds import CircuitBreakerThresholds
from tests.core.harness import DAY, NOON, Desk, codes


def desk_with_mark(**rules: object) -> Desk:
    """Return a desk with a mark of 100 in X."""
    return Desk(marks={"X": 100}, **rules)  # type: ignore[arg-type]  # the sections are the desk's


def reserved(desk: Desk) -> tuple[object, object]:
    """Return position and outstanding buys of the one book."""
    return desk.book().position, desk.book().buy_quantity


# -- reserved + filled (S7.1) -------------------------------------------------------------------


def test_an_approval_reserves_at_once() -> None:
    """The next order sees the reservation of the one before (S7.1)."""
    desk = desk_with_mark()
    desk.approve("BUY", 300, 100)
    assert codes(desk.check("BUY", "0.00000001", 100)) == ["SYMBOL_EXPOSURE"]


def test_a_partial_fill_moves_from_reserved_to_filled() -> None:
    """Reserved + filled stays what was approved (S7.1)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    assert reserved(desk) == (0, 10)
    desk.report("ACCEPTED", order_id)
    assert reserved(desk) == (0, 10)
    desk.fill(order_id, 4, 99)
    assert reserved(desk) == (4, 6)
    assert desk.book().buy_notional == 600, "the price reserved is fixed"
    desk.fill(order_id, 6, 101)
    assert reserved(desk) == (10, 0)
    desk.assert_replays()


def test_a_fill_after_cancel_is_applied_and_reserves_nothing() -> None:
    """Fill after cancel: the position moves, flagged; terminal stays final (S7.1, S7.3)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("CANCELED", order_id)
    answer = desk.fill(order_id, 3, 100)
    assert answer.flags == ("FILLED_AFTER_END",)
    assert reserved(desk) == (3, 0)
    desk.report("CANCELED", order_id)
    assert reserved(desk) == (3, 0)
    desk.assert_replays()


def test_a_fill_beyond_the_approved_quantity_is_applied_and_flagged() -> None:
    """Overfill: the whole fill moves the position, nothing negative is reserved (S7.1)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    answer = desk.fill(order_id, 12, 100)
    assert answer.flags == ("OVERFILLED",)
    assert reserved(desk) == (12, 0)
    assert not desk.record(order_id).is_open
    assert desk.fill(order_id, 1, 100).flags == ("OVERFILLED", "FILLED_AFTER_END")
    assert reserved(desk) == (13, 0)


def test_later_accepted_and_replaced_change_no_reservation() -> None:
    """Terminal is final: neither ACCEPTED nor REPLACED reserves again (S7.3)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("EXPIRED", order_id)
    for kind in ("ACCEPTED", "REPLACED"):
        answer = desk.report(kind, order_id, new_quantity=50, new_limit_price=100)
        assert answer.flags == ("AFTER_END",)
        assert reserved(desk) == (0, 0)
    desk.assert_replays()


def test_a_fee_in_what_was_bought_reduces_the_position() -> None:
    """`fee_quantity` is paid in what was bought (S7.4)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 10, 100, fee_quantity="0.1")
    assert reserved(desk) == (Decimal("9.9"), 0)


def test_a_fee_of_all_that_was_bought_is_taken() -> None:
    """At the bound is allowed: nothing was left of the fill (S7.4)."""
    desk = Desk(equity=100_000, marks={"X": 100})
    order_id = desk.approve("BUY", 1, 100)
    desk.fill(order_id, 1, 100, fee_quantity=1)
    assert desk.book().position == 0


@pytest.mark.parametrize(
    ("side", "fee_quantity"), [("SELL", "0.1"), ("BUY", "1.1")], ids=["sale", "more than filled"]
)
def test_an_impossible_fee_quantity_is_refused(side: str, fee_quantity: str) -> None:
    """INVALID_ARGUMENT names `fee_quantity`, and nothing is applied (S4.1, S7.4)."""
    desk = desk_with_mark()
    order_id = desk.approve(side, 1, 100)
    with pytest.raises(CallRefused) as refused:
        desk.fill(order_id, 1, 100, fee_quantity=fee_quantity)
    assert refused.value.code is ErrorCode.INVALID_ARGUMENT
    assert [fault.field for fault in refused.value.field_faults] == ["fee_quantity"]
    assert desk.record(order_id).is_open


# -- repeated reports (S7.2) --------------------------------------------------------------------


def test_a_repeated_report_changes_nothing() -> None:
    """Same key, same content: `duplicate`, no record, not one field of the state moves (S7.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 4, 100, report_id="r", fee=1)
    before, length = to_plain(desk.state), len(desk.journal)
    answer = desk.fill(order_id, "4.00", "100.0", report_id="r", fee=1, note="again")
    assert answer.duplicate
    assert not answer.unsolicited
    assert answer.sequence <= length + 1
    assert to_plain(desk.state) == before
    assert len(desk.journal) == length


CONFLICTS: list[tuple[dict[str, Any], str]] = [
    ({"fill_quantity": 5}, "fill_quantity"),
    ({"fill_price": 101}, "fill_price"),
    ({"fee": 2}, "fee"),
    ({"realized_pnl": 3}, "realized_pnl"),
    ({"order_done": True}, "order_done"),
    ({"venue_time": NOON}, "venue_time"),
    ({"symbol": "Y"}, "symbol"),
    ({"strategy": "beta"}, "strategy"),
    ({"side": "SELL"}, "side"),
]


@pytest.mark.parametrize(("changed", "field"), CONFLICTS, ids=[f for _, f in CONFLICTS])
def test_a_report_id_with_other_content_is_refused_and_counted(
    changed: dict[str, Any], field: str
) -> None:
    """ALREADY_EXISTS names the fields; nothing is applied; counted and journalled (S7.2, [*])."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    first: dict[str, Any] = {"fill_quantity": 4, "fill_price": 100, "fee": 1}
    desk.report("FILLED", order_id, report_id="r", **first)
    before = reserved(desk), desk.state.account.cash
    with pytest.raises(CallRefused) as refused:
        desk.report("FILLED", order_id, report_id="r", **(first | changed))
    assert refused.value.code is ErrorCode.ALREADY_EXISTS
    assert [fault.field for fault in refused.value.field_faults] == [field]
    assert (reserved(desk), desk.state.account.cash) == before
    assert desk.state.conflicting_reports == 1
    assert [type(event).__name__ for event in desk.events] == ["ReportConflicted"]
    desk.assert_replays()


def test_the_kind_is_content_too() -> None:
    """CANCELED under the id of an ACCEPTED names `kind` (S7.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("ACCEPTED", order_id, report_id="r")
    with pytest.raises(CallRefused) as refused:
        desk.report("CANCELED", order_id, report_id="r")
    assert [fault.field for fault in refused.value.field_faults] == ["kind"]
    assert desk.record(order_id).is_open


def test_the_same_report_id_of_another_order_is_another_report() -> None:
    """The key is (order_id, report_id) (S7.2)."""
    desk = desk_with_mark()
    for _ in range(2):
        order_id = desk.approve("BUY", 10, 100)
        assert not desk.fill(order_id, 10, 100, report_id="r").duplicate
    assert desk.book().position == 20


def test_api_errors_are_keyed_by_their_own_report_id() -> None:
    """Repeated: not counted again; other content: ALREADY_EXISTS naming the fields (S7.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.report("ACCEPTED", order_id, report_id="r")
    assert desk.api_error(report_id="r", api="orders", message="timed out").errors_in_window == 1
    again = desk.api_error(report_id="r", api="orders", message="timed out")
    assert again.duplicate
    assert again.errors_in_window == 1
    with pytest.raises(CallRefused) as refused:
        desk.api_error(report_id="r", api="orders", message="refused", error_code="7")
    assert refused.value.code is ErrorCode.ALREADY_EXISTS
    assert [fault.field for fault in refused.value.field_faults] == ["code", "message"]
    assert desk.state.conflicting_reports == 1
    desk.assert_replays()


def test_a_restart_keeps_what_makes_a_report_a_repetition() -> None:
    """After a start from journal or snapshot the same reports are duplicates still (S7.2, S3)."""
    for from_snapshot in (False, True):
        desk = desk_with_mark()
        order_id = desk.approve("BUY", 10, 100)
        desk.fill(order_id, 4, 100, report_id="r")
        desk.api_error(report_id="e")
        desk.restart(from_snapshot=from_snapshot)
        assert desk.fill(order_id, 4, 100, report_id="r").duplicate
        assert desk.api_error(report_id="e").duplicate
        assert reserved(desk) == (4, 6)


def test_ids_are_forgotten_only_beyond_their_number_and_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ended ids stay seven days and a million, held ones always; older is refused (S7.2)."""
    monkeypatch.setattr(engine, "REMEMBERED_IDS_MIN", 2)
    desk = desk_with_mark()
    held = desk.approve("BUY", 1, 100, order_id="held")
    ended = [desk.approve("BUY", 1, 100) for _ in range(4)]
    for order_id in ended:
        desk.report("CANCELED", order_id)
        desk.api_error()
        desk.advance(1)
    desk.advance(6 * 86_400)
    desk.api_error()
    assert set(ended) < set(desk.state.orders), "seven days have not passed"
    desk.advance(86_400)
    desk.api_error()
    assert list(desk.state.orders) == [held, *ended[2:]]
    assert len(desk.state.reports) <= 3
    with pytest.raises(CallRefused) as refused:
        desk.fill(ended[0], 1, 100, venue_time=NOON)
    assert refused.value.code is ErrorCode.FAILED_PRECONDITION
    assert desk.book().position == 0
    answer = desk.fill("new", 1, 100, venue_time=desk.now)
    assert answer.unsolicited
    desk.assert_replays()
    assert desk.now > NOON + 7 * DAY


# -- strangers (S7.3) ---------------------------------------------------------------------------


def test_a_fill_of_an_order_we_never_approved_is_applied_and_flagged() -> None:
    """UNSOLICITED: applied to the book, counted once an order, never dropped (S7.3)."""
    desk = desk_with_mark()
    for _ in range(2):
        answer = desk.fill("stranger", 2, 100, side="BUY")
        assert answer.unsolicited
        assert answer.flags == ("UNSOLICITED",)
    assert desk.book().position == 4
    assert desk.state.unsolicited_orders == 1
    assert not desk.state.breaker.is_open
    desk.assert_replays()


def test_an_unsolicited_order_trips_where_configured() -> None:
    """`trip_on_unsolicited` opens the breaker with the cause UNSOLICITED, once (S7.3, S9)."""
    desk = desk_with_mark(circuit_breaker=CircuitBreakerThresholds(trip_on_unsolicited=True))
    for _ in range(2):
        desk.fill("stranger", 1, 100)
    assert [cause.cause for cause in desk.state.breaker.causes] == ["UNSOLICITED"]
    assert desk.state.stop_epoch == 1


def test_accepted_with_quantity_and_price_reserves_a_stranger() -> None:
    """A stranger at the venue holds what it may still fill (S7.3)."""
    desk = desk_with_mark()
    answer = desk.report("ACCEPTED", "stranger", side="BUY", new_quantity=300, new_limit_price=90)
    assert answer.unsolicited
    assert desk.book().buy_notional == 30_000, "priced as a limit: the mark is higher"
    assert codes(desk.check("BUY", 1, 100)) == ["SYMBOL_EXPOSURE"]
    desk.fill("stranger", 100, 90)
    assert reserved(desk) == (100, 200)
    desk.report("CANCELED", "stranger")
    assert reserved(desk) == (100, 0)
    desk.assert_replays()


@pytest.mark.parametrize(
    "fields", [{}, {"new_quantity": 5}, {"new_limit_price": 5}], ids=["none", "quantity", "price"]
)
def test_accepted_without_quantity_and_price_reserves_nothing(fields: dict[str, int]) -> None:
    """Without both there is nothing to reserve; the id is known from here on (S7.3)."""
    desk = desk_with_mark()
    desk.report("ACCEPTED", "stranger", **fields)
    assert desk.state.open_orders == {}
    assert codes(desk.check("BUY", 1, 100, order_id="stranger")) == ["ORDER_ALREADY_REPORTED"]


def test_a_stranger_is_reserved_less_what_it_filled_before() -> None:
    """FILLED before ACCEPTED: reserved is what is left; all filled leaves nothing (S7.1, S7.3)."""
    desk = desk_with_mark()
    desk.fill("some", 4, 100)
    desk.report("ACCEPTED", "some", new_quantity=10, new_limit_price=100)
    assert reserved(desk) == (4, 6)
    desk.fill("all", 10, 100)
    desk.report("ACCEPTED", "all", new_quantity=10, new_limit_price=100)
    assert reserved(desk) == (14, 6)
    assert not desk.record("all").is_open, "filled has reached the whole of it"
    desk.report("CANCELED", "gone")
    desk.report("ACCEPTED", "gone", new_quantity=10, new_limit_price=100)
    assert reserved(desk) == (14, 6)


# -- contradictions (S7.3) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "book"),
    [
        ({"symbol": "Y"}, ("Y", "alpha", 3)),
        ({"strategy": "beta"}, ("X", "beta", 3)),
        ({"side": "SELL"}, ("X", "alpha", -3)),
    ],
    ids=["symbol", "strategy", "side"],
)
def test_a_contradicting_fill_goes_to_the_book_it_names(
    named: dict[str, Any], book: tuple[str, str, int]
) -> None:
    """Applied to the book it names, flagged, and the reservation is left as it is (S7.3)."""
    desk = Desk(marks={"X": 100, "Y": 100})
    order_id = desk.approve("BUY", 10, 100)
    answer = desk.fill(order_id, 3, 100, **named)
    assert answer.flags == ("CONTRADICTS_APPROVAL",)
    symbol, strategy, position = book
    assert desk.book(symbol, strategy).position == position
    assert desk.record(order_id).remaining == 10
    assert desk.book().buy_quantity == 10
    desk.fill(order_id, 10, 100)
    assert not desk.record(order_id).is_open
    desk.assert_replays()


def test_a_contradicting_cancel_leaves_the_reservation() -> None:
    """A CANCELED that names another book is somebody else's: the order may be alive (S7.3)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    answer = desk.report("CANCELED", order_id, symbol="Y")
    assert answer.flags == ("CONTRADICTS_APPROVAL",)
    assert desk.record(order_id).is_open
    assert desk.book().buy_quantity == 10


# -- reducing, after the fact -------------------------------------------------------------------


def test_a_position_of_twelve_is_not_reduced_by_twenty_three() -> None:
    """+12 -> -11 is not reducing, though it is nearer to flat ([*] nautilus)."""
    desk = desk_with_mark()
    desk.hold(12, 100)
    desk.kill("REDUCE_ONLY")
    denied = desk.check("SELL", 23, 100)
    assert codes(denied) == ["KILL_SWITCH_REDUCE_ONLY"]
    assert denied.approvable_quantity == 12


def test_two_full_closes_do_not_both_pass() -> None:
    """The first close is counted against the second ([*] Lean)."""
    desk = desk_with_mark()
    desk.hold(12, 100)
    desk.kill("REDUCE_ONLY")
    first = desk.approve("SELL", 12, 100)
    denied = desk.check("SELL", 12, 100)
    assert not denied.is_approved
    assert denied.approvable_quantity == 0
    assert denied.blocking_order_ids == (first,)
    desk.fill(first, 2, 100)
    assert not desk.check("SELL", 1, 100).is_approved
    desk.report("CANCELED", first)
    assert desk.check("SELL", 10, 100).is_approved


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_flat_means_nothing_reduces(side: str) -> None:
    """Nothing can reduce a flat book ([*] nautilus: any order opened when flat)."""
    desk = desk_with_mark()
    desk.hold(1, 100)
    desk.hold(-1, 100)
    assert desk.book().position == 0
    desk.kill("REDUCE_ONLY")
    for quantity in ("0.00000001", 1):
        decision = desk.check(side, quantity, 100)
        assert not decision.is_approved
        assert decision.approvable_quantity == 0


def test_one_long_does_not_flip_to_ninety_nine_short() -> None:
    """A sell of 100 on a long of 1 does not reduce ([*] nautilus)."""
    desk = desk_with_mark()
    desk.hold(1, 100)
    desk.kill("REDUCE_ONLY")
    denied = desk.check("SELL", 100, 100)
    assert not denied.is_approved
    assert denied.approvable_quantity == 1


def test_a_position_of_another_strategy_is_not_reduced() -> None:
    """Reducing is of the book: beta's flat book reduces nothing of alpha's long (S4)."""
    desk = desk_with_mark()
    desk.hold(10, 100)
    desk.kill("REDUCE_ONLY")
    assert not desk.check("SELL", 1, 100, strategy="beta").is_approved
    assert desk.check("SELL", 1, 100).is_approved


def test_shorts_are_reduced_by_buying() -> None:
    """The mirror: -12 is reduced by 12, not by 13 (S4)."""
    desk = desk_with_mark()
    desk.hold(-12, 100)
    desk.kill("REDUCE_ONLY")
    assert not desk.check("BUY", 13, 100).is_approved
    assert desk.check("BUY", 12, 100).is_approved
    assert not desk.check("BUY", "0.00000001", 100).is_approved


def test_our_own_denials_cancels_and_expiries_do_not_feed_the_breaker() -> None:
    """A hundred denials, cancels and expiries leave every counter at zero (S9)."""
    desk = desk_with_mark()
    for _ in range(30):
        assert not desk.check("BUY", 1000, 100).is_approved
        desk.report("CANCELED", desk.approve("BUY", 1, 100))
        desk.report("EXPIRED", desk.approve("BUY", 1, 100))
    breaker = desk.state.breaker
    assert not breaker.is_open
    assert (breaker.order_failures, breaker.consecutive_losses) == (0, 0)
    assert breaker.api_errors.times == []
    assert breaker.failed_trades.times == []
    assert breaker.warned == []
