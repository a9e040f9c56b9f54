"""ReportAccount against what is held here: book by book, as of what the bot had seen (S8.2)."""

from decimal import Decimal

import pytest

from sidecar.core import engine
from sidecar.core.answers import BookName
from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.core.state import to_plain
from sidecar.core.thresholds import SymbolRules
from tests.core.harness import Desk
from tests.core.readings import equity_of, refusal, status
from tests.core.snapshots import MIDDAY, desk_with_mark, listed, position, snapshot

# -- positions -------------------------------------------------------------------------------------


def test_complete_positions_replace_ours_and_every_difference_is_drift() -> None:
    """They replace ours; each difference is journalled and shown (S8.2)."""
    desk = desk_with_mark(Y=10, Z=10)
    desk.hold(5, 100)
    desk.hold(3, 10, symbol="Y")
    desk.hold(2, 10, symbol="Z")
    answer = snapshot(desk, position(7), position(2, symbol="Z"))
    assert [desk.book(symbol).position for symbol in "XYZ"] == [7, 0, 2]
    shown = [(d.kind, d.strategy, d.symbol, d.ours, d.theirs) for d in answer.drift]
    assert shown == [
        ("POSITION", "alpha", "X", Decimal(5), Decimal(7)),
        ("POSITION", "alpha", "Y", Decimal(3), Decimal(0)),
    ]
    assert status(desk).account.last_drift == answer.drift
    desk.assert_replays()


def test_positions_not_said_to_be_complete_only_show_drift() -> None:
    """Nothing is replaced by a part of the picture (S8.2)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    answer = desk.account(positions=[position(9)], is_complete=False)
    assert desk.book().position == 5
    assert [d.theirs for d in answer.drift] == [9]
    assert not desk.state.account.positions_confirmed


def test_without_equity_in_the_report_equity_stays() -> None:
    """Replaced positions leave equity as it was (S8.2)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    desk.mark(X=110)
    before = equity_of(desk)
    snapshot(desk, position(-20))
    assert equity_of(desk) == before
    desk.mark(X=111)
    assert equity_of(desk) == before - 20


def test_with_equity_in_the_report_equity_is_the_reports() -> None:
    """Equity comes last and sets cash for the new positions (S8.3, S8.1)."""
    desk = desk_with_mark()
    snapshot(desk, position(10), equity=100_500)
    assert equity_of(desk) == 100_500
    desk.mark(X=101)
    assert equity_of(desk) == 100_510


def test_a_position_without_a_mark_is_marked_at_its_average_price() -> None:
    """So equity is right from then on (S8.2)."""
    desk = Desk(equity=100_000)
    snapshot(desk, position(10, 40))
    assert desk.state.symbols["X"].mark == 40
    assert equity_of(desk) == 100_000
    desk.mark(X=41)
    assert equity_of(desk) == 100_010


def test_an_average_price_never_replaces_a_mark() -> None:
    """It stands in only where there is none (S8.2)."""
    desk = desk_with_mark()
    snapshot(desk, position(10, 40))
    assert desk.state.symbols["X"].mark == 100


def test_a_mark_of_the_same_report_serves_its_positions() -> None:
    """Marks come first (S8.3)."""
    desk = Desk(equity=100_000)
    snapshot(desk, position(10), marks={"X": 55})
    assert desk.state.symbols["X"].mark == 55


def test_a_position_without_mark_and_average_is_invalid() -> None:
    """INVALID_ARGUMENT naming the field; nothing is applied (S8.2)."""
    desk = Desk(equity=100_000)
    before = to_plain(desk.state)
    with pytest.raises(CallRefused, match=r"positions\[1\].average_price") as caught:
        snapshot(desk, position(10, 40), position(1, symbol="Y"), flows={"f": 5})
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert to_plain(desk.state) == before


def test_positions_are_not_confirmed_until_a_first_complete_report() -> None:
    """Until then status shows POSITIONS NOT_CONFIRMED (S8.2)."""
    desk = desk_with_mark()
    assert not status(desk).account.positions_confirmed
    desk.account(equity=100_000, positions=[position(1)], is_complete=False)
    assert not status(desk).account.positions_confirmed
    snapshot(desk)
    assert status(desk).account.positions_confirmed


def test_assume_flat_confirms_positions() -> None:
    """Or `--assume-flat` (S8.2)."""
    desk = desk_with_mark()
    desk.turn(engine.assume_flat)
    assert status(desk).account.positions_confirmed


# -- as of what the bot had seen -------------------------------------------------------------------


def test_a_snapshot_taken_before_a_fill_does_not_undo_it() -> None:
    """The book is left as it is and listed; the others are replaced (S8.2)."""
    desk = desk_with_mark(Y=10)
    as_of = desk.sequence
    desk.hold(5, 100)
    answer = snapshot(desk, position(4, symbol="Y"), as_of=as_of)
    assert answer.skipped_books == (BookName(strategy="alpha", symbol="X"),)
    assert [desk.book("X").position, desk.book("Y").position] == [5, 4]
    assert all(drift.symbol != "X" for drift in answer.drift)


