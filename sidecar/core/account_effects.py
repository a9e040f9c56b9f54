"""What an account report and a clock decision change (S8.2, S2.2)."""

from sidecar.core.account import follow_equity
from sidecar.core.answers import RecoveryState
from sidecar.core.events import AccountReported, BookReplaced, ClockAccepted, OpenOrderListed
from sidecar.core.exposure import move_position
from sidecar.core.numbers import ZERO
from sidecar.core.reservations import hold, hold_again, schedule_release, set_remaining
from sidecar.core.state import OrderRecord, RememberedReport, SlidingWindow, State
from sidecar.core.trades import restart_trip


def apply_account_reported(state: State, event: AccountReported) -> None:
    """Remember the report; a complete one confirms positions, and ends a recovery.

    Peaks follow the report as a whole: between two marks of one report equity has no meaning.
    [two legs of a hedge moved together, and the first alone made a high-water mark]
    """
    follow_equity(state)
    state.reports[f"ReportAccount {event.report_id}"] = RememberedReport(
        content=event.content, at=state.now
    )
    account = state.account
    if event.drift:
        account.drift = list(event.drift)
        account.drift_at = state.now
    if event.positions_complete:
        account.positions_confirmed = True
        account.positions_as_of = event.as_of_venue_time
    recovery = state.recovery
    # A skipped book was not compared: what may be forgotten there is still to be found.
    is_complete = event.positions_complete and event.open_orders_complete
    is_whole = is_complete and event.skipped_count == 0
    if recovery.way_out and is_whole and (event.as_of_sequence or 0) >= recovery.sequence:
        recovery.state = RecoveryState.RECOVERED
        recovery.detail = f"{recovery.detail}; reconciled by account report {event.report_id}"
        recovery.way_out = ""
        recovery.denies_reducing = False
        state.last_start_at = state.now


def apply_book_replaced(state: State, event: BookReplaced) -> None:
    """Set a book to the venue's position; a changed quantity starts a new round trip."""
    book = state.book_of(event.strategy, event.symbol)
    book.as_of_venue_time = event.as_of_venue_time
    change = event.quantity - book.position
    if not change:
        return
    symbol = state.symbols[event.symbol]
    if event.keeps_equity:
        state.account.cash -= change * (symbol.mark or ZERO) * symbol.rules.multiplier
    move_position(state, book, change)
    restart_trip(state, book, event.average_price)


def apply_open_order_listed(state: State, event: OpenOrderListed) -> None:
    """Set an order's remaining and filled to the venue's; reserve one we did not know."""
    record = state.orders.get(event.order_id)
    if record is None:
        record = OrderRecord(
            order_id=event.order_id,
            strategy=event.strategy,
            symbol=event.symbol,
            side=event.side,
            first_reported_sequence=state.last_sequence,
        )
        state.orders[event.order_id] = record
        state.unsolicited_orders += 1
    if record.first_reported_sequence is None:
        record.first_reported_sequence = state.last_sequence
        state.unreported.pop(record.order_id, None)
    if record.is_final:
        # What the venue ended stays ended; an id no report named is known there now.
        record.last_report_kind = "LISTED"
        return
    record.last_report_at = state.now
    record.last_report_kind = "LISTED"
    record.touched_at = state.now
    record.filled = event.cumulative_filled_quantity
    record.listed_filled = event.cumulative_filled_quantity
    if event.covers_position:
        record.covered_filled = event.cumulative_filled_quantity
    record.whole_quantity = event.remaining_quantity + event.cumulative_filled_quantity
    if record.is_open:
        set_remaining(state, record, event.remaining_quantity, event.price)
    elif record.was_released:
        hold_again(state, record, event.remaining_quantity, event.price)
    else:
        record.approved_at = state.now
        record.approved_sequence = state.last_sequence
        book = state.book_of(record.strategy, record.symbol)
        hold(state, book, record, event.remaining_quantity, event.price)


def apply_clock_accepted(state: State, event: ClockAccepted) -> None:
    """Re-base every remembered instant, so that ages, windows, anchors and latches stay."""
    shift = event.shift_ns
    account, breaker = state.account, state.breaker
    day = account.day
    account.day, account.week, account.day_ends_at = event.day, event.week, event.day_ends_at
    account.held_at += shift
    windows: list[SlidingWindow] = [breaker.api_errors, breaker.failed_trades, state.rate]
    for strategy in state.strategies.values():
        strategy.heard_at += shift
        windows.append(strategy.rate)
    for window in windows:
        window.times = [at + shift for at in window.times]
    for symbol in state.symbols.values():
        symbol.mark_at += shift
        symbol.candidate_at += shift
    for memory in state.duplicates.values():
        memory.at += shift
        memory.other_at = None if memory.other_at is None else memory.other_at + shift
    for timed in (*state.duplicate_queue, *state.ended):
        timed.at += shift
    for remembered in state.reports.values():
        remembered.at += shift
    for record in state.orders.values():
        _shift_order(record, shift)
        # What was approved today counts today, whatever the day is called now.
        record.daily_day = event.day if record.daily_day == day else ""
    for order_id in state.expiries:
        state.expiries[order_id] += shift
    state.expiry_due = 0
    # A good-till time is the venue's and stays; what is due follows from it and the moved ones.
    state.release_heap = []
    for order_id in state.open_orders:
        schedule_release(state, state.orders[order_id])
    state.silence_due = 0
    state.clock_jump_ns = 0
    state.now += shift


def _shift_order(record: OrderRecord, shift: int) -> None:
    record.approved_at += shift
    record.touched_at += shift
    if record.expires_at is not None:
        record.expires_at += shift
    if record.last_report_at is not None:
        record.last_report_at += shift
