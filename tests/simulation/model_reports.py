"""S7: what a trade report does to orders, books, marks and round trips, by the page alone."""

from fractions import Fraction

from sidecar.core.commands import ReportKind, ReportTrade, Side
from tests.simulation.model_facts import (
    ONE,
    ZERO,
    Book,
    Held,
    Memory,
    Move,
    Trip,
    find_order,
    higher_mark,
    is_in_window,
    multiplier,
    position,
    set_mark,
)

TERMINAL = (ReportKind.CANCELED, ReportKind.EXPIRED, ReportKind.REJECTED)


def apply_trade(memory: Memory, report: ReportTrade) -> set[str]:
    """Take a report never seen before; return its flags."""
    memory.known_symbols.add(report.symbol)
    order = find_order(memory, report.order_id)
    memory.named_ids.append(report.order_id)
    flags: set[str] = set()
    if order is None:
        order = _stranger(memory, report)
        memory.orders.append(order)
    if order.is_stranger:
        flags.add("UNSOLICITED")
    contradicts = not order.is_stranger and (
        report.strategy,
        report.symbol,
        report.side,
    ) != (order.strategy, order.symbol, order.side)
    if contradicts:
        flags.add("CONTRADICTS_APPROVAL")
    order.reports.append((report.kind, memory.now, memory.sequence))
    _count(memory, report.kind)
    if report.kind is ReportKind.FILLED:
        flags |= _fill(memory, order, report, contradicts=contradicts)
    elif report.kind is ReportKind.REPLACED:
        flags |= _replaced(memory, order, report)
    elif report.kind is ReportKind.ACCEPTED:
        flags |= _accepted(memory, order, report)
    elif report.kind in TERMINAL or report.order_done:
        order.is_ended = True
    if not contradicts and report.order_done:
        order.is_ended = True
    return flags


def _stranger(memory: Memory, report: ReportTrade) -> Held:
    return Held(
        order_id=report.order_id,
        strategy=report.strategy,
        symbol=report.symbol,
        side=report.side,
        quantity=ZERO,
        unit_notional=ZERO,
        content=None,
        approved_at=memory.now,
        approved_sequence=memory.sequence,
        expires_at=None,
        epoch=memory.stop_epoch,
        is_stranger=True,
    )


def _count(memory: Memory, kind: ReportKind) -> None:
    if kind is ReportKind.REJECTED:
        memory.failures += 1
    if kind in (ReportKind.ACCEPTED, ReportKind.FILLED):
        memory.failures = 0
    if kind is ReportKind.FAILED:
        memory.failed_trades.append(memory.now)


def _unit(memory: Memory, symbol: str, price: Fraction) -> Fraction:
    mark = higher_mark(memory, symbol)
    return multiplier(memory, symbol) * (price if mark is None else max(price, mark))


def _accepted(memory: Memory, order: Held, report: ReportTrade) -> set[str]:
    if order.is_ended:
        return {"AFTER_END"}
    if order.is_stranger and order.quantity == 0 and report.new_quantity is not None:
        if report.new_limit_price is None:
            return set()
        order.quantity = Fraction(report.new_quantity)
        order.unit_notional = _unit(memory, order.symbol, Fraction(report.new_limit_price))
    return set()


def _replaced(memory: Memory, order: Held, report: ReportTrade) -> set[str]:
    flags: set[str] = set()
    if order.is_ended:
        return {"AFTER_END"}
    if report.venue_time is not None:
        newest = order.replaced_venue_time
        if newest is not None and report.venue_time < newest:
            return {"OLDER_REPLACE"}
        order.replaced_venue_time = report.venue_time
    old = None if order.replaces is None else find_order(memory, order.replaces)
    if old is not None:
        old.is_ended = True
    for other in memory.orders:
        if other.replaces == order.order_id and not other.is_ended:
            other.is_ended = True
    if report.new_quantity is None:
        return flags
    quantity = Fraction(report.new_quantity)
    if quantity > order.checked_quantity:
        flags.add("OVER_APPROVED")
    order.quantity = quantity
    if report.new_limit_price is not None:
        order.unit_notional = _unit(memory, order.symbol, Fraction(report.new_limit_price))
    return flags