def test_a_snapshot_taken_at_the_fills_own_sequence_replaces() -> None:
    """Only what came *later* than `as_of_sequence` is protected (S8.2)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    answer = snapshot(desk, position(6), as_of=desk.sequence)
    assert answer.skipped_books == ()
    assert desk.book().position == 6


def test_a_snapshot_taken_before_an_approval_leaves_its_book() -> None:
    """An approval later than `as_of_sequence` protects its book, orders too (S8.2)."""
    desk = desk_with_mark()
    first = desk.approve("BUY", 2, 100)
    desk.report("ACCEPTED", first)
    as_of = desk.sequence
    desk.approve("BUY", 5, 100)
    answer = snapshot(desk, position(3), orders=(), as_of=as_of)
    assert answer.skipped_books == (BookName(strategy="alpha", symbol="X"),)
    assert desk.book().buy_quantity == 7
    assert desk.book().position == 0


def test_a_listed_order_of_a_skipped_book_is_left_too() -> None:
    """A book is taken whole or not at all (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 5, 100)
    as_of = desk.sequence
    desk.fill(order_id, 2, 100)
    answer = snapshot(desk, orders=(listed(order_id, 5),), as_of=as_of)
    assert desk.record(order_id).remaining == 3
    assert len(answer.skipped_books) == 1


def test_open_orders_alone_leave_a_book_that_moved_in_the_very_next_record() -> None:
    """The first record after `as_of_sequence` is later than it, without positions too (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 5, 100)
    as_of = desk.sequence
    desk.fill(order_id, 2, 100)
    assert desk.sequence == as_of + 1
    answer = desk.account(open_orders=[listed(order_id, 5)], as_of_sequence=as_of)
    assert desk.record(order_id).remaining == 3
    assert answer.skipped_books == (BookName(strategy="alpha", symbol="X"),)


def test_two_strategies_of_a_symbol_are_books_of_their_own() -> None:
    """Applied book by book (S8.2)."""
    desk = desk_with_mark()
    as_of = desk.sequence
    desk.hold(5, 100, strategy="alpha")
    desk.hold(5, 100, strategy="beta")
    answer = snapshot(desk, position(1, strategy="beta"), as_of=as_of + 1)
    assert answer.skipped_books == (BookName(strategy="beta", symbol="X"),)
    assert [desk.book().position, desk.book(strategy="beta").position] == [0, 5]


# -- fills that an earlier snapshot holds already --------------------------------------------------


@pytest.mark.parametrize(
    ("venue_time", "expected"), [(MIDDAY - 1, 5), (MIDDAY, 5), (MIDDAY + 1, 10), (None, 10)]
)
def test_a_fill_that_the_snapshot_covered_moves_no_position(
    venue_time: int | None, expected: int
) -> None:
    """`venue_time` at or before the `as_of_venue_time` that covered its book (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 5, 100)
    snapshot(desk, position(5))
    answer = desk.fill(order_id, 5, 100, venue_time=venue_time)
    assert desk.book().position == expected
    assert desk.record(order_id).was_ended
    assert desk.book().buy_quantity == 0
    assert ("COVERED_BY_ACCOUNT_REPORT" in answer.flags) is (expected == 5)
    desk.assert_replays()


def test_a_covered_fill_counts_fee_and_result() -> None:
    """It closes reservations and counts fee and P&L (S8.2)."""
    desk = desk_with_mark()
    desk.hold(5, 100)
    order_id = desk.approve("SELL", 5, 90)
    snapshot(desk, equity=99_950)
    desk.fill(order_id, 5, 90, venue_time=MIDDAY, fee=1, realized_pnl=-51)
    assert desk.book().position == 0
    assert not desk.record(order_id).is_open
    assert equity_of(desk) == 99_949
    assert desk.state.breaker.consecutive_losses == 1


def test_a_strangers_fill_before_the_snapshot_moves_no_position() -> None:
    """Complete positions cover every book, also one they do not mention (S8.2)."""
    desk = desk_with_mark()
    snapshot(desk)
    desk.fill("stranger", 5, 100, venue_time=MIDDAY - 1)
    assert desk.book().position == 0
    desk.fill("later", 5, 100, venue_time=MIDDAY + 1)
    assert desk.book().position == 5
    desk.assert_replays()


def test_a_snapshot_that_skipped_a_book_covers_none_of_its_fills() -> None:
    """Only a snapshot that was applied to a book covers it (S8.2)."""
    desk = desk_with_mark()
    as_of = desk.sequence
    order_id = desk.approve("BUY", 5, 100)
    snapshot(desk, position(5), as_of=as_of)
    desk.fill(order_id, 5, 100, venue_time=MIDDAY - 1)
    assert desk.book().position == 5


