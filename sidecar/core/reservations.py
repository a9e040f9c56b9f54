"""What is held for approved orders: reserved + filled is conserved (S7.1).

Rules:
- A reservation is remaining quantity x the price fixed when it was reserved.
- Orders of which only one can happen (a one-cancels-other group of reducing orders; an order and
  the one that replaces it) form a *cluster* and count once, with the largest (S4.10).
- A cluster is bounded; an order beyond the bound counts by itself, which is the safer side.
"""

from decimal import Decimal
from heapq import heapify, heappush
from itertools import islice
from typing import Final

from sidecar.core.commands import BUY, CheckOrder, Side
from sidecar.core.exposure import refresh
from sidecar.core.numbers import ZERO
from sidecar.core.state import Book, OrderRecord, State, Timed

CLUSTER_MEMBERS_MAX: Final = 16
ORDERS_HELD_MAX: Final = 200_000
BLOCKING_ORDERS_MAX: Final = 16
_RELEASES_SLACK: Final = 1_000
_BLOCKING_LOOKED_AT_MAX: Final = 4 * BLOCKING_ORDERS_MAX


def hold(state: State, book: Book, record: OrderRecord, remaining: Decimal, price: Decimal) -> None:
    """Reserve `remaining` at `price` for a record that holds nothing yet; `book` is its own."""
    _number(state, record)
    if record.cluster is not None and record.cluster not in book.clusters:
        # A name used again after its group ended is another group.
        state.group_fills.pop(group_fill_key(record), None)
    index_held(state, book, record, remaining, price)


def _number(state: State, record: OrderRecord) -> None:
    """Give the record its place: reservations are held, and rebuilt, in the order of these."""
    record.held_number = state.held_count = state.held_count + 1


def renew(state: State, record: OrderRecord, remaining: Decimal, price: Decimal) -> None:
    """Reserve `remaining` at `price` in place of what the record holds, as the youngest."""
    _number(state, record)
    state.book_of(record.strategy, record.symbol).orders.move_to_end(record.order_id)
    state.open_orders.move_to_end(record.order_id)
    state.unreported.move_to_end(record.order_id)
    set_remaining(state, record, remaining, price)
    schedule_release(state, record)


def leave_cluster(state: State, record: OrderRecord) -> None:
    """Let an open order count by itself from here on; what it held is given back."""
    set_remaining(state, record, ZERO, record.price)
    _leave_cluster(state.book_of(record.strategy, record.symbol), record)
    record.cluster = None


def index_held(
    state: State, book: Book, record: OrderRecord, remaining: Decimal, price: Decimal
) -> None:
    """Put a reservation into the sums and indexes, under the number it has."""
    order_id = record.order_id
    record.is_open = True
    record.remaining = ZERO
    book.orders[order_id] = None
    state.open_orders[order_id] = None
    if record.first_reported_sequence is None:
        state.unreported[order_id] = None
    if record.cluster is not None:
        book.clusters.setdefault(record.cluster, []).append(order_id)
    _set_remaining(state, book, record, remaining, price)
    schedule_release(state, record)


def set_remaining(state: State, record: OrderRecord, remaining: Decimal, price: Decimal) -> None:
    """Change what an open record reserves, and the exposure of its book with it."""
    _set_remaining(state, state.book_of(record.strategy, record.symbol), record, remaining, price)


def _set_remaining(
    state: State, book: Book, record: OrderRecord, remaining: Decimal, price: Decimal
) -> None:
    symbol = state.symbols[record.symbol]
    multiplier = symbol.rules.multiplier
    if record.cluster is None:
        quantity, notional = remaining, remaining * price * multiplier
        if record.remaining:
            quantity -= record.remaining
            notional -= record.remaining * record.price * multiplier
        record.remaining, record.price = remaining, price
    else:
        before = cluster_worst(state, book, record.cluster, ())
        record.remaining, record.price = remaining, price
        after = cluster_worst(state, book, record.cluster, ())
        quantity, notional = after[0] - before[0], after[1] - before[1]
    if record.side is BUY:
        book.buy_quantity += quantity
        book.buy_notional += notional
    else:
        book.sell_quantity += quantity
        book.sell_notional += notional
    refresh(state, book, symbol)


