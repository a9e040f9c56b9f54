"""The price an order is valued at, and the worst case of a book (S6)."""

from decimal import Decimal

import pytest

from sidecar.core.commands import OrderType, Side
from sidecar.core.exposure import order_price, worst_case
from sidecar.core.thresholds import AccountRules, SymbolRules
from tests.core.harness import SECOND, Desk, codes, number

# order type, side, limit, stop, mark, reference -> price (None: MARK_UNAVAILABLE)
PRICES = [
    # A buy limit takes the higher of limit and mark, or the limit alone while there is no mark.
    ("LIMIT", "BUY", "90", None, "100", None, "100"),
    ("LIMIT", "BUY", "110", None, "100", None, "110"),
    ("LIMIT", "BUY", "90", None, None, None, "90"),
    # A sell limit and every stop takes the highest of limit, stop price and mark.
    ("LIMIT", "SELL", "90", None, "100", None, "100"),
    ("LIMIT", "SELL", "110", None, "100", None, "110"),
    ("LIMIT", "SELL", "110", None, None, None, None),
    ("STOP_LIMIT", "BUY", "105", "104", "100", None, "105"),
    ("STOP_LIMIT", "BUY", "104", "105", "100", None, "105"),
    ("STOP_LIMIT", "SELL", "95", "96", "100", None, "100"),
    ("STOP_LIMIT", "BUY", "105", "104", None, None, None),
    ("STOP_LIMIT", "SELL", "95", "96", None, None, None),
    # Market and stop orders: times (1 + slippage), here 0.01.
    ("MARKET", "BUY", None, None, "100", None, "101"),
    ("MARKET", "SELL", None, None, "100", None, "101"),
    ("MARKET", "BUY", None, None, None, None, None),
    ("STOP", "BUY", None, "120", "100", None, "121.2"),
    ("STOP", "SELL", None, "80", "100", None, "101"),
    ("STOP", "SELL", None, "80", None, None, None),
    # The reference can raise the price used, never lower it.
    ("LIMIT", "BUY", "90", None, "100", "120", "120"),
    ("LIMIT", "BUY", "90", None, "100", "80", "100"),
    ("LIMIT", "BUY", "90", None, None, "120", "120"),
    ("LIMIT", "BUY", "90", None, None, "80", "90"),
    ("LIMIT", "SELL", "110", None, "100", "120", "120"),
    ("MARKET", "BUY", None, None, "100", "120", "121.2"),
    ("MARKET", "BUY", None, None, "100", "80", "101"),
    ("STOP", "BUY", None, "105", "100", "120", "121.2"),
    ("STOP_LIMIT", "SELL", "95", "96", "100", "120", "120"),
    # It stands in where there is no mark, but not for a sell limit below it.
    ("MARKET", "BUY", None, None, None, "100", "101"),
    ("MARKET", "SELL", None, None, None, "100", "101"),
    ("STOP", "SELL", None, "80", None, "100", "101"),
    ("STOP_LIMIT", "SELL", "95", "96", None, "100", "100"),
    ("LIMIT", "SELL", "110", None, None, "100", "110"),
    ("LIMIT", "SELL", "100", None, None, "100", "100"),
    ("LIMIT", "SELL", "99", None, None, "100", None),
]


@pytest.mark.parametrize(
    ("order_type", "side", "limit", "stop", "mark", "reference", "price"), PRICES
)
def test_every_order_type_has_its_price(
    order_type: str,
    side: str,
    limit: str | None,
    stop: str | None,
    mark: str | None,
    reference: str | None,
    price: str | None,
) -> None:
    """The price of an order by type, side, mark and reference is that of the table (S6)."""
    found = order_price(
        OrderType(order_type),
        Side(side),
        number(limit),
        number(stop),
        number(mark),
        number(reference),
        Decimal("0.01"),
    )
    assert found == number(price)


@pytest.mark.parametrize(
    ("order_type", "side", "limit", "stop", "mark", "reference", "price"), PRICES
)
def test_a_desk_reserves_at_that_price_or_says_mark_unavailable(
    order_type: str,
    side: str,
    limit: str | None,
    stop: str | None,
    mark: str | None,
    reference: str | None,
    price: str | None,
) -> None:
    """What the table cannot price is MARK_UNAVAILABLE; the rest is reserved at its price (S6)."""
    desk = Desk(marks={"X": mark} if mark else None)
    decision = desk.check(
        side, 1, limit, stop=stop, reference=reference, order_type=order_type, order_id="a"
    )
    if price is None:
        assert codes(decision) == ["MARK_UNAVAILABLE"]
        return
    assert decision.is_approved
    assert desk.record("a").price == Decimal(price)
    assert desk.book().exposure == Decimal(price)
    assert desk.state.symbols["X"].mark == number(mark), "a reference never becomes the mark"


