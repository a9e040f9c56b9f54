"""Rebuilds every derived field from the stored ones: after a snapshot, and when rules change.

Rules:
- The sums that events keep incrementally must equal the sums rebuilt here; `invariants` and the
  tests compare the two.
"""

from collections import OrderedDict

from sidecar.core.circuit_breaker import next_silence
from sidecar.core.exposure import refresh
from sidecar.core.numbers import ZERO, exact
from sidecar.core.order_rules import checks_in_force
from sidecar.core.reservations import index_held
from sidecar.core.state import OrderRecord, State, certainly_expired_at
from sidecar.core.thresholds import DEFAULT_SYMBOL_RULES


@exact
def rebuild(state: State) -> None:
    """Recompute sums, indexes and schedules of the whole state."""
    _clear(state)
    state.checks = checks_in_force(state.thresholds)
    for book in state.book_list:
        symbol = state.symbol_of(book.symbol)
        state.strategy_of(book.strategy)
        symbol.books[book.strategy] = book
        symbol.net_position += book.position
    account = state.account
    for symbol in state.symbols.values():
        account.holdings += symbol.net_position * (symbol.mark or ZERO) * symbol.rules.multiplier
    for book in state.book_list:
        refresh(state, book, state.symbols[book.symbol])
    held = [record for record in state.orders.values() if record.is_open]
    for record in sorted(held, key=_held_number):
        book = state.book_of(record.strategy, record.symbol)
        index_held(state, book, record, record.remaining, record.price)
    waiting = [
        record
        for record in state.orders.values()
        if record.expires_at is not None and record.expired_sequence is None
    ]
    for record in sorted(waiting, key=_held_number):
        state.expiries[record.order_id] = certainly_expired_at(record.expires_at or 0)
    state.report_ids = sum(len(record.reports or ()) for record in state.orders.values())
    state.silence_due = next_silence(state)


def _held_number(record: OrderRecord) -> int:
    return record.held_number


def _clear(state: State) -> None:
    state.portfolio_exposure = ZERO
    state.position_count = 0
    state.open_orders = OrderedDict()
    state.unreported = OrderedDict()
    state.expiries = OrderedDict()
    state.expiry_due = 0
    state.release_heap = []
    state.account.holdings = ZERO
    for symbol in state.symbols.values():
        symbol.rules = state.thresholds.symbols.get(symbol.name, DEFAULT_SYMBOL_RULES)
        symbol.net_position = ZERO
        symbol.exposure = ZERO
        symbol.counted_books = 0
        symbol.books = {}
    for strategy in state.strategies.values():
        strategy.exposure = ZERO
    for book in state.book_list:
        book.buy_quantity = book.buy_notional = ZERO
        book.sell_quantity = book.sell_notional = ZERO
        book.exposure = ZERO
        book.is_counted = False
        book.orders = OrderedDict()
        book.clusters = {}
