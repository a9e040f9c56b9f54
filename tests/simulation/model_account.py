"""S8: account reports, equity, units, anchors and drawdowns, by the page alone."""

from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from sidecar.core.commands import ReportAccount, ReportedOrder, ReportedPosition
from sidecar.core.denial import ErrorCode
from sidecar.core.thresholds import DrawdownReference
from tests.simulation.model_facts import (
    EXPIRY_MARGIN,
    ONE,
    ZERO,
    Book,
    Held,
    Mark,
    Memory,
    ModelRefusedError,
    Move,
    Trip,
    all_positions,
    equity,
    find_order,
    has_room,
    higher_mark,
    marked_value,
    multiplier,
    set_mark,
)

ROUNDED_AWAY = Fraction(1, 10**50)
"""No more than this can the rounding of units (60 digits a flow) take from a drawdown."""
CONFIRM_EQUITY_NS = 60_000_000_000
SECOND = 1_000_000_000
QUARTER = 900 * SECOND


def unit_value(memory: Memory) -> Fraction | None:
    """Return equity per unit, or None while there are no units."""
    worth = equity(memory)
    if worth is None or memory.units is None:
        return None
    return worth / memory.units


def local(memory: Memory, at: int) -> datetime:
    """Return the wall clock of the account's zone (S2.3)."""
    whole = datetime.fromtimestamp(at // SECOND, UTC)
    return whole.astimezone(ZoneInfo(memory.thresholds.account.zone))


def day_of(memory: Memory, at: int) -> date:
    """Return the calendar day an instant lies in."""
    return local(memory, at).date()


def day_ends_at(memory: Memory) -> int:
    """Return the first instant of a later day, found by looking at every quarter of an hour."""
    at = memory.now - memory.now % QUARTER
    while day_of(memory, at).isoformat() <= memory.day:
        at += QUARTER
    return at


def day_begins_at(memory: Memory) -> int:
    """Return the first instant of the day of now, found by looking back in quarters of an hour."""
    at = memory.now - memory.now % QUARTER
    while day_of(memory, at - QUARTER).isoformat() >= memory.day:
        at -= QUARTER
    return at


def period_of(memory: Memory, at: int) -> tuple[str, str]:
    """Return the names of the day and of the ISO week of an instant."""
    day = day_of(memory, at)
    year, week, _ = day.isocalendar()
    return day.isoformat(), f"{year}-W{week:02d}"


def roll(memory: Memory) -> None:
    """Start the day and the week that `now` lies in, from the last value known before (S8.4)."""
    day, week = period_of(memory, memory.now)
    value = unit_value(memory)
    # An evening that comes twice, the clock set back over midnight, is of the day that began.
    if memory.day < day:
        memory.day = day
        if value is not None and value > 0:
            memory.anchors["DAILY"] = value
    if memory.week < week:
        memory.week = week
        if value is not None and value > 0:
            memory.anchors["WEEKLY"] = value


def follow_peaks(memory: Memory) -> None:
    """Move the high-water mark, and where it is asked for the peaks, up to the value of now.

    Another reference holds for what comes: the anchor stays where the old one left it.
    """
    value = unit_value(memory)
    if value is None:
        return
    by_peak = memory.thresholds.circuit_breaker.drawdown_reference is DrawdownReference.PEAK
    for name in ("DAILY", "WEEKLY", "TOTAL") if by_peak else ("TOTAL",):
        memory.anchors[name] = max(memory.anchors[name], value)


def start_series(memory: Memory) -> None:
    """Set every anchor to 1."""
    for name in ("DAILY", "WEEKLY", "TOTAL"):
        memory.anchors[name] = ONE


def ratios(memory: Memory) -> dict[str, Fraction | None]:
    """Return how far below its references the unit value is, as positive ratios."""
    value = unit_value(memory)
    found: dict[str, Fraction | None] = {}
    for name in ("DAILY", "WEEKLY", "TOTAL"):
        top = memory.anchors.get(name)
        found[name] = None
        if value is not None and top is not None and top > 0:
            # Units round at 60 digits; by so little no reached threshold may be missed (S8.3, S9).
            found[name] = max(ZERO, ONE - value / top + Fraction(1, 10**50))
    return found


def drawdown_thresholds(memory: Memory) -> dict[str, Fraction]:
    """Return the three thresholds."""
    breaker = memory.thresholds.circuit_breaker
    return {
        "DAILY": Fraction(breaker.daily_drawdown_ratio),
        "WEEKLY": Fraction(breaker.weekly_drawdown_ratio),
        "TOTAL": Fraction(breaker.total_drawdown_ratio),
    }


def standing(memory: Memory) -> set[str]:
    """Name the drawdown conditions that stand now, or stood when a new series began."""
    reached = set(memory.still_standing)
    known = ratios(memory)
    for name, threshold in drawdown_thresholds(memory).items():
        ratio = known[name]
        if ratio is not None and ratio >= threshold - ROUNDED_AWAY:
            reached.add(name)
    return reached


def apply_account(
    memory: Memory, report: ReportAccount
) -> tuple[list[tuple[object, ...]], list[Book]]:
    """Take an account report never seen before: marks, positions, orders, flows, equity (S8.3)."""
    _refuse_faults(memory, report)
    drift: list[tuple[object, ...]] = []
    for mark in report.marks:
        set_mark(memory, mark.symbol, Fraction(mark.price))
    skipped = skipped_books(memory, report)
    if report.positions_complete:
        _positions(memory, report, skipped, drift)
    if report.open_orders_complete:
        _open_orders(memory, report, skipped, drift)
    _flows(memory, report)
    if report.equity is not None:
        _equity(memory, report, Fraction(report.equity), drift)
    follow_peaks(memory)
    return drift, skipped


def _refuse_faults(memory: Memory, report: ReportAccount) -> None:
    """Refuse what cannot be meant: a list without its moment, a name twice, no price at all."""
    as_of = report.as_of_sequence
    has_list = report.positions_complete or report.open_orders_complete
    names: list[tuple[object, ...]] = [("m", mark.symbol) for mark in report.marks]
    names += [("p", held.strategy, held.symbol) for held in report.positions]
    names += [("o", listed.order_id) for listed in report.open_orders]
    names += [("f", flow.flow_id) for flow in report.cash_flows]
    is_faulty = (
        (has_list and as_of is None)
        or (as_of is not None and as_of > memory.sequence - 1)
        or (report.positions_complete and report.as_of_venue_time is None)
        or len(set(names)) < len(names)
        or any(_lacks_price(memory, report, listed) for listed in report.open_orders)
    )
    if is_faulty:
        raise ModelRefusedError(ErrorCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


def _lacks_price(memory: Memory, report: ReportAccount, listed: ReportedOrder) -> bool:
    """Say whether an order would have to be reserved and there is no price to do it at."""
    marked = set(memory.marks) | {mark.symbol for mark in report.marks}
    if listed.limit_price is not None or listed.symbol in marked:
        return False
    order = find_order(memory, listed.order_id)
    if order is None or order.was_released:
        return order is None or order.unit_price == 0
    return not order.is_reserved and not order.is_ended and order.unit_price == 0


def _touched_after(memory: Memory, book: Book, as_of: int) -> bool:
    filled = any(at > as_of for named, at, _ in memory.fills if named == book)
    approved = any(
        order.approved_sequence > as_of and not order.is_stranger
        for order in memory.orders
        if order.book == book
    )
    # Approved and forgotten, or fallen with its batch: the book was touched all the same.
    return filled or approved or memory.touched_books.get(book, 0) > as_of


def skipped_books(memory: Memory, report: ReportAccount) -> list[Book]:
    """List the books the report is too old for."""
    if not (report.positions_complete or report.open_orders_complete):
        return []
    as_of = report.as_of_sequence or 0
    books = {order.book for order in memory.orders if order.is_open}
    books |= {(listed.strategy, listed.symbol) for listed in report.open_orders}
    if report.positions_complete:
        books |= set(all_positions(memory)) | {order.book for order in memory.orders}
        books |= set(memory.touched_books)
    return sorted(book for book in books if _touched_after(memory, book, as_of))


def _positions(
    memory: Memory, report: ReportAccount, skipped: list[Book], drift: list[tuple[object, ...]]
) -> None:
    listed: dict[Book, ReportedPosition] = {
        (item.strategy, item.symbol): item for item in report.positions
    }
    ours = all_positions(memory)
    for book in sorted(set(ours) | set(listed)):
        if book in skipped:
            continue
        theirs = Fraction(listed[book].quantity) if book in listed else ZERO
        average = listed[book].average_price if book in listed else None
        if theirs != 0 and book[1] not in memory.marks:
            if average is None:
                raise ModelRefusedError(ErrorCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
            memory.marks[book[1]] = Mark(Fraction(average), memory.now)
        change = theirs - ours.get(book, ZERO)
        if change == 0:
            continue
        drift.append(("POSITION", book, ours.get(book, ZERO), theirs))
        price = memory.marks[book[1]].price * multiplier(memory, book[1])
        memory.moves.append(Move(book, change))
        memory.last_calls.setdefault(book[0], memory.now)
        memory.cash -= change * price
        basis = price if average is None else Fraction(average) * multiplier(memory, book[1])
        memory.trips[book] = Trip(cash=-theirs * basis)
    memory.covered.append((report.as_of_venue_time or 0, frozenset(skipped)))
    memory.positions_confirmed = True


def _open_orders(
    memory: Memory, report: ReportAccount, skipped: list[Book], drift: list[tuple[object, ...]]
) -> None:
    listed = {item.order_id: item for item in report.open_orders}
    for item in report.open_orders:
        book = (item.strategy, item.symbol)
        if book in skipped:
            continue
        memory.named_ids.append(item.order_id)
        order = find_order(memory, item.order_id)
        if order is None:
            stranger = _listed_stranger(memory, item)
            if report.positions_complete:
                stranger.covered_filled = stranger.filled
            memory.orders.append(stranger)
            memory.last_calls.setdefault(item.strategy, memory.now)
            drift.append(("ORDER_UNKNOWN", book, item.order_id))
        elif not order.is_ended or order.was_released:
            _take_listing(memory, order, item, drift, covers=report.positions_complete)
    as_of = report.as_of_sequence or 0
    at = memory.times.get(as_of, 0)
    for order in memory.orders:
        if not order.is_open or order.order_id in listed or order.book in skipped:
            continue
        expired = order.expires_at is not None and order.expires_at + EXPIRY_MARGIN <= at
        lapsed = order.lapsed_sequence is not None and order.lapsed_sequence <= as_of
        if expired or lapsed or any(sequence <= as_of for _, _, sequence in order.reports):
            drift.append(("ORDER_MISSING", order.book, order.order_id))
            order.release()


def _take_listing(
    memory: Memory,
    order: Held,
    item: ReportedOrder,
    drift: list[tuple[object, ...]],
    *,
    covers: bool,
) -> None:
    remaining = Fraction(item.remaining_quantity)
    filled = Fraction(item.cumulative_filled_quantity)
    listed_unit = _listed_stranger(memory, item).unit_price
    if order.was_released:
        drift.append(("ORDER_UNKNOWN", order.book, order.order_id))
        _hold_again(memory, order, listed_unit)
    elif not order.is_reserved:
        drift.append(("ORDER_UNKNOWN", order.book, order.order_id))
        order.unit_price = listed_unit
    elif order.remaining != remaining:
        drift.append(("ORDER_QUANTITY", order.book, order.order_id))
    order.quantity, order.is_reserved = filled + remaining, True
    order.filled = filled
    order.listed_filled = filled
    if covers:
        order.covered_filled = filled
    order.reports.append(("LISTED", memory.now, memory.sequence))


def _hold_again(memory: Memory, order: Held, listed_unit: Fraction) -> None:
    """Reserve what was released and lives at the venue: outside its group, without an own end."""
    order.is_ended = order.was_released = False
    order.good_till = None
    order.unit_price = max(order.unit_price, listed_unit)
    # Among those that hold something it is the newest.
    memory.orders.remove(order)
    memory.orders.append(order)
    bucket = order.bucket
    order.bucket = None
    if bucket is not None and bucket[0] == "chain":
        order.bucket = bucket if has_room(memory, order.book, order.side, bucket) else None


def _listed_stranger(memory: Memory, item: ReportedOrder) -> Held:
    mark = higher_mark(memory, item.symbol)
    prices = [Fraction(price) for price in (mark, item.limit_price) if price is not None]
    unit = max(prices, default=ZERO)
    if item.limit_price is None:
        # Listed without a limit it is counted as a market order.
        unit *= ONE + Fraction(memory.thresholds.account.market_slippage_ratio)
    filled = Fraction(item.cumulative_filled_quantity)
    return Held(
        order_id=item.order_id,
        strategy=item.strategy,
        symbol=item.symbol,
        side=item.side,
        quantity=filled + Fraction(item.remaining_quantity),
        unit_price=unit,
        content=None,
        approved_at=memory.now,
        approved_sequence=memory.sequence,
        expires_at=None,
        epoch=memory.stop_epoch,
        is_stranger=True,
        filled=filled,
        listed_filled=filled,
        reports=[("LISTED", memory.now, memory.sequence)],
    )


def new_flows(memory: Memory, report: ReportAccount) -> list[Fraction]:
    """Return the amounts of the flows not seen before."""
    fresh = []
    for flow in report.cash_flows:
        known = memory.flows.get(flow.flow_id)
        if known is None:
            fresh.append(Fraction(flow.amount))
        elif known != Fraction(flow.amount):
            raise ModelRefusedError(ErrorCode.ALREADY_EXISTS, "FLOW_CONFLICT")
    return fresh


def _flows(memory: Memory, report: ReportAccount) -> None:
    amount = sum(new_flows(memory, report), ZERO)
    fresh = [flow for flow in report.cash_flows if flow.flow_id not in memory.flows]
    for flow in fresh:
        memory.flows[flow.flow_id] = Fraction(flow.amount)
    worth = equity(memory)
    if worth is not None and report.equity is not None:
        reported = Fraction(report.equity)
        if not is_held(memory, report, worth + amount, reported):
            worth = reported - amount
    for flow in fresh:
        change = Fraction(flow.amount)
        memory.cash += change
        if worth is None:
            continue
        if memory.units is not None and worth > 0:
            units = _rounded((worth + change) * memory.units / worth)
            if worth + change <= 0:
                raise ModelRefusedError(ErrorCode.FAILED_PRECONDITION, "NO_UNITS_LEFT")
            memory.units = units
        elif worth + change > 0:
            if memory.units is not None:
                memory.still_standing = {"DAILY", "WEEKLY", "TOTAL"}
            memory.units = worth + change
            start_series(memory)
        worth += change


def _rounded(units: Fraction) -> Fraction:
    """Return units after a flow, half-even at 60 digits: the one rounding of the page (S2.1)."""
    context = Context(prec=60, rounding=ROUND_HALF_EVEN)
    return Fraction(context.divide(Decimal(units.numerator), Decimal(units.denominator)))


def is_held(
    memory: Memory, report: ReportAccount, ours: Fraction | None, reported: Fraction
) -> bool:
    """Say whether the reported equity is an unexplained rise that must be confirmed (S8.3)."""
    ratio = memory.thresholds.account.equity_jump_ratio_max
    if ratio is None or ours is None or ours <= 0 or report.has_operator_proof:
        return False
    held = memory.held_equity
    is_confirmed = held is not None and memory.now - held[1] >= CONFIRM_EQUITY_NS
    return reported > ours * (1 + Fraction(ratio)) and not is_confirmed


def _equity(
    memory: Memory, report: ReportAccount, reported: Fraction, drift: list[tuple[object, ...]]
) -> None:
    ours = equity(memory)
    if is_held(memory, report, ours, reported):
        memory.held_equity = memory.held_equity or (reported, memory.now)
        drift.append(("EQUITY_HELD", ours, reported))
        return
    if ours is not None and ours != reported:
        drift.append(("EQUITY", ours, reported))
    memory.held_equity = None
    memory.cash = reported - marked_value(memory)
    memory.is_equity_known = True
    if memory.units is None and reported > 0:
        memory.units = reported
        start_series(memory)
