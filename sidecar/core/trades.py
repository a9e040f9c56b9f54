"""What a trade report does to books, reservations and counters (S7, S8.1, S9).

Rules:
- A fact is never dropped: what contradicts, comes late or was never approved is applied to the
  book it names and flagged.
- Terminal is final for reservations: later fills are applied, later changes are not.
- A round trip's result is the net cash of its fills and fees, never an average.
"""

from decimal import Decimal
from typing import Final

from sidecar.core.account import set_mark
from sidecar.core.commands import OrderType, ReportKind, ReportTrade, Side
from sidecar.core.events import TradeReported
from sidecar.core.exposure import move_position, order_price
from sidecar.core.numbers import ZERO, format_decimal
from sidecar.core.reservations import (
    end,
    group_fill_key,
    hold,
    schedule_release,
    set_remaining,
)
from sidecar.core.state import Book, OrderRecord, State, Timed

CONTENT_FIELDS: Final = (
    "strategy",
    "symbol",
    "side",
    "kind",
    "fill_quantity",
    "fill_price",
    "fee",
    "fee_quantity",
    "realized_pnl",
    "order_done",
    "new_quantity",
    "new_limit_price",
    "venue_time",
)
_ENDING: Final = (ReportKind.CANCELED, ReportKind.EXPIRED, ReportKind.REJECTED)
_REPLACED_IN_A_ROW_MAX: Final = 16
REPORT_IDS_PER_ORDER_MAX: Final = 10_000
REPORT_IDS_MAX: Final = 20_000_000
_HEALTHY: Final = (ReportKind.ACCEPTED, ReportKind.FILLED)


def trade_content(report: ReportTrade) -> str:
    """Return the content of a report as one text: equal texts are equal reports (S7.2)."""
    parts = []
    for name in CONTENT_FIELDS:
        value = getattr(report, name)
        parts.append(format_decimal(value) if isinstance(value, Decimal) else str(value))
    return " ".join(parts)


def differing_fields(content: str, other: str) -> tuple[str, ...]:
    """Return the names of the fields in which two contents differ."""
    pairs = zip(CONTENT_FIELDS, content.split(" "), other.split(" "), strict=True)
    return tuple(name for name, one, two in pairs if one != two)


def is_contradicting(record: OrderRecord, report: ReportTrade) -> bool:
    """Say whether a report names another book or side than its order."""
    return (record.strategy, record.symbol, record.side) != (
        report.strategy,
        report.symbol,
        report.side,
    )


def moving_quantity(state: State, record: OrderRecord | None, report: ReportTrade) -> Decimal:
    """Return the part of a fill that moves the position: what no account report covers (S8.2)."""
    quantity = report.fill_quantity or ZERO
    symbol = state.symbols.get(report.symbol)
    book = symbol.books.get(report.strategy) if symbol is not None else None
    covered_until = state.account.positions_as_of
    if book is not None:
        covered_until = book.as_of_venue_time
    is_timed = covered_until is not None and report.venue_time is not None
    if is_timed and (report.venue_time or 0) <= (covered_until or 0):
        return ZERO
    if record is None or is_contradicting(record, report):
        return quantity
    return quantity - _inside(record.reported_filled, quantity, record.covered_filled)


def _inside(before: Decimal, quantity: Decimal, listed: Decimal) -> Decimal:
    """Return how much of a fill that follows `before` lies within what was listed as filled."""
    return max(ZERO, min(before + quantity, listed) - before)


def find_flags(state: State, record: OrderRecord | None, report: ReportTrade) -> tuple[str, ...]:
    """Return what is odd about a report, in a fixed order (S7)."""
    if record is None:
        is_fill = report.kind is ReportKind.FILLED
        is_covered = is_fill and not moving_quantity(state, None, report)
        return ("UNSOLICITED", "COVERED_BY_ACCOUNT_REPORT") if is_covered else ("UNSOLICITED",)
    flags = [] if record.is_approved else ["UNSOLICITED"]
    if is_contradicting(record, report):
        return (*flags, "CONTRADICTS_APPROVAL")
    if report.kind is ReportKind.FILLED:
        flags += _fill_flags(state, record, report)
    if record.was_ended and report.kind in {ReportKind.ACCEPTED, ReportKind.REPLACED}:
        flags.append("AFTER_END")
    elif report.kind is ReportKind.REPLACED:
        if _is_older_replace(record, report):
            flags.append("OLDER_REPLACE")
        elif is_over_approved(state, record, report):
            flags.append("OVER_APPROVED")
    return tuple(flags)


