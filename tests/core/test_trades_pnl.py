"""Round trips and the streak of losses: net of fees, counted once, in journal order (S9)."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.thresholds import SymbolRules
from tests.core.harness import Desk
from tests.core.readings import causes, equity_of
from tests.core.snapshots import position, snapshot


def trade(desk: Desk, signed: int | str, price: int | str, **fields: Any) -> None:  # noqa: ANN401 - any field of a report
    """Report a fill of a signed quantity."""
    quantity = Decimal(signed)
    side = "BUY" if quantity > 0 else "SELL"
    desk.fill(desk.new_id("t"), abs(quantity), price, side=side, **fields)


def streak(desk: Desk) -> int:
    """Return the consecutive losses so far."""
    return desk.state.breaker.consecutive_losses


def after_losses(count: int = 2) -> Desk:
    """Return a desk that lost `count` times in another symbol."""
    desk = Desk(equity=10_000_000)
    for _ in range(count):
        trade(desk, 1, 100, symbol="L")
        trade(desk, -1, 99, symbol="L")
    assert streak(desk) == count
    return desk


# -- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fills", "expected"),
    [
        ([(1, 100), (-1, 99)], 3),
        ([(1, 100), (-1, 101)], 0),
        ([(1, 100), (-1, 100)], 2),
        ([(-1, 100), (1, 101)], 3),
        ([(-1, 100), (1, 99)], 0),
        ([(2, 100), (2, 90), (-1, 99), (-3, 94)], 0),
        ([(2, 100), (2, 90), (-1, 99), (-3, 93)], 3),
        ([(1, 100), (-1, "99.999999999999999999")], 3),
        ([(1, 100), (-1, "100.000000000000000001")], 0),
    ],
)
def test_a_trip_is_counted_when_the_book_becomes_flat(
    fills: list[tuple[int, int | str]], expected: int
) -> None:
    """By the net cash of its fills: a loss counts, break-even is neutral, a win clears (S9)."""
    desk = after_losses(2)
    for signed, price in fills[:-1]:
        trade(desk, signed, price)
        assert streak(desk) == 2
    trade(desk, *fills[-1])
    assert streak(desk) == expected
    desk.assert_replays()


@pytest.mark.parametrize(("fee", "expected"), [("0.4", 0), ("0.5", 2), ("0.6", 3)])
def test_results_are_net_of_fees(fee: str, expected: int) -> None:
    """A gain of 1 less two fees (S9)."""
    desk = after_losses(2)
    trade(desk, 1, 100, fee=fee)
    trade(desk, -1, 101, fee=fee)
    assert streak(desk) == expected


def test_a_negative_fee_is_a_rebate() -> None:
    """Fees may be signed (S2.1)."""
    desk = after_losses(2)
    trade(desk, 1, 100, fee="-0.1")
    trade(desk, -1, 100)
    assert streak(desk) == 0


def test_a_fee_in_what_was_bought_makes_the_trip_shorter() -> None:
    """The book becomes flat at what was received (S7.4, S9)."""
    desk = after_losses(2)
    trade(desk, 10, 100, fee_quantity="0.1")
    trade(desk, "-9.9", 101)
    assert desk.book().position == 0
    assert streak(desk) == 3  # 9.9 x 101 = 999.9 for 1,000 paid
    trade(desk, 10, 100, fee_quantity="0.1")
    trade(desk, "-9.9", "101.02")
    assert streak(desk) == 0


def test_the_multiplier_counts() -> None:
    """A fee of 10 against 50 points' worth (S2.6, S9)."""
    desk = Desk(equity=10_000_000, symbols={"X": SymbolRules(multiplier=Decimal(50))})
    trade(desk, 1, 100, fee=10)
    trade(desk, -1, 101)
    assert streak(desk) == 0
    trade(desk, 1, 100, fee=60)
    trade(desk, -1, 101)
    assert streak(desk) == 1


def test_a_partial_exit_counts_nothing_yet() -> None:
    """Counted once, when the book becomes flat or flips (S9)."""
    desk = after_losses(2)
    trade(desk, 10, 100)
    for _ in range(9):
        trade(desk, -1, 90)
        assert streak(desk) == 2
    trade(desk, -1, 90)
    assert streak(desk) == 3


