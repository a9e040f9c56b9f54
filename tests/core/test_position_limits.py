"""How large books may grow: four layers at the limit, one step past, and back (S6)."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.core.thresholds import PositionLimits, StrategyRules, SymbolRules
from tests.core.harness import Desk, codes
from tests.core.worlds import desks, orders

STEP = Decimal("0.00000001")
S6 = {"SYMBOL_EXPOSURE", "STRATEGY_EXPOSURE", "PORTFOLIO_EXPOSURE", "POSITION_COUNT"}
NAMES = ("A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K")


def desk_of(*names: str) -> Desk:
    """Return a desk with equity 100,000 and marks of 100."""
    return Desk(marks=dict.fromkeys(names or ("X",), 100))


def fill_symbol(desk: Desk) -> tuple[str, str, str]:
    """Take 29,900 of the 30,000 a symbol may have; return who asks where, and the code."""
    desk.approve("BUY", 200, 100, symbol="A", strategy="one")
    desk.approve("BUY", 99, 100, symbol="A", strategy="two")
    return "A", "three", "SYMBOL_EXPOSURE"


def fill_strategy(desk: Desk) -> tuple[str, str, str]:
    """Take 59,900 of the 60,000 a strategy may have."""
    for symbol, quantity in (("A", 250), ("B", 250), ("C", 99)):
        desk.approve("BUY", quantity, 100, symbol=symbol, strategy="one")
    return "D", "one", "STRATEGY_EXPOSURE"


def fill_portfolio(desk: Desk) -> tuple[str, str, str]:
    """Take 89,900 of the 90,000 the portfolio may have."""
    books = (("A", "one", 250), ("B", "two", 250), ("C", "three", 250), ("D", "four", 149))
    for symbol, strategy, quantity in books:
        desk.approve("BUY", quantity, 100, symbol=symbol, strategy=strategy)
    return "E", "five", "PORTFOLIO_EXPOSURE"


FILLS = (fill_symbol, fill_strategy, fill_portfolio)


@pytest.mark.parametrize("fill", FILLS, ids=["symbol", "strategy", "portfolio"])
def test_at_the_limit_is_allowed_one_step_above_is_denied_and_back(
    fill: Callable[[Desk], tuple[str, str, str]],
) -> None:
    """30 % a symbol, 60 % a strategy, 90 % in all: at the limit passes, a step more not (S6)."""
    desk = desk_of(*NAMES)
    symbol, strategy, code = fill(desk)
    above = desk.check("BUY", 1 + STEP, 100, symbol=symbol, strategy=strategy)
    assert codes(above) == [code]
    assert above.approvable_quantity == 1
    found = above.violations[0]
    assert found.limit is not None
    assert found.projected == found.limit + STEP * 100
    assert found.observed == found.limit - 100
    at = desk.approve("BUY", 1, 100, symbol=symbol, strategy=strategy)
    least = desk.check("BUY", STEP, 100, symbol=symbol, strategy=strategy)
    assert codes(least) == [code]
    assert least.approvable_quantity == 0
    assert at in least.blocking_order_ids
    desk.report("CANCELED", at)
    assert desk.check("BUY", 1, 100, symbol=symbol, strategy=strategy).is_approved
    desk.assert_replays()


def test_ten_positions_are_allowed_and_an_eleventh_symbol_is_denied() -> None:
    """Ten symbols with a position or a reservation; growing one of the ten passes (S6.4)."""
    desk = desk_of(*NAMES)
    for name in NAMES[:9]:
        desk.hold(1, 100, symbol=name)
    tenth = desk.approve("BUY", 1, 100, symbol="J")
    denied = desk.check("BUY", 1, 100, symbol="K")
    assert codes(denied) == ["POSITION_COUNT"]
    found = denied.violations[0]
    assert [found.observed, found.projected, found.limit] == [Decimal(10), Decimal(11), Decimal(10)]
    assert denied.approvable_quantity == 0
    assert desk.check("BUY", 1, 100, symbol="J").is_approved
    assert desk.check("BUY", 1, 100, symbol="A", strategy="beta").is_approved
    for order_id in list(desk.state.open_orders):
        desk.report("CANCELED", order_id)
    assert desk.record(tenth).is_open is False
    assert desk.check("BUY", 1, 100, symbol="K").is_approved


def test_a_renewal_beyond_the_position_count_is_a_symbol_added() -> None:
    """Its own reservation set aside, a renewed order adds its own symbol (S4.1, S6.4)."""
    desk = Desk(marks={"A": 100, "B": 100}, position_limits=PositionLimits(max_positions=1))
    order_id = desk.approve("BUY", 1, 100, symbol="A")
    desk.hold(1, 100, symbol="B")
    desk.advance(11)
    again = desk.check("BUY", 1, 100, symbol="A", order_id=order_id)
    assert codes(again) == ["POSITION_COUNT", "APPROVAL_NO_LONGER_VALID"]


def test_all_scopes_that_would_be_passed_are_listed() -> None:
    """Every scope an order would take past its limit is a violation with its numbers (S6, S4.6)."""
    decision = desk_of().check("BUY", 901, 100)
    assert codes(decision) == ["SYMBOL_EXPOSURE", "STRATEGY_EXPOSURE", "PORTFOLIO_EXPOSURE"]
    assert [v.scope for v in decision.violations] == ["symbol:X", "strategy:alpha", "portfolio"]
    assert [v.limit for v in decision.violations] == [30_000, 60_000, 90_000]
    assert decision.approvable_quantity == 300


def test_opposite_positions_of_two_strategies_do_not_net() -> None:
    """A long of one and a short of another strategy both count (S6)."""
    desk = desk_of()
    desk.hold(150, 100)
    desk.hold(-150, 100, strategy="beta")
    assert desk.state.symbols["X"].exposure == 30_000
    assert codes(desk.check("BUY", 1, 100)) == ["SYMBOL_EXPOSURE"]


def test_a_passive_breach_denies_increases_and_trips_nothing() -> None:
    """The price moved: above the limit only increases are denied, exits pass, no trip (S6)."""
    desk = desk_of()
    desk.hold(300, 100)
    desk.mark(X=110)
    assert desk.state.symbols["X"].exposure == 33_000
    denied = desk.check("BUY", STEP, 100)
    assert codes(denied) == ["SYMBOL_EXPOSURE"]
    assert denied.approvable_quantity == 0
    assert desk.check("SELL", 300, 110).is_approved
    assert not desk.state.breaker.is_open


def test_equity_is_the_current_one() -> None:
    """Limits are shares of the equity of now: it follows fills and marks (S6, S8.1)."""
    desk = desk_of("X", "Y")
    desk.hold(100, 100, symbol="Y")
    desk.mark(Y=120)
    assert desk.state.account.equity == 102_000
    assert desk.check("BUY", 306, 100, dry_run=True).is_approved
    assert codes(desk.check("BUY", 306 + STEP, 100, dry_run=True)) == ["SYMBOL_EXPOSURE"]


def test_overrides_of_symbol_and_strategy_name_their_own_key() -> None:
    """A symbol or strategy with its own ratio is judged by it and says so (S6)."""
    desk = Desk(
        marks={"X": 100},
        symbols={"X": SymbolRules(per_symbol_ratio=Decimal("0.05"))},
        strategies={"alpha": StrategyRules(per_strategy_ratio=Decimal("0.02"))},
    )
    decision = desk.check("BUY", 51, 100)
    assert [v.rule_id for v in decision.violations] == [
        'symbols."X".per_symbol_ratio',
        'strategies."alpha".per_strategy_ratio',
    ]
    assert [v.limit for v in decision.violations] == [5000, 2000]
    assert decision.approvable_quantity == 20


def test_three_orders_of_100_do_not_pass_a_limit_of_100() -> None:
    """Reservations count at once: the second of three orders of the whole limit is denied ([*])."""
    desk = Desk(
        equity=1000,
        marks={"X": 1},
        position_limits=PositionLimits(
            per_symbol_ratio=Decimal("0.1"), per_strategy_ratio=Decimal("0.1")
        ),
    )
    assert [desk.check("BUY", 100, 1).is_approved for _ in range(3)] == [True, False, False]


def test_five_orders_of_ninety_percent_of_cash_do_not_all_pass() -> None:
    """Only the first of five orders of 90 % of equity fits the portfolio's 90 % ([*])."""
    limits = PositionLimits(per_symbol_ratio=Decimal("0.9"), per_strategy_ratio=Decimal("0.9"))
    desk = Desk(equity=1000, marks=dict.fromkeys(NAMES[:5], 1), position_limits=limits)
    asked = [desk.check("BUY", 900, 1, symbol=name).is_approved for name in NAMES[:5]]
    assert asked == [True, False, False, False, False]