BOOKS = [
    # position, QB, WB, QS, WS, at a mark of 100 -> exposure
    ("0", "0", "0", "0", "0", "0"),
    ("10", "0", "0", "0", "0", "1000"),
    ("-10", "0", "0", "0", "0", "1000"),
    ("0", "5", "500", "0", "0", "500"),
    ("0", "5", "500", "7", "700", "700"),
    ("10", "5", "600", "0", "0", "1600"),
    ("10", "0", "0", "10", "90000", "1000"),
    ("10", "0", "0", "10.5", "1100", "1000"),
    ("10", "0", "0", "30", "3000", "2000"),
    ("-10", "10", "90000", "0", "0", "1000"),
    ("-10", "30", "3000", "0", "0", "2000"),
    ("-10", "0", "0", "5", "600", "1600"),
    ("10", "5", "500", "40", "4000", "3000"),
]


@pytest.mark.parametrize(("position", "qb", "wb", "qs", "ws", "expected"), BOOKS)
def test_the_worst_case_is_the_documented_formula(
    position: str, qb: str, wb: str, qs: str, ws: str, expected: str
) -> None:
    """max(|p|mk, pmk + WB, -pmk + WS), where a side that can only close adds nothing (S6)."""
    p = Decimal(position)
    found = worst_case(p, p * 100, Decimal(qb), Decimal(wb), Decimal(qs), Decimal(ws))
    assert found == Decimal(expected)


def test_a_take_profit_far_above_the_mark_is_not_denied() -> None:
    """A sell of the whole long at a hundred times the mark adds nothing and passes (S6)."""
    desk = Desk(equity=10_000, marks={"X": 100})
    desk.hold(30, 100)
    assert desk.book().exposure == 3000
    assert desk.check("SELL", 30, 10_000).is_approved
    assert desk.book().exposure == 3000


def test_a_later_mark_revalues_the_position_and_not_the_reservation() -> None:
    """Reserved notionals are fixed when reserved (S6)."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    desk.approve("BUY", 5, 100)
    desk.mark(X=120)
    assert desk.book().exposure == 10 * 120 + 5 * 100


def test_the_multiplier_carries_contract_size() -> None:
    """Notional, exposure and marked value are all times the multiplier (S2.6, S6)."""
    desk = Desk(marks={"X": 100}, symbols={"X": SymbolRules(multiplier=Decimal(50))})
    desk.hold(2, 100)
    desk.approve("BUY", 1, 100)
    assert desk.book().exposure == 15_000
    assert desk.state.account.equity == 100_000
    desk.mark(X=101)
    assert desk.state.account.equity == 100_100
    desk.assert_replays()


def test_an_unconfirmed_mark_prices_at_the_higher_of_the_two() -> None:
    """While a jump waits, exposure and price use the higher mark, equity the confirmed (S6)."""
    desk = Desk(marks={"X": 100})
    desk.hold(10, 100)
    desk.mark(X=200)
    assert desk.book().exposure == 2000
    assert desk.state.account.equity == 100_000
    assert codes(desk.check("BUY", 1, 100)) == ["MARK_UNCONFIRMED"]
    desk.mark(X=50)
    assert desk.book().exposure == 1000, "a jump down never lowers the exposure"
    desk.advance(1)
    desk.mark(X=50)
    assert desk.book().exposure == 500
    assert desk.state.account.equity == 99_500
    assert desk.check("BUY", 1, 100).is_approved


def test_dust_is_no_position_but_its_reservation_counts() -> None:
    """A position up to `dust_notional` is not counted; one that could open is (S6.4)."""
    desk = Desk(marks={"X": 100}, account=AccountRules(dust_notional=Decimal(100)))
    desk.hold(1, 100)
    assert desk.state.position_count == 0
    order_id = desk.approve("BUY", 1, 100)
    assert desk.state.position_count == 1
    desk.report("CANCELED", order_id)
    assert desk.state.position_count == 0
    desk.mark(X="100.01")
    assert desk.state.position_count == 1


def test_the_first_mark_is_confirmed_and_a_fill_never_confirms_its_own_jump() -> None:
    """Fills of one order far from the mark leave it unconfirmed; a report confirms (S6)."""
    desk = Desk(marks={"X": 100})
    order_id = desk.approve("BUY", 10, 100)
    for _ in range(3):
        desk.fill(order_id, 1, 150)
        desk.advance(2)
    assert desk.state.symbols["X"].mark == 100
    assert desk.state.symbols["X"].candidate == 150
    desk.mark(X=151)
    assert desk.state.symbols["X"].mark == 151
    assert desk.state.symbols["X"].mark_at == desk.now
    assert desk.now > 3 * SECOND