# -- flips -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("exit_price", "expected"), [(99, 3), (100, 2), (101, 0)])
def test_a_flip_ends_one_trip_and_begins_another(sign: int, exit_price: int, expected: int) -> None:
    """The net cash so far plus closing quantity x fill price x k (S9)."""
    desk = after_losses(2)
    price = exit_price if sign > 0 else 200 - exit_price
    trade(desk, 5 * sign, 100)
    trade(desk, -8 * sign, price)
    assert desk.book().position == -3 * sign
    assert streak(desk) == expected
    trade(desk, 3 * sign, price)
    assert streak(desk) == expected, "the second trip is break-even"
    desk.assert_replays()


def test_the_second_trip_of_a_flip_has_its_own_result() -> None:
    """It began at the flipping fill's price (S9)."""
    desk = Desk(equity=10_000_000)
    trade(desk, 5, 100)
    trade(desk, -8, 110)
    assert streak(desk) == 0
    trade(desk, 3, 111)
    assert streak(desk) == 1


def test_a_chain_of_flips_counts_each_trip_once() -> None:
    """Each flip closes exactly one (S9)."""
    desk = Desk(equity=10_000_000)
    trade(desk, 1, 100)
    for at in range(1, 10):
        trade(desk, -2 if at % 2 else 2, 99 if at % 2 else 100)
        assert streak(desk) == at
    trade(desk, 1, 100)
    assert causes(desk) == ["CONSECUTIVE_LOSSES"]


# -- reported results ------------------------------------------------------------------------------


def test_reported_results_of_every_reducing_fill_are_believed() -> None:
    """Their sum instead of the cash (S9)."""
    desk = after_losses(2)
    trade(desk, 4, 100)
    trade(desk, -1, 50, realized_pnl=3)
    trade(desk, -3, 50, realized_pnl=-2)
    assert streak(desk) == 0


def test_their_sum_decides_not_the_last() -> None:
    """A sum of zero is neutral, below it a loss (S9)."""
    desk = after_losses(2)
    trade(desk, 4, 100)
    trade(desk, -1, 150, realized_pnl=-5)
    trade(desk, -3, 150, realized_pnl=5)
    assert streak(desk) == 2
    trade(desk, 4, 100)
    trade(desk, -1, 150, realized_pnl="-5.01")
    trade(desk, -3, 150, realized_pnl=5)
    assert streak(desk) == 3


def test_one_reducing_fill_without_a_result_leaves_it_to_the_cash() -> None:
    """Only where *every* reducing fill of the trip gave one (S9)."""
    desk = after_losses(2)
    trade(desk, 4, 100)
    trade(desk, -1, 150, realized_pnl=-50)
    trade(desk, -3, 150)
    assert streak(desk) == 0


def test_a_result_given_with_an_opening_fill_is_not_asked_for() -> None:
    """The reducing fills decide (S9)."""
    desk = after_losses(2)
    trade(desk, 2, 100, realized_pnl=-7)
    trade(desk, -2, 110)
    assert streak(desk) == 0


def test_a_flip_believes_its_reported_result_and_starts_afresh() -> None:
    """The next trip's results are its own (S9)."""
    desk = after_losses(2)
    trade(desk, 2, 100)
    trade(desk, -5, 150, realized_pnl=-1)
    assert streak(desk) == 3
    trade(desk, 3, 160, realized_pnl=4)
    assert streak(desk) == 0


# -- one streak ------------------------------------------------------------------------------------


def test_one_streak_for_all_books_in_journal_order() -> None:
    """Losses of strategies and symbols add up, any win clears (S9)."""
    desk = Desk(equity=10_000_000)
    for strategy in ("a", "b", "c"):
        for symbol in ("X", "Y"):
            trade(desk, 1, 100, strategy=strategy, symbol=symbol)
    for at, (strategy, symbol) in enumerate([("a", "X"), ("b", "Y"), ("c", "X")], 1):
        trade(desk, -1, 99, strategy=strategy, symbol=symbol)
        assert streak(desk) == at
    trade(desk, -1, 101, strategy="a", symbol="Y")
    assert streak(desk) == 0


def test_two_strategies_of_a_symbol_have_trips_of_their_own() -> None:
    """A book is a (strategy, symbol) (S3)."""
    desk = Desk(equity=10_000_000)
    trade(desk, 1, 100, strategy="a")
    trade(desk, -1, 90, strategy="b")
    assert streak(desk) == 0
    trade(desk, -1, 95, strategy="a")
    assert streak(desk) == 1
    trade(desk, 1, 85, strategy="b")
    assert streak(desk) == 0


def test_a_repeated_fill_is_no_second_loss() -> None:
    """Same key and content: nothing changes (S7.2)."""
    desk = Desk(equity=10_000_000)
    trade(desk, 1, 100)
    for _ in range(3):
        desk.fill("exit", 1, 99, side="SELL", report_id="same")
    assert streak(desk) == 1
    assert desk.book().position == 0