def _fill(memory: Memory, order: Held, report: ReportTrade, *, contradicts: bool) -> set[str]:
    assert report.fill_quantity is not None
    assert report.fill_price is not None
    flags: set[str] = set()
    quantity = Fraction(report.fill_quantity)
    moving = quantity
    if not contradicts:
        moving = _count_fill(order, quantity)
        if order.is_ended and not order.is_stranger:
            flags.add("FILLED_AFTER_END")
        if order.filled > order.quantity and not order.is_stranger:
            flags.add("OVERFILLED")
        if _is_second_of_group(memory, order):
            flags.add("GROUP_FILLED_TWICE")
        if order.quantity > 0 and order.filled >= order.quantity:
            order.is_ended = True
    book = (report.strategy, report.symbol)
    if report.venue_time is not None and _is_covered(memory, book, report.venue_time):
        flags.add("COVERED_BY_ACCOUNT_REPORT")
        moving = ZERO
    move_book(memory, book, report, moving)
    memory.fills.append((book, memory.sequence, order.order_id))
    set_mark(memory, report.symbol, Fraction(report.fill_price))
    return flags


def _count_fill(order: Held, quantity: Fraction) -> Fraction:
    """Return the part of the fill that moves the position: what the venue has not listed yet."""
    before = order.filled_by_reports
    order.filled_by_reports += quantity
    inside = max(ZERO, min(order.filled_by_reports, order.listed_filled) - before)
    order.filled += quantity - inside
    return quantity - inside


def _is_second_of_group(memory: Memory, order: Held) -> bool:
    return order.group is not None and any(
        other.group == order.group and other.book == order.book and other.filled > 0
        for other in memory.orders
        if other is not order
    )


def _is_covered(memory: Memory, book: Book, venue_time: int) -> bool:
    return any(
        venue_time <= as_of and book not in skipped for as_of, skipped in memory.covered
    )


def move_book(memory: Memory, book: Book, report: ReportTrade, moving: Fraction) -> None:
    """Move position and cash by a fill, and close the round trip where it ends (S8.1, S9)."""
    price = Fraction(report.fill_price or 0) * multiplier(memory, book[1])
    fee = Fraction(report.fee or 0)
    sign = ONE if report.side is Side.BUY else -ONE
    before = position(memory, book)
    memory.cash -= fee
    trip = memory.trips.setdefault(book, Trip())
    trip.cash -= fee
    if moving == 0:
        return
    fee_quantity = Fraction(report.fee_quantity or 0)
    memory.cash -= sign * moving * price
    after = before + sign * moving - fee_quantity
    memory.moves.append(Move(book, after - before))
    is_reducing = before * sign < 0
    if is_reducing:
        trip.realized.append(
            None if report.realized_pnl is None else Fraction(report.realized_pnl)
        )
    flips = before * after < 0
    if not flips:
        trip.cash -= sign * moving * price
        if after == 0:
            _close_trip(memory, book, trip)
        return
    trip.cash += before * price
    _close_trip(memory, book, trip)
    memory.trips[book] = Trip(cash=-after * price)


def _close_trip(memory: Memory, book: Book, trip: Trip) -> None:
    given = [value for value in trip.realized if value is not None]
    result = trip.cash
    if trip.realized and len(given) == len(trip.realized):
        result = sum(given, ZERO)
    if result < 0:
        memory.losses += 1
    elif result > 0:
        memory.losses = 0
    memory.trips[book] = Trip()


def failed_in_window(memory: Memory) -> int:
    """Count failed trades that still count."""
    window = memory.thresholds.circuit_breaker.failed_trades_window_ns
    return sum(is_in_window(at, memory.now, window) for at in memory.failed_trades)


def errors_in_window(memory: Memory) -> int:
    """Count API errors that still count."""
    window = memory.thresholds.circuit_breaker.api_errors_window_ns
    return sum(is_in_window(at, memory.now, window) for at in memory.api_errors)
