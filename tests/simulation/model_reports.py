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
    contradicts = (report.strategy, report.symbol, report.side) != (
        order.strategy,
        order.symbol,
        order.side,
    )
    order.reports.append((report.kind, memory.now, memory.sequence))
    _count(memory, report.kind)
    if contradicts:
        flags.add("CONTRADICTS_APPROVAL")
        if report.kind is ReportKind.FILLED:
            _fill(memory, order, report, contradicts=True)
        return flags
    if report.kind is ReportKind.FILLED:
        flags |= _fill(memory, order, report, contradicts=False)
    elif report.kind is ReportKind.REPLACED:
        flags |= _replaced(memory, order, report)
    elif report.kind is ReportKind.ACCEPTED:
        flags |= _accepted(memory, order, report)
    elif report.kind in TERMINAL:
        is_first = not order.is_ended or order.was_released
        order.was_rejected |= report.kind is ReportKind.REJECTED and is_first
        order.end()
    if report.order_done and report.kind not in (ReportKind.ACCEPTED, ReportKind.REPLACED):
        order.end()
    return flags


def _stranger(memory: Memory, report: ReportTrade) -> Held:
    return Held(
        order_id=report.order_id,
        strategy=report.strategy,
        symbol=report.symbol,
        side=report.side,
        quantity=ZERO,
        unit_price=ZERO,
        content=None,
        approved_at=memory.now,
        approved_sequence=memory.sequence,
        expires_at=None,
        epoch=memory.stop_epoch,
        is_stranger=True,
        is_reserved=False,
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
    return price if mark is None else max(price, mark)


def _accepted(memory: Memory, order: Held, report: ReportTrade) -> set[str]:
    if order.is_ended:
        return {"AFTER_END"}
    if not order.is_reserved:
        _reserve_stranger(memory, order, report)
    return set()


def _reserve_stranger(memory: Memory, order: Held, report: ReportTrade) -> None:
    if report.new_quantity is None or report.new_limit_price is None:
        return
    order.is_reserved = True
    order.quantity = Fraction(report.new_quantity)
    order.unit_price = _unit(memory, order.symbol, Fraction(report.new_limit_price))
    order.is_ended = order.filled >= order.quantity


def _successor(memory: Memory, order: Held) -> Held | None:
    found = None if order.replaced_by is None else find_order(memory, order.replaced_by)
    return found if found is not None and not found.is_ended else None


def _replaced_by(memory: Memory, order: Held) -> Held | None:
    """Return the order that this one was approved in place of."""
    old = None if order.replaces is None else find_order(memory, order.replaces)
    if old is None or old is order:
        return None
    is_shared = order.bucket is not None and order.bucket == old.bucket
    return old if is_shared or old.replaced_by == order.order_id else None


def _replaced(memory: Memory, order: Held, report: ReportTrade) -> set[str]:
    old = _replaced_by(memory, order)
    if order.is_ended:
        if old is not None and not order.was_rejected and not order.was_released:
            old.end()
        return {"AFTER_END"}
    if report.venue_time is not None:
        newest = order.replaced_venue_time
        if newest is not None and report.venue_time < newest:
            return {"OLDER_REPLACE"}
        order.replaced_venue_time = report.venue_time
    if not order.is_reserved:
        _reserve_stranger(memory, order, report)
        return set()
    return _change(memory, order, report, old)


def _change(memory: Memory, order: Held, report: ReportTrade, old: Held | None) -> set[str]:
    flags: set[str] = set()
    quantity = None if report.new_quantity is None else Fraction(report.new_quantity)
    successor = _successor(memory, order)
    if quantity is not None and not order.is_stranger:
        approved = [order.checked_quantity, order.quantity]
        if successor is not None:
            approved.append(successor.checked_quantity)
        if quantity > max(approved):
            flags.add("OVER_APPROVED")
    unit = order.unit_price
    if report.new_limit_price is not None:
        unit = _unit(memory, order.symbol, Fraction(report.new_limit_price))
    if old is not None and not order.carries_replaced:
        if quantity is not None:
            order.carries_replaced = True
            old.replaced_by = order.order_id
            _count_fill(order, old.filled)
        old.end()
    elif successor is not None:
        quantity = successor.quantity if quantity is None else quantity
        unit = successor.unit_price if report.new_limit_price is None else unit
        successor.end()
        memory.named_ids.append(successor.order_id)
        successor.reports.append(("REPLACED", memory.now, memory.sequence))
    order.unit_price = unit
    if quantity is not None:
        order.quantity = quantity
    return flags


def _fill(memory: Memory, order: Held, report: ReportTrade, *, contradicts: bool) -> set[str]:
    assert report.fill_quantity is not None
    assert report.fill_price is not None
    flags: set[str] = set()
    quantity = moving = Fraction(report.fill_quantity)
    if not contradicts:
        before = order.filled_by_reports
        moving -= _inside(before, quantity, order.covered_filled)
        if order.is_ended:
            flags.add("FILLED_AFTER_END")
        outside = _count_fill(order, quantity)
        if order.filled > order.quantity and not order.is_stranger:
            flags.add("OVERFILLED")
        if _is_second_of_group(memory, order):
            flags.add("GROUP_FILLED_TWICE")
        _end_if_full(order)
        _carry(memory, order, outside)
    book = (report.strategy, report.symbol)
    if report.venue_time is not None and _is_covered(memory, book, report.venue_time):
        moving = ZERO
    if moving < quantity:
        flags.add("COVERED_BY_ACCOUNT_REPORT")
    move_book(memory, book, report, moving)
    if moving > 0:
        memory.fills.append((book, memory.sequence, order.order_id))
        set_mark(memory, report.symbol, Fraction(report.fill_price), order.order_id)
    return flags


def _inside(before: Fraction, quantity: Fraction, listed: Fraction) -> Fraction:
    return max(ZERO, min(before + quantity, listed) - before)


def _end_if_full(order: Held) -> None:
    if (order.is_open or order.was_released) and order.filled >= order.quantity:
        order.end()


def _carry(memory: Memory, order: Held, quantity: Fraction) -> None:
    """Count a late fill of a replaced order in the one that runs on under the new id."""
    new = None if order.replaced_by is None else find_order(memory, order.replaced_by)
    if new is not None and new.carries_replaced and quantity > 0:
        outside = _count_fill(new, quantity)
        _end_if_full(new)
        _carry(memory, new, outside)


def _count_fill(order: Held, quantity: Fraction) -> Fraction:
    """Count a fill once; return the part that no listed quantity held already."""
    outside = quantity - _inside(order.filled_by_reports, quantity, order.listed_filled)
    order.filled_by_reports += quantity
    order.filled += outside
    return outside


def _is_second_of_group(memory: Memory, order: Held) -> bool:
    if order.group is None:
        return False
    key = (order.book, order.side, order.group)
    return memory.first_fills.setdefault(key, order.order_id) != order.order_id


def _is_covered(memory: Memory, book: Book, venue_time: int) -> bool:
    """Say whether the last account report that replaced the book held this fill already."""
    for as_of, skipped in reversed(memory.covered):
        if book not in skipped:
            return venue_time <= as_of
    return False


def move_book(memory: Memory, book: Book, report: ReportTrade, moving: Fraction) -> None:
    """Move position and cash by a fill, and close the round trip where it ends (S8.1, S9)."""
    price = Fraction(report.fill_price or 0) * multiplier(memory, book[1])
    fee = Fraction(report.fee or 0)
    sign = ONE if report.side is Side.BUY else -ONE
    before = position(memory, book)
    memory.cash -= fee
    trip = memory.trips.setdefault(book, Trip())
    if moving == 0:
        if before != 0:
            trip.cash -= fee
        elif report.realized_pnl is not None:
            count_result(memory, Fraction(report.realized_pnl))
        return
    trip.cash -= fee
    fee_quantity = Fraction(report.fee_quantity or 0)
    memory.cash -= sign * moving * price
    after = before + sign * moving - fee_quantity
    memory.moves.append(Move(book, after - before))
    is_reducing = before * sign < 0
    if is_reducing:
        trip.realized.append(None if report.realized_pnl is None else Fraction(report.realized_pnl))
    flips = before * after < 0
    if not flips:
        trip.cash -= sign * moving * price
        if after == 0:
            _close_trip(memory, book, trip)
        return
    trip.cash += before * price
    _close_trip(memory, book, trip)
    memory.trips[book] = Trip(cash=-sign * moving * price - before * price)


def _close_trip(memory: Memory, book: Book, trip: Trip) -> None:
    given = [value for value in trip.realized if value is not None]
    result = trip.cash
    if trip.realized and len(given) == len(trip.realized):
        result = sum(given, ZERO)
    count_result(memory, result)
    memory.trips[book] = Trip()


def count_result(memory: Memory, result: Fraction) -> None:
    """Count a round trip: a loss lengthens the streak, a win ends it, break-even is neutral."""
    if result < 0:
        memory.losses += 1
    elif result > 0:
        memory.losses = 0


def failed_in_window(memory: Memory) -> int:
    """Count failed trades that still count."""
    window = memory.thresholds.circuit_breaker.failed_trades_window_ns
    return sum(is_in_window(at, memory.now, window) for at in memory.failed_trades)


def errors_in_window(memory: Memory) -> int:
    """Count API errors that still count."""
    window = memory.thresholds.circuit_breaker.api_errors_window_ns
    return sum(is_in_window(at, memory.now, window) for at in memory.api_errors)
