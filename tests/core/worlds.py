"""Random desks for the properties: rules, marks, positions and working orders of any kind.

Rules:
- Small numbers of few digits, so that limits are met exactly as often as they are passed.
- Everything is drawn, nothing is random: a failure prints what replays it.
"""

from decimal import Decimal
from typing import Any, Final

from hypothesis import strategies as st

from sidecar.core.thresholds import (
    AccountRules,
    ApprovalRules,
    OrderRules,
    PositionLimits,
    SymbolRules,
)
from tests.core.harness import Desk

SYMBOLS: Final = ("X", "Y", "Z")
STRATEGIES: Final = ("alpha", "beta")
STEPS: Final = (Decimal("0.1"), Decimal("0.3"), Decimal(1))
SIDES: Final = ("BUY", "SELL")
GROUPS: Final = (None, None, "g", "h")

quantities = st.sampled_from(["0.5", "1", "2", "3", "5", "7.5", "10", "12", "20", "40", "100"]).map(
    Decimal
)
prices = st.sampled_from(["50", "80", "90", "99", "100", "101", "110", "125", "400"]).map(Decimal)
marks = st.sampled_from(["90", "99", "100", "105", "120", "200"]).map(Decimal)
maybe = st.none() | quantities


def optional(*values: str) -> st.SearchStrategy[Decimal | None]:
    """Draw none of the values as often as one of them."""
    return st.none() | st.sampled_from(values).map(Decimal)


order_rules = st.builds(
    OrderRules,
    max_order_quantity=optional("4", "15", "60"),
    max_order_notional=optional("450", "1500", "9000"),
    max_order_notional_ratio=optional("0.05", "0.2"),
    price_collar_ratio=optional("0.05", "0.2"),
    max_daily_notional=optional("700", "2500"),
    duplicate_window_ns=st.sampled_from([None, None, 3 * 10**9]),
    max_orders_per_window=st.sampled_from([None, None, 6]),
)
symbol_rules = st.builds(
    SymbolRules,
    multiplier=st.sampled_from(["1", "1", "0.5", "10"]).map(Decimal),
    quantity_step=st.sampled_from(["0.00000001", "0.1", "0.3", "1"]).map(Decimal),
    per_symbol_ratio=optional("0.1", "0.5"),
)
limits = st.builds(PositionLimits, max_positions=st.integers(1, 3))
account_rules = st.builds(
    AccountRules,
    dust_notional=st.sampled_from(["0", "0", "150"]).map(Decimal),
    mark_age_ns_max=st.none() | st.just(10**18),
    mark_confirm_ns=st.just(10**9),
)


@st.composite
def orders(draw: st.DrawFn, ids: tuple[str, ...] = ()) -> dict[str, Any]:
    """Draw the arguments of an order; it may replace one of `ids`."""
    has_limit, has_stop = draw(st.booleans()), draw(st.booleans())
    return {
        "side": draw(st.sampled_from(SIDES)),
        "quantity": draw(quantities),
        "price": draw(prices) if has_limit else None,
        "stop": draw(prices) if has_stop else None,
        "reference": draw(st.none() | st.none() | prices),
        "symbol": draw(st.sampled_from(SYMBOLS)),
        "strategy": draw(st.sampled_from(STRATEGIES)),
        "group": draw(st.sampled_from(GROUPS)),
        "replaces": draw(st.sampled_from([*ids, None])),
    }


@st.composite
def exit_desks(draw: st.DrawFn) -> Desk:
    """Draw one book with a position and exits working against it, in groups and replacing."""
    desk = Desk(
        equity=draw(st.sampled_from(["10000", "100000"])),
        marks={"X": "100"},
        order_rules=draw(order_rules | st.just(OrderRules())),
        symbols={"X": SymbolRules(quantity_step=draw(st.sampled_from(STEPS)))},
    )
    is_long = draw(st.booleans())
    size = draw(st.sampled_from([5, 10, 12]))
    desk.hold(size if is_long else -size, 100)
    for _ in range(draw(st.integers(0, 6))):
        desk.check(**draw(exits(desk)))
        if draw(st.integers(0, 5)) == 0 and desk.state.open_orders:
            order_id = draw(st.sampled_from(list(desk.state.open_orders)))
            desk.fill(order_id, draw(st.sampled_from([1, 3])), 100)
    return desk