def test_room_for_ten_never_approves_an_eleventh() -> None:
    """A thousand orders against room for ten: ten are approved (S6, S7.1)."""
    desk = desk_of()
    asked = [desk.check("BUY", 30, 100, strategy=f"s{at % 7}").is_approved for at in range(100)]
    assert asked.count(True) == 10
    assert all(asked[:10])


def test_blocking_orders_of_a_full_portfolio_are_named() -> None:
    """Where reservations elsewhere fill the portfolio, those are the blocking orders (S4.6)."""
    desk = desk_of(*NAMES)
    _, _, code = fill_portfolio(desk)
    held = set(desk.state.open_orders)
    denied = desk.check("BUY", 2, 100, symbol="E", strategy="five")
    assert codes(denied) == [code]
    assert set(denied.blocking_order_ids) == held


def test_only_orders_whose_end_makes_room_are_named_as_blocking() -> None:
    """A full symbol is not blocked by the strategy's orders elsewhere (S4.6).

    Who reads the list ends those orders: one that frees nothing is a wrong answer.
    """
    desk = desk_of("A", "B")
    elsewhere = desk.approve("BUY", 10, 100, symbol="B", strategy="one")
    same = desk.approve("BUY", 200, 100, symbol="A", strategy="one")
    other = desk.approve("BUY", 100, 100, symbol="A", strategy="two")
    denied = desk.check("BUY", 1, 100, symbol="A", strategy="one")
    assert codes(denied) == ["SYMBOL_EXPOSURE"]
    assert denied.blocking_order_ids == (same, other)
    assert elsewhere not in denied.blocking_order_ids


