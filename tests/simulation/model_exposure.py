"""S6 by its own words: what is outstanding, the worst case of a book, the sums of the scopes.

Rules:
- A group of reducing orders, and an order with what replaces it, count once with the largest.
- Everything is added up anew from all orders and all moves.
"""

from dataclasses import dataclass
from fractions import Fraction

from sidecar.core.commands import Side
from tests.simulation.model_facts import (
    ZERO,
    Book,
    Bucket,
    Memory,
    all_positions,
    higher_mark,
    multiplier,
    position,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One reservation, or the order asked about as if it were one."""

    order_id: str
    book: Book
    side: Side
    quantity: Fraction
    notional: Fraction
    bucket: Bucket | None


def rows(memory: Memory, set_aside: tuple[str, ...] = ()) -> list[Row]:
    """List every reservation that still holds something, without those set aside."""
    return [
        Row(
            order.order_id,
            order.book,
            order.side,
            order.remaining,
            order.remaining * order.unit_price * multiplier(memory, order.symbol),
            order.bucket,
        )
        for order in memory.orders
        if order.remaining > 0 and order.order_id not in set_aside
    ]


def outstanding(held: list[Row], book: Book, side: Side) -> tuple[Fraction, Fraction]:
    """Return quantity and notional outstanding on one side of a book."""
    mine = [row for row in held if row.book == book and row.side is side]
    buckets: dict[Bucket, list[Row]] = {}
    for row in mine:
        buckets.setdefault(row.bucket or ("order", row.order_id), []).append(row)
    quantity = sum((max(row.quantity for row in rows) for rows in buckets.values()), ZERO)
    notional = sum((max(row.notional for row in rows) for rows in buckets.values()), ZERO)
    return quantity, notional


def book_exposure(memory: Memory, held: list[Row], book: Book, p: Fraction) -> Fraction:
    """Return the worst case of a book (S6)."""
    mark = higher_mark(memory, book[1])
    value = ZERO if mark is None else p * mark * multiplier(memory, book[1])
    buy_quantity, buy_notional = outstanding(held, book, Side.BUY)
    sell_quantity, sell_notional = outstanding(held, book, Side.SELL)
    worst = [abs(value)]
    if p >= 0 or buy_quantity > -p:
        worst.append(value + buy_notional)
    if p <= 0 or sell_quantity > p:
        worst.append(-value + sell_notional)
    return max(worst)


def could_open(held: list[Row], book: Book, p: Fraction) -> bool:
    """Say whether a reservation of the book could open or turn a position."""
    buy_quantity, _ = outstanding(held, book, Side.BUY)
    sell_quantity, _ = outstanding(held, book, Side.SELL)
    return buy_quantity > max(ZERO, -p) or sell_quantity > max(ZERO, p)


@dataclass(slots=True)
class Exposures:
    """Exposure of every book, and which symbols count as positions."""

    books: dict[Book, Fraction]
    counted_books: set[Book]

    @property
    def counted(self) -> set[str]:
        """Name the symbols that count as positions."""
        return {symbol for _, symbol in self.counted_books}

    def of_symbol(self, symbol: str) -> Fraction:
        """Add up over strategies."""
        return sum((held for book, held in self.books.items() if book[1] == symbol), ZERO)

    def of_strategy(self, strategy: str) -> Fraction:
        """Add up over symbols."""
        return sum((held for book, held in self.books.items() if book[0] == strategy), ZERO)

    def of_all(self) -> Fraction:
        """Add up over every book."""
        return sum(self.books.values(), ZERO)


def exposures(memory: Memory, held: list[Row]) -> Exposures:
    """Work out every book anew."""
    positions = all_positions(memory)
    found = Exposures({}, set())
    for book in sorted(set(positions) | {row.book for row in held}):
        _work_out(memory, held, book, positions.get(book, ZERO), found)
    return found


def with_order(memory: Memory, without: Exposures, held: list[Row], row: Row) -> Exposures:
    """Return the exposures with one more order: only its own book is another."""
    found = Exposures(dict(without.books), set(without.counted_books))
    found.counted_books.discard(row.book)
    _work_out(memory, [*held, row], row.book, position(memory, row.book), found)
    return found


def _work_out(memory: Memory, held: list[Row], book: Book, p: Fraction, found: Exposures) -> None:
    found.books[book] = book_exposure(memory, held, book, p)
    dust = Fraction(memory.thresholds.account.dust_notional)
    mark = higher_mark(memory, book[1])
    value = ZERO if mark is None else abs(p) * mark * multiplier(memory, book[1])
    if (p != 0 and value > dust) or could_open(held, book, p):
        found.counted_books.add(book)
