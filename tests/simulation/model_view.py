"""What a status of the model shows: every number worked out anew from the lists."""

from fractions import Fraction

from sidecar.core import commands
from tests.simulation import model_account, model_stops
from tests.simulation.model_exposure import exposures, outstanding, rows
from tests.simulation.model_facts import ZERO, Below, Memory, all_positions, equity
from tests.simulation.model_reports import errors_in_window, failed_in_window


def view(memory: Memory, below: Below) -> dict[str, object]:
    """Return everything a status would show, as exact numbers."""
    held = rows(memory)
    found = exposures(memory, held)
    positions = all_positions(memory)
    books = {**positions, **{row.book: ZERO for row in held if row.book not in positions}}
    return {
        "books": {
            book: (
                p,
                *outstanding(held, book, commands.Side.BUY),
                *outstanding(held, book, commands.Side.SELL),
                found.books[book],
            )
            for book, p in books.items()
            if p != 0 or any(row.book == book for row in held)
        },
        "symbols": _not_zero({book[1]: found.of_symbol(book[1]) for book in found.books}),
        "strategies": _not_zero({book[0]: found.of_strategy(book[0]) for book in found.books}),
        "portfolio": found.of_all(),
        "position count": len(found.counted),
        "equity": equity(memory),
        "drawdowns": model_account.ratios(memory),
        "losses": memory.losses,
        "failures": memory.failures,
        "failed trades": failed_in_window(memory),
        "api errors": errors_in_window(memory),
        "open": memory.is_open,
        "causes": [(cause.name, cause.observed, cause.threshold) for cause in memory.causes],
        "mode": model_stops.trading_mode(memory, below),
        "stop epoch": memory.stop_epoch,
        "kills": {kill.scope: (kill.mode, kill.epoch, kill.attempts) for kill in memory.kills},
        "reservations": {
            order.order_id: (order.remaining, order.filled)
            for order in memory.orders
            if order.remaining > 0
        },
        "marks": {symbol: (mark.price, mark.pending) for symbol, mark in memory.marks.items()},
        "positions confirmed": memory.positions_confirmed,
        "day and week": (memory.day, memory.week),
        "clock jump": memory.clock_jump,
        "warnings": model_stops.warnings(memory),
        "reconciling": memory.is_reconciling or below.is_damaged,
    }


def _not_zero(numbers: dict[str, Fraction]) -> dict[str, Fraction]:
    return {name: number for name, number in numbers.items() if number != 0}