def end(state: State, record: OrderRecord, *, is_release: bool = False) -> None:
    """End an order; a reservation it still holds is given back.

    For good where the venue ended it; a release is our word, and a listing at the venue undoes it.
    """
    if record.is_open:
        set_remaining(state, record, ZERO, record.price)
        book = state.book_of(record.strategy, record.symbol)
        del book.orders[record.order_id]
        del state.open_orders[record.order_id]
        state.unreported.pop(record.order_id, None)
        if record.cluster is not None:
            _leave_cluster(book, record)
        record.is_open = False
    record.was_ended = True
    record.was_released = is_release
    if not is_release:
        # Only a release can be undone, so what an approval needs to be repeated is let go.
        record.expires_at = None
        record.approvable_quantity = ZERO
        state.forget_expiry(record.order_id)
    # Remembered for seven days from here, also where it had ended once before.
    record.touched_at = state.now
    state.ended.append(Timed(at=state.now, key=record.order_id))


def hold_again(state: State, record: OrderRecord, remaining: Decimal, price: Decimal) -> None:
    """Reserve anew an order that was released and that the venue still lists as open (S8.2).

    It leaves its group, which may have ended since; with what replaces it, it goes on counting
    once. Its good-till time was disproved.
    [an operator released a working order, and the room it left was given out twice]
    """
    book = state.book_of(record.strategy, record.symbol)
    key = record.cluster or ""
    if key.startswith("oco:") or len(book.clusters.get(key, ())) >= CLUSTER_MEMBERS_MAX:
        record.cluster = None
    record.was_ended = record.was_released = False
    record.good_till = None
    if record.expired_sequence is None:
        # Named at the venue, it is settled by this record whenever its approval would expire.
        record.expired_sequence = state.last_sequence
        state.forget_expiry(record.order_id)
    _number(state, record)
    index_held(state, book, record, remaining, max(price, record.price))


def _leave_cluster(book: Book, record: OrderRecord) -> None:
    key = record.cluster or ""
    members = book.clusters[key]
    members.remove(record.order_id)
    if not members:
        del book.clusters[key]


def group_fill_key(record: OrderRecord) -> str:
    """Return the key under which the first filled order of a cluster is remembered."""
    return f"{record.strategy} {record.symbol} {record.cluster}"


def join_replaced(state: State, old: OrderRecord, key: str) -> None:
    """Put an order that is about to be replaced into the cluster of its replacement.

    The replacement may hold there already: an old order that was released and approved again
    meets the renewal of its own successor. From here on the two count once.
    """
    if old.cluster is None:
        remaining, price = old.remaining, old.price
        set_remaining(state, old, ZERO, price)
        old.cluster = key
        book = state.book_of(old.strategy, old.symbol)
        book.clusters.setdefault(key, []).append(old.order_id)
        set_remaining(state, old, remaining, price)


def cluster_worst(
    state: State, book: Book, key: str, aside: tuple[str, ...]
) -> tuple[Decimal, Decimal]:
    """Return the largest remaining quantity and notional of a cluster without `aside`."""
    multiplier = state.symbols[book.symbol].rules.multiplier
    quantity = notional = ZERO
    for order_id in book.clusters.get(key, ()):
        if order_id not in aside:
            record = state.orders[order_id]
            quantity = max(quantity, record.remaining)
            notional = max(notional, record.remaining * record.price * multiplier)
    return quantity, notional