def _fill_flags(state: State, record: OrderRecord, report: ReportTrade) -> list[str]:
    flags = []
    quantity = report.fill_quantity or ZERO
    outside = quantity - _inside(record.reported_filled, quantity, record.listed_filled)
    if record.is_approved and record.filled + outside > record.whole_quantity:
        flags.append("OVERFILLED")
    if record.was_ended:
        flags.append("FILLED_AFTER_END")
    first = state.group_fills.get(group_fill_key(record)) if record.cluster is not None else None
    if _is_of_group(record) and first is not None and first != record.order_id:
        flags.append("GROUP_FILLED_TWICE")
    if moving_quantity(state, record, report) < quantity:
        flags.append("COVERED_BY_ACCOUNT_REPORT")
    return flags


def _is_of_group(record: OrderRecord) -> bool:
    return record.cluster is not None and record.cluster.startswith("oco:")


def _is_older_replace(record: OrderRecord, report: ReportTrade) -> bool:
    return (
        report.venue_time is not None
        and record.replaced_venue_time is not None
        and report.venue_time < record.replaced_venue_time
    )


def is_over_approved(state: State, record: OrderRecord, report: ReportTrade) -> bool:
    """Say whether a REPLACED made the order larger than anything approved for it (S7.3)."""
    if report.new_quantity is None or not record.is_approved:
        return False
    # What a REPLACED made of it before was approved, or flagged, then.
    approved = max(record.quantity, record.whole_quantity)
    successor = _open_successor(state, record)
    if successor is not None:
        approved = max(approved, successor.quantity)
    return report.new_quantity > approved


def _open_successor(state: State, record: OrderRecord) -> OrderRecord | None:
    successor = state.orders.get(record.replaced_by) if record.replaced_by is not None else None
    return successor if successor is not None and successor.is_open else None


def apply_trade_reported(state: State, event: TradeReported) -> None:
    """Carry a report into books, reservations and counters."""
    report = event.report
    record = state.orders.get(report.order_id)
    if record is None:
        record = _stranger(report)
        state.orders[report.order_id] = record
    if "UNSOLICITED" in event.flags and not record.is_reported:
        state.unsolicited_orders += 1
    for flag in event.flags:
        state.flagged_counts[flag] = state.flagged_counts.get(flag, 0) + 1
    if record.first_reported_sequence is None:
        record.first_reported_sequence = state.last_sequence
        state.unreported.pop(record.order_id, None)
    if record.reports is None:
        record.reports = {}
    _remember_report(state, record.reports, report)
    record.last_report_at = state.now
    record.last_report_kind = report.kind.value
    state.strategy_of(report.strategy).heard_at = state.now
    _count(state, report)
    if report.kind is ReportKind.FILLED:
        _apply_fill(state, event)
    if event.is_reservation_touched:
        _touch_reservation(state, record, report)
    record.touched_at = state.now
    if record.is_open:
        schedule_release(state, record)
    else:
        state.ended.append(Timed(at=state.now, key=record.order_id))


def _remember_report(state: State, known: dict[str, str], report: ReportTrade) -> None:
    """Remember a report under its id, in place of the oldest of its order where there is no room.

    A report is applied rather than refused: the books must follow the venue.
    """
    known[report.report_id] = trade_content(report)
    state.report_ids += 1
    is_full = state.report_ids > REPORT_IDS_MAX and len(known) > 1
    if is_full or len(known) > REPORT_IDS_PER_ORDER_MAX:
        del known[next(iter(known))]
        state.report_ids -= 1


def _stranger(report: ReportTrade) -> OrderRecord:
    return OrderRecord(
        order_id=report.order_id,
        strategy=report.strategy,
        symbol=report.symbol,
        side=report.side,
    )