def test_an_exit_is_blocked_by_exits_alone() -> None:
    """A working buy does not stand in the way of a sale that would reduce (S4.5, S4.6)."""
    desk = desk_of("X", "Y")
    desk.hold(10, 100)
    desk.approve("BUY", 5, 100)
    desk.approve("BUY", 5, 100, symbol="Y")
    exit_id = desk.approve("SELL", 10, 100)
    desk.kill("REDUCE_ONLY")
    denied = desk.check("SELL", 1, 100)
    assert not denied.is_approved
    assert denied.blocking_order_ids == (exit_id,)


def test_the_other_side_of_a_quote_is_not_in_its_way() -> None:
    """Both sides of a quote count once, with the worse: a sale's room is not the buy's (S6)."""
    desk = desk_of()
    desk.approve("BUY", 300, 100)
    sale = desk.approve("SELL", 300, 100)
    denied = desk.check("SELL", 1, 100)
    assert codes(denied) == ["SYMBOL_EXPOSURE"]
    assert denied.blocking_order_ids == (sale,)


def test_at_most_sixteen_blocking_orders_are_named() -> None:
    """Up to 16 blocking ids, own book first (S4.6)."""
    desk = desk_of()
    for _ in range(30):
        desk.approve("BUY", 10, 100)
    denied = desk.check("BUY", 1, 100)
    assert len(denied.blocking_order_ids) == 16


@settings(max_examples=120, suppress_health_check=(HealthCheck.too_slow,))
@given(desk=desks(), data=st.data())
def test_what_does_not_raise_exposure_is_never_denied_by_position_limits(
    desk: Desk, data: st.DataObject
) -> None:
    """An order that leaves its book's worst case as it is passes S6, whatever stands (S4.5)."""
    order = desk.order(**data.draw(orders()))
    order.dry_run = True
    if not S6 & set(codes(desk.ask(order))):
        return
    before = exposure_of(desk, order.symbol)
    # Without limits, how far would the very same order take the book?
    limits = PositionLimits(
        per_symbol_ratio=Decimal(10**9),
        per_strategy_ratio=Decimal(10**9),
        portfolio_ratio=Decimal(10**9),
        max_positions=10**9,
    )
    desk.configure(replace(desk.state.thresholds, position_limits=limits))
    order.dry_run = False
    if desk.ask(order).is_approved:
        assert exposure_of(desk, order.symbol) > before


def exposure_of(desk: Desk, symbol: str) -> Decimal:
    """Return the exposure of a symbol, zero where it is unknown."""
    known = desk.state.symbols.get(symbol)
    return known.exposure if known is not None else Decimal(0)
