"""The venue: what was really sent, filled and ended, whatever the sidecar remembers.

Rules:
1. Everything trades at 100, so that equity stays what it was reported to be.
2. What it holds at worst, all open orders filled, never exceeds the limits: only approved orders
   are sent, and each of them was inside (S6). This is looked at after every order sent.
3. Its time moves with everything that happens to an order, so that no two things share a moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sidecar.core.commands import (
    CheckOrder,
    ReportAccount,
    ReportedMark,
    ReportedOrder,
    ReportedPosition,
    ReportKind,
    ReportTrade,
    Side,
)

PRICE: Final = Decimal(100)
EQUITY: Final = Decimal(100_000)
SYMBOLS: Final = ("ACME", "BOLT", "CORN")
SYMBOL_NOTIONAL_MAX: Final = EQUITY * Decimal("0.30")
STRATEGY_NOTIONAL_MAX: Final = EQUITY * Decimal("0.60")
PORTFOLIO_NOTIONAL_MAX: Final = EQUITY * Decimal("0.90")
ZERO: Final = Decimal(0)

Book = tuple[str, str]
"""Strategy and symbol."""


@dataclass(slots=True)
class VenueOrder:
    """An order that was sent."""

    order: CheckOrder
    filled: Decimal = ZERO
    is_open: bool = True

    @property
    def remaining(self) -> Decimal:
        """Return what may still be filled."""
        return self.order.quantity - self.filled if self.is_open else ZERO


class Venue:
    """One account at one venue."""

    def __init__(self) -> None:
        """Hold nothing."""
        self.orders: dict[str, VenueOrder] = {}
        self.positions: defaultdict[Book, Decimal] = defaultdict(Decimal)
        self._time = 0
        self._reports_count = 0

    def tick(self) -> int:
        """Return the next moment of the venue's time."""
        self._time += 1
        return self._time

    def send(self, order: CheckOrder) -> None:
        """Take an order that was approved."""
        self.tick()
        self.orders[order.order_id] = VenueOrder(order)

    def open_ids(self, strategy: str) -> list[str]:
        """Return the open orders of a strategy."""
        return [
            order_id
            for order_id, known in self.orders.items()
            if known.is_open and known.order.strategy == strategy
        ]

    def fill(self, order_id: str, quantity: Decimal) -> ReportTrade:
        """Fill a part and return its report."""
        known = self.orders[order_id]
        known.filled += quantity
        known.is_open = known.filled < known.order.quantity
        sign = 1 if known.order.side is Side.BUY else -1
        self.positions[known.order.strategy, known.order.symbol] += sign * quantity
        report = self.report(known.order, ReportKind.FILLED)
        report.fill_quantity, report.fill_price = quantity, PRICE
        return report

    def end(self, order_id: str, kind: ReportKind) -> ReportTrade:
        """End an order and return its report."""
        known = self.orders[order_id]
        known.is_open = False
        return self.report(known.order, kind)

    def report(self, order: CheckOrder, kind: ReportKind) -> ReportTrade:
        """Return a report of this moment about an order, under an id of its own."""
        self._reports_count += 1
        return ReportTrade(
            report_id=f"report-{self._reports_count}",
            order_id=order.order_id,
            strategy=order.strategy,
            symbol=order.symbol,
            side=order.side,
            kind=kind,
            venue_time=self.tick(),
        )

    def statement(self, report_id: str, as_of_sequence: int) -> ReportAccount:
        """Return everything it holds, as of now."""
        positions = tuple(
            ReportedPosition(
                strategy=strategy, symbol=symbol, quantity=quantity, average_price=PRICE
            )
            for (strategy, symbol), quantity in self.positions.items()
            if quantity
        )
        orders = tuple(
            ReportedOrder(
                order_id=order_id,
                strategy=known.order.strategy,
                symbol=known.order.symbol,
                side=known.order.side,
                remaining_quantity=known.remaining,
                cumulative_filled_quantity=known.filled,
                limit_price=known.order.limit_price,
            )
            for order_id, known in self.orders.items()
            if known.is_open
        )
        return ReportAccount(
            report_id=report_id,
            positions=positions,
            positions_complete=True,
            open_orders=orders,
            open_orders_complete=True,
            as_of_sequence=as_of_sequence,
            as_of_venue_time=self.tick(),
            marks=tuple(ReportedMark(symbol=symbol, price=PRICE) for symbol in SYMBOLS),
        )

    def find_excess(self) -> str:
        """Say which limit everything open could exceed, empty where none."""
        by_symbol: defaultdict[str, Decimal] = defaultdict(Decimal)
        by_strategy: defaultdict[str, Decimal] = defaultdict(Decimal)
        for (strategy, symbol), worst in self._worst_cases():
            by_symbol[symbol] += worst
            by_strategy[strategy] += worst
        total = sum(by_symbol.values(), ZERO)
        found = [
            *((name, worst, SYMBOL_NOTIONAL_MAX) for name, worst in by_symbol.items()),
            *((name, worst, STRATEGY_NOTIONAL_MAX) for name, worst in by_strategy.items()),
            ("the portfolio", total, PORTFOLIO_NOTIONAL_MAX),
        ]
        for name, worst, limit in found:
            if worst > limit:
                return f"{name} may come to {worst}, the limit is {limit}"
        return ""

    def _worst_cases(self) -> Iterator[tuple[Book, Decimal]]:
        buys: defaultdict[Book, Decimal] = defaultdict(Decimal)
        sells: defaultdict[Book, Decimal] = defaultdict(Decimal)
        for known in self.orders.values():
            side = buys if known.order.side is Side.BUY else sells
            side[known.order.strategy, known.order.symbol] += known.remaining
        for book in {**self.positions, **buys, **sells}:
            position = self.positions.get(book, ZERO)
            worst = max(abs(position), abs(position + buys[book]), abs(position - sells[book]))
            yield book, worst * PRICE
