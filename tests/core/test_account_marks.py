"""Which price is the mark: one bad tick must not open a breaker that only a person closes (S6)."""

from decimal import Decimal

import pytest

from sidecar.core.thresholds import AccountRules, PositionLimits
from tests.core.harness import Desk, codes
from tests.core.readings import STEP, causes, equity_of, status

ROOMY = PositionLimits(
    per_symbol_ratio=Decimal(1), per_strategy_ratio=Decimal(1), portfolio_ratio=Decimal(1)
)


def long_desk() -> Desk:
    """Return a desk of 100,000 that is long 500 X at 100, half of its equity."""
    desk = Desk(equity=100_000, position_limits=ROOMY)
    desk.hold(500, 100)
    return desk


def mark_of(desk: Desk, symbol: str = "X") -> Decimal | None:
    """Return the confirmed mark."""
    return desk.state.symbols[symbol].mark


def test_one_bad_tick_opens_nothing() -> None:
    """A jump alone moves neither equity nor drawdown [*] (S6)."""
    desk = long_desk()
    desk.mark(X=1)
    assert equity_of(desk) == 100_000
    assert not desk.state.breaker.is_open
    desk.mark(X=100)
    desk.advance(5)
    desk.mark(X=101)
    assert not desk.state.breaker.is_open
    assert desk.state.symbols["X"].candidate is None


def test_a_second_later_report_confirms_and_then_it_trips() -> None:
    """Confirmed by a second report within its band at least a second later (S6)."""
    desk = long_desk()
    desk.mark(X=50)
    desk.advance(1)
    desk.mark(X=50)
    assert mark_of(desk) == 50
    assert equity_of(desk) == 75_000
    assert causes(desk)[0] == "DAILY_DRAWDOWN"
    desk.assert_replays()


@pytest.mark.parametrize(("seconds", "mark"), [(0, 100), (0.999999999, 100), (1, 50)])
def test_it_takes_mark_confirm_seconds(seconds: float, mark: int) -> None:
    """A repetition before the time confirms nothing, one at the time does (S6)."""
    desk = long_desk()
    desk.mark(X=50)
    desk.advance(seconds)
    desk.mark(X=50)
    assert mark_of(desk) == mark


def test_a_repetition_too_early_does_not_start_the_time_again() -> None:
    """The time counts from the first report of the jump (S6)."""
    desk = long_desk()
    desk.mark(X=50)
    desk.advance(0.6)
    desk.mark(X=51)
    desk.advance(0.6)
    desk.mark(X=50)
    assert mark_of(desk) == 50


@pytest.mark.parametrize(
    ("price", "is_taken"),
    [
        (Decimal(125), True),
        (125 + STEP, False),
        (Decimal(75), True),
        (75 - STEP, False),
    ],
)
def test_a_jump_is_more_than_the_ratio(price: Decimal, is_taken: bool) -> None:
    """By exactly 25 % the mark moves at once; one step more is unconfirmed (S6)."""
    desk = long_desk()
    desk.mark(X=price)
    assert (mark_of(desk) == price) is is_taken
    assert (desk.state.symbols["X"].candidate is None) is is_taken


def test_a_third_price_near_neither_waits_anew() -> None:
    """A second report confirms only within the band of the first (S6)."""
    desk = long_desk()
    desk.mark(X=50)
    desk.advance(2)
    desk.mark(X=10)
    assert mark_of(desk) == 100
    desk.advance(0.5)
    desk.mark(X=10)
    assert mark_of(desk) == 100
    desk.advance(0.5)
    desk.mark(X=10)
    assert mark_of(desk) == 10


def test_the_first_mark_of_a_symbol_is_confirmed() -> None:
    """There is nothing to jump from (S6)."""
    desk = Desk(equity=100_000, marks={"X": 5})
    assert mark_of(desk) == 5
    assert codes(desk.check("BUY", 1, 5)) == []