def _count(state: State, report: ReportTrade) -> None:
    breaker = state.breaker
    if report.kind in _HEALTHY:
        breaker.order_failures = 0
    elif report.kind is ReportKind.REJECTED:
        breaker.order_failures += 1
    elif report.kind is ReportKind.FAILED:
        window = state.thresholds.circuit_breaker.failed_trades_window_ns
        breaker.failed_trades.add(state.now, window)


def _touch_reservation(state: State, record: OrderRecord, report: ReportTrade) -> None:
    kind = report.kind
    if kind is ReportKind.FILLED:
        _fill_reservation(state, record, report)
    elif kind is ReportKind.REPLACED:
        _replace(state, record, report)
    elif kind is ReportKind.ACCEPTED:
        if not record.is_approved and not record.is_open:
            _reserve_stranger(state, record, report)
    elif kind in _ENDING or report.order_done:
        if kind is ReportKind.REJECTED and not record.is_final:
            record.was_rejected = True
        _mark_ended(state, record)


def _mark_ended(state: State, record: OrderRecord) -> None:
    if not record.is_final:
        end(state, record)


def _fill_reservation(state: State, record: OrderRecord, report: ReportTrade) -> None:
    outside = _count_filled(record, report.fill_quantity or ZERO)
    if _is_of_group(record):
        state.group_fills.setdefault(group_fill_key(record), record.order_id)
    _follow_filled(state, record)
    if report.order_done:
        _mark_ended(state, record)
    _carry_to_successors(state, record, outside)


def _count_filled(record: OrderRecord, quantity: Decimal) -> Decimal:
    """Count a fill once: return the part that no listed quantity held already."""
    outside = quantity - _inside(record.reported_filled, quantity, record.listed_filled)
    record.reported_filled += quantity
    record.filled += outside
    return outside


def _follow_filled(state: State, record: OrderRecord) -> None:
    """Reserve what is left of an open order; filled reaching approved ends it."""
    if not record.is_open:
        if record.was_released and record.filled >= record.whole_quantity:
            _mark_ended(state, record)
        return
    remaining = max(ZERO, record.whole_quantity - record.filled)
    set_remaining(state, record, remaining, record.price)
    if remaining == ZERO:
        end(state, record)


def _carry_to_successors(state: State, record: OrderRecord, quantity: Decimal) -> None:
    """Count a late fill of a replaced order in the order that runs on under the new id.

    The new order's whole quantity holds what the old one filled, whichever report came first.
    """
    for _ in range(_REPLACED_IN_A_ROW_MAX):
        successor = state.orders.get(record.replaced_by or "")
        if successor is None or not successor.carries_replaced or not quantity:
            return
        quantity = _count_filled(successor, quantity)
        _follow_filled(state, successor)
        record = successor


def _limit_price_for(
    state: State, report: ReportTrade, otherwise: Decimal | None
) -> Decimal | None:
    """Return the price a changed order is reserved at: its new limit, raised to the mark."""
    if report.new_limit_price is None:
        return otherwise
    symbol = state.symbol_of(report.symbol)
    return order_price(
        OrderType.LIMIT,
        report.side,
        report.new_limit_price,
        None,
        symbol.mark_for_exposure,
        report.new_limit_price,
        ZERO,
    )


def _reserve_stranger(state: State, record: OrderRecord, report: ReportTrade) -> None:
    price = _limit_price_for(state, report, None)
    if report.new_quantity is None or price is None or record.was_ended:
        return
    record.whole_quantity = report.new_quantity
    record.limit_price = report.new_limit_price
    record.approved_at = state.now
    record.approved_sequence = state.last_sequence
    if record.filled >= record.whole_quantity:
        _mark_ended(state, record)
        return
    book = state.book_of(record.strategy, record.symbol)
    hold(state, book, record, record.whole_quantity - record.filled, price)


