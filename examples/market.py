"""What the bot, its strategies and the venue speak of: sides, orders, recorded prices.

Rules: prices are read once and never change; a day is known by its index in the record; nobody is
given a price of a day later than the one being traded.
"""

import csv
import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final

RECORDED_PRICES: Final = Path(__file__).parent / "data" / "prices-sp500-20-2006-2009.csv.gz"


class Side(StrEnum):
    """Which way an order trades."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for what makes a position longer, -1 for what makes it shorter."""
        return 1 if self is Side.BUY else -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An intention to trade `quantity` shares; without a limit price it goes by market."""

    order_id: str
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """Closing prices: `closes[symbol][index]` is that symbol's close on `days[index]`, in USD."""

    days: tuple[date, ...]
    closes: Mapping[str, tuple[Decimal, ...]]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol, in the order of the record."""
        return tuple(self.closes)

    def on(self, index: int) -> dict[str, Decimal]:
        """Every symbol's close on one day."""
        return {symbol: closes[index] for symbol, closes in self.closes.items()}

    def index_of_first_day_from(self, day: date) -> int:
        """The first recorded day that is `day` or later.

        Raises:
            ValueError: the record ends before `day`.
        """
        for index, recorded in enumerate(self.days):
            if recorded >= day:
                return index
        raise ValueError(f"prices: the record ends on {self.days[-1]}, before {day}")

    def is_first_of_week(self, index: int) -> bool:
        """Whether no earlier recorded day lies in this day's ISO week."""
        return index == 0 or _week(self.days[index]) != _week(self.days[index - 1])


def load_prices(path: Path = RECORDED_PRICES) -> Prices:
    """Read a recorded table: `Date`, then one column a symbol."""
    with gzip.open(path, "rt", encoding="ascii", newline="") as lines:
        return parse_prices(lines)


def parse_prices(lines: Iterable[str]) -> Prices:
    """Prices from the lines of a table; the header names the symbols."""
    table = csv.reader(lines)
    symbols = next(table)[1:]
    rows = list(table)
    return Prices(
        days=tuple(date.fromisoformat(row[0]) for row in rows),
        closes={
            symbol: tuple(Decimal(row[column]) for row in rows)
            for column, symbol in enumerate(symbols, start=1)
        },
    )


def _week(day: date) -> tuple[int, int]:
    calendar = day.isocalendar()
    return calendar.year, calendar.week