def test_a_fills_own_jump_never_confirms_itself() -> None:
    """Further fills of the same order, however late, are no second report (S6)."""
    desk = long_desk()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 2, 30)
    for _ in range(3):
        desk.advance(5)
        desk.fill(order_id, 1, 30)
    assert mark_of(desk) == 100
    desk.mark(X=30)
    assert mark_of(desk) == 30


def test_a_fill_of_another_order_confirms() -> None:
    """A second report within the band, of another source, does (S6)."""
    desk = long_desk()
    desk.fill(desk.new_id("s"), 1, 30)
    desk.advance(1)
    desk.fill(desk.new_id("s"), 1, 31)
    assert mark_of(desk) == 31


def test_exposure_uses_the_higher_of_the_two_up() -> None:
    """While a rise is unconfirmed the book is valued at it (S6)."""
    desk = long_desk()
    desk.mark(X=180)
    assert desk.book().exposure == 90_000
    assert equity_of(desk) == 100_000


def test_exposure_uses_the_higher_of_the_two_down() -> None:
    """While a fall is unconfirmed the book keeps its old value (S6)."""
    desk = long_desk()
    desk.mark(X=10)
    assert desk.book().exposure == 50_000


def test_an_order_is_priced_at_the_higher_of_the_two() -> None:
    """A flip, which is bound by S6 alone, would be valued at the higher price (S6)."""
    desk = long_desk()
    desk.mark(X=180)
    decision = desk.check("SELL", 600, dry_run=True)
    assert "MARK_UNCONFIRMED" in codes(decision)


def test_increases_are_denied_and_exits_pass_meanwhile() -> None:
    """Increases in the symbol are MARK_UNCONFIRMED; a reducing order is not asked (S6, S4.5)."""
    desk = long_desk()
    desk.mark(X=50)
    assert codes(desk.check("BUY", 1, 40)) == ["MARK_UNCONFIRMED"]
    assert desk.check("SELL", 500).is_approved
    desk.account(marks={"Y": 10})
    assert desk.check("BUY", 1, 10, symbol="Y").is_approved


def test_an_increase_passes_again_once_confirmed() -> None:
    """The denial ends with the confirmation (S6)."""
    desk = long_desk()
    desk.mark(X=150)
    assert codes(desk.check("BUY", 1, 150)) == ["MARK_UNCONFIRMED"]
    desk.advance(1)
    desk.mark(X=151)
    assert desk.check("BUY", 1, 150).is_approved


def test_status_shows_both() -> None:
    """The confirmed mark with its age, the unconfirmed one with its own (S6)."""
    desk = long_desk()
    desk.advance(3)
    desk.mark(X=50)
    desk.advance(2)
    mark = next(view for view in status(desk).account.marks if view.symbol == "X")
    assert [mark.price, mark.age_ns] == [100, 5_000_000_000]
    assert mark.unconfirmed_price == 50
    assert mark.unconfirmed_age_ns == 2_000_000_000


def test_the_ratio_and_the_time_are_configured() -> None:
    """`mark_jump_ratio`, `mark_confirm_seconds` (S6)."""
    rules = AccountRules(mark_jump_ratio=Decimal("0.01"), mark_confirm_ns=0)
    desk = Desk(equity=100_000, account=rules)
    desk.hold(500, 100)
    desk.mark(X="101.1")
    assert mark_of(desk) == 100
    desk.mark(X="101.2")
    assert mark_of(desk) == Decimal("101.2")


def test_a_restart_keeps_the_unconfirmed_mark() -> None:
    """The jump, its time and its order are part of the fold (S3, S6)."""
    desk = long_desk()
    order_id = desk.approve("BUY", 10, 100)
    desk.fill(order_id, 2, 30)
    desk.restart(from_snapshot=True)
    desk.advance(2)
    desk.fill(order_id, 1, 30)
    assert mark_of(desk) == 100
    desk.mark(X=30)
    assert mark_of(desk) == 30
