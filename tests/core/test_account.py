"""Equity: cash plus marked positions, against a second way of counting it (S8.1, S8.3)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import engine
from sidecar.core.commands import (
    Drawdown,
    ReportAccount,
    ReportedMark,
    ReportKind,
    ReportTrade,
    Side,
)
from sidecar.core.thresholds import AccountRules, SymbolRules
from tests.core.harness import Desk
from tests.core.readings import TINY, causes, equity_of, exact_drawdown

# -- equity ----------------------------------------------------------------------------------------


def test_equity_is_cash_plus_marked_positions() -> None:
    """Equity follows each fill and mark between account reports (S8.1)."""
    desk = Desk(equity=100_000)
    desk.hold(10, 100)
    assert equity_of(desk) == 100_000
    desk.mark(X=110)
    assert equity_of(desk) == 100_100
    desk.hold(-4, 120)
    assert [desk.state.account.cash, equity_of(desk)] == [99_480, 100_200]
    desk.mark(X=115)
    assert equity_of(desk) == 100_170
    desk.assert_replays()


def test_a_short_position_earns_when_the_mark_falls() -> None:
    """p*m*k is signed (S8.1)."""
    desk = Desk(equity=100_000)
    desk.hold(-10, 100)
    desk.mark(X=90)
    assert equity_of(desk) == 100_100


def test_the_multiplier_scales_cash_and_holdings_alike() -> None:
    """A fill moves cash by -signed_quantity*f*k, a mark moves p*m*k (S8.1, S2.6)."""
    desk = Desk(equity=100_000, symbols={"X": SymbolRules(multiplier=Decimal(50))})
    desk.hold(2, 100)
    assert desk.state.account.cash == 90_000
    desk.mark(X=101)
    assert equity_of(desk) == 100_100


def test_a_fee_lowers_equity_at_once() -> None:
    """A fill at f moves cash by -signed_quantity*f*k - fee (S8.1)."""
    desk = Desk(equity=100_000)
    desk.fill(desk.new_id("s"), 10, 100, fee="7.5")
    assert equity_of(desk) == Decimal("99992.5")


def test_a_fee_in_what_was_bought_reduces_the_position() -> None:
    """`fee_quantity` is paid in what was bought (S7.4), so equity falls by its marked value."""
    desk = Desk(equity=100_000)
    desk.fill(desk.new_id("s"), 10, 100, fee_quantity="0.1")
    assert desk.book().position == Decimal("9.9")
    assert equity_of(desk) == 99_990


def test_realised_only_would_miss_this_open_loss() -> None:
    """An open loss trips though nothing was realised [*] (S8.1)."""
    desk = Desk(equity=100_000)
    desk.hold(900, 100)
    desk.mark(X="94.5")
    assert not desk.state.breaker.is_open
    desk.mark(X="94.4")
    assert causes(desk) == ["DAILY_DRAWDOWN"]
    assert desk.state.breaker.consecutive_losses == 0


def test_a_report_of_equity_sets_cash() -> None:
    """ReportAccount(equity) sets cash := equity - sum(p*m*k), and later marks move on from it."""
    desk = Desk(equity=100_000)
    desk.hold(10, 100)
    answer = desk.account(equity=99_990)
    assert answer.equity == 99_990
    assert desk.state.account.cash == 98_990
    desk.mark(X=101)
    assert equity_of(desk) == 100_000


def test_an_unexplained_jump_of_equity_is_shown_as_drift() -> None:
    """An equity jump not explained by fills, marks and flows is shown as drift (S8.3)."""
    desk = Desk(equity=100_000)
    desk.hold(10, 100)
    answer = desk.account(equity=100_150, marks={"X": 110}, flows={"f": 50})
    assert answer.drift == ()
    answer = desk.account(equity=100_160)
    assert [(d.kind, d.ours, d.theirs) for d in answer.drift] == [
        ("EQUITY", Decimal(100_150), Decimal(100_160))
    ]
    assert desk.state.account.drift == list(answer.drift)


class _Unread(dict[str, Any]):
    """A table that may be looked up, never walked."""

    def _refuse(self) -> NoReturn:
        raise AssertionError("a table was walked on the path of a fill or mark")

    __iter__ = keys = values = items = _refuse


def test_equity_needs_no_walk_over_books_orders_or_history() -> None:
    """Equity follows fills and marks in O(1): no table of the state is walked (S8.1)."""
    desk = Desk(equity=1_000_000)
    for at in range(5):
        desk.hold(1, 100, symbol=f"S{at}", strategy=f"t{at}")
    state = desk.state
    for name in ("symbols", "strategies", "orders", "reports", "open_orders", "duplicates"):
        setattr(state, name, _Unread(getattr(state, name)))
    state.book_list = []  # a walk over the books would find none
    fill = ReportTrade(
        report_id="last",
        order_id="stranger1",
        strategy="t0",
        symbol="S0",
        side=Side.SELL,
        kind=ReportKind.FILLED,
        fill_quantity=Decimal(3),
        fill_price=Decimal(101),
    )
    marks = ReportAccount(report_id="marks", marks=(ReportedMark(symbol="S1", price=Decimal(102)),))
    for at, command in enumerate((fill, marks)):
        engine.begin(state, desk.sequence + 1 + at, desk.now)
        engine.execute(state, command, desk.conditions)
    assert state.account.equity == 1_000_000 + 1 + 2


MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.just("fill"),
            st.sampled_from("XYZ"),
            st.sampled_from(["a", "b"]),
            st.decimals("-9", "9", places=3).filter(bool),
            st.decimals("90", "110", places=4),
            st.decimals("0", "2", places=3),
        ),
        st.tuples(
            st.just("mark"),
            st.sampled_from("XYZ"),
            st.just(""),
            st.just(Decimal(0)),
            st.decimals("90", "110", places=4),
            st.just(Decimal(0)),
        ),
    ),
    max_size=20,
)


@given(MOVES)
@settings(max_examples=40)
def test_equity_equals_a_second_count_from_the_history(
    moves: Sequence[tuple[str, str, str, Decimal, Decimal, Decimal]],
) -> None:
    """Cash + sum(p*m*k), recounted from every fill and the last mark, is the equity (S8.1)."""
    multipliers = {"X": Decimal(1), "Y": Decimal(10), "Z": Decimal("0.1")}
    rules = {name: SymbolRules(multiplier=value) for name, value in multipliers.items()}
    desk = Desk(equity=1_000_000, symbols=rules)
    cash = Decimal(1_000_000)
    held = dict.fromkeys("XYZ", Decimal(0))
    marks = dict.fromkeys("XYZ", Decimal(0))
    for kind, symbol, strategy, signed, price, fee in moves:
        if kind == "mark":
            desk.account(marks={symbol: price})
        else:
            side = "BUY" if signed > 0 else "SELL"
            desk.fill(
                desk.new_id("s"),
                abs(signed),
                price,
                symbol=symbol,
                strategy=strategy,
                side=side,
                fee=fee,
            )
            cash -= signed * price * multipliers[symbol] + fee
            held[symbol] += signed
        marks[symbol] = price
        value = sum((held[s] * marks[s] * multipliers[s] for s in "XYZ"), Decimal(0))
        assert equity_of(desk) == cash + value
    desk.assert_replays()


# -- equity that jumps -----------------------------------------------------------------------------


def jumpy() -> Desk:
    """Return a desk that doubts a rise of more than a tenth."""
    return Desk(equity=100, account=AccountRules(equity_jump_ratio_max=Decimal("0.1")))


def test_a_rise_at_the_bound_is_believed_and_one_above_is_held() -> None:
    """A rise beyond equity_jump_ratio_max raises no limit yet (S8.3)."""
    desk = jumpy()
    desk.account(equity=110)
    assert equity_of(desk) == 110
    answer = desk.account(equity="121.01")
    assert answer.equity == 110
    assert [d.kind for d in answer.drift] == ["EQUITY_HELD"]
    assert desk.state.account.held_equity == Decimal("121.01")


@pytest.mark.parametrize(("seconds", "believed"), [(59.999, 100), (60, 200)])
def test_a_held_rise_is_believed_when_reported_again_a_minute_later(
    seconds: float, believed: int
) -> None:
    """Until a second report 60 s later (S8.3)."""
    desk = jumpy()
    desk.account(equity=200)
    desk.advance(seconds)
    desk.account(equity=200)
    assert equity_of(desk) == believed


def test_an_operator_confirms_a_held_rise_at_once() -> None:
    """Or an operator confirms (S8.3)."""
    desk = jumpy()
    desk.account(equity=200)
    desk.account(equity=200, has_operator_proof=True)
    assert equity_of(desk) == 200
    assert desk.state.account.held_equity is None


def test_a_fall_counts_at_once() -> None:
    """A fall is never held back (S8.3)."""
    desk = jumpy()
    desk.account(equity=50)
    assert equity_of(desk) == 50
    assert desk.state.breaker.is_open


def test_a_deposit_is_no_jump() -> None:
    """Only what fills, marks and flows do not explain is a jump (S8.3)."""
    desk = jumpy()
    desk.account(equity=300, flows={"in": 200})
    assert equity_of(desk) == 300
    assert desk.state.account.held_equity is None


def test_a_flow_beside_a_held_rise_moves_no_drawdown() -> None:
    """A rise not believed yet does not price a deposit either: it would hide a loss (S8.3)."""
    desk = jumpy()
    desk.account(equity="95.5")
    before = exact_drawdown(desk.state, Drawdown.DAILY)
    desk.account(equity=1010, flows={"in": 10})
    assert equity_of(desk) == Decimal("105.5")
    assert abs(exact_drawdown(desk.state, Drawdown.DAILY) - before) < TINY
