"""The two strategies: what they wish for, and that they look at nothing of today."""

from decimal import Decimal

import pytest

from examples.market import Prices, Side, load_prices
from examples.strategies import MeanReversion, Momentum, Strategy

EQUITY = Decimal(100000)
STRATEGIES: tuple[Strategy, ...] = (Momentum(), MeanReversion())
recorded = load_prices()


def from_closes(**closes: list[int]) -> Prices:
    """Recorded days with made-up closes."""
    count = len(next(iter(closes.values())))
    return Prices(
        days=recorded.days[:count],
        closes={symbol: tuple(Decimal(close) for close in row) for symbol, row in closes.items()},
    )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_wishes_are_a_function_of_their_arguments(strategy: Strategy) -> None:
    """Asked twice about the same day, a strategy wishes for the same."""
    for today in range(strategy.warm_up_days, len(recorded.days), 50):
        first = strategy.wishes(recorded, today, {}, EQUITY)
        assert first == strategy.wishes(recorded, today, {}, EQUITY)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_signal_looks_at_nothing_of_today_or_later(strategy: Strategy) -> None:
    """With every close from today on doubled, the same symbols are wished for."""
    for today in range(strategy.warm_up_days, len(recorded.days), 50):
        changed = Prices(
            days=recorded.days,
            closes={
                symbol: closes[:today] + tuple(close * 2 for close in closes[today:])
                for symbol, closes in recorded.closes.items()
            },
        )
        wished, again = (
            [(wish.symbol, wish.side) for wish in strategy.wishes(prices, today, {}, EQUITY)]
            for prices in (recorded, changed)
        )
        assert wished == again


def test_momentum_buys_the_best_and_leaves_what_fell_behind() -> None:
    """The best by rise is bought for its share of equity in whole shares; the worst is sold."""
    momentum = Momentum(lookback_days=1, held_count=1, kept_rank=2)
    today = next(index for index in range(2, 9) if recorded.is_first_of_week(index))
    prices = from_closes(
        UP=[10 + index for index in range(today + 1)],
        FLAT=[10] * (today + 1),
        DOWN=[50 - index for index in range(today + 1)],
    )
    exit_wish, entry = momentum.wishes(prices, today, {"DOWN": Decimal(7)}, EQUITY)
    assert (exit_wish.symbol, exit_wish.side) == ("DOWN", Side.SELL)
    assert exit_wish.quantity == 7
    assert (entry.symbol, entry.side) == ("UP", Side.BUY)
    assert entry.quantity == 20000 // (10 + today)


def test_mean_reversion_buys_the_fall_once_and_sells_at_the_mean() -> None:
    """The entry is wished for on the day after the crossing only; the exit while it stands."""
    strategy = MeanReversion(mean_days=3)
    prices = from_closes(A=[100, 100, 100, 100, 80, 80, 120, 120])
    wishes = [strategy.wishes(prices, today, {}, EQUITY) for today in range(5, 7)]
    assert [[wish.side for wish in day] for day in wishes] == [[Side.BUY], []]
    held = {"A": Decimal(5)}
    assert [wish.side for wish in strategy.wishes(prices, 7, held, EQUITY)] == [Side.SELL]
    assert strategy.wishes(prices, 6, held, EQUITY) == []
