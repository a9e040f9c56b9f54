"""The approvable quantity: what would pass in place of the order, and not one step more (S4.6)."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.core.commands import CheckOrder
from sidecar.core.thresholds import DEFAULT_STEP
from tests.core.harness import Desk, codes
from tests.core.worlds import desks, exit_desks, exits, orders

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)


def step_of(desk: Desk, symbol: str) -> Decimal:
    """Return the quantity step of a symbol."""
    rules = desk.state.thresholds.symbols.get(symbol)
    return rules.quantity_step if rules else DEFAULT_STEP


def would_pass(desk: Desk, order: CheckOrder, quantity: Decimal) -> bool:
    """Say whether the order would be approved at another quantity."""
    return desk.ask(replace(order, quantity=quantity, dry_run=True)).is_approved


def draw_order(data: st.DataObject, desk: Desk) -> CheckOrder:
    """Draw a fresh order, one that replaces another, or one in a group."""
    if [(book.symbol, book.strategy) for book in desk.state.book_list] == [("X", "alpha")]:
        return desk.order(**data.draw(exits(desk)))
    arguments: dict[str, Any] = data.draw(orders())
    held = tuple(desk.state.open_orders)
    replaced = data.draw(st.sampled_from([*held, None]))
    if replaced is not None:
        old = desk.record(replaced)
        arguments |= {"symbol": old.symbol, "strategy": old.strategy, "side": old.side.value}
        arguments["replaces"] = old.order_id
    return desk.order(**arguments)


@settings(max_examples=150, suppress_health_check=SLOW)
@given(desk=desks() | exit_desks(), data=st.data())
def test_the_approvable_quantity_passes_and_one_step_more_does_not(
    desk: Desk, data: st.DataObject
) -> None:
    """Approvable is the largest multiple of the step that would be approved instead (S4.6)."""
    order = draw_order(data, desk)
    step = step_of(desk, order.symbol)
    decision = desk.ask(replace(order, dry_run=True))
    best = decision.approvable_quantity
    assert best % step == 0
    if "DUPLICATE_ORDER" in codes(decision):
        # By the letter every quantity is denied, though another quantity is another order.
        return
    if best:
        assert would_pass(desk, order, best)
    for more in (best + step, *larger(data, desk, order, best, step)):
        assert not would_pass(desk, order, more), f"{best} was named, {more} passes too"


def larger(
    data: st.DataObject, desk: Desk, order: CheckOrder, best: Decimal, step: Decimal
) -> list[Decimal]:
    """Return multiples above `best` where another reading of the rules might let one pass."""
    book = desk.state.symbols.get(order.symbol)
    own = book.books.get(order.strategy) if book else None
    size = abs(own.position) if own else Decimal(0)
    near = [size, 2 * size, order.quantity]
    near += (
        [abs(size - quantity) for quantity in (own.buy_quantity, own.sell_quantity)] if own else []
    )
    near.append(best + step * data.draw(st.integers(2, 2000)))
    return [floored for value in near if (floored := value - value % step) > best]


@settings(max_examples=150, suppress_health_check=SLOW)
@given(desk=desks() | exit_desks(), data=st.data())
def test_an_approved_multiple_is_within_the_approvable_quantity(
    desk: Desk, data: st.DataObject
) -> None:
    """An approved order of whole steps is never above its own approvable quantity (S4.6)."""
    order = draw_order(data, desk)
    step = step_of(desk, order.symbol)
    decision = desk.ask(replace(order, dry_run=True))
    if decision.is_approved and order.quantity % step == 0:
        assert decision.approvable_quantity >= order.quantity


@settings(max_examples=150, suppress_health_check=SLOW)
@given(desk=desks() | exit_desks(), data=st.data())
def test_an_approval_reserves_no_more_than_was_judged(desk: Desk, data: st.DataObject) -> None:
    """After an approval every raised scope is within its limit; others did not grow (S6, S7.1)."""
    order = draw_order(data, desk)
    before = desk.state.symbols[order.symbol].exposure if order.symbol in desk.state.symbols else 0
    count = desk.state.position_count
    decision = desk.ask(order)
    if not decision.is_approved:
        return
    state, limits = desk.state, desk.state.thresholds.position_limits
    symbol = state.symbols[order.symbol]
    if symbol.exposure <= before:
        return
    equity = state.account.equity or Decimal(0)
    ratio = symbol.rules.per_symbol_ratio or limits.per_symbol_ratio
    assert symbol.exposure <= ratio * equity, codes(decision)
    assert state.strategies[order.strategy].exposure <= limits.per_strategy_ratio * equity
    assert state.portfolio_exposure <= limits.portfolio_ratio * equity
    assert state.position_count <= max(count, limits.max_positions)
