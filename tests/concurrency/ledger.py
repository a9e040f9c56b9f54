"""Positions, reservations and equity, added up from what was asked and answered, by no model.

Rules:
- Only what this traffic has: whole orders without replacement or group, prices near their marks.
- A reservation counts at the price it was approved at (S6): the higher of limit and mark, or the
  mark and its slippage for a market order.
- The first million of a mistake is a limit passed: nothing here forgives or rounds.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from sidecar.core import commands, events
from sidecar.core.commands import OrderType, ReportKind, Side

ZERO: Final = Fraction(0)
SLIPPAGE: Final = Fraction(101, 100)
ENDING: Final = {ReportKind.CANCELED, ReportKind.EXPIRED, ReportKind.REJECTED}
Book = tuple[str, str]


@dataclass(slots=True)
class Reserved:
    """What one approved order still holds."""

    book: Book
    side: Side
    left: Fraction
    price: Fraction


@dataclass(slots=True)
class Ledger:
    """The books of one round, as its own log tells them."""

    cash: Fraction = ZERO
    marks: dict[str, Fraction] = field(default_factory=dict)
    positions: dict[Book, Fraction] = field(default_factory=dict)
    reserved: dict[str, Reserved] = field(default_factory=dict)

    def approve(self, order: commands.CheckOrder) -> None:
        """Reserve an order, in place of what it held before."""
        mark = self.marks.get(order.symbol, ZERO)
        price = max(mark, Fraction(order.limit_price or 0))
        if order.order_type is OrderType.MARKET:
            price = mark * SLIPPAGE
        book = (order.strategy, order.symbol)
        self.reserved[order.order_id] = Reserved(book, order.side, Fraction(order.quantity), price)

    def end(self, order_id: str) -> None:
        """Give back what an order still holds."""
        self.reserved.pop(order_id, None)

    def report(self, report: commands.ReportTrade) -> None:
        """Apply what became of an order."""
        held = self.reserved.get(report.order_id)
        if report.kind is ReportKind.FILLED:
            quantity = Fraction(report.fill_quantity or 0)
            price = Fraction(report.fill_price or 0)
            signed = quantity if report.side is Side.BUY else -quantity
            book = (report.strategy, report.symbol)
            self.positions[book] = self.positions.get(book, ZERO) + signed
            self.cash -= signed * price + Fraction(report.fee or 0)
            self.marks[report.symbol] = price
            if held is not None:
                held.left -= quantity
        if report.kind in ENDING or report.order_done or (held is not None and held.left <= 0):
            self.end(report.order_id)

    def account(self, report: commands.ReportAccount) -> None:
        """Apply marks, then flows, then equity."""
        self.marks |= {mark.symbol: Fraction(mark.price) for mark in report.marks}
        self.cash += sum((Fraction(flow.amount) for flow in report.cash_flows), ZERO)
        if report.equity is not None:
            self.cash = Fraction(report.equity) - self._holdings()

    def _holdings(self) -> Fraction:
        return sum((held * self.marks[book[1]] for book, held in self.positions.items()), ZERO)

    @property
    def equity(self) -> Fraction:
        """Return cash and the value of every position."""
        return self.cash + self._holdings()

    def outstanding(self, book: Book, side: Side) -> list[Reserved]:
        """Return what works on one side of a book."""
        return [held for held in self.reserved.values() if held.book == book and held.side is side]

    def exposure(self, book: Book) -> Fraction:
        """Return the worst case of a book (S6)."""
        p = self.positions.get(book, ZERO)
        value = p * self.marks.get(book[1], ZERO)
        buys, sells = self.outstanding(book, Side.BUY), self.outstanding(book, Side.SELL)
        worst = [abs(value)]
        if p >= 0 or _quantity(buys) > -p:
            worst.append(value + _notional(buys))
        if p <= 0 or _quantity(sells) > p:
            worst.append(-value + _notional(sells))
        return max(worst)

    def exposures(self) -> dict[Book, Fraction]:
        """Return every book's worst case."""
        books = {*self.positions, *(held.book for held in self.reserved.values())}
        return {book: self.exposure(book) for book in books}

    def is_reducing(self, order: commands.CheckOrder) -> bool:
        """Say whether the order, reserved already, moves its book toward flat and not across."""
        book = (order.strategy, order.symbol)
        p = self.positions.get(book, ZERO)
        is_closing = p * (-1 if order.side is Side.BUY else 1) > 0
        return is_closing and _quantity(self.outstanding(book, order.side)) <= abs(p)

    def opened_symbols(self) -> set[str]:
        """Name the symbols with a position, or with a reservation that could open one."""
        found = {book[1] for book, p in self.positions.items() if p != 0}
        for book in {held.book for held in self.reserved.values()}:
            p = self.positions.get(book, ZERO)
            buys = _quantity(self.outstanding(book, Side.BUY))
            sells = _quantity(self.outstanding(book, Side.SELL))
            if buys > max(ZERO, -p) or sells > max(ZERO, p):
                found.add(book[1])
        return found


def _quantity(held: list[Reserved]) -> Fraction:
    return sum((item.left for item in held), ZERO)


def _notional(held: list[Reserved]) -> Fraction:
    return sum((item.left * item.price for item in held), ZERO)


def released_by(event: object) -> list[str]:
    """Return the orders whose reservation this event of the journal gave back."""
    if isinstance(event, events.ReservationReleased):
        return [event.order_id]
    if isinstance(event, events.OrdersWithdrawn):
        return list(event.order_ids)
    return []
