"""What a decision about an order leaves: reservation, windows, memory (S3, S5, S7.1)."""

from decimal import Decimal
from typing import Final

from sidecar.core.bounds import has_room_for_strategy
from sidecar.core.events import DenialsFolded, OrderApproved, OrderDenied, OrdersWithdrawn
from sidecar.core.folds import FoldedOrder
from sidecar.core.numbers import ZERO
from sidecar.core.order_rules import duplicate_text
from sidecar.core.reservations import (
    end,
    hold,
    join_replaced,
    leave_cluster,
    renew,
    set_remaining,
)
from sidecar.core.state import (
    AccountState,
    DuplicateMemory,
    OrderRecord,
    State,
    StrategyState,
    Timed,
    certainly_expired_at,
)

DUPLICATES_DENIED_MAX: Final = 200_000


def apply_order_approved(state: State, event: OrderApproved) -> None:
    """Reserve the worst case, or renew the reservation the order already has."""
    state.decisions_approved += 1
    book = state.book_of(event.strategy, event.symbol)
    book.touched_sequence = state.last_sequence
    strategy = state.strategies[event.strategy]
    strategy.heard_at = state.now
    if not event.is_renewal:
        # A renewal repeats an order that was counted when it was first asked.
        _count_order(state, strategy, event, state.now, counts_in_rate=True)
    record = state.orders.get(event.order_id)
    if record is None:
        record = OrderRecord(event.order_id, event.strategy, event.symbol, event.side)
        state.orders[event.order_id] = record
    else:
        record.was_ended = record.was_released = False
        record.expired_sequence = None
        # An approval expires in the order of approvals, so a new one goes last.
        state.forget_expiry(event.order_id)
    _fill_in(state, record, event)
    if event.replaces_order_id is not None:
        old = state.orders.get(event.replaces_order_id)
        if old is not None and old.is_open:
            old.replaced_by = event.order_id
            if event.cluster is not None and event.cluster.startswith("replace:"):
                join_replaced(state, old, event.cluster)
    if record.is_open:
        if event.cluster is None and record.cluster is not None:
            leave_cluster(state, record)
        renew(state, record, event.quantity, event.price)
    else:
        record.cluster = event.cluster
        hold(state, book, record, event.quantity, event.price)


def _fill_in(state: State, record: OrderRecord, event: OrderApproved) -> None:
    record.order_type = event.order_type
    record.quantity = record.whole_quantity = event.quantity
    record.limit_price, record.stop_price = event.limit_price, event.stop_price
    record.replaces_order_id = event.replaces_order_id
    record.is_approved = True
    record.approved_at = record.touched_at = state.now
    record.approved_sequence = state.last_sequence
    record.expires_at = event.expires_at
    past = state.expiries[record.order_id] = certainly_expired_at(event.expires_at)
    if state.expiry_due > past:
        state.expiry_due = past
    record.epoch = state.stop_epoch
    record.approvable_quantity = event.approvable_quantity
    record.good_till = event.good_till
    if event.daily_notional:
        _count_daily_notional(state.account, record, event.daily_notional)


def _count_daily_notional(account: AccountState, record: OrderRecord, notional: Decimal) -> None:
    """Count what an order may raise once a day: with the most that was approved under its id."""
    counted = record.counted_on(account.day)
    if notional > counted:
        account.daily_notional += notional - counted
        record.daily_notional, record.daily_day = notional, account.day


def is_looked_back_at(state: State) -> bool:
    """Say whether any rule remembers the orders that were asked."""
    rules = state.thresholds.order_rules
    return (
        rules.duplicate_window_ns is not None
        or rules.max_orders_per_window is not None
        or rules.max_orders_per_window_per_strategy is not None
    )


