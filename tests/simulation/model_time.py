"""What time, another configuration and another clock do (S2, S7.2, S7.5), by the page alone."""

from math import inf

from sidecar.core.thresholds import Thresholds
from tests.simulation import model_account, model_stops
from tests.simulation.model_facts import (
    ZERO,
    Held,
    Memory,
    Trip,
    equity,
    marked_value,
    multiplier,
    position,
)

REMEMBERED_NS = 7 * 86_400 * 1_000_000_000


def pass_time(memory: Memory, now: int) -> None:
    """Do what is due by `now`: days and weeks, releases in the order they fell due, silence."""
    memory.now = max(memory.now, now)
    forget(memory)
    model_account.roll(memory)
    due = [(_due_at(memory, order), order.order_id, order) for order in memory.orders]
    for at, _, order in sorted(due, key=lambda item: item[:2]):
        if order.is_open and at <= memory.now:
            order.release()
            note_touched(memory)
    model_stops.watch(memory, looks_for_silence=True)


def _due_at(memory: Memory, order: Held) -> float:
    """Return when the order's reservation ends by itself, infinity where it does not (S7.5)."""
    rules = memory.thresholds.approvals
    sendable_until = order.expires_at or 0
    due = inf
    if order.good_till is not None:
        due = max(order.good_till, sendable_until) + rules.release_grace_ns
    bound = rules.release_unreported_after_ns
    if bound is not None:
        last = max([order.approved_at, *(at for _, at, _ in order.reports)])
        due = min(due, max(last + bound, sendable_until))
    return due


def note_touched(memory: Memory) -> None:
    """Note when each order was last heard of, or changed whether it holds something.

    Of several that are idle since the same instant, the first that was is the oldest.
    """
    for order in memory.orders:
        looks = (order.is_open, order.is_ended, len(order.reports), order.approved_sequence)
        if looks == order.looked:
            continue
        is_idle_since_now = order.looked[:1] == (False,) and order.touched[0] == memory.now
        order.looked = looks
        if not is_idle_since_now:
            memory.touch_count += 1
            order.touched = (memory.now, memory.touch_count)


def forget(memory: Memory) -> None:
    """Forget ids beyond the bound that were last heard of seven days ago, the oldest first (S7.2).

    Orders that hold a reservation are never forgotten, nor counted.
    """
    bound, until = memory.remembered_min, memory.now - REMEMBERED_NS
    if len(memory.orders) > bound:
        idle = sorted(
            (order for order in memory.orders if not order.is_open), key=lambda order: order.touched
        )
        for order in idle[: max(0, len(idle) - bound)]:
            if order.touched[0] <= until:
                _forget_order(memory, order)
    too_many = len(memory.other_reports) - bound
    for key, (at, _) in list(memory.other_reports.items())[: max(0, too_many)]:
        if at > until:
            break
        del memory.other_reports[key]


def _forget_order(memory: Memory, order: Held) -> None:
    memory.forgotten_before = max(memory.forgotten_before or 0, order.touched[0])
    memory.forgotten_count += 1
    if not order.is_stranger:
        touched = memory.touched_books.get(order.book, 0)
        memory.touched_books[order.book] = max(touched, order.approved_sequence)
    memory.orders.remove(order)
    memory.named_ids = [named for named in memory.named_ids if named != order.order_id]
    for key in [key for key in memory.trade_reports if key[0] == order.order_id]:
        del memory.trade_reports[key]
    for group in [group for group, first in memory.first_fills.items() if first == order.order_id]:
        del memory.first_fills[group]


def configure(memory: Memory, thresholds: Thresholds) -> None:
    """Put other thresholds in force.

    A corrected multiplier weighs positions and reservations anew; it says nothing about what the
    account is worth, and the round trips it touches begin at the mark. Another zone gives the day
    that goes on another name.
    """
    worth = equity(memory)
    symbols = {book[1] for book in memory.trips} | set(memory.marks)
    before = {symbol: multiplier(memory, symbol) for symbol in symbols}
    has_moved = memory.thresholds.account.zone != thresholds.account.zone
    memory.thresholds = thresholds
    if worth is not None:
        memory.cash = worth - marked_value(memory)
    if has_moved:
        _rename_period(memory)
    for book in memory.trips:
        weight = multiplier(memory, book[1])
        if weight != before[book[1]]:
            mark = memory.marks.get(book[1])
            held = position(memory, book)
            price = mark.price if mark is not None else ZERO
            memory.trips[book] = Trip(cash=-held * price * weight)


def _rename_period(memory: Memory) -> None:
    """Call day and week as the zone does; neither begins, no anchor is below the value of now."""
    day, week = model_account.period_of(memory, memory.now)
    value = model_account.unit_value(memory)
    for name, before, after in (("DAILY", memory.day, day), ("WEEKLY", memory.week, week)):
        if before != after and value is not None and value > 0:
            memory.anchors[name] = max(memory.anchors[name], value)
    _call_today(memory, day)
    memory.day, memory.week = day, week


def _call_today(memory: Memory, day: str) -> None:
    """Let what was approved today count today, under another name."""
    memory.daily_notional = [
        (day, *spent[1:]) for spent in memory.daily_notional if spent[0] == memory.day
    ]


def accept_clock(memory: Memory, wall: int) -> None:
    """Take the wall clock's word: every age, window, anchor and latch stays as it was (S2.2)."""
    shift = wall - memory.now
    day, week = model_account.period_of(memory, wall)
    _call_today(memory, day)
    memory.now, memory.day, memory.week, memory.clock_jump = wall, day, week, 0
    memory.times = {sequence: at + shift for sequence, at in memory.times.items()}
    for order in memory.orders:
        order.approved_at += shift
        order.touched = (order.touched[0] + shift, order.touched[1])
        if order.expires_at is not None:
            order.expires_at += shift
        order.reports = [(kind, at + shift, sequence) for kind, at, sequence in order.reports]
    for mark in memory.marks.values():
        mark.at += shift
        mark.pending_at += shift
    for ask in memory.asks:
        ask.at += shift
    memory.api_errors = [at + shift for at in memory.api_errors]
    memory.failed_trades = [at + shift for at in memory.failed_trades]
    memory.last_calls = {name: at + shift for name, at in memory.last_calls.items()}
    memory.silence_from += shift
    memory.other_reports = {
        key: (at + shift, report) for key, (at, report) in memory.other_reports.items()
    }
    if memory.held_equity is not None:
        memory.held_equity = (memory.held_equity[0], memory.held_equity[1] + shift)