def test_marks_and_account_equity_are_no_results() -> None:
    """Only fills end a trip (S9)."""
    desk = Desk(equity=10_000_000)
    trade(desk, 1, 100)
    desk.mark(X=80)
    desk.account(equity=9_999_000)
    assert streak(desk) == 0


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_an_open_trip_outlives_a_restart(from_snapshot: bool) -> None:
    """Its cash and its reported results are part of the fold (S3)."""
    desk = after_losses(2)
    trade(desk, 2, 100, fee=1)
    trade(desk, -1, 103, realized_pnl=5)
    desk.restart(from_snapshot=from_snapshot)
    trade(desk, -1, "98.5", realized_pnl=-6)
    assert streak(desk) == 3


# -- positions that an account report set ----------------------------------------------------------


@pytest.mark.parametrize(("price", "expected"), [(39, 3), (40, 2), (41, 0)])
def test_a_replaced_position_starts_a_new_trip_at_its_average_price(
    price: int, expected: int
) -> None:
    """A book whose quantity changed starts a new round trip (S8.2)."""
    desk = after_losses(2)
    trade(desk, 1, 45)
    snapshot(desk, position(3, 40))
    trade(desk, -3, price)
    assert streak(desk) == expected


@pytest.mark.parametrize(("price", "expected"), [(44, 3), (45, 2), (46, 0)])
def test_without_an_average_price_it_starts_at_the_mark(price: int, expected: int) -> None:
    """What it is valued at from then on (S8.2)."""
    desk = after_losses(2)
    trade(desk, 1, 45)
    snapshot(desk, position(3))
    trade(desk, -3, price)
    assert streak(desk) == expected


def test_a_confirmed_position_goes_on_with_its_trip() -> None:
    """Where the quantity did not change nothing begins (S8.2)."""
    desk = after_losses(2)
    trade(desk, 3, 45)
    snapshot(desk, position(3, 40))
    trade(desk, -3, 42)
    assert streak(desk) == 3


def test_a_book_that_a_report_made_flat_counted_no_result() -> None:
    """No fill told one; the covered fill that comes later may (S8.2)."""
    desk = after_losses(2)
    trade(desk, 1, 100)
    snapshot(desk)
    assert streak(desk) == 2
    trade(desk, 1, 100)
    trade(desk, -1, 101)
    assert streak(desk) == 0


# -- against a second way of counting --------------------------------------------------------------

FILLS = st.lists(
    st.tuples(
        st.integers(-4, 4).filter(bool),
        st.decimals("90", "110", places=2),
        st.sampled_from([Decimal(0), Decimal("0.25"), Decimal(2)]),
    ),
    max_size=30,
)


class AverageCost:
    """Realised results by average cost: another way to the same result of a whole trip."""

    def __init__(self) -> None:
        """Flat, and no trip."""
        self.position = 0
        self.average = Fraction(0)
        self.result = Fraction(0)
        self.streak = 0

    def fill(self, signed: int, price: Fraction, fee: Fraction) -> None:
        """Take one fill; a flipping fill's fee belongs to the trip it closes."""
        self.result -= fee
        if self.position * signed >= 0:
            total = abs(self.position) + abs(signed)
            self.average = (self.average * abs(self.position) + price * abs(signed)) / total
            self.position += signed
            return
        closing = min(abs(signed), abs(self.position))
        self.result += closing * (price - self.average) * (1 if self.position > 0 else -1)
        was = self.position
        self.position += signed
        if self.position * was > 0:
            return
        if self.result < 0:
            self.streak += 1
        elif self.result > 0:
            self.streak = 0
        self.result, self.average = Fraction(0), price


@given(FILLS)
@settings(max_examples=80)
def test_the_streak_agrees_with_average_cost(fills: Sequence[tuple[int, Decimal, Decimal]]) -> None:
    """Net cash and average cost differ inside a trip and agree at its end (S9)."""
    desk = Desk(equity=10_000_000)
    model = AverageCost()
    for signed, price, fee in fills:
        desk.fill(
            desk.new_id("t"), abs(signed), price, side="BUY" if signed > 0 else "SELL", fee=fee
        )
        model.fill(signed, Fraction(price), Fraction(fee))
        assert desk.book().position == model.position
        assert streak(desk) == model.streak
    spent = sum((s * p + f for s, p, f in fills), Decimal(0))
    last = fills[-1][1] if fills else Decimal(0)
    assert equity_of(desk) == 10_000_000 - spent + model.position * last
    desk.assert_replays()