def side_without(
    state: State, book: Book, side: Side, aside: tuple[str, ...], joining: str | None
) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return what works on `side` without the orders `aside`, and what `joining` holds already.

    The four values are base quantity, base notional, and the quantity and notional of the cluster
    the new order joins; the new order adds max(cluster, itself) to the base.
    """
    if side is BUY:
        quantity, notional = book.buy_quantity, book.buy_notional
    else:
        quantity, notional = book.sell_quantity, book.sell_notional
    if not aside and joining is None:
        return quantity, notional, ZERO, ZERO
    multiplier = state.symbols[book.symbol].rules.multiplier
    keys = {joining: None} if joining is not None else {}
    for order_id in aside:
        record = state.orders.get(order_id)
        if record is None or not record.is_open:
            continue
        if record.cluster is None:
            quantity -= record.remaining
            notional -= record.remaining * record.price * multiplier
        else:
            keys[record.cluster] = None
    floor = (ZERO, ZERO)
    for key in keys:
        whole = cluster_worst(state, book, key, ())
        rest = cluster_worst(state, book, key, aside)
        quantity -= whole[0]
        notional -= whole[1]
        if key == joining:
            floor = rest
        else:
            quantity += rest[0]
            notional += rest[1]
    return quantity, notional, floor[0], floor[1]


def release_due_at(state: State, record: OrderRecord) -> int | None:
    """Return when the reservation ends by itself, None where it does not (S7.5).

    Never before its approval has expired: until then the order may still be sent, whatever
    good_till a bot gave it. [a good_till in the past approved twelve orders into one room]
    """
    rules = state.thresholds.approvals
    sendable_until = record.expires_at or 0
    due: int | None = None
    if record.good_till is not None:
        due = max(record.good_till, sendable_until) + rules.release_grace_ns
    if rules.release_unreported_after_ns is not None:
        last = max(record.last_report_at or 0, record.approved_at)
        silent = max(last + rules.release_unreported_after_ns, sendable_until)
        due = silent if due is None else min(due, silent)
    return due


def schedule_release(state: State, record: OrderRecord) -> None:
    """Note when to look at the reservation again; reports may move that later."""
    rules = state.thresholds.approvals
    if record.good_till is None and rules.release_unreported_after_ns is None:
        return
    due = release_due_at(state, record)
    if due is None:
        return
    heap = state.release_heap
    heappush(heap, (due, record.order_id))
    if len(heap) > 2 * len(state.open_orders) + _RELEASES_SLACK:
        # Each report puts one down; looked at anew, one an order is left.
        held = [state.orders[order_id] for order_id in state.open_orders]
        dues = [(release_due_at(state, other), other.order_id) for other in held]
        heap[:] = [(at, order_id) for at, order_id in dues if at is not None]
        heapify(heap)


def find_blocking(
    state: State,
    order: CheckOrder,
    book: Book | None,
    *,
    is_symbol: bool,
    is_strategy: bool,
    is_anywhere: bool,
) -> tuple[str, ...]:
    """Return up to 16 orders whose reservations stand in the way: own book first (S4.6).

    Each flag names a sum that is full: of the symbol, the strategy, everything. In the own book
    only the order's side is in its way: where the other side were the worse, the order would not
    raise. Looks at a bounded number of orders, however many are held.
    """
    own = islice(book.orders, _BLOCKING_LOOKED_AT_MAX) if book is not None else ()
    found = dict.fromkeys(at for at in own if state.orders[at].side is order.side)
    known = state.symbols.get(order.symbol) if is_symbol else None
    for other in islice(known.books.values(), BLOCKING_ORDERS_MAX) if known is not None else ():
        if other is not book:
            found |= dict.fromkeys(islice(other.orders, BLOCKING_ORDERS_MAX))
    for order_id in islice(state.open_orders, _BLOCKING_LOOKED_AT_MAX):
        record = state.orders[order_id]
        is_own_strategy = record.strategy == order.strategy
        is_own_book = is_own_strategy and record.symbol == order.symbol
        if not is_own_book and (is_anywhere or (is_strategy and is_own_strategy)):
            found[order_id] = None
    return tuple(islice(found, BLOCKING_ORDERS_MAX))
