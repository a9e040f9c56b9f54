"""Two strategies over the twenty stocks: one follows what rose, one buys what fell too far.

Rules: a strategy is a function of the closes before today, its positions and the account's equity;
it keeps nothing between days. A wish is an event (the day a signal appears), so an entry that was
refused is not asked for again every day; an exit is wished for as long as its position stands.
Both are deliberately greedy: the sizes they ask for add up to more than any sane limit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Protocol

from examples.market import Prices, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a strategy wants to trade today; `is_exit` wishes come first and go by market."""

    symbol: str
    side: Side
    quantity: Decimal
    is_exit: bool


class Strategy(Protocol):
    """What the bot asks of a strategy once a day."""

    @property
    def name(self) -> str:
        """The strategy's name at the venue and at the sidecar."""
        ...

    @property
    def warm_up_days(self) -> int:
        """Recorded days needed before the first one traded."""
        ...

    def wishes(
        self, prices: Prices, today: int, positions: Mapping[str, Decimal], equity: Decimal
    ) -> list[Wish]:
        """Today's wishes, exits first; `today`'s close is the price, not part of the signal."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentum:
    """Weekly: holds what rose most over `lookback_days`, leaves what fell behind `kept_rank`."""

    name: str = "momentum"
    lookback_days: int = 63
    held_count: int = 5
    kept_rank: int = 7
    target_ratio: Decimal = Decimal("0.20")

    @property
    def warm_up_days(self) -> int:
        """The look-back, and the day it ends on."""
        return self.lookback_days + 1

    def wishes(
        self, prices: Prices, today: int, positions: Mapping[str, Decimal], equity: Decimal
    ) -> list[Wish]:
        """Exits for what fell below rank `kept_rank`; entries for the best not yet held."""
        if not prices.is_first_of_week(today):
            return []
        ranking = sorted(prices.symbols, key=lambda symbol: self._rise(prices, symbol, today))
        ranking.reverse()
        kept = set(ranking[: self.kept_rank])
        exits = [_exit(symbol, held) for symbol, held in positions.items() if symbol not in kept]
        room = self.held_count - sum(1 for symbol in positions if symbol in kept)
        fresh = [symbol for symbol in ranking[: self.held_count] if symbol not in positions]
        entries = (
            _entry(symbol, prices.closes[symbol][today], equity * self.target_ratio)
            for symbol in fresh[: max(room, 0)]
        )
        return exits + [wish for wish in entries if wish.quantity > 0]

    def _rise(self, prices: Prices, symbol: str, today: int) -> Decimal:
        closes = prices.closes[symbol]
        return closes[today - 1] / closes[today - 1 - self.lookback_days]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanReversion:
    """Buys a stock the day it falls `entry_ratio` below its mean; sells it back at the mean."""

    name: str = "mean_reversion"
    mean_days: int = 10
    entry_ratio: Decimal = Decimal("0.03")
    target_ratio: Decimal = Decimal("0.12")

    @property
    def warm_up_days(self) -> int:
        """The mean of yesterday needs its days; that of the day before one more."""
        return self.mean_days + 2

    def wishes(
        self, prices: Prices, today: int, positions: Mapping[str, Decimal], equity: Decimal
    ) -> list[Wish]:
        """Exits for what is back at its mean; entries for what crossed the threshold yesterday."""
        exits = [
            _exit(symbol, held)
            for symbol, held in positions.items()
            if self._gap(prices, symbol, today - 1) >= 0
        ]
        crossed = list(self._crossed(prices, today, positions))
        crossed.sort(key=lambda symbol: self._gap(prices, symbol, today - 1))
        entries = (
            _entry(symbol, prices.closes[symbol][today], equity * self.target_ratio)
            for symbol in crossed
        )
        return exits + [wish for wish in entries if wish.quantity > 0]

    def _crossed(
        self, prices: Prices, today: int, positions: Mapping[str, Decimal]
    ) -> Iterator[str]:
        for symbol in prices.symbols:
            if symbol in positions:
                continue
            if self._gap(prices, symbol, today - 1) > -self.entry_ratio:
                continue
            if self._gap(prices, symbol, today - 2) > -self.entry_ratio:
                yield symbol

    def _gap(self, prices: Prices, symbol: str, index: int) -> Decimal:
        """How far the close of a day lay above (or, negative, below) the mean that ends with it."""
        closes = prices.closes[symbol][index - self.mean_days + 1 : index + 1]
        mean = sum(closes, Decimal(0)) / len(closes)
        return closes[-1] / mean - 1


def _entry(symbol: str, price: Decimal, target_notional: Decimal) -> Wish:
    """Whole shares worth at most the target: rounded down."""
    shares = (target_notional / price).quantize(Decimal(1), rounding=ROUND_DOWN)
    return Wish(symbol=symbol, side=Side.BUY, quantity=shares, is_exit=False)


def _exit(symbol: str, held: Decimal) -> Wish:
    """Everything held, the other way."""
    side = Side.SELL if held > 0 else Side.BUY
    return Wish(symbol=symbol, side=side, quantity=abs(held), is_exit=True)