@st.composite
def exits(draw: st.DrawFn, desk: Desk) -> dict[str, Any]:
    """Draw an order of the one book, mostly against its position."""
    is_long = desk.book().position > 0
    is_exit = draw(st.integers(0, 4)) > 0
    side = "SELL" if is_long == is_exit else "BUY"
    held = [name for name in desk.state.open_orders if desk.record(name).side == side]
    return {
        "side": side,
        "quantity": draw(st.sampled_from([1, 2, 3, 5, 7, 10, 12, 15])),
        "price": draw(prices),
        "group": draw(st.sampled_from(GROUPS)),
        "replaces": draw(st.sampled_from([*held, None, None])),
    }


@st.composite
def desks(draw: st.DrawFn, steps: int = 12, *, is_plain: bool = False) -> Desk:
    """Draw a desk on which some orders were asked, filled, ended, and some marks moved.

    `is_plain`: without groups, replacements and renewals.
    """
    first_marks = {name: draw(marks) for name in SYMBOLS if draw(st.integers(0, 3))}
    desk = Desk(
        equity=draw(st.sampled_from(["1000", "10000", "30000"])),
        marks=first_marks,
        account=draw(account_rules),
        order_rules=draw(order_rules),
        position_limits=draw(limits),
        approvals=ApprovalRules(valid_ns=5 * 10**9),
        symbols={name: draw(symbol_rules) for name in SYMBOLS[:2]},
    )
    for _ in range(draw(st.integers(0, steps))):
        step(draw, desk, is_plain=is_plain)
    return desk


def step(draw: st.DrawFn, desk: Desk, *, is_plain: bool) -> None:
    """Let one thing happen."""
    held = list(desk.state.open_orders)
    kind = draw(st.sampled_from(["hold", "ask", "ask", "ask", "fill", "end", "mark", "time"]))
    if kind == "hold":
        quantity = draw(quantities) * draw(st.sampled_from([1, -1]))
        desk.hold(
            quantity,
            draw(marks),
            symbol=draw(st.sampled_from(SYMBOLS)),
            strategy=draw(st.sampled_from(STRATEGIES)),
        )
    elif kind == "ask":
        ask(draw, desk, is_plain=is_plain)
    elif kind == "fill" and held:
        order_id = draw(st.sampled_from(held))
        share = draw(st.sampled_from(["0.5", "1", "1.5"]))
        remaining = desk.record(order_id).remaining
        desk.fill(order_id, (remaining or 1) * Decimal(share), draw(marks))
    elif kind == "end" and held:
        word = draw(st.sampled_from(["CANCELED", "REJECTED", "REPLACED", "ACCEPTED", "FAILED"]))
        desk.report(word, draw(st.sampled_from(held)))
    elif kind == "mark":
        desk.mark(**{draw(st.sampled_from(SYMBOLS)): draw(marks)})
    elif kind == "time":
        desk.advance(draw(st.sampled_from([1, 6])))


def ask(draw: st.DrawFn, desk: Desk, *, is_plain: bool) -> None:
    """Ask about an order, perhaps one that was asked before or that replaces another."""
    if is_plain:
        desk.check(**(draw(orders()) | {"group": None, "replaces": None}))
        return
    held = tuple(desk.state.open_orders)
    if held and not draw(st.integers(0, 4)):
        again(desk, draw(st.sampled_from(held)))
        return
    arguments = draw(orders())
    if held and not draw(st.integers(0, 2)):
        old = desk.record(draw(st.sampled_from(held)))
        arguments |= {"symbol": old.symbol, "strategy": old.strategy, "side": old.side.value}
        arguments["replaces"] = old.order_id
    desk.check(**arguments)


def again(desk: Desk, order_id: str) -> None:
    """Ask about an approved order once more, under its own id and content."""
    record = desk.record(order_id)
    if record.order_type is None:
        return
    desk.check(
        record.side.value,
        record.quantity,
        record.limit_price,
        stop=record.stop_price,
        order_type=record.order_type.value,
        symbol=record.symbol,
        strategy=record.strategy,
        replaces=record.replaces_order_id,
        order_id=order_id,
    )