def test_a_listed_order_covers_the_fills_it_lists() -> None:
    """A later FILLED inside the listed filled quantity moves no position (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    snapshot(desk, position(4), orders=(listed(order_id, 6, 4),))
    assert desk.record(order_id).remaining == 6
    desk.fill(order_id, 3, 100)
    assert [desk.book().position, desk.record(order_id).remaining] == [4, 6]
    desk.fill(order_id, 3, 100)  # 1 of it was listed, 2 are new
    assert [desk.book().position, desk.record(order_id).remaining] == [6, 4]
    desk.fill(order_id, 4, 100)
    assert [desk.book().position, desk.record(order_id).remaining] == [10, 0]
    assert desk.record(order_id).was_ended
    desk.assert_replays()


def test_a_listing_without_complete_positions_swallows_no_fill() -> None:
    """Our position did not hold those fills, so they still move it (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.account(open_orders=[listed(order_id, 6, 4)], as_of_sequence=desk.sequence)
    desk.fill(order_id, 4, 100)
    assert [desk.book().position, desk.record(order_id).remaining] == [4, 6]
    desk.fill(order_id, 6, 100)
    assert [desk.book().position, desk.record(order_id).remaining] == [10, 0]


def test_a_listing_counts_what_was_reported_before_it() -> None:
    """Of 4 listed as filled 3 were reported: one more is covered, the next moves (S8.2)."""
    desk = desk_with_mark()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 3, 100)
    snapshot(desk, position(4), orders=(listed(order_id, 6, 4),))
    desk.fill(order_id, 1, 100)
    assert desk.book().position == 4
    desk.fill(order_id, 1, 100)
    assert [desk.book().position, desk.record(order_id).remaining] == [5, 5]


# -- form and repetition ---------------------------------------------------------------------------


def test_every_fault_of_a_report_is_named_at_once() -> None:
    """INVALID_ARGUMENT with every faulty field (S4.1, S8.2)."""
    desk = Desk(equity=100_000)
    refused = refusal(
        desk,
        positions=[position(1, symbol="Q"), position(2, symbol="Q")],
        open_orders=[listed("o", 1), listed("o", 2)],
    )
    assert refused.code is ErrorCode.INVALID_ARGUMENT
    assert {fault.field for fault in refused.field_faults} >= {
        "as_of_sequence",
        "as_of_venue_time",
        "positions[0].average_price",
        "positions[1]",
        "open_orders[0].limit_price",
        "open_orders[1]",
    }


@pytest.mark.parametrize(("ahead", "is_refused"), [(0, False), (1, True), (50, True)])
def test_a_sequence_that_never_was_is_refused(ahead: int, is_refused: bool) -> None:
    """`as_of_sequence` names a record the bot had seen, so it exists (S8.2)."""
    desk = desk_with_mark()
    if not is_refused:
        snapshot(desk, as_of=desk.sequence + ahead)
        return
    with pytest.raises(CallRefused, match="as_of_sequence"):
        snapshot(desk, as_of=desk.sequence + ahead)


def test_the_same_report_again_changes_nothing() -> None:
    """Same (RPC, report_id) and content: `duplicate` (S7.2)."""
    desk = desk_with_mark()
    first = desk.account(report_id="a", flows={"f": 10}, equity=100_010)
    sequence = desk.sequence
    second = desk.account(report_id="a", flows={"f": 10}, equity="100010.0")
    assert [first.duplicate, second.duplicate] == [False, True]
    assert desk.sequence == sequence


def test_a_report_id_reused_with_other_content_already_exists() -> None:
    """ALREADY_EXISTS naming the fields, nothing applied, counted and shown (S7.2)."""
    desk = desk_with_mark()
    desk.account(report_id="a", equity=100_000)
    refused = refusal(desk, report_id="a", equity=90_000, marks={"X": 101})
    assert refused.code is ErrorCode.ALREADY_EXISTS
    assert {fault.field for fault in refused.field_faults} == {"equity", "marks"}
    assert equity_of(desk) == 100_000
    assert status(desk).orders.conflicting_reports == 1
    desk.assert_replays()


def test_report_ids_belong_to_their_call() -> None:
    """An API error and an account report may share an id (S7.2)."""
    desk = desk_with_mark()
    desk.api_error(report_id="a")
    assert not desk.account(report_id="a", equity=100_000).duplicate


def test_multipliers_count_in_replaced_positions() -> None:
    """Equity stays with contracts too (S8.2, S2.6)."""
    desk = Desk(equity=100_000, symbols={"X": SymbolRules(multiplier=Decimal(50))})
    snapshot(desk, position(2, 100))
    assert equity_of(desk) == 100_000
    desk.mark(X=101)
    assert equity_of(desk) == 100_100