def _replace(state: State, record: OrderRecord, report: ReportTrade) -> None:
    old = state.orders.get(record.replaces_order_id or "")
    has_lived = record.is_final and not record.was_rejected
    if has_lived and old is not None and _is_replacement(old, record):
        # Late news of a replacement that has ended since: what it replaced is gone all the same.
        _mark_ended(state, old)
    if record.was_ended or _is_older_replace(record, report):
        return
    if report.venue_time is not None:
        record.replaced_venue_time = report.venue_time
    if not record.is_open:
        _reserve_stranger(state, record, report)
        return
    price = _limit_price_for(state, report, record.price) or record.price
    whole = report.new_quantity
    successor = _open_successor(state, record)
    if old is not None and _is_replacement(old, record) and not record.carries_replaced:
        # The venue runs the order on under its new id; the whole order's quantity counts what
        # the old id had filled, also what is reported later.
        if whole is not None:
            record.carries_replaced = True
            old.replaced_by = record.order_id
            _count_filled(record, old.filled)
        _mark_ended(state, old)
    elif successor is not None:
        # The venue changed the order in place: the approval under the new id is used up.
        whole = successor.quantity if whole is None else whole
        price = successor.price if report.new_limit_price is None else price
        successor.first_reported_sequence = state.last_sequence
        _mark_ended(state, successor)
    if whole is not None:
        record.whole_quantity = whole
    set_remaining(state, record, max(ZERO, record.whole_quantity - record.filled), price)


def _is_replacement(old: OrderRecord, new: OrderRecord) -> bool:
    """Say whether `new` was approved in place of `old`, be it the last that was or not."""
    is_shared = new.cluster is not None and new.cluster == old.cluster
    return is_shared or old.replaced_by == new.order_id


def _apply_fill(state: State, event: TradeReported) -> None:
    report = event.report
    price = report.fill_price or ZERO
    fee = report.fee or ZERO
    book = state.book_of(report.strategy, report.symbol)
    moving = event.moving_quantity
    if moving == ZERO:
        _count_covered_fill(state, book, report)
        return
    book.touched_sequence = state.last_sequence
    multiplier = state.symbols[report.symbol].rules.multiplier
    sign = 1 if report.side is Side.BUY else -1
    set_mark(state, state.symbols[report.symbol], price, report.order_id)
    proceeds = -sign * moving * price * multiplier
    change = sign * moving - (report.fee_quantity or ZERO)
    state.account.cash += proceeds - fee
    _follow_trip(state, book, change, proceeds, report)
    move_position(state, book, change)


def _count_covered_fill(state: State, book: Book, report: ReportTrade) -> None:
    """Count fee and P&L of a fill whose position an account report already holds (S8.2)."""
    fee = report.fee or ZERO
    state.account.cash -= fee
    pnl = report.realized_pnl
    if book.position:
        book.trip_cash -= fee
    elif pnl is not None:
        _count_result(state, pnl)


def _follow_trip(
    state: State, book: Book, change: Decimal, proceeds: Decimal, report: ReportTrade
) -> None:
    """Carry a fill into the open round trip; count the result where the trip ends (S9)."""
    fee = report.fee or ZERO
    position = book.position
    is_reducing = position != ZERO and (position > ZERO) != (change > ZERO)
    if not is_reducing:
        if position == ZERO:
            _start_trip(book)
        book.trip_cash += proceeds - fee
        return
    book.trip_reducing_fills += 1
    if report.realized_pnl is not None:
        book.trip_reported_fills += 1
        book.trip_reported_pnl += report.realized_pnl
    if abs(change) < abs(position):
        book.trip_cash += proceeds - fee
        return
    multiplier = state.symbols[book.symbol].rules.multiplier
    closing = proceeds
    if abs(change) > abs(position):
        closing = position * (report.fill_price or ZERO) * multiplier
    result = book.trip_cash + closing - fee
    if book.trip_reducing_fills == book.trip_reported_fills:
        result = book.trip_reported_pnl
    _count_result(state, result)
    _start_trip(book)
    book.trip_cash = proceeds - closing


def _start_trip(book: Book) -> None:
    book.trip_cash = ZERO
    book.trip_reported_pnl = ZERO
    book.trip_reducing_fills = 0
    book.trip_reported_fills = 0


def restart_trip(state: State, book: Book, price: Decimal | None) -> None:
    """Start a round trip at the position an account report set (S8.2)."""
    _start_trip(book)
    symbol = state.symbols[book.symbol]
    cost = price if price is not None else symbol.mark
    book.trip_cash = -book.position * (cost or ZERO) * symbol.rules.multiplier


def _count_result(state: State, result: Decimal) -> None:
    if result < ZERO:
        state.breaker.consecutive_losses += 1
    elif result > ZERO:
        state.breaker.consecutive_losses = 0