def _count_order(
    state: State,
    strategy: StrategyState,
    event: OrderApproved | OrderDenied | FoldedOrder,
    at: int,
    *,
    counts_in_rate: bool,
) -> None:
    """Remember an asked order where a rule looks back at it."""
    rules = state.thresholds.order_rules
    if rules.duplicate_window_ns is not None:
        _remember_duplicate(state, event, at, rules.duplicate_window_ns)
    if not counts_in_rate:
        return
    if rules.max_orders_per_window is not None:
        state.rate.add(at, rules.order_rate_window_ns)
    if rules.max_orders_per_window_per_strategy is not None:
        strategy.rate.add(at, rules.order_rate_window_ns)


def _remember_duplicate(
    state: State, event: OrderApproved | OrderDenied | FoldedOrder, at: int, window: int
) -> None:
    queue = state.duplicate_queue
    while queue and queue[0].at <= at - window:
        expired = queue.popleft()
        known = state.duplicates.get(expired.key)
        if known is not None and known.at <= at - window:
            del state.duplicates[expired.key]
    if len(queue) >= DUPLICATES_DENIED_MAX and not isinstance(event, OrderApproved):
        # What was denied was not sent: it makes room for what may have been.
        return
    key = duplicate_text(
        (event.strategy, event.symbol, event.side),
        event.quantity or ZERO,
        (event.limit_price, event.stop_price),
    )
    memory = state.duplicates.get(key)
    if memory is None:
        state.duplicates[key] = DuplicateMemory(order_id=event.order_id, at=at)
    else:
        if memory.order_id != event.order_id:
            memory.other_at = memory.at
        memory.order_id, memory.at = event.order_id, at
    queue.append(Timed(at=at, key=key))


def apply_order_denied(state: State, event: OrderDenied) -> None:
    """Count the asked order; a denial leaves nothing else."""
    state.decisions_denied += 1
    _remember_denied(state, event, state.now, counts_in_rate=event.counts_in_rate)


def remember_folded(state: State, event: DenialsFolded) -> None:
    """Leave what each of the folded denials would have left, at the time it came."""
    for order in event.asked:
        _remember_denied(state, order, order.at, counts_in_rate=order.counts_in_rate)
    for name, at in event.heard.items():
        strategy = state.strategies.get(name)
        if strategy is not None:
            strategy.heard_at = at


def _remember_denied(
    state: State, order: OrderDenied | FoldedOrder, at: int, *, counts_in_rate: bool
) -> None:
    strategy = state.strategies.get(order.strategy)
    per_strategy = state.thresholds.order_rules.max_orders_per_window_per_strategy
    if strategy is not None:
        strategy.heard_at = at
    elif per_strategy is not None and has_room_for_strategy(state):
        strategy = state.strategy_of(order.strategy)
    counted = strategy or StrategyState(name=order.strategy)
    _count_order(state, counted, order, at, counts_in_rate=counts_in_rate)


def apply_orders_withdrawn(state: State, event: OrdersWithdrawn) -> None:
    """Undo the approvals of a batch that fell together: they were never given out."""
    for order_id in event.order_ids:
        record = state.orders[order_id]
        old = state.orders.get(record.replaces_order_id or "")
        if old is not None and old.replaced_by == order_id:
            old.replaced_by = None
        state.decisions_approved -= 1
        state.decisions_denied += 1
        state.account.daily_notional -= record.daily_notional
        end(state, record)
        state.ended.pop()
        state.forget_expiry(order_id)
        del state.orders[order_id]
    for order_id in event.lapsed_ids:
        # A renewal was answered with a denial: the order keeps what it had reserved before, and
        # is judged anew when it is asked again.
        record = state.orders[order_id]
        state.decisions_approved -= 1
        state.decisions_denied += 1
        record.expires_at, record.expired_sequence = state.now, state.last_sequence
        state.forget_expiry(order_id)
    # Records from before these were journalled have none.
    before = zip(event.lapsed_ids, event.lapsed_prices, event.lapsed_notionals, strict=False)
    for order_id, price, notional in before:
        record = state.orders[order_id]
        counted = record.counted_on(state.account.day)
        if counted != notional:
            state.account.daily_notional -= counted - notional
            record.daily_notional = notional
        set_remaining(state, record, record.remaining, price)
