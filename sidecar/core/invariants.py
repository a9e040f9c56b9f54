"""What must hold after every event (DESIGN.md, I1-I8).

Rules:
- Checked in full by the tests after every step; O(books + orders), so never on the path of a call.
- The numbers here are those of DESIGN.md.
"""

from decimal import Decimal

from sidecar.core import codec
from sidecar.core.derive import rebuild
from sidecar.core.numbers import ZERO, exact
from sidecar.core.state import State, from_plain, to_plain


@exact
def find_broken(state: State) -> list[str]:
    """Return every invariant that does not hold, with its number; empty where all do."""
    return [*_sums(state), *_orders(state), *_latches(state), *_rebuilt(state)]


def _sums(state: State) -> list[str]:
    broken = []
    by_strategy: dict[str, Decimal] = {}
    total = ZERO
    for symbol in state.symbols.values():
        if symbol.exposure != sum((b.exposure for b in symbol.books.values()), ZERO):
            broken.append(f"I1 symbol {symbol.name}: sum of books differs from its exposure")
        if symbol.net_position != sum((b.position for b in symbol.books.values()), ZERO):
            broken.append(f"I1 symbol {symbol.name}: sum of positions differs")
        total += symbol.exposure
        for book in symbol.books.values():
            before = by_strategy.get(book.strategy, ZERO)
            by_strategy[book.strategy] = before + book.exposure
    for name, strategy in state.strategies.items():
        if strategy.exposure != by_strategy.get(name, ZERO):
            broken.append(f"I1 strategy {name}: sum of books differs from its exposure")
    if total != state.portfolio_exposure:
        broken.append("I1 portfolio: sum of symbols differs from its exposure")
    counted = sum(1 for symbol in state.symbols.values() if symbol.counted_books)
    if counted != state.position_count:
        broken.append("I2 position count differs from the symbols counted")
    return broken


def _orders(state: State) -> list[str]:
    broken = []
    for order_id, record in state.orders.items():
        if record.is_open is not (order_id in state.open_orders):
            broken.append(f"I3 order {order_id}: open flag and index differ")
        if record.remaining < ZERO or record.filled < ZERO:
            broken.append(f"I4 order {order_id}: negative remaining or filled quantity")
        if not record.is_open and record.remaining != ZERO:
            broken.append(f"I4 order {order_id}: ended but still reserved")
        if record.is_open and record.was_ended:
            broken.append(f"I3 order {order_id}: open and ended")
    broken += [
        f"I4 book {book.strategy}:{book.symbol}: negative reservation"
        for book in state.book_list
        if min(book.buy_quantity, book.sell_quantity, book.buy_notional, book.sell_notional) < 0
    ]
    return broken


def _latches(state: State) -> list[str]:
    broken = []
    if state.breaker.is_open is not bool(state.breaker.causes):
        broken.append("I5 breaker: OPEN without a cause, or a cause while CLOSED")
    if any(active.epoch > state.stop_epoch for active in state.activations.values()):
        broken.append("I6 kill switch: an activation from a future epoch")
    units = state.account.units
    if units is not None and units <= ZERO:
        broken.append("I7 account: units are not positive")
    return broken


def _rebuilt(state: State) -> list[str]:
    """Compare the incremental sums with those rebuilt from a snapshot of the same state."""
    other = from_plain(to_plain(state))
    rebuild(other)
    broken = []
    if codec.encode(other) != codec.encode(state):
        broken.append("I8 a snapshot and its rebuild differ from the state")
    same = (
        other.portfolio_exposure == state.portfolio_exposure
        and other.position_count == state.position_count
        and other.account.equity == state.account.equity
        and list(other.open_orders) == list(state.open_orders)
    )
    pairs = zip(other.book_list, state.book_list, strict=True)
    if not same or any(
        (a.exposure, a.buy_notional, a.sell_notional)
        != (b.exposure, b.buy_notional, b.sell_notional)
        for a, b in pairs
    ):
        broken.append("I8 sums rebuilt from a snapshot differ from those kept incrementally")
    return broken
